"""The car's true way against the places that left, without a map: what the view draws of where the car was.

Promises that a piece of the way is drawn as silent where nothing told of it. The truth is the simulated car's; no recipient knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.text import Text

from agent.cli.bench.canvas import ACROSS, Canvas, Frame, Ink
from agent.cli.bench.chronicle import Stretch
from agent.cli.bench.places import WIDE_M, Metres, Place, told
from agent.cli.words import length

TOLD, SILENT = Ink("bold", "=", weight=2), Ink("yellow", ".", every=3, weight=1)
START, CAR, EXACT = "○", "◉", "◆"
SQUARE, FILLED = "bright_cyan", "on blue"
SCALES_M = tuple(part * 10**power for power in range(1, 5) for part in (1, 2, 5))


class Spot(NamedTuple):
    """Where the car truly was `t_s` after the start."""

    t_s: float
    east_m: float
    north_m: float


def draw(way: Sequence[Spot], left: Sequence[Place], flat: Callable[[float, float], Metres], frame: Frame, *, braille: bool) -> list[Text]:
    """The picture: squares, the way above them, and the car."""
    canvas = Canvas(frame, braille=braille)
    for one in sorted(left, key=lambda one: -(one.width_m or 0.0)):  # what is large lies below
        if one.width_m is not None:
            south_west, north_east = one.corners
            canvas.square(flat(*south_west), flat(*north_east), SQUARE)
    for ink, spots in _pieces(way, told(left)):
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


def _pieces(way: Sequence[Spot], stretches: Sequence[Stretch]) -> list[tuple[Ink, list[Spot]]]:
    """The way in pieces of which something was told, or nothing. Between a spot of the one kind and one of the other nothing is told."""
    found: list[tuple[Ink, list[Spot]]] = []
    for spot in way:
        ink = TOLD if any(from_s <= spot.t_s <= to_s for from_s, to_s in stretches) else SILENT
        if found and found[-1][0] != ink:
            before = found[-1][1]
            if ink is TOLD:
                before.append(spot)
            found.append((ink, [] if ink is TOLD else [before[-1]]))
        elif not found:
            found.append((ink, []))
        found[-1][1].append(spot)
    return found
