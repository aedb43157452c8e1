"""Between the catalogue's units, which readings carry, and the agent's own, in which it counts the trip and the way."""

from __future__ import annotations

from collections.abc import Mapping

from agent.collect.transforms import number
from agent.model import Reading
from agent.units import converted
from agent.vss import UNITS, unit_of


def own(reading: Reading, units: Mapping[str, str]) -> float | None:
    """The reading's number in the agent's own unit; None where it is no number or the catalogue's unit measures something else."""
    have = number(reading.value)
    return None if have is None else converted(have, _carried(reading.signal, units), UNITS[reading.signal])


def stated(signal: str, value: float, unit: str, t_ns: int, units: Mapping[str, str]) -> list[Reading]:
    """The reading that `value`, measured in `unit`, is in the catalogue's unit; none where that measures something else."""
    moved = converted(value, unit, _carried(signal, units))
    return [] if moved is None else [Reading(signal, moved, t_ns)]


def _carried(signal: str, units: Mapping[str, str]) -> str:
    """A unit that the catalogue leaves empty is the agent's own."""
    return unit_of(signal, units) or UNITS[signal]
