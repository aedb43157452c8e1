"""Aggregates over aligned windows: they see every change before the trigger does, and speak at the window's end.

`count_s` counts how often the value became known or changed, not how often a frame came: that would tell of the other
signals in the frame. A value holds until the next reading, or until its frame falls silent; the mean is weighted by that time. The result
is a Reading of the same signal at the window's end; a window without any known time gives nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.clock import NS
from agent.collect.transforms import number
from agent.model import Reading


@dataclass(slots=True)
class Tally:
    """What one window has seen."""

    weight_ns: int = 0
    area: float = 0.0
    low: float | None = None
    high: float | None = None
    count: int = 0


KINDS: dict[str, Callable[[Tally], float | int | None]] = {
    "mean_s": lambda tally: tally.area / tally.weight_ns if tally.weight_ns else None,
    "min_s": lambda tally: tally.low,
    "max_s": lambda tally: tally.high,
    "count_s": lambda tally: tally.count,
}


@dataclass(slots=True)
class Aggregate:
    """One aggregate of one rule: feed readings, then close what is due."""

    kind: str
    window_s: float
    signal: str
    tally: Tally = field(default_factory=Tally)
    held: float | None = None
    since_ns: int = 0
    end_ns: int | None = None

    @property
    def window_ns(self) -> int:
        """The window's length."""
        return int(self.window_s * NS)

    def feed(self, reading: Reading) -> None:
        """A change. Readings come in order of time, after `close` was asked for everything due before them."""
        value = number(reading.value)
        if value is None:
            return
        self._pass(reading.t_ns)
        if self.end_ns is None:
            self.end_ns = (reading.t_ns // self.window_ns + 1) * self.window_ns
        self.tally.count += value != self.held
        self.held, self.since_ns = value, reading.t_ns
        self._bounds(value)

    def silent(self, t_ns: int) -> None:
        """The frame stopped coming at `t_ns`: from there on the value is not known."""
        self._pass(t_ns)
        self.held = None

    def restart(self) -> None:
        """Begins anew: the window that was open gives nothing, the value is not known."""
        self.tally, self.held, self.since_ns, self.end_ns = Tally(), None, 0, None

    def close(self, t_ns: int) -> list[Reading]:
        """The results of all windows that ended by `t_ns`."""
        done: list[Reading] = []
        while self.end_ns is not None and self.end_ns <= t_ns:
            end = self.end_ns
            self._pass(end)
            value = KINDS[self.kind](self.tally)
            if value is not None and (self.tally.weight_ns or self.tally.count):
                done.append(Reading(self.signal, value, end))
            self.tally = Tally()
            self.since_ns = end
            self.end_ns = end + self.window_ns if self.held is not None else None
        return done

    def _pass(self, t_ns: int) -> None:
        if self.held is not None and t_ns > self.since_ns:
            self.tally.weight_ns += t_ns - self.since_ns
            self.tally.area += self.held * (t_ns - self.since_ns)
            self._bounds(self.held)
            self.since_ns = t_ns

    def _bounds(self, value: float) -> None:
        self.tally.low = value if self.tally.low is None else min(self.tally.low, value)
        self.tally.high = value if self.tally.high is None else max(self.tally.high, value)
