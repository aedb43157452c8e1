"""The places that left, for the view and for the page: when, how exactly, the square that each is, and of which way they tell.

Promises that every square has the place and the size of its grid's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from agent.cli.bench.chronicle import Stretch
from agent.cli.bench.telling import Run
from agent.cli.streams import Entry, name_of
from agent.cli.words import HALVES
from agent.collect.cells import EARTH_M_PER_DEG, cell_of
from agent.model import Position
from agent.vss import LOCATION
from hw.bench.route import metres_per_degree
from hw.bench.scenario import Start

WIDE_M = 1000
"""A square that is wider may reach beyond a picture, which would otherwise show nothing but it."""
JOINED = 3.5
"""Two places of a stream that are at most so many of its periods apart are read as one way, also where one between them is missing."""
Metres = tuple[float, float]
"""East and north of wherever zero is."""


class Place(NamedTuple):
    """A place that left, of the stream `name`, `t_s` after the start of the drive. `width_m` None: exact, no square.

    `slack_s`: how much later than `t_s` it may have been. `every_s`: the rhythm of its stream, 0 for one that has none.
    """

    t_s: float
    position: Position
    width_m: float | None
    name: str = ""
    slack_s: float = 0.0
    every_s: float = 0.0

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
    return [_place(run, t - start_s, name, Position(*(value[half] for half in HALVES))) for (t, name, _), value in both]


def told(found: Iterable[Place]) -> list[Stretch]:
    """The parts of the drive of whose way the places tell: each its own moment, and all between two that follow each other in a rhythm.

    Whoever has two such can join them; of what lies between a single place and the next nobody was told.
    """
    stretches: list[Stretch] = []
    last: dict[str, Place] = {}
    for one in sorted(found, key=lambda one: one.t_s):
        before = last.get(one.name)
        joined = before is not None and one.t_s - before.t_s <= JOINED * one.every_s
        stretches.append((before.t_s if joined and before is not None else one.t_s, one.t_s + one.slack_s))
        last[one.name] = one
    return _merged(stretches)


def _merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Those that touch as one."""
    found: list[Stretch] = []
    for begin_s, end_s in sorted(stretches):
        if found and begin_s <= found[-1][1]:
            found[-1] = found[-1][0], max(end_s, found[-1][1])
        else:
            found.append((begin_s, end_s))
    return found


def _place(run: Run, t_s: float, name: str, position: Position) -> Place:
    rules = run.chronicle.left.get((name, LOCATION), [])
    widths = [step["grid_m"] for rule in rules for step in rule["transforms"] if "grid_m" in step]
    slack_s = max((rule["time_floor_s"] for rule in rules if not _on_the_dot(rule)), default=0.0)
    every_s = max((rule["every_s"] for rule in rules if list(rule["triggers"]) == ["periodic"]), default=0.0)
    return Place(t_s, position, float(widths[-1]) if widths else None, name, slack_s, every_s)


def _on_the_dot(rule: Entry) -> bool:
    """Whether its reports are of the very moment that they name, because their period is a multiple of how their time is cut."""
    floor_s = rule["time_floor_s"]
    return floor_s == 0 or (list(rule["triggers"]) == ["periodic"] and rule["every_s"] % floor_s == 0)


def plane(start: Start) -> Callable[[float, float], Metres]:
    """What turns degrees into metres from where the drive starts."""
    north_m, east_m = metres_per_degree(start.lat_deg)
    return lambda lat_deg, lon_deg: ((lon_deg - start.lon_deg) * east_m, (lat_deg - start.lat_deg) * north_m)
