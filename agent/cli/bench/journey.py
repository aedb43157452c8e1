"""The truth of a run, as the simulated car drove it: where it was when, which trips there were, how they are told.

Promises that way and speed are those of the car itself, whatever left it.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from agent.cli.bench.places import Metres, plane
from agent.collect.trip import MOVED_KMH, TRIP_GAP_S
from hw.bench.truth import Drive

STEP_S_MIN, STEP_S_MAX, MOMENTS = 0.5, 60.0, 1500
"""How finely the truth is sampled; never as coarsely as a stop that ends a trip."""


def clock(t_s: float) -> str:
    """Minutes and seconds since the drive began; hours where it takes any."""
    minutes, seconds = divmod(round(t_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"


class Moment(NamedTuple):
    """The true car at one moment, in metres from where it started. `driving`: as a stream's `while` means it."""

    t_s: float
    east_m: float
    north_m: float
    kmh: float
    distance_m: float
    ignition: bool
    driving: bool


class Span(NamedTuple):
    """A stretch of time in which nothing could leave, and the key in LABELS that says why."""

    begin_s: float
    end_s: float
    kind: str


@dataclass(frozen=True, slots=True)
class Journey:
    """The truth of a run. `trips`: first and last moment with the ignition on of each."""

    drive: Drive
    seconds: float
    moments: list[Moment]
    trips: list[tuple[float, float]]

    @classmethod
    def of(cls, drive: Drive, seconds: float) -> Journey:
        """Asks the drive for its state again and again."""
        step_s = min(STEP_S_MAX, max(STEP_S_MIN, seconds / MOMENTS))
        made, moved = cls(drive, seconds, [], []), False
        for index in range(math.ceil(seconds / step_s) + 1):
            car = drive.state(min(index * step_s, seconds))
            on = car.ignition in ("ON", "START")
            begins = made._sets_off(car.t_s, on)
            moved = (moved and not begins) or (on and car.speed_kmh > MOVED_KMH)
            place = made.plane(car.lat_deg, car.lon_deg)
            made.moments.append(Moment(car.t_s, *place, car.speed_kmh, car.distance_m, on, on and moved and car.gear != "P"))
        return made

    def _sets_off(self, t_s: float, on: bool) -> bool:
        """Whether a trip begins at `t_s`; notes it, or that the one before goes on."""
        begins = on and not (self.trips and t_s - self.trips[-1][1] <= TRIP_GAP_S)
        if begins:
            self.trips.append((t_s, t_s))
        elif on:
            self.trips[-1] = (self.trips[-1][0], t_s)
        return begins

    def plane(self, lat_deg: float, lon_deg: float) -> Metres:
        """Metres east and north of the start."""
        return plane(self.drive.scenario.start)(lat_deg, lon_deg)

    def at(self, t_s: float) -> Moment:
        """The moment at or just before `t_s`."""
        return self.moments[max(0, bisect.bisect_right(self.moments, t_s, key=lambda moment: moment.t_s) - 1)]

    def way_m(self, span: Span) -> float:
        """Metres driven in a stretch."""
        return self.at(span.end_s).distance_m - self.at(span.begin_s).distance_m

    def spans(self, kind: Callable[[Moment], str]) -> list[Span]:
        """The run in stretches of one kind each; those of no kind (an empty text) are left out."""
        found: list[Span] = []
        for moment in self.moments:
            what = kind(moment)
            before = found.pop() if found and found[-1].kind == what else Span(found[-1].end_s if found else 0.0, 0.0, what)
            found.append(before._replace(end_s=moment.t_s))
        return [span for span in found if span.kind and span.end_s > span.begin_s]
