"""Metric cells on the globe: the geometry that the grid and the zones share."""

from __future__ import annotations

import math

from agent.model import Position

EARTH_M_PER_DEG = math.pi / 180 * 6_371_008.8
"""Metres of one degree of latitude on the sphere of the WGS-84 mean radius."""
COS_MIN = 1e-6
"""Keeps the width of a cell finite at the poles."""


def on_earth(place: Position) -> bool:
    """Whether the numbers can be a place: finite (no comparison holds for NaN) and within their ranges."""
    return abs(place.lat_deg) <= 90 and abs(place.lon_deg) <= 180


def cell_of(place: Position, width_m: float, shift_m: tuple[float, float] = (0.0, 0.0)) -> tuple[int, int, float]:
    """(row, column, metres per degree of longitude) of a cell; `shift_m` moves the whole grid north and east.

    The width in degrees of longitude follows the cosine of the row's own latitude, so that all cells of a row are equal.
    """
    row = math.floor((place.lat_deg * EARTH_M_PER_DEG + shift_m[0]) / width_m)
    row_lat = ((row + 0.5) * width_m - shift_m[0]) / EARTH_M_PER_DEG
    per_deg = EARTH_M_PER_DEG * max(math.cos(math.radians(min(abs(row_lat), 90.0))), COS_MIN)
    return row, math.floor((place.lon_deg * per_deg + shift_m[1]) / width_m), per_deg
