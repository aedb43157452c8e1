"""What holds at a moment of a drive: the scenario's changes as a timeline.

Promises that the same scenario gives the same conditions at the same time, whatever was asked before.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hw.bench.scenario import Change, Condition, convert_condition


class _Glide(NamedTuple):
    """`until_s`: when it stops to matter, which is before its end if the drive takes another turn."""

    name: str
    begin_s: float
    end_s: float
    from_value: float
    to_value: float
    until_s: float


class Timeline:
    """Conditions by time; what glides is a number (hw.bench.scenario sees to it)."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._times = [0.0]
        self._held = [asdict(Condition())]
        self._glides: list[_Glide] = []
        for change in sorted(changes, key=lambda item: item.at_s):
            self._add(change)

    def at(self, t_s: float) -> dict[str, Any]:
        """Every field of Condition at `t_s`; the dictionary is the caller's own."""
        held = dict(self._held[bisect.bisect_right(self._times, t_s) - 1])
        for glide in self._glides:
            if glide.begin_s <= t_s < glide.until_s:
                part = (t_s - glide.begin_s) / (glide.end_s - glide.begin_s)
                held[glide.name] = glide.from_value + part * (glide.to_value - glide.from_value)
        return held

    def end(self, at_s: float, values: dict[str, Any]) -> None:
        """From `at_s` on nothing changes any more, but for `values`."""
        first, last = bisect.bisect_left(self._times, at_s), self.at(at_s)
        self._times = [*self._times[:first], at_s]
        self._held = [*self._held[:first], last | values]
        self._glides = [glide._replace(until_s=min(glide.until_s, at_s)) for glide in self._glides]

    def running_s(self, t_s: float) -> float:
        """For how many of the first `t_s` seconds the engine ran: ignition ON or START."""
        ends = [*self._times[1:], t_s]
        spans = zip(self._times, ends, self._held, strict=True)
        return sum(max(0.0, min(end_s, t_s) - begin_s) for begin_s, end_s, held in spans if held["ignition"] in ("ON", "START"))

    def _add(self, change: Change) -> None:
        values = convert_condition(change.set_)
        before = self.at(change.at_s)
        self._times.append(change.at_s)
        self._held.append({**self._held[-1], **values})
        for name, value in values.items() if change.over_s else ():
            end_s = change.at_s + change.over_s
            self._glides.append(_Glide(name, change.at_s, end_s, before[name], value, end_s))
