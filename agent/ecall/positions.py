"""The last three positions, in memory and nowhere else; what a message says of them.

Promises that never more than three are held, that each overwrites the oldest, and that a place is called trusted only where EN 15722 allows
it: with 95 % confidence the true one is within 150 m.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from agent.ecall.msd import DELTA_MAX, DELTA_MIN, DIRECTION_MAX, DIRECTION_UNKNOWN, MAS_PER_DEG, UNKNOWN_MAS, Delta
from agent.ecall.timers import NS
from hw.ports import Fix

KEPT = 3
APART_NS = 900_000_000
"""Between two that are kept: about one a second, however often a receiver speaks."""
AGE_NS_MAX = 10 * NS
"""An older one is not trusted."""
TRUSTED_M, PER_SIGMA = 150.0, 2.45
"""95 % of a two-dimensional error are within 2.45 standard deviations."""
COURSE_MPS = 5 / 3.6
"""Slower than this the course of a receiver is noise; the last one above it holds."""
SIGMA_PER_HDOP_M = 5.0
"""A standard deviation of a receiver under open sky, per unit of HDOP. Ours."""
HDOP_UNKNOWN = 5.0
EARTH_M = 6_371_008.8
STEP_MAS, STEP_DEG = 100, 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where the car was at `t_ns` of CLOCK_BOOTTIME. WGS-84. `sigma_m`: one standard deviation; `course_deg`: the last one while moving."""

    t_ns: int
    lat_deg: float = field(repr=False)
    lon_deg: float = field(repr=False)
    sigma_m: float
    speed_mps: float = field(default=0.0, repr=False)
    course_deg: float | None = field(default=None, repr=False)


class Location(NamedTuple):
    """The parts of a message that speak of the place."""

    latitude_mas: int
    longitude_mas: int
    trusted: bool
    direction: int
    recent_n1: Delta
    recent_n2: Delta


class Ring:
    """Takes places, holds the last three."""

    def __init__(self) -> None:
        self._places: deque[Place] = deque(maxlen=KEPT)

    def __iter__(self) -> Iterator[Place]:
        """Oldest first."""
        return iter(self._places)

    def take(self, place: Place) -> bool:
        """Whether it was taken: one that is hardly newer than the last is not, nor one that is nowhere on earth."""
        last = self.last
        if not _possible(place) or (last is not None and place.t_ns - last.t_ns < APART_NS):
            return False
        if place.speed_mps < COURSE_MPS or place.course_deg is None:
            place = replace(place, course_deg=last.course_deg if last else None)
        self._places.append(place)
        return True

    @property
    def last(self) -> Place | None:
        """The newest."""
        return self._places[-1] if self._places else None

    def clear(self) -> None:
        """Forgets them."""
        self._places.clear()


def place_of(fix: Fix) -> Place | None:
    """What a fix, stamped on CLOCK_BOOTTIME, says of the place; None where it has none."""
    if not fix.mode or fix.lat_deg is None or fix.lon_deg is None:
        return None
    sigma_m = SIGMA_PER_HDOP_M * (HDOP_UNKNOWN if fix.hdop is None else fix.hdop)
    return Place(fix.t_ns, fix.lat_deg, fix.lon_deg, sigma_m, fix.speed_mps or 0.0, fix.course_deg)


def location(ring: Ring, now_ns: int, *, clock_trusted: bool) -> Location:
    """What is known of the place now. Without any: unknown, and not trusted."""
    places = list(ring)[::-1]
    if not places:
        return Location(UNKNOWN_MAS, UNKNOWN_MAS, False, DIRECTION_UNKNOWN, (0, 0), (0, 0))
    last, *earlier = places
    older = [*earlier, *[places[-1]] * KEPT]
    direction = DIRECTION_UNKNOWN if last.course_deg is None else round(last.course_deg / STEP_DEG) % (DIRECTION_MAX + 1)
    return Location(
        _mas(last.lat_deg),
        _mas(last.lon_deg),
        clock_trusted and is_trusted(last, now_ns),
        direction,
        _delta(last, older[0]),
        _delta(older[0], older[1]),
    )


def is_trusted(place: Place, now_ns: int) -> bool:
    """New and exact enough."""
    return 0 <= now_ns - place.t_ns <= AGE_NS_MAX and PER_SIGMA * place.sigma_m <= TRUSTED_M


def apart_m(one: Place, other: Place) -> float:
    """Metres between two places on the sphere."""
    mean_rad = math.radians((one.lat_deg + other.lat_deg) / 2)
    north_rad = math.radians(other.lat_deg - one.lat_deg)
    east_rad = math.radians(_around(other.lon_deg - one.lon_deg)) * math.cos(mean_rad)
    return EARTH_M * math.hypot(north_rad, east_rad)


def _possible(place: Place) -> bool:
    return abs(place.lat_deg) <= 90 and abs(place.lon_deg) <= 180 and place.sigma_m >= 0  # NaN is neither


def _mas(deg: float) -> int:
    return round(deg * MAS_PER_DEG)


def _around(deg: float) -> float:
    """The shorter way around the earth."""
    return (deg + 180) % 360 - 180


def _delta(base: Place, other: Place) -> Delta:
    """From `base` to `other` in steps of 100 milliarcseconds; what is farther than can be said ends at the limit."""
    north, east = other.lat_deg - base.lat_deg, _around(other.lon_deg - base.lon_deg)
    return _step(north), _step(east)


def _step(deg: float) -> int:
    return min(max(round(deg * MAS_PER_DEG / STEP_MAS), DELTA_MIN), DELTA_MAX)
