"""The car's true way against the places that left, without a map: what the view draws of where the car was.

Promises that every square has the place and the size of its grid's, and that a piece of the way is drawn as silent where nothing
told of it. The truth is the simulated car's; no recipient knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.text import Text

from agent.cli.bench.canvas import ACROSS, Canvas, Frame, Ink, Metres
from agent.cli.bench.telling import Run
from agent.cli.streams import name_of
from agent.cli.words import HALVES, length
from agent.collect.cells import EARTH_M_PER_DEG, cell_of
from agent.model import Position
from agent.vss import LOCATION
from hw.bench.route import metres_per_degree
from hw.bench.scenario import Start

WIDE_M = 1000
"""A square that is wider may reach beyond the picture, which would otherwise show nothing but it."""
TOLD, SILENT = Ink("bold", "=", weight=2), Ink("yellow", ".", every=3, weight=1)
START, CAR, EXACT = "○", "◉", "◆"
SQUARE, FILLED = "bright_cyan", "on blue"
SCALES_M = tuple(part * 10**power for power in range(1, 5) for part in (1, 2, 5))


class Spot(NamedTuple):
    """Where the car truly was `t_s` after the start. `telling`: whether the agent was collecting places then."""

    t_s: float
    east_m: float
    north_m: float
    telling: bool


class Place(NamedTuple):
    """A place that left. `width_m` None: exact, no square."""

    t_s: float
    position: Position
    width_m: float | None

    @property
    def corners(self) -> tuple[Position, Position]:
        """South-west and north-east of its square."""
        lat, lon = self.position
        half_m = (self.width_m or 0.0) / 2
        per_deg = cell_of(self.position, 2 * half_m)[2] if half_m else EARTH_M_PER_DEG
        high, wide = half_m / EARTH_M_PER_DEG, half_m / per_deg
        return Position(lat - high, lon - wide), Position(lat + high, lon + wide)


def places(run: Run) -> list[Place]:
    """The places that left, first to last."""
    halves: dict[tuple[str, int, float], dict[str, float]] = {}
    for line in run.lines:
        if line["signal"] in HALVES:
            halves.setdefault((name_of(line), line["seq"], line["t"]), {})[line["signal"]] = float(line["value"])
    whole = [(name, t, Position(*(value[half] for half in HALVES))) for (name, _, t), value in halves.items() if len(value) == len(HALVES)]
    return sorted((Place(t - run.start_ns / 1e9, position, _width_m(run, name)) for name, t, position in whole), key=lambda one: one.t_s)


def _width_m(run: Run, name: str) -> float | None:
    rules = run.chronicle.left.get((name, LOCATION), [])
    widths = [step["grid_m"] for rule in rules for step in rule["transforms"] if "grid_m" in step]
    return float(widths[-1]) if widths else None


def plane(start: Start) -> Callable[[float, float], Metres]:
    """What turns degrees into metres from where the drive starts."""
    north_m, east_m = metres_per_degree(start.lat_deg)
    return lambda lat_deg, lon_deg: ((lon_deg - start.lon_deg) * east_m, (lat_deg - start.lat_deg) * north_m)


def draw(way: Sequence[Spot], left: Sequence[Place], flat: Callable[[float, float], Metres], frame: Frame, *, braille: bool) -> list[Text]:
    """The picture: squares, the way above them, and the car."""
    canvas = Canvas(frame, braille=braille)
    for one in sorted(left, key=lambda one: -(one.width_m or 0.0)):  # what is large lies below
        if one.width_m is not None:
            south_west, north_east = one.corners
            canvas.square(flat(*south_west), flat(*north_east), SQUARE)
    for ink, spots in _pieces(way, min((one.t_s for one in left), default=float("inf"))):
        canvas.path([(spot.east_m, spot.north_m) for spot in spots], ink)
    for one in left:
        if one.width_m is None:
            canvas.mark(flat(*one.position), EXACT, f"bold {SQUARE}")
    if way:
        canvas.mark((way[0].east_m, way[0].north_m), START, "yellow")
        canvas.mark((way[-1].east_m, way[-1].north_m), CAR, "bold red")
    return canvas.lines(FILLED)


def frame_of(way: Sequence[Spot], left: Iterable[Place], flat: Callable[[float, float], Metres], columns: int, rows: int) -> Frame:
    """The frame that shows the way so far and the squares that are not too wide."""
    shown = [(spot.east_m, spot.north_m) for spot in way] or [(0.0, 0.0)]
    shown += [flat(*corner) for one in left if (one.width_m or 0.0) <= WIDE_M for corner in one.corners]
    return Frame.around(shown, columns, rows)


def scale(frame: Frame) -> str:
    """A bar of a round length that takes at most a third of the width: `├────┤ 200 m`."""
    column_m = ACROSS * frame.dot_m
    length_m = max((one for one in SCALES_M if one <= column_m * frame.columns / 3), default=SCALES_M[0])
    return f"├{'─' * max(0, round(length_m / column_m) - 2)}┤ {length(length_m)}"


def _pieces(way: Sequence[Spot], first_s: float) -> list[tuple[Ink, list[Spot]]]:
    """The way in pieces of which something was told, or nothing: before the first place, and while none are collected.

    Between a spot of the one kind and one of the other nothing is told.
    """
    found: list[tuple[Ink, list[Spot]]] = []
    for spot in way:
        ink = TOLD if spot.telling and spot.t_s >= first_s else SILENT
        if found and found[-1][0] != ink:
            before = found[-1][1]
            if ink is TOLD:
                before.append(spot)
            found.append((ink, [] if ink is TOLD else [before[-1]]))
        elif not found:
            found.append((ink, []))
        found[-1][1].append(spot)
    return found
