"""agent.cli.bench.picture: the places that left, and the pieces of the way of which nothing is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.cli.bench.canvas import ACROSS, Frame
from agent.cli.bench.picture import CAR, EXACT, START, Spot, draw, frame_of, scale
from agent.cli.bench.places import Place, places, plane
from agent.model import Position
from hw.bench.truth import Drive
from tests.support.known import SEED, known, ran, way

STRAIGHT = [Spot(float(second), 20.0 * second, 0.0) for second in range(13)]


def shown(spots: list[Spot], left: list[Place], frame: Frame, *, braille: bool = False) -> list[str]:
    flat = plane(Drive.load("drive").scenario.start)
    return [line.plain for line in draw(spots, left, flat, frame, braille=braille)]


def test_a_place_without_a_grid_is_exact() -> None:
    """No square is made up for it; it is a mark of its own."""
    run = ran(75.0)
    rules: dict[tuple[str, str], list[Mapping[str, Any]]] = {
        key: [{**rule, "transforms": []} for rule in its] for key, its in run.chronicle.left.items()
    }
    exact = replace(run, chronicle=replace(run.chronicle, left=rules))
    (one,) = places(exact)
    assert one.width_m is None
    flat = plane(Drive.load("drive").scenario.start)
    spots = way(Drive.load("drive", SEED), 75.0)
    assert EXACT in "".join(shown(spots, [one], frame_of(spots, [one], flat, 40, 15)))


def test_the_way_is_a_line_between_places_that_follow_each_other_and_silent_elsewhere() -> None:
    """Dots where nothing was told, a line where something was; the start and the car have their marks."""
    frame = Frame(-6, 24, 3, 45, 4)
    left = [Place(t_s, Position(0.0, 0.0), 200.0, "a.b", 0.0, 2.0) for t_s in (4.0, 7.0)]
    (row,) = [row.strip() for row in shown(STRAIGHT, left, frame) if row.strip()]
    assert row[0] == START
    assert row[-1] == CAR
    told = [index for index, char in enumerate(row) if char == "="]
    silent = [index for index, char in enumerate(row) if char == "."]
    assert told == list(range(told[0], told[-1] + 1))
    assert (told[0] + 1, told[-1] + 1) == pytest.approx((4 * 20 / 6, 7 * 20 / 6), abs=1.5)
    assert silent == [*range(1, told[0]), *range(told[-1] + 1, len(row) - 1)]


@pytest.mark.parametrize("left", [[], [Place(4.0, Position(0.0, 0.0), None)], [Place(4.5, Position(0.0, 0.0), 200.0, "a.b", 0.0, 30.0)]])
def test_where_nothing_or_a_single_place_left_the_way_is_silent(left: list[Place]) -> None:
    """One that somebody asked for, and the first of a rhythm: of what lies before and after nobody was told."""
    assert "==" not in "".join(shown(STRAIGHT, left, Frame(-6, 24, 3, 45, 4)))


def test_the_picture_shows_the_whole_way_and_every_square_of_a_grid() -> None:
    """A square of 5 km is left to reach beyond it."""
    drive, seen = Drive.load("drive", SEED), known()
    flat, spots, left = plane(drive.scenario.start), way(drive, 75.0), places(seen.run)
    frame = frame_of(spots, left, flat, 33, 11)
    inside = [(spot.east_m, spot.north_m) for spot in spots] + [flat(*corner) for one in left for corner in one.corners]
    assert all(0 <= frame.dot(place)[0] < 66 and 0 <= frame.dot(place)[1] < 44 for place in inside)
    assert frame_of(spots, [left[0]._replace(width_m=5000.0)], flat, 33, 11) == frame_of(spots, [], flat, 33, 11)


@pytest.mark.parametrize("dot_m", [1, 2, 7, 30, 150, 700])
def test_the_scale_is_as_long_as_it_says(dot_m: float) -> None:
    """To a character, and at most a third of the picture."""
    bar, _, length = scale(Frame(0, 0, dot_m, 40, 10)).partition(" ")
    said_m = float(length.split()[0]) * (1000 if length.endswith("km") else 1)
    assert len(bar) <= 14
    assert math.isclose(len(bar) * ACROSS * dot_m, said_m, abs_tol=ACROSS * dot_m)
