"""How the end of a run is told, on a terminal and on a page: to whom, because of what, and what of each signal left.

Both tell the same in the same words, because the words are found here. Wording only: it decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from agent.catalogue.types import Catalogue, Stream
from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.listeners import NOTICE
from agent.cli.streams import Entry, name_of, silent, trim_of, withheld
from agent.cli.words import HALVES, IDENTITIES, REASONS, counted, form, occasions, origin, whole
from agent.plan.notice import BECAUSE

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
UNSEEN = "of a rule that the bench did not see"
WITHDRAWN = "withdrawn during the run"
SHOWN_MAX = 4
"""Of so many signals in one row the last values are shown."""
DONE = "at "
"""So begins a note of what somebody in the car did."""
NO_PLACE = "place not known"
"""In the note of a message that had none."""
EMERGENCY = "emergency call: "
"""So begins, after its time, a note of what became of the emergency call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What there is to tell. `lines` as in received.jsonl; `start_ns`: when the drive began."""

    lines: Sequence[Entry]
    summary: Mapping[str, Any]
    chronicle: Chronicle
    catalogue: Catalogue
    start_ns: int

    def stream(self, name: str) -> Stream | None:
        """What the catalogue says of `service.stream`."""
        service, _, stream = name.partition(".")
        file = self.catalogue.services.get(service)
        return next((one for one in file.streams if one.id == stream), None) if file else None

    def title(self, name: str) -> str:
        """A stream in a sentence."""
        stream = self.stream(name)
        if stream is None and name.endswith(NOTICE):
            return "A notice that a grant has ended, and with it the basis of what was sent under it"
        return stream.title if stream and stream.title else name


class Piece(NamedTuple):
    """Signals of one stream that were reduced alike and left as often. `after` and `last` are empty where there is nothing to say."""

    signals: Sequence[str]
    before: str
    after: str
    often: str
    last: str


def grouped(things: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Those of one key together, in the order in which the keys first came."""
    found: dict[K, list[T]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(thing)
    return found


def several(texts: Iterable[str], between: str = " and ") -> str:
    """Each different text once, in order."""
    return between.join(dict.fromkeys(texts))


def listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def streams(run: Run) -> dict[str, list[Entry]]:
    """What left, by stream."""
    return grouped(run.lines, name_of)


def done(summary: Entry) -> list[str]:
    """What somebody in the car did, and what came of it."""
    return [note for note in summary.get("notes", ()) if note.startswith(DONE) and EMERGENCY not in note]


def called(notes: Iterable[str]) -> list[str]:
    """What became of the emergency call: `at 111.5 s: the centre has ...`."""
    return [note.replace(EMERGENCY, "", 1) for note in notes if note.startswith(DONE) and EMERGENCY in note]


def beside(notes: Iterable[str]) -> str:
    """What the totals of values do not count, in a sentence; empty where there was no emergency call."""
    told = messages(notes)
    what = "number and exact place" if place_told(notes) else "number, and no place, which it did not know"
    return f"Beside that, the emergency call told its centre the car's {what}." if told else ""


def messages(notes: Iterable[str]) -> list[str]:
    """The notes of what the emergency centre has read."""
    return [note for note in called(notes) if "the centre has message" in note]


def place_told(notes: Iterable[str]) -> bool:
    """Whether the emergency centre was told where the car was."""
    return any(NO_PLACE not in note for note in messages(notes))


def recipients(run: Run, name: str) -> str:
    """Who got something of a stream. A notice that a grant has ended goes to whoever had got something of its service."""
    stream, (service, _, kind) = run.stream(name), name.partition(".")
    if stream is None and name.endswith(NOTICE) and service in run.catalogue.services:
        others = run.catalogue.services[service].streams
        return several(one.recipient for one in others if run.chronicle.rules_of(f"{service}.{one.id}")) or kind
    return several(rule["recipient"] for rule in run.chronicle.rules_of(name)) or (stream.recipient if stream else UNSEEN)


def amount(run: Run, name: str, lines: Sequence[Entry]) -> str:
    """Under which identity and how much of a stream left, how coarse its times are, and whether the start of the unit sent it."""
    much = f"{counted(len(lines), 'value')} in {counted(run.summary['streams'][name]['messages'], 'message')}"
    return f"{IDENTITIES[lines[0]['identity']]}: {much}{_moments(run, name, lines)}"


def _moments(run: Run, name: str, lines: Sequence[Entry]) -> str:
    rules = run.chronicle.rules_of(name)
    floors = several(f"{rule['time_floor_s']:g} s" for rule in rules if rule.get("time_floor_s"))
    coarse = f", times cut to {floors}" if floors else ""
    first = min(line["t"] for line in lines)
    at_start = any("start" in rule["triggers"] for rule in rules) and first * 1e9 <= run.start_ns
    alone = all(line["t"] == first for line in lines)
    return f"{coarse}{', sent when the unit started' if alone else ', the first when the unit started'}" if at_start else coarse


def because(run: Run, name: str) -> str:
    """Why a stream was allowed to leave, and how it ended, if it did."""
    rules = run.chronicle.rules_of(name)
    why = several((rule["because"] for rule in rules), "; later because ") or (BECAUSE if name.endswith(NOTICE) else UNSEEN)
    end = ended(run, name)
    return f"{why}; {end}" if end else why


def vins(lines: Sequence[Entry]) -> str:
    """The VIN where it left; empty where it did not."""
    return several(str(line["vin"]) for line in lines if "vin" in line)


def pieces(run: Run, name: str, lines: Sequence[Entry]) -> Iterator[Piece]:
    """What left of a stream, signal by signal, those that are told alike together."""
    of_signal = grouped(lines, lambda line: whole(line["signal"]))
    alike: dict[tuple[str, str, str, int], list[str]] = {}
    for signal, its in of_signal.items():
        times, unit = sum(line["signal"] != HALVES[1] for line in its), its[0]["unit"]
        alike.setdefault((*_way(run, name, signal, unit), unit, times), []).append(signal)
    for (before, after, _, times), signals in alike.items():
        often = ("once" if times == 1 else f"{times} times") + (" each" if len(signals) > 1 else "")
        last = _last([of_signal[signal] for signal in signals]) if len(signals) <= SHOWN_MAX else ""
        yield Piece(signals, before, after, often, last)


def _way(run: Run, name: str, signal: str, unit: str) -> tuple[str, str]:
    """Before and after; no after where the unit itself says it."""
    declared = run.catalogue.signals.get(signal)
    if declared is None and name.endswith(NOTICE):
        return "said by the unit", ""
    after = several((form(rule["transforms"], unit) for rule in run.chronicle.left.get((name, signal), ())), ", later ")
    return origin(signal, made_here=declared is not None and declared.source == "agent"), after or "not known"


def _last(signals: Sequence[Sequence[Entry]]) -> str:
    """The newest value of each, as the recipient reads it; the unit once."""
    unit = signals[0][0]["unit"]
    return f"{', '.join(map(_newest, signals))} {'days' if unit == 'day' else unit}".rstrip()


def _newest(lines: Sequence[Entry]) -> str:
    """A value in text; a position is two numbers, an empty list is none."""
    newest = max(line["t"] for line in lines)
    values = {line["signal"]: line["value"] for line in lines if line["t"] == newest}
    return " ".join((", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value) for value in values.values())


def trim_ever(run: Run, name: str) -> float | None:
    """As `trim_of`, of whichever plan of the run kept most back."""
    return max((trim for plan in run.chronicle.plans if (trim := trim_of(plan, name)) is not None), default=None)


def ended(run: Run, name: str, reasons: Iterable[str] = ()) -> str:
    """In words how a stream ended that was live and is not any more; empty for every other."""
    lived = [rule for (stream, _), rule in run.chronicle.lived.items() if stream == name]
    refused = {no["reason"] for no in run.chronicle.plan["refused"] if name_of(no) == name}
    if not lived or any(name_of(rule) == name for rule in run.chronicle.plan["rules"]):
        return ""
    if "no_consent" in refused and lived[0]["basis"] == "consent":
        return WITHDRAWN
    return "ended during the run: " + "; ".join(REASONS[reason] for reason in sorted(set(reasons) or refused))


def waiting(run: Run) -> list[tuple[str, str]]:
    """Streams that are allowed and did not speak, each with what it waits for."""
    plan = run.chronicle.plan
    return [(name, occasions(rule, run.catalogue.events, trim_of(plan, name))) for name, rule in silent(plan, run.lines).items()]


def kept_back(run: Run) -> list[tuple[str, tuple[str, ...], str]]:
    """Every signal that was refused, by stream, with the reason in words."""
    found = []
    for name, reason, signals in withheld(run.chronicle.plan):
        was_live = any((name, signal) in run.chronicle.lived for signal in signals)
        found.append((name, signals, (ended(run, name, [reason]) if was_live else "") or REASONS[reason]))
    return found


def kinds(run: Run) -> tuple[int, int, int]:
    """Of the kinds of message that were decided about: how many left, how many were allowed and did not, how many were withheld."""
    left = {name for name in streams(run) if not name.endswith(NOTICE)}
    allowed = {name for name, _ in run.chronicle.lived} - left
    refused = set(map(name_of, run.chronicle.plan["refused"])) - allowed - left
    return len(left), len(allowed), len(refused)
