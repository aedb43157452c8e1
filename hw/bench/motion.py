"""The speed of a drive and, integrated exactly, its distance.

Speed is piecewise linear in time, so distance is a closed formula and every moment costs one bisection. The seed moves
the speed a little where a scenario says a constant one: no foot holds a pedal still.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple

from hw.bench.scenario import SpeedPoint

KMH_PER_MPS = 3.6
KNOT_EVERY_S = 4.0


class Motion(NamedTuple):
    """Distance since the start, speed and acceleration along the road."""

    distance_m: float
    speed_mps: float
    acceleration_mps2: float


class _Impact(NamedTuple):
    """How the car comes to a stand that nobody drove: evenly, within `within_s`."""

    at_s: float
    within_s: float
    before: Motion

    def motion(self, t_s: float) -> Motion:
        pull = -self.before.speed_mps / self.within_s
        inside_s = min(t_s - self.at_s, self.within_s)
        distance_m = self.before.distance_m + (self.before.speed_mps + pull * inside_s / 2) * inside_s
        moves = inside_s < self.within_s
        return Motion(distance_m, self.before.speed_mps + pull * inside_s if moves else 0.0, pull if moves else 0.0)


class Profile:
    """Motion at every moment of a drive."""

    def __init__(self, points: Sequence[SpeedPoint], jitter_kmh: float, until_s: float, rng: random.Random) -> None:
        knots = [(point.at_s, point.kmh / KMH_PER_MPS) for point in points]
        self._times, self._speeds = map(list, zip(*_shaken(knots, jitter_kmh / KMH_PER_MPS, until_s, rng), strict=True))
        self._impact: _Impact | None = None
        self._distances = [0.0]
        for index in range(1, len(self._times)):
            span_s = self._times[index] - self._times[index - 1]
            mean_mps = (self._speeds[index] + self._speeds[index - 1]) / 2
            self._distances.append(self._distances[-1] + span_s * mean_mps)

    def stop(self, at_s: float, within_s: float) -> None:
        """From `at_s` on the car is brought to a stand within that time, and stays."""
        self._impact = _Impact(at_s, within_s, self.at(at_s))

    def at(self, t_s: float) -> Motion:
        """The motion at `t_s` >= 0; after the last point the car goes on as it was."""
        if self._impact is not None and t_s > self._impact.at_s:
            return self._impact.motion(t_s)
        index = bisect.bisect_right(self._times, t_s) - 1
        inside_s, speed_mps = t_s - self._times[index], self._speeds[index]
        if index + 1 == len(self._times):
            return Motion(self._distances[index] + speed_mps * inside_s, speed_mps, 0.0)
        slope = (self._speeds[index + 1] - speed_mps) / (self._times[index + 1] - self._times[index])
        distance_m = self._distances[index] + (speed_mps + slope * inside_s / 2) * inside_s
        return Motion(distance_m, max(0.0, speed_mps + slope * inside_s), slope)


def _shaken(knots: list[tuple[float, float]], jitter_mps: float, until_s: float, rng: random.Random) -> list[tuple[float, float]]:
    """The knots with seeded ones in between wherever the speed is constant and not zero."""
    if knots[-1][0] < until_s:
        knots = [*knots, (until_s, knots[-1][1])]
    out = [knots[0]]
    for (begin_s, speed), (end_s, next_speed) in itertools.pairwise(knots):
        moves = speed > jitter_mps > 0 and speed == next_speed
        count = int((end_s - begin_s) / KNOT_EVERY_S) if moves else 0
        out += [(begin_s + step * KNOT_EVERY_S, speed + rng.uniform(-jitter_mps, jitter_mps)) for step in range(1, count)]
        out.append((end_s, next_speed))
    return out
