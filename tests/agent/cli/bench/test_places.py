"""agent.cli.bench.places: each square that left is the cell of its grid, for the view and for the page."""

from __future__ import annotations

import pytest

from agent.cli.bench.places import Place, corners, places, plane, told
from agent.collect.cells import cell_of
from agent.model import Position
from hw.bench.truth import Drive
from tests.support.known import SEED, ran


def test_a_square_that_left_is_the_cell_in_which_the_car_was() -> None:
    """Of the grid's own width; the true place of its last second lies in it, and all its inside is that one cell."""
    (one,) = places(ran(75.0))
    cars = [Drive.load("drive", SEED).state(one.t_s - tenth / 10) for tenth in range(11)]
    south_west, north_east = one.corners
    assert one.width_m == 200
    assert any(
        south_west.lat_deg < car.lat_deg < north_east.lat_deg and south_west.lon_deg < car.lon_deg < north_east.lon_deg for car in cars
    )
    cell = cell_of(one.position, 200)
    for share in (0.01, 0.99):
        lat = south_west.lat_deg + share * (north_east.lat_deg - south_west.lat_deg)
        lon = south_west.lon_deg + share * (north_east.lon_deg - south_west.lon_deg)
        assert cell_of(Position(lat, lon), 200) == cell
    east_m, north_m = plane(Drive.load("drive").scenario.start)(north_east.lat_deg, north_east.lon_deg)
    west_m, south_m = plane(Drive.load("drive").scenario.start)(south_west.lat_deg, south_west.lon_deg)
    assert (east_m - west_m, north_m - south_m) == pytest.approx((200, 200), rel=0.01)


def test_an_exact_place_is_no_square() -> None:
    """Its corners are itself."""
    here = Position(31.2, 121.4)
    assert corners(here, 0.0) == (here, here)


def test_two_places_that_follow_each_other_tell_of_the_way_between_them() -> None:
    """Within a few periods of one stream; what touches is one stretch; a single place is a moment, as long as its time was cut."""
    a = [Place(t_s, Position(0, 0), 200.0, "a.b", 0.0, 30.0) for t_s in (60.0, 90.0, 190.0, 400.0)]
    single = Place(300.0, Position(0, 0), None, "c.d", 10.0)
    assert told([*a, single]) == [(60.0, 190.0), (300.0, 310.0), (400.0, 400.0)]
    other = Place(420.0, Position(0, 0), 200.0, "e.f", 0.0, 30.0)
    assert told([a[-1], other]) == [(400.0, 400.0), (420.0, 420.0)]
