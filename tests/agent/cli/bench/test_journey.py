"""agent.cli.bench.journey: the truth of a run, as the simulated car drove it."""

from __future__ import annotations

import pytest

from agent.cli.bench.journey import Journey, clock
from hw.bench.truth import Drive


def test_two_trips_and_the_stop_between_them() -> None:
    """The ignition was off for long enough; nothing drives while it is."""
    drive = Drive.load("parking")
    journey = Journey.of(drive, drive.seconds)
    (first_begin_s, first_end_s), (second_begin_s, second_end_s) = journey.trips
    assert (first_begin_s, second_end_s) == (0.0, drive.seconds)
    assert second_begin_s - first_end_s > 180
    assert [moment for moment in journey.moments if first_end_s < moment.t_s < second_begin_s and (moment.ignition or moment.driving)] == []
    assert journey.at(first_end_s - 30).driving


def test_a_car_that_stands_before_it_sets_off_does_not_drive() -> None:
    """The ignition is on, and no stream that speaks while driving would."""
    journey = Journey.of(Drive.load("drive"), 120)
    assert (journey.at(3.0).ignition, journey.at(3.0).driving) == (True, False)
    assert journey.at(20.0).driving


def test_stretches_follow_each_other_without_a_gap() -> None:
    """A stretch begins where the one before ended; what is of no kind is left out."""
    journey = Journey.of(Drive.load("drive"), 120)
    spans = journey.spans(lambda moment: "" if moment.t_s > 60 else "late" if moment.t_s > 30 else "early")
    assert [tuple(span) for span in spans] == [(0.0, 30.0, "early"), (30.0, 60.0, "late")]
    assert journey.way_m(spans[1]) == pytest.approx(Drive.load("drive").distance_m(60) - Drive.load("drive").distance_m(30), abs=1)


def test_north_is_up_and_metres_are_metres() -> None:
    """A thousandth of a degree of latitude is 111 m."""
    drive = Drive.load("drive")
    start = drive.scenario.start
    assert Journey.of(drive, 10).plane(start.lat_deg + 0.001, start.lon_deg) == pytest.approx((0, 111), abs=1)


@pytest.mark.parametrize("seconds", [5.0, 86_400.0])
def test_a_drive_of_a_day_and_one_of_seconds_are_sampled_alike(seconds: float) -> None:
    """From its first to its last moment, and never so often that the page grows without end."""
    moments = Journey.of(Drive.load("drive"), seconds).moments
    assert 10 < len(moments) < 2000
    assert (moments[0].t_s, moments[-1].t_s) == (0.0, seconds)


@pytest.mark.parametrize(("t_s", "said"), [(0, "0:00"), (75.4, "1:15"), (3600, "1:00:00"), (86_399, "23:59:59")])
def test_a_moment_is_minutes_and_seconds(t_s: float, said: str) -> None:
    """And hours from the first one on."""
    assert clock(t_s) == said
