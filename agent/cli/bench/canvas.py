"""A picture in a terminal, in metres: paths, squares and marks of braille dots, or of ASCII where the terminal has nothing else.

Promises that what lies at a place is drawn on the very dot that holds it, that what lies outside the frame is left out, and that
the frame stays where it is while its content fits: it moves and grows in steps. Knows nothing of cars or of what left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from rich.text import Text

from agent.cli.bench.places import Metres

ACROSS, DOWN = 2, 4
"""Dots of one character."""
BRAILLE = 0x2800
BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a dot in its character, by row and column (Unicode, Braille Patterns)."""
STEPS = (1, 1.5, 2, 3, 5, 7)
MARGIN = 4
"""So many dots stay free at each edge; the frame moves by as many."""
SPAN_M_MIN = 240.0
LEVEL, UPRIGHT = 1, 2
EDGES = {LEVEL: "-", UPRIGHT: "|", LEVEL | UPRIGHT: "+"}


class Ink(NamedTuple):
    """How a path looks: every how many dots there is one, its character in ASCII, its style; the one of more weight is on top."""

    style: str
    char: str
    every: int = 1
    weight: int = 1


class Frame(NamedTuple):
    """The part of the plane that is drawn. Dots count to the right and down."""

    west_m: float
    north_m: float
    dot_m: float
    columns: int
    rows: int

    @classmethod
    def around(cls, places: Iterable[Metres], columns: int, rows: int) -> Frame:
        """The closest frame of one of the steps that holds all the places."""
        easts, norths = zip(*places, strict=True)
        wide, high = ACROSS * columns - 2 * MARGIN, DOWN * rows - 2 * MARGIN
        width_m, height_m = max(max(easts) - min(easts), SPAN_M_MIN), max(max(norths) - min(norths), SPAN_M_MIN)
        dot_m = _step(max(width_m / max(wide, 1), height_m / max(high, 1)))
        move_m = MARGIN * dot_m
        west_m = (min(easts) + max(easts) - ACROSS * columns * dot_m) / 2
        north_m = (min(norths) + max(norths) + DOWN * rows * dot_m) / 2
        return cls(round(west_m / move_m) * move_m, round(north_m / move_m) * move_m, dot_m, columns, rows)

    def dot(self, place: Metres) -> tuple[int, int]:
        """The dot that holds a place; it need not be in the frame."""
        return math.floor((place[0] - self.west_m) / self.dot_m), math.floor((self.north_m - place[1]) / self.dot_m)


def _step(least: float) -> float:
    ten = 10.0 ** math.floor(math.log10(least))
    return next(step * ten for step in (*STEPS, 10) if step * ten >= least * (1 - 1e-9))


class _Character(NamedTuple):
    bits: int = 0
    ink: Ink = Ink("", " ", weight=-1)
    edge: int = 0


class Canvas:
    """What is drawn later lies above, but a path is never hidden by a square."""

    def __init__(self, frame: Frame, *, braille: bool) -> None:
        self._frame, self._braille = frame, braille
        self._drawn: dict[tuple[int, int], _Character] = {}
        self._filled: set[tuple[int, int]] = set()
        self._marks: dict[tuple[int, int], tuple[str, str]] = {}

    def path(self, places: Sequence[Metres], ink: Ink) -> None:
        """A line through the places."""
        for index, dot in enumerate(_line([self._frame.dot(place) for place in places])):
            if index % ink.every == 0 or not self._braille:
                self._put(dot, ink)

    def square(self, south_west: Metres, north_east: Metres, style: str) -> None:
        """Its outline, and its area where there is colour."""
        (west, south), (east, north) = self._frame.dot(south_west), self._frame.dot(north_east)
        ink = Ink(style, "", weight=0)
        for y in (north, south):
            for x in range(west, east + 1):
                self._put((x, y), ink, LEVEL)
        for x in (west, east):
            for y in range(north, south + 1):
                self._put((x, y), ink, UPRIGHT)
        rows = range(max(0, -(-north // DOWN)), min(self._frame.rows, (south + 1) // DOWN))
        columns = range(max(0, -(-west // ACROSS)), min(self._frame.columns, (east + 1) // ACROSS))
        self._filled |= {(column, row) for row in rows for column in columns}

    def mark(self, place: Metres, char: str, style: str) -> None:
        """One character at a place, above everything."""
        x, y = self._frame.dot(place)
        self._marks[x // ACROSS, y // DOWN] = char, style

    def lines(self, filled: str) -> list[Text]:
        """The picture; `filled`: the background of squares."""
        return [self._row(row, filled) for row in range(self._frame.rows)]

    def _put(self, dot: tuple[int, int], ink: Ink, edge: int = 0) -> None:
        at = dot[0] // ACROSS, dot[1] // DOWN
        if 0 <= at[0] < self._frame.columns and 0 <= at[1] < self._frame.rows:
            before = self._drawn.get(at, _Character())
            bits = before.bits | BITS[dot[1] % DOWN][dot[0] % ACROSS]
            self._drawn[at] = _Character(bits, max(before.ink, ink, key=lambda one: one.weight), before.edge | edge)

    def _row(self, row: int, filled: str) -> Text:
        text = Text()
        for column in range(self._frame.columns):
            char, style = self._character((column, row))
            text.append(char, f"{style} {filled}" if (column, row) in self._filled else style)
        return text

    def _character(self, at: tuple[int, int]) -> tuple[str, str]:
        if at in self._marks:
            return self._marks[at]
        drawn = self._drawn.get(at, _Character())
        if self._braille:
            return chr(BRAILLE + drawn.bits) if drawn.bits else " ", drawn.ink.style
        return drawn.ink.char or EDGES[drawn.edge], drawn.ink.style


def _line(dots: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The dots along a line through others, each corner once."""
    yield from dots[:1]
    for (x, y), (to_x, to_y) in pairwise(dots):
        steps = max(abs(to_x - x), abs(to_y - y))
        yield from ((x + round((to_x - x) * n / steps), y + round((to_y - y) * n / steps)) for n in range(1, steps + 1))
