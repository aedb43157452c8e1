"""The road: a place for every distance driven, in closed form.

Straight legs and circular arcs, each laid on a plane that touches the WGS-84 ellipsoid at the leg's own beginning, so
that a long drive stays true. The route begins again at its end. Grows lazily and is therefore not for two threads.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hw.bench.scenario import Leg, Start

WGS84_A_M = 6_378_137.0
WGS84_E2 = 6.694379990141e-3
PIECE_M_MAX = 500.0
"""Longer legs are cut, so that the plane of a piece never lies off the ellipsoid by more than millimetres."""


class Place(NamedTuple):
    """Where the road is, where it points (clockwise from north) and how it bends (1/m, right positive)."""

    lat_deg: float
    lon_deg: float
    heading_deg: float
    curvature_per_m: float


@dataclass(frozen=True, slots=True)
class _Piece:
    length_m: float
    curvature_per_m: float


class Route:
    """Places along the legs of a scenario."""

    def __init__(self, start: Start, legs: Sequence[Leg]) -> None:
        self._pieces = [piece for leg in legs for piece in _cut(leg)]
        self._begins_m = [0.0]
        self._anchors = [Place(start.lat_deg, start.lon_deg, start.heading_deg, self._pieces[0].curvature_per_m)]

    def at(self, distance_m: float) -> Place:
        """The place after `distance_m` >= 0 of road."""
        while distance_m > self._begins_m[-1] + self._piece(-1).length_m:
            self._extend()
        index = bisect.bisect_right(self._begins_m, distance_m) - 1
        return _along(self._anchors[index], self._piece(index), distance_m - self._begins_m[index])

    def _piece(self, index: int) -> _Piece:
        return self._pieces[(index if index >= 0 else len(self._anchors) + index) % len(self._pieces)]

    def _extend(self) -> None:
        last = self._piece(-1)
        end = _along(self._anchors[-1], last, last.length_m)
        self._begins_m.append(self._begins_m[-1] + last.length_m)
        self._anchors.append(end)


def _cut(leg: Leg) -> list[_Piece]:
    length_m = leg.straight_m or math.radians(abs(leg.turn_deg)) * leg.radius_m
    curvature = math.copysign(1 / leg.radius_m, leg.turn_deg) if leg.turn_deg else 0.0
    count = max(1, math.ceil(length_m / PIECE_M_MAX))
    return [_Piece(length_m / count, curvature)] * count


def _along(anchor: Place, piece: _Piece, distance_m: float) -> Place:
    """The place `distance_m` into a piece that begins at `anchor`."""
    turned = distance_m * piece.curvature_per_m
    ahead_m = distance_m if not turned else math.sin(turned) / piece.curvature_per_m
    right_m = 0.0 if not turned else (1 - math.cos(turned)) / piece.curvature_per_m
    course = math.radians(anchor.heading_deg)
    north_m = ahead_m * math.cos(course) - right_m * math.sin(course)
    east_m = ahead_m * math.sin(course) + right_m * math.cos(course)
    north_per_deg, east_per_deg = metres_per_degree(anchor.lat_deg)
    heading_deg = (anchor.heading_deg + math.degrees(turned)) % 360
    return Place(anchor.lat_deg + north_m / north_per_deg, anchor.lon_deg + east_m / east_per_deg, heading_deg, piece.curvature_per_m)


def metres_per_degree(lat_deg: float) -> tuple[float, float]:
    """Metres northward and eastward of one degree on the WGS-84 ellipsoid (NIMA TR8350.2, radii of curvature)."""
    sine = math.sin(math.radians(lat_deg))
    root = math.sqrt(1 - WGS84_E2 * sine * sine)
    meridian_m = WGS84_A_M * (1 - WGS84_E2) / root**3
    normal_m = WGS84_A_M / root
    return math.radians(meridian_m), math.radians(normal_m * math.cos(math.radians(lat_deg)))
