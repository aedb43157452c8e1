"""What the bench says: a line now and then while it runs, and at the end what left the car, what did not, and why.

Written for somebody who sees this project for the first time. What recipients opened is counted in values, envelopes in messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.catalogue.types import Catalogue, Stream
from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.listeners import NOTICE
from agent.cli.streams import Entry, name_of, silent, trim_of, withheld
from agent.cli.words import HALVES, IDENTITIES, REASONS, counted, form, occasions, origin, signal_names, whole, wrapped
from agent.plan.notice import BECAUSE

UNSEEN = "of a rule that the bench did not see"
SHOWN_MAX = 4
"""Of so many signals in one row the last values are shown."""
LEGEND = (
    "each line: frames that reached the agent -> taken by it; samples that it made; sealed messages that wait (what open windows "
    "still collect is not in them) and that were sent; values that recipients opened (a position is one sample and two values)"
)


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


def opening(folder: str, lines: Iterable[str]) -> str:
    """What was set up."""
    return "\n".join([f"bench in {folder}, removed at the end (--out DIR keeps the results)", *lines, *wrapped(LEGEND, 0)])


def pulse_line(elapsed_s: float, seconds: float, status: Mapping[str, Any], lines: Sequence[Entry]) -> str:
    """One line of a run in progress."""
    bus = status["buses"][0] if status.get("buses") else {"read": 0, "delivered": 0}
    waiting = sum(row["rows"] for row in status.get("buffer", {}).values())
    samples = sum(line["signal"] != HALVES[1] for line in lines)
    return (
        f"{elapsed_s:4.0f}/{seconds:.0f} s  frames {bus['read']:>6,} -> {bus['delivered']:<5,} samples {status.get('samples', 0):<4}"
        f" waiting {waiting:<3} sent {status.get('acknowledged', 0):<4} opened {len(lines)} values = {samples} samples"
    )


def closing(run: Run) -> str:
    """The end report."""
    parts = (_left(run), _silent(run), _withheld(run), _happened(run.summary), _numbers(run.summary))
    return "\n".join("\n".join(part) + "\n" for part in parts if part).rstrip("\n")


def _happened(summary: Entry) -> list[str]:
    """What somebody in the car did, and what came of it."""
    notes = [note for note in summary.get("notes", ()) if note.startswith("at ")]
    return ["WHAT SOMEBODY IN THE CAR DID", *(row for note in notes for row in wrapped(note, 2, 4))] if notes else []


def _left(run: Run) -> list[str]:
    """What each recipient opened."""
    streams: dict[str, list[Entry]] = {}
    for line in run.lines:
        streams.setdefault(name_of(line), []).append(line)
    rows = [row for name, lines in streams.items() for row in _stream(run, name, lines)]
    return ["WHAT LEFT THE CAR", *(rows or ["  nothing"])]


def _stream(run: Run, name: str, lines: Sequence[Entry]) -> list[str]:
    """One stream: a sentence, how much and why, the VIN where it left, and each signal before and after."""
    rules, stream = run.chronicle.rules_of(name), run.stream(name)
    recipients = _several(rule["recipient"] for rule in rules) or (stream.recipient if stream else "whoever got something of it")
    messages = run.summary["streams"][name]["messages"]
    amount = f"{counted(len(lines), 'value')} in {counted(messages, 'message')}{_moments(run, lines, rules)}"
    rows = wrapped(f"{run.title(name)} ({name})", 2, 4)
    rows += wrapped(f"to {recipients}, {IDENTITIES[lines[0]['identity']]}: {amount}", 4)
    because = _several((rule["because"] for rule in rules), "; later because ") or (BECAUSE if name.endswith(NOTICE) else UNSEEN)
    end = _ended(run, name)
    rows += wrapped(f"because {because}{f'; {end}' if end else ''}", 4)
    vins = _several(line["vin"] for line in lines if "vin" in line)
    rows += [f"    the VIN: {vins}, in each message"] if vins else []
    return rows + _signals(run, name, lines)


def _moments(run: Run, lines: Sequence[Entry], rules: Sequence[Entry]) -> str:
    """How coarse the times are, and whether the first message is the one that the unit sends when it starts."""
    floors = _several(f"{rule['time_floor_s']:g} s" for rule in rules if rule.get("time_floor_s"))
    coarse = f", times cut to {floors}" if floors else ""
    first = min(line["t"] for line in lines)
    at_start = any("start" in rule["triggers"] for rule in rules) and first * 1e9 <= run.start_ns
    alone = all(line["t"] == first for line in lines)
    return f"{coarse}{', sent when the unit started' if alone else ', the first when the unit started'}" if at_start else coarse


def _signals(run: Run, name: str, lines: Sequence[Entry]) -> list[str]:
    """Signals that were reduced alike and left as often, in one row."""
    of_signal: dict[str, list[Entry]] = {}
    for line in lines:
        of_signal.setdefault(whole(line["signal"]), []).append(line)
    groups: dict[tuple[str, str, int], list[str]] = {}
    for signal, its in of_signal.items():
        times = sum(line["signal"] != HALVES[1] for line in its)
        unit = its[0]["unit"]
        groups.setdefault((_way(run, name, signal, unit), unit, times), []).append(signal)
    rows = []
    for (way, _, times), signals in groups.items():
        often = ("once" if times == 1 else f"{times} times") + (" each" if len(signals) > 1 else "")
        last = f"; last {_last([of_signal[signal] for signal in signals])}" if len(signals) <= SHOWN_MAX else ""
        rows += wrapped(f"{signal_names(signals)}: {way}, {often}{last}", 4)
    return rows


def _way(run: Run, name: str, signal: str, unit: str) -> str:
    """Before -> after."""
    declared = run.catalogue.signals.get(signal)
    if declared is None and name.endswith(NOTICE):
        return "said by the unit"
    after = _several((form(rule["transforms"], unit) for rule in run.chronicle.left.get((name, signal), ())), ", later ")
    return f"{origin(signal, made_here=declared is not None and declared.source == 'agent')} -> {after or 'not known'}"


def _last(signals: Sequence[Sequence[Entry]]) -> str:
    """The newest value of each, as the recipient reads it; the unit once."""
    unit = signals[0][0]["unit"]
    return f"{', '.join(map(_newest, signals))} {'days' if unit == 'day' else unit}".rstrip()


def _newest(lines: Sequence[Entry]) -> str:
    """A value in text; a position is two numbers, an empty list is none."""
    newest = max(line["t"] for line in lines)
    values = {line["signal"]: line["value"] for line in lines if line["t"] == newest}
    return " ".join((", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value) for value in values.values())


def _ended(run: Run, name: str, reasons: Iterable[str] = ()) -> str:
    """In words how a stream ended that was live and is not any more; empty for every other."""
    lived = [rule for (stream, _), rule in run.chronicle.lived.items() if stream == name]
    refused = {no["reason"] for no in run.chronicle.plan["refused"] if name_of(no) == name}
    if not lived or any(name_of(rule) == name for rule in run.chronicle.plan["rules"]):
        return ""
    if "no_consent" in refused and lived[0]["basis"] == "consent":
        return "withdrawn during the run"
    return "ended during the run: " + "; ".join(REASONS[reason] for reason in sorted(set(reasons) or refused))


def _silent(run: Run) -> list[str]:
    """Streams that are allowed and did not speak: nothing triggered them, or their position was too near to a start or an end."""
    rows, plan = [], run.chronicle.plan
    for name, rule in silent(plan, run.lines).items():
        rows += wrapped(f"{run.title(name)} ({name}): {occasions(rule, run.catalogue.events, trim_of(plan, name))}", 2, 4)
    return ["WHAT WAS ALLOWED, AND NOTHING ASKED FOR IT", *(rows or ["  nothing"])]


def _withheld(run: Run) -> list[str]:
    """Every signal that was refused, by stream, with the reason in words."""
    rows = []
    for name, reason, signals in withheld(run.chronicle.plan):
        was_live = any((name, signal) in run.chronicle.lived for signal in signals)
        why = (_ended(run, name, [reason]) if was_live else "") or REASONS[reason]
        rows += [*wrapped(f"{run.title(name)} ({name})", 2, 4), *wrapped(f"{signal_names(signals)}: {why}", 4)]
    return ["WHAT WAS WITHHELD, AND WHY", *(rows or ["  nothing: everything that a service could ask for is allowed"])]


def _numbers(summary: Mapping[str, Any]) -> list[str]:
    """Totals; the last line is the whole run in one sentence."""
    values, read = counted(summary["samples"], "value"), summary["frames_read"]
    rows = [f"{values} in {counted(summary['messages'], 'sealed message')}, {summary['bytes_wire']:,} bytes on the wire."]
    if "opened_by_others" in summary:
        rows.append(
            f"Messages that another recipient could open: {summary['opened_by_others']}; that nobody could: {summary['not_opened']}."
        )
    dropped = read - summary["frames_delivered"]
    return [*rows, f"Of {read:,} frames that reached the agent {dropped:,} were dropped unread; {values} left."]


def _several(texts: Iterable[str], between: str = " and ") -> str:
    """Each different text once, in order."""
    return between.join(dict.fromkeys(texts))
