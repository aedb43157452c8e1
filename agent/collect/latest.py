"""The newest reading of every wanted signal, in RAM, and since when its frame has been silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.clock import NS
from agent.model import Reading, Value
from agent.vss import LOCATION

FIX_AGE_MAX_NS = 5 * NS
"""A position is current for this long; a receiver that says nothing, or says void, has no position."""


@dataclass(slots=True)
class Latest:
    """What the car last said. A reading counts as long as its frame still arrives, changed or not."""

    readings: dict[str, Reading] = field(default_factory=dict)
    unseen_since_ns: dict[str, int] = field(default_factory=dict)

    def put(self, reading: Reading) -> None:
        """A frame came, so whatever silence there was is over."""
        self.readings[reading.signal] = reading
        self.unseen_since_ns.pop(reading.signal, None)

    def silent(self, signal: str, last_frame_ns: int) -> None:
        """No frame of this signal since `last_frame_ns`."""
        self.unseen_since_ns.setdefault(signal, last_frame_ns)

    def get(self, signal: str, t_ns: int, timeout_ns: int) -> Reading | None:
        """The reading that stands at `t_ns`, or None when its frame has been missing for `timeout_ns` or more."""
        reading = self.readings.get(signal)
        if reading is None:
            return None
        if signal.startswith(LOCATION):
            return reading if t_ns - reading.t_ns <= FIX_AGE_MAX_NS else None
        unseen = self.unseen_since_ns.get(signal)
        return None if unseen is not None and t_ns - unseen >= timeout_ns else reading

    def value(self, signal: str) -> Value | None:
        """The value for a condition: None as soon as the frame is known to be silent."""
        reading = self.readings.get(signal)
        return None if reading is None or signal in self.unseen_since_ns else reading.value

    def drop(self, signals: Iterable[str]) -> None:
        """These have no value any more."""
        for signal in signals:
            self.readings.pop(signal, None)

    def clear(self) -> None:
        """Nothing is known any more, no silence either."""
        self.readings, self.unseen_since_ns = {}, {}

    def forget(self, wanted: set[str]) -> None:
        """Drops every reading that no rule wants any more."""
        self.readings = {name: reading for name, reading in self.readings.items() if name in wanted}
        self.unseen_since_ns = {name: t_ns for name, t_ns in self.unseen_since_ns.items() if name in wanted}
