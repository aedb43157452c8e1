"""The places that left, for the view and for the page: when, how exactly, and the square that each is, in metres from the start.

Promises that every square has the place and the size of its grid's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agent.cli.bench.telling import Run
from agent.cli.streams import name_of
from agent.cli.words import HALVES
from agent.collect.cells import EARTH_M_PER_DEG, cell_of
from agent.model import Position
from agent.vss import LOCATION
from hw.bench.route import metres_per_degree
from hw.bench.scenario import Start

WIDE_M = 1000
"""A square that is wider may reach beyond a picture, which would otherwise show nothing but it."""
Metres = tuple[float, float]
"""East and north of wherever zero is."""


class Place(NamedTuple):
    """A place that left, of the stream `name`, `t_s` after the start of the drive. `width_m` None: exact, no square."""

    t_s: float
    position: Position
    width_m: float | None
    name: str = ""

    @property
    def corners(self) -> tuple[Position, Position]:
        """South-west and north-east of its square; of an exact place, twice itself."""
        return corners(self.position, self.width_m or 0.0)


def corners(centre: Position, width_m: float) -> tuple[Position, Position]:
    """South-west and north-east of a square of the grid."""
    per_deg = cell_of(centre, width_m)[2] if width_m else EARTH_M_PER_DEG
    high, wide = width_m / 2 / EARTH_M_PER_DEG, width_m / 2 / per_deg
    return Position(centre.lat_deg - high, centre.lon_deg - wide), Position(centre.lat_deg + high, centre.lon_deg + wide)


def places(run: Run) -> list[Place]:
    """The places that left, first to last."""
    halves: dict[tuple[float, str, int], dict[str, float]] = {}
    for line in run.lines:
        if line["signal"] in HALVES:
            halves.setdefault((line["t"], name_of(line), line["seq"]), {})[line["signal"]] = float(line["value"])
    both = sorted(((key, value) for key, value in halves.items() if len(value) == len(HALVES)), key=lambda one: one[0])
    start_s = run.start_ns / 1e9
    return [Place(t - start_s, Position(*(value[half] for half in HALVES)), _width_m(run, name), name) for (t, name, _), value in both]


def _width_m(run: Run, name: str) -> float | None:
    rules = run.chronicle.left.get((name, LOCATION), [])
    widths = [step["grid_m"] for rule in rules for step in rule["transforms"] if "grid_m" in step]
    return float(widths[-1]) if widths else None


def plane(start: Start) -> Callable[[float, float], Metres]:
    """What turns degrees into metres from where the drive starts."""
    north_m, east_m = metres_per_degree(start.lat_deg)
    return lambda lat_deg, lon_deg: ((lon_deg - start.lon_deg) * east_m, (lat_deg - start.lat_deg) * north_m)
