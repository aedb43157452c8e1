"""The steps of minimisation, each against what interfaces say of it, and against everything that it should not be given."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agent.collect.cells import EARTH_M_PER_DEG
from agent.collect.transforms import TRANSFORMS, bucket, clamp, grid_m, last, round_to, sector_deg
from agent.model import Position, Value
from tests.agent.collect.build import Rig, context, rule

NOTHING = context()
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INT64 = st.integers(-(2**63), 2**64 - 1)
STEPS = st.one_of(st.integers(1, 10**6), st.sampled_from([0.1, 0.01, 0.25, 0.5, 2.5, 1e-3, 12.5]))
PLACES = st.builds(Position, st.floats(-90, 90), st.floats(-180, 180))
CELLS = st.sampled_from([50, 200, 1000, 5000, 123.4])
VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    INT64,
    st.floats(),
    st.text(max_size=5),
    st.tuples(st.text(max_size=3)),
    st.builds(Position, st.floats(), st.floats()),
)
ARGUMENTS: dict[str, list[object]] = {
    "round_to": [10, 0.1],
    "clamp": [[0, 50], [-1.5, 2.5]],
    "sector_deg": [45, 22.5],
    "bucket": [[1, 2, 3], [0.5]],
    "grid_m": [200, 5000],
    "trim_trip_m": [500],
    "respond_k": [{"k": 4, "epsilon": 1.0}],
}
KINDS: dict[str, tuple[type, ...]] = {"grid_m": (Position,), "trim_trip_m": (Position,), "respond_k": (int,)}


def real(value: object) -> Fraction:
    """A result as an exact number."""
    assert isinstance(value, int | float)
    assert not isinstance(value, bool)
    return Fraction(repr(value))


def metres(one: Position, other: Position) -> float:
    """Great-circle distance on the grid's sphere."""
    lat1, lat2 = math.radians(one.lat_deg), math.radians(other.lat_deg)
    half_lon = math.radians(one.lon_deg - other.lon_deg) / 2
    h = math.sin((lat1 - lat2) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(half_lon) ** 2
    return 2 * math.degrees(1) * EARTH_M_PER_DEG * math.asin(min(1.0, math.sqrt(h)))


def snapped(place: Position, width_m: float) -> Position:
    centre = grid_m(place, width_m, NOTHING)
    assert isinstance(centre, Position)
    return centre


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "step", "want"),
    [
        (5, 10, 10),
        (-5, 10, -10),
        (4, 10, 0),
        (12.25, 0.1, 12.3),
        (-12.25, 0.1, -12.3),
        (0.15, 0.1, 0.2),
        (2.5, 1, 3),
        (-2.5, 1, -3),
        (1.005, 0.01, 1.01),
        (37.5, 25, 50),
        (2**63 + 1, 1, 2**63 + 1),
        (2**64 - 16, 100, 2**64 - 16),
        (-(2**63), 10, -(2**63) - 2),
        (1e308, 0.1, 1e308),
        (5e-324, 10, 0),
    ],
)
def test_round_to_goes_halves_away_from_zero(value: float, step: float, want: float) -> None:
    """The nearest multiple as a person would write it down, whatever the binary form of the number."""
    assert round_to(value, step, NOTHING) == want


def test_round_to_tells_no_sign_of_zero() -> None:
    """A value that rounds to zero is plain zero: a minus before it would be one bit more than was allowed."""
    assert str(round_to(-0.04, 0.1, NOTHING)) == "0.0"


@given(INT64, st.integers(1, 10**9))
def test_round_to_is_exact_for_64_bit_integers(value: int, step: int) -> None:
    """No integer goes through a float."""
    want = (2 * abs(value) + step) // (2 * step) * step
    assert round_to(value, step, NOTHING) == (want if value >= 0 else -want)


@given(st.one_of(INT64, FINITE), STEPS)
def test_round_to_is_the_nearest_multiple(value: float, step: float) -> None:
    """Within half a step, on a multiple, and the same when asked again."""
    left = round_to(value, step, NOTHING)
    if left is None:  # the nearest multiple of a number next to the largest one is beyond it
        assert abs(value) > 1.7e308
        return
    blur = Fraction(abs(float(real(left)))) / 2**52
    assert abs(real(left) - real(value)) <= real(step) / 2 + blur
    multiple = real(left) / real(step)
    assert abs(multiple - round(multiple)) * real(step) <= blur
    assert round_to(left, step, NOTHING) == left


@given(st.one_of(INT64, FINITE), st.tuples(FINITE, FINITE).map(sorted))
def test_clamp_stays_within_its_bounds(value: float, bounds: list[float]) -> None:
    """What lies within is untouched, everything else is the bound."""
    left = clamp(value, bounds, NOTHING)
    assert left == (bounds[0] if value < bounds[0] else min(value, bounds[1]))


@given(FINITE, st.sampled_from([45, 90, 22.5, 30, 1, 0.1, 7]))
@example(-1e-20, 45)
@example(720.0, 45)
@example(-45.0, 45)
@example(359.99999999999994, 0.1)
@example(360.0, 22.5)
def test_sector_is_the_start_of_a_sector(value: float, width: float) -> None:
    """From 0 up to but not including 360, whatever was given; the same when asked again."""
    left = sector_deg(value, width, NOTHING)
    assert isinstance(left, int | float)
    assert 0 <= left < 360
    assert abs(left / width - round(left / width)) < 1e-9
    if width >= 1:
        assert sector_deg(left, width, NOTHING) == left


@pytest.mark.parametrize(("heading", "want"), [(0, 0), (44.9, 0), (45, 45), (359.9, 315), (-0.1, 315), (360, 0), (720, 0), (-1e-20, 0)])
def test_sectors_of_45_degrees(heading: float, want: int) -> None:
    """As the traffic stream uses it."""
    assert sector_deg(heading, 45, NOTHING) == want


