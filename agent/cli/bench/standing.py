"""How each stream stands while the car drives: left, withheld and why, or allowed and silent. Reads, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agent.cli.bench.telling import WITHDRAWN, Run, ended, kept_back, recipients, streams, waiting
from agent.cli.streams import Entry, name_of, trim_of
from agent.cli.words import HALVES, IDENTITIES, counted, signal_name, signal_names


class Row(NamedTuple):
    """A stream: its title and how it stands in words; where something left, what was newest and when it was last sent."""

    title: str
    words: str
    newest: str = ""
    ago: str = ""


def left(run: Run, last_sent: Mapping[str, str], now_s: float) -> list[Row]:
    """Streams of which recipients opened something, the one that was sent last first. `now_s`: since 1970."""
    ago_s = {name: max(0.0, now_s - datetime.fromisoformat(iso).timestamp()) for name, iso in last_sent.items() if iso}
    of_stream = streams(run)
    return [_left(run, name, of_stream[name], ago_s.get(name)) for name in sorted(of_stream, key=lambda name: ago_s.get(name, now_s))]


def _left(run: Run, name: str, lines: Sequence[Entry], ago_s: float | None) -> Row:
    parts = (f"{counted(len(lines), 'value')} to {recipients(run, name)}, {IDENTITIES[lines[0]['identity']]}", ended(run, name))
    ago = "" if ago_s is None else f"{_time(ago_s)} ago"
    return Row(run.title(name), "; ".join(part for part in parts if part), _newest(lines), ago)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _newest(lines: Sequence[Entry]) -> str:
    """What recipients read last, signal by signal: `position 39.8124, 116.462; speed 60 km/h`."""
    newest = {line["signal"]: line for line in sorted(lines, key=lambda line: line["t"])}
    place = ", ".join(f"{newest.pop(half)['value']:.6g}" for half in HALVES if half in newest)
    rest = [f"{signal_name(signal)} {_value(line['value'], line['unit'])}" for signal, line in newest.items()]
    return "; ".join([f"position {place}", *rest] if place else rest)


def _value(value: object, unit: str) -> str:
    said = (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
    return said if unit in {"", "count"} else f"{said} {unit}"


def barred(run: Run) -> dict[str, list[str]]:
    """Why something is withheld -> what: titles of streams, or the signals of one that is otherwise allowed.

    What was withdrawn comes first, single signals last.
    """
    allowed = {name_of(rule) for rule in run.chronicle.plan["rules"]}
    found: dict[str, list[str]] = {}
    for name, signals, why in sorted(kept_back(run), key=lambda one: one[0] in allowed):
        found.setdefault(why, []).append(f"{signal_names(signals)}, of: {run.title(name)}" if name in allowed else run.title(name))
    return {why: found[why] for why in sorted(found, key=lambda why: why != WITHDRAWN)}


def idle(run: Run) -> list[Row]:
    """Streams that are allowed and have not spoken, with what they wait for."""
    return [Row(run.title(name), waits) for name, waits in waiting(run)]


def trimmed_m(plan: Entry) -> float:
    """How far from a trip's ends no place is told by any stream; 0 where none is trimmed."""
    return max((trim_of(plan, name) or 0.0 for name in names(plan["rules"])), default=0.0)


def names(entries: Iterable[Entry]) -> list[str]:
    """Each stream once."""
    return list(dict.fromkeys(map(name_of, entries)))
