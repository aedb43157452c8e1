"""Attackers on a usual place: each gets where reports of trips begin or end, and says where the place is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from tests.privacy.roads import Point, Report

ZONE_M = 1000.0
"""An attacker who has read the source knows the width of a zone, not where its grid lies."""
SECTOR_DEG = 45.0


def error(guess: Point) -> float:
    """Metres from the home, which is the plane's origin."""
    return math.hypot(*guess)


def mean(points: Sequence[Point]) -> Point:
    """The middle of all of them."""
    return statistics.fmean(p[0] for p in points), statistics.fmean(p[1] for p in points)


def median(points: Sequence[Point]) -> Point:
    """The same, hardened against strays."""
    return statistics.median(p[0] for p in points), statistics.median(p[1] for p in points)


def circle_fit(points: Sequence[Point]) -> Point:
    """Centre of the algebraic least-squares circle (Kasa): what breaks a round zone."""
    rows = [(2 * x, 2 * y, 1.0) for x, y in points]
    right = [x * x + y * y for x, y in points]
    x, y, _ = _least_squares(rows, right)
    return x, y


def enclosing_circle(points: Sequence[Point]) -> Point:
    """Centre of the smallest circle around all points (Badoiu and Clarkson's walk towards the farthest)."""
    x, y = mean(points)
    for i in range(1, 400):
        far = max(points, key=lambda p: (p[0] - x) ** 2 + (p[1] - y) ** 2)
        x, y = x + (far[0] - x) / (i + 1), y + (far[1] - y) / (i + 1)
    return x, y


def lattice_around(points: Sequence[Point]) -> list[Point]:
    """Guesses within 840 m of the points' middle."""
    x0, y0 = median(points)
    return [(x0 + 70.0 * i, y0 + 70.0 * j) for i in range(-12, 13) for j in range(-12, 13)]


def hole_centre(points: Sequence[Point]) -> Point:
    """Centre of the largest empty circle near the middle of the points."""
    lattice = lattice_around(points)
    return max(lattice, key=lambda c: min((p[0] - c[0]) ** 2 + (p[1] - c[1]) ** 2 for p in points))


def zone_fit(points: Sequence[Point]) -> Point:
    """Centre of all squares of a zone's width that hold (nearly) no report: the attacker who knows the mechanism."""
    lattice = lattice_around(points)
    reach = ZONE_M / 2 - 100.0
    count = [sum(abs(p[0] - c[0]) < reach and abs(p[1] - c[1]) < reach for p in points) for c in lattice]
    least = min(count)
    return mean([c for c, n in zip(lattice, count, strict=True) if n == least])


ENDS: dict[str, Callable[[Sequence[Point]], Point]] = {
    "mean": mean,
    "median": median,
    "circle fit": circle_fit,
    "smallest circle": enclosing_circle,
    "centre of the hole": hole_centre,
    "zone fit": zone_fit,
}
"""Those that look at places only."""


def heading_lines(ends: Sequence[tuple[Point, float]]) -> Point:
    """Where the reported headings, drawn as lines, come closest to one point."""
    return _crossing([(place, heading + SECTOR_DEG / 2) for place, heading in ends])


def track_lines(pairs: Sequence[tuple[Point, Point]]) -> Point:
    """The same with the line through the two reports nearest to the place."""
    lines = [(near, math.degrees(math.atan2(near[0] - far[0], near[1] - far[1]))) for far, near in pairs if far != near]
    return _crossing(lines)


def ends_of(trips: Sequence[Sequence[Report]], *, arriving: bool) -> list[Report]:
    """The report of each trip that is nearest to the place in time."""
    return [trip[-1] if arriving else trip[0] for trip in trips if trip]


def pairs_of(trips: Sequence[Sequence[Report]], *, arriving: bool) -> list[tuple[Point, Point]]:
    """(farther, nearer): the last two of an arrival, the first two of a departure."""
    ordered = [list(trip) if arriving else list(reversed(trip)) for trip in trips if len(trip) > 1]
    return [(trip[-2].place, trip[-1].place) for trip in ordered]


def _crossing(lines: Sequence[tuple[Point, float]]) -> Point:
    rows, right = [], []
    for (x, y), heading in lines:
        across = (math.cos(math.radians(heading)), -math.sin(math.radians(heading)))
        rows.append((across[0], across[1]))
        right.append(across[0] * x + across[1] * y)
    x, y = _least_squares(rows, right)
    return x, y


def _least_squares(rows: Sequence[Sequence[float]], right: Sequence[float]) -> tuple[float, ...]:
    """Normal equations by Gauss; infinity where there is no solution."""
    n = len(rows[0]) if rows else 2
    a = [
        [sum(row[i] * row[j] for row in rows) for j in range(n)] + [sum(row[i] * r for row, r in zip(rows, right, strict=True))]
        for i in range(n)
    ]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(a[k][i]))
        a[i], a[pivot] = a[pivot], a[i]
        if abs(a[i][i]) < 1e-9:
            return (math.inf,) * n
        for k in range(n):
            if k != i:
                factor = a[k][i] / a[i][i]
                a[k] = [have - factor * take for have, take in zip(a[k], a[i], strict=True)]
    return tuple(a[i][n] / a[i][i] for i in range(n))
