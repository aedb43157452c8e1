"""agent.ecall.positions: three places and no more, and what a message may say of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agent.ecall.msd import DELTA_MAX, DELTA_MIN, UNKNOWN_MAS
from agent.ecall.positions import AGE_NS_MAX, KEPT, Location, Place, Ring, apart_m, is_trusted, location
from agent.ecall.timers import NS

T_NS = 1_000 * NS


def at(t_s: float, lat_deg: float = 39.9, lon_deg: float = 116.4, **more: float | None) -> Place:
    usual: dict[str, float | None] = {"sigma_m": 5.0, "speed_mps": 14.0, "course_deg": 90.0}
    return Place(T_NS + round(t_s * NS), lat_deg, lon_deg, **(usual | more))  # type: ignore[arg-type]  # None is for the course alone


def said(*places: Place, now_s: float = 0.0, clock_trusted: bool = True) -> Location:
    ring = Ring()
    for place in places:
        ring.take(place)
    return location(ring, T_NS + round(now_s * NS), clock_trusted=clock_trusted)


def test_three_are_held_and_each_overwrites_the_oldest() -> None:
    """Never a fourth."""
    ring = Ring()
    for n in range(20):
        ring.take(at(n, 39.0 + n / 1000))
        assert len(list(ring)) <= KEPT
    assert [round((place.lat_deg - 39) * 1000) for place in ring] == [17, 18, 19]
    ring.clear()
    assert (list(ring), ring.last) == ([], None)


def test_about_one_a_second_is_taken() -> None:
    """Ten a second would hold a third of a second of the way."""
    ring = Ring()
    assert [ring.take(at(n / 10)) for n in range(21)] == [n % 9 == 0 for n in range(19)] + [False, False]


@pytest.mark.parametrize(
    "place", [at(0, 90.1), at(0, -91), at(0, 0, 180.1), at(0, math.nan), at(0, 0, math.inf), at(0, sigma_m=-1.0), at(0, sigma_m=math.nan)]
)
def test_what_is_nowhere_on_earth_is_not_taken(place: Place) -> None:
    """Not a number is nowhere either."""
    assert not Ring().take(place)


def test_without_a_place_nothing_is_known() -> None:
    """And that is said."""
    assert said() == Location(UNKNOWN_MAS, UNKNOWN_MAS, False, 255, (0, 0), (0, 0))


def test_earlier_places_are_relative_each_to_the_next_newer() -> None:
    """N1 to the position, N2 to N1, in steps of 100 milliarcseconds; north and east are positive."""
    step_deg = 100 / 3_600_000
    newest = at(0, 39.9, 116.4)
    before = at(-1, 39.9 - 12 * step_deg, 116.4 + 7 * step_deg)
    oldest = at(-2, before.lat_deg - 11 * step_deg, before.lon_deg + 9 * step_deg)
    found = said(oldest, before, newest)
    assert (found.recent_n1, found.recent_n2) == ((-12, 7), (-11, 9))
    assert (found.latitude_mas, found.longitude_mas) == (143_640_000, 419_040_000)


def test_earlier_places_that_are_not_known_are_the_same_place() -> None:
    """0, 0."""
    assert said(at(0))[-2:] == ((0, 0), (0, 0))


def test_what_is_farther_than_can_be_said_ends_at_the_limit() -> None:
    """Never wrapped to the other side."""
    found = said(at(-2, 41.0, 100.0), at(-1, 38.0, 120.0), at(0, 39.9, 116.4))
    assert (found.recent_n1, found.recent_n2) == ((DELTA_MIN, DELTA_MAX), (DELTA_MAX, DELTA_MIN))


def test_the_way_over_the_date_line_is_the_short_one() -> None:
    """From 179.9999 degrees east to 179.9999 west it is a step, not the way around the earth."""
    found = said(at(-1, 0, 179.9999), at(0, 0, -179.9999))
    assert found.recent_n1 == (0, -7)
    assert apart_m(at(0, 0, 179.9999), at(0, 0, -179.9999)) == pytest.approx(22.2, abs=0.1)


def test_a_place_is_trusted_while_it_is_new_exact_and_the_clock_right() -> None:
    """95 % within 150 m: at most 61 m of standard deviation; at most ten seconds old."""
    assert said(at(0), now_s=10).trusted
    assert not said(at(0), now_s=10.1).trusted
    assert said(at(0, sigma_m=61.2)).trusted
    assert not said(at(0, sigma_m=61.3)).trusted
    assert not said(at(0), clock_trusted=False).trusted
    assert is_trusted(at(0), T_NS + AGE_NS_MAX)


@pytest.mark.parametrize(("course_deg", "steps"), [(0, 0), (90, 45), (359.5, 0), (358.9, 179), (181, 90)])
def test_the_direction_is_in_steps_of_two_degrees(course_deg: float, steps: int) -> None:
    """Never 180, which no message can say."""
    assert said(at(0, course_deg=course_deg)).direction == steps


def test_at_a_standstill_the_last_direction_holds() -> None:
    """The course of a receiver that stands is noise; without one there is none."""
    moving, standing = at(-1, course_deg=90.0), at(0, speed_mps=0.5, course_deg=211.0)
    assert said(moving, standing).direction == 45
    assert said(standing).direction == 255
    assert said(moving, replace(standing, course_deg=None)).direction == 45


def test_metres_between_places() -> None:
    """A thousandth of a degree of latitude is 111 m, of longitude at 60 degrees half of it."""
    assert apart_m(at(0, 60.0, 10.0), at(0, 60.001, 10.0)) == pytest.approx(111.2, abs=0.1)
    assert apart_m(at(0, 60.0, 10.0), at(0, 60.0, 10.001)) == pytest.approx(55.6, abs=0.1)


def test_nobody_reads_a_place_in_a_log() -> None:
    """Its repr is redacted."""
    assert "39.9" not in repr(at(0))
    assert "116.4" not in repr(at(0))
