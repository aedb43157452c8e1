"""What a plan's document and the lines of recipients say of whole streams. Reads them, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from agent.vss import GNSS_SIGNALS

Entry = Mapping[str, Any]


class Withheld(NamedTuple):
    """Signals of one stream that are withheld for one reason."""

    stream: str
    reason: str
    signals: tuple[str, ...]


def name_of(entry: Entry) -> str:
    """`service.stream` of a rule, a refusal or a line."""
    return f"{entry['service']}.{entry['stream']}"


def withheld(plan: Entry) -> list[Withheld]:
    """Everything that the plan refuses, by stream and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for no in plan["refused"]:
        found.setdefault((name_of(no), no["reason"]), []).append(no["signal"])
    return [Withheld(stream, reason, tuple(signals)) for (stream, reason), signals in sorted(found.items())]


def silent(plan: Entry, lines: Iterable[Entry]) -> dict[str, Entry]:
    """Streams that are allowed and did not speak, each with one of its rules."""
    spoke = {name_of(line) for line in lines}
    return {name_of(rule): rule for rule in plan["rules"] if name_of(rule) not in spoke}


def trim_of(plan: Entry, stream: str) -> float | None:
    """How far from the ends of a trip a stream is silent as a whole, whatever triggers it, in metres; None where it is not."""
    steps = [step for rule in plan["rules"] if name_of(rule) == stream for step in rule["transforms"]]
    return max((step["trim_trip_m"] for step in steps if "trim_trip_m" in step), default=None)


def needs_a_fix(plan: Entry, stream: str) -> bool:
    """Whether nothing of a stream can leave without a receiver: it is trimmed, or says nothing but what the receiver gives."""
    signals = {rule["signal"] for rule in plan["rules"] if name_of(rule) == stream}
    return trim_of(plan, stream) is not None or signals <= GNSS_SIGNALS
