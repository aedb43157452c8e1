"""agent.cli.bench.canvas: what lies at a place is drawn at that place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.cli.bench.canvas import ACROSS, BITS, BRAILLE, DOWN, Canvas, Frame, Ink
from agent.cli.bench.places import Metres

METRES = st.floats(-5000, 5000, allow_nan=False)
PLACES = st.lists(st.tuples(METRES, METRES), min_size=1, max_size=12)
PEN = Ink("", "o")


def dots(canvas: Canvas) -> set[tuple[int, int]]:
    """The dots of a picture, read back from its characters."""
    found = set()
    for row, line in enumerate(canvas.lines("")):
        for column, char in enumerate(line.plain):
            bits = ord(char) - BRAILLE if char != " " else 0
            found |= {(ACROSS * column + x, DOWN * row + y) for y in range(DOWN) for x in range(ACROSS) if bits & BITS[y][x]}
    return found


def centre(frame: Frame, dot: tuple[int, int]) -> Metres:
    return frame.west_m + (dot[0] + 0.5) * frame.dot_m, frame.north_m - (dot[1] + 0.5) * frame.dot_m


@given(PLACES, st.integers(12, 90), st.integers(6, 40))
def test_a_frame_holds_its_places_and_is_not_much_larger(places: list[Metres], columns: int, rows: int) -> None:
    """Each on a dot of it; the next smaller step would be too small."""
    frame = Frame.around(places, columns, rows)
    for x, y in map(frame.dot, places):
        assert 0 <= x < ACROSS * columns
        assert 0 <= y < DOWN * rows
    width_m, height_m = (max(one) - min(one) for one in zip(*places, strict=True))
    most = max(max(width_m, 240) / (ACROSS * columns - 8), max(height_m, 240) / (DOWN * rows - 8))
    assert frame.dot_m <= 1.68 * most


@given(PLACES)
def test_a_path_goes_through_its_places_and_is_drawn_nowhere_else(places: list[Metres]) -> None:
    """Each place's dot is drawn, and each dot lies within a dot of a straight piece between two of them."""
    frame = Frame.around(places, 40, 20)
    canvas = Canvas(frame, braille=True)
    canvas.path(places, PEN)
    drawn = dots(canvas)
    assert set(map(frame.dot, places)) <= drawn
    for dot in drawn:
        assert min(_away(centre(frame, dot), *piece) for piece in zip(places, [*places[1:], places[-1]], strict=True)) <= 2 * frame.dot_m


def _away(place: Metres, one: Metres, other: Metres) -> float:
    """How far a place is from a straight piece."""
    along = (other[0] - one[0], other[1] - one[1])
    length = along[0] ** 2 + along[1] ** 2
    share = min(1.0, max(0.0, ((place[0] - one[0]) * along[0] + (place[1] - one[1]) * along[1]) / length)) if length else 0.0
    return float(((place[0] - one[0] - share * along[0]) ** 2 + (place[1] - one[1] - share * along[1]) ** 2) ** 0.5)


@given(METRES, METRES, st.floats(20, 3000), st.integers(10, 60), st.integers(5, 30))
def test_a_square_stands_at_its_place_with_its_size(west: float, south: float, width_m: float, columns: int, rows: int) -> None:
    """Its outline, to the dot, is that of the square; nothing is drawn beside it."""
    frame = Frame.around([(west, south), (west + width_m, south + width_m)], columns, rows)
    canvas = Canvas(frame, braille=True)
    canvas.square((west, south), (west + width_m, south + width_m), "")
    xs, ys = zip(*dots(canvas), strict=True)
    assert (min(xs), max(ys)) == frame.dot((west, south))
    assert (max(xs), min(ys)) == frame.dot((west + width_m, south + width_m))
    assert abs((max(xs) - min(xs)) * frame.dot_m - width_m) <= frame.dot_m
    assert all(x in (min(xs), max(xs)) or y in (min(ys), max(ys)) for x, y in dots(canvas))


def test_only_whole_characters_inside_a_square_are_filled() -> None:
    """The background tells of the square and of nothing beside it."""
    frame = Frame(0, 40, 1, 20, 10)
    canvas = Canvas(frame, braille=True)
    canvas.square((3, 8.5), (12.5, 31.5), "")
    filled = {(span.start, row) for row, line in enumerate(canvas.lines("on blue")) for span in line.spans if "blue" in str(span.style)}
    assert filled == {(column, row) for column in range(2, 6) for row in range(2, 8)}


def test_what_lies_outside_the_frame_is_left_out() -> None:
    """A square of 5 km is no error in a picture of 300 m."""
    canvas = Canvas(Frame(0, 100, 1, 20, 10), braille=True)
    canvas.square((-2000, -2000), (3000, 3000), "")
    canvas.path([(-50, 50), (-40, 60)], PEN)
    assert dots(canvas) == set()


def test_in_ascii_a_path_is_letters_and_a_square_is_lines() -> None:
    """One character for what would be eight dots; marks above everything."""
    canvas = Canvas(Frame(0, 16, 1, 6, 4), braille=False)
    canvas.square((1, 1), (10, 14), "")
    canvas.path([(3, 9), (8, 9)], PEN)
    canvas.mark((8, 9), "@", "")
    assert [line.plain for line in canvas.lines("")] == ["+----+", "|ooo@|", "|    |", "+----+"]


def test_a_frame_stays_where_it_is_while_its_content_fits() -> None:
    """So that the picture does not tremble as the car goes on: a drive of 2 km moves it a few times, not each time."""
    frames = [Frame.around([(0, 0), (float(east), 30)], 33, 10) for east in range(0, 2000, 5)]
    assert len(set(frames)) < 80