@given(st.one_of(INT64, FINITE), st.lists(st.integers(-100, 100), min_size=1, max_size=9, unique=True).map(sorted))
def test_bucket_counts_the_edges_that_were_reached(value: float, edges: list[int]) -> None:
    """Below the first edge is 0, on an edge is above it."""
    assert bucket(value, edges, NOTHING) == sum(value >= edge for edge in edges)


@given(st.one_of(st.booleans(), INT64, FINITE, st.text(max_size=3), PLACES))
def test_last_changes_nothing(value: Value) -> None:
    """It is the record that keeps only the newest."""
    assert last(value, True, NOTHING) is value


# -- the grid ---------------------------------------------------------------------------------------------------------


@given(PLACES, CELLS)
@example(Position(90.0, 0.0), 200)
@example(Position(-90.0, 179.9), 200)
@example(Position(0.0, 180.0), 200)
@example(Position(0.0, -180.0), 200)
@example(Position(89.9995, 135.0), 200)
@example(Position(0.0, 0.0), 5000)
def test_a_place_goes_to_a_centre_near_it_and_stays_there(place: Position, width_m: float) -> None:
    """Within half a cell's diagonal (2 % more in the rows around a pole), in range, and the centre is its own centre."""
    centre = snapped(place, width_m)
    assert abs(centre.lat_deg) <= 90
    assert abs(centre.lon_deg) <= 180
    slack = 1.02 if abs(place.lat_deg) < 89 else 1.6
    assert metres(place, centre) <= width_m * math.sqrt(0.5) * slack + 0.03
    assert snapped(centre, width_m) == centre


def sabotage_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSFORMS, "grid_m", lambda value, *_: value)


@pytest.mark.req("R24", "T10", control=sabotage_grid)
@given(PLACES, st.lists(st.tuples(st.floats(-150, 150), st.floats(-150, 150)), min_size=1, max_size=8))
@settings(max_examples=60)
def test_one_cell_gives_one_answer(place: Position, offsets: list[tuple[float, float]]) -> None:
    """All places of a cell, asked however often, give the same numbers: at most nine of them for 150 m around a place."""
    assume(abs(place.lat_deg) < 89)
    assume(abs(place.lon_deg) < 179)
    per_deg = EARTH_M_PER_DEG * math.cos(math.radians(place.lat_deg))
    around = [Position(place.lat_deg + n / EARTH_M_PER_DEG, place.lon_deg + e / per_deg) for n, e in offsets]
    answers = {TRANSFORMS["grid_m"](one, 200, NOTHING) for one in (place, *around)}
    for one, other in itertools.combinations(answers, 2):
        assert isinstance(one, Position)
        assert isinstance(other, Position)
        assert metres(one, other) > 95  # never two answers for nearly the same: rows may be shifted against each other by half
    assert len(answers) <= 9


@given(st.floats(-89, 89), st.floats(-179, 179), CELLS)
def test_cells_are_as_wide_as_they_say(lat: float, lon: float, width_m: float) -> None:
    """The neighbour to the east is one width away, within one per cent; so is the row to the north."""
    assume(abs(lat) < 80 or width_m <= 1000)
    centre = snapped(Position(lat, lon), width_m)
    per_deg = EARTH_M_PER_DEG * math.cos(math.radians(centre.lat_deg))
    east = snapped(Position(centre.lat_deg, centre.lon_deg + width_m / per_deg), width_m)
    assume(east.lon_deg > centre.lon_deg)
    assert metres(centre, east) == pytest.approx(width_m, rel=0.01)
    north = snapped(Position(centre.lat_deg + width_m / EARTH_M_PER_DEG, centre.lon_deg), width_m)
    assert (north.lat_deg - centre.lat_deg) * EARTH_M_PER_DEG == pytest.approx(width_m, rel=0.01)


def test_the_date_line_parts_two_cells() -> None:
    """A place just east and one just west of it get answers on their own sides, both in range."""
    east, west = snapped(Position(10.0, 179.99999), 200), snapped(Position(10.0, -179.99999), 200)
    assert east.lon_deg > 179.99
    assert west.lon_deg < -179.99


# -- what does not belong ---------------------------------------------------------------------------------------------


def sabotage_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TRANSFORMS:
        monkeypatch.setitem(TRANSFORMS, name, lambda value, *_: value)


@pytest.mark.req("R24", control=sabotage_kinds)
@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - {"last"}))
@given(st.data())
def test_a_value_of_the_wrong_kind_gives_nothing(name: str, data: st.DataObject) -> None:
    """None, never an exception and never a value that is not a finite number or a place on earth."""
    value = data.draw(VALUES)
    argument = data.draw(st.sampled_from(ARGUMENTS[name]))
    left = TRANSFORMS[name](value, argument, context(rule(every_s=60), Rig()))  # type: ignore[arg-type]  # that is the point
    if isinstance(value, bool) or not isinstance(value, KINDS.get(name, (int, float))):
        assert left is None
    if isinstance(left, float):
        assert math.isfinite(left)
    assert not isinstance(left, str | bool)


@pytest.mark.parametrize("place", [Position(math.nan, 0), Position(0, math.inf), Position(90.1, 0), Position(0, -180.5)])
@pytest.mark.parametrize("step", [TRANSFORMS["grid_m"], TRANSFORMS["trim_trip_m"]])
def test_no_place_on_earth_gives_nothing(step: Callable[..., object], place: Position) -> None:
    """A receiver that says such numbers has no position."""
    assert step(place, 500, NOTHING) is None
