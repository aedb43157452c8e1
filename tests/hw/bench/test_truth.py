"""hw.bench.truth: the numbers of one car at one moment belong together."""

from __future__ import annotations

import itertools
import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.bench.scenario import Change, Leg, Scenario, ScenarioError, SpeedPoint, Start
from hw.bench.truth import Drive
from tests.hw.bench.scenes import angle_between, bearing_deg, drives, metres_between, scene

TENTHS = range(1200)


@pytest.fixture(scope="module", params=[0, 1, 7])
def drive(request: pytest.FixtureRequest) -> Drive:
    return Drive.load("drive", request.param)


@settings(max_examples=30)
@given(drive=drives(), begin_s=st.floats(0, 150))
def test_distance_is_the_integral_of_speed(drive: Drive, begin_s: float) -> None:
    """Adding up speed over 10 s in small steps gives the distance driven meanwhile."""
    step_s = 0.04
    summed_m = sum(drive.state(begin_s + (i + 0.5) * step_s).speed_mps * step_s for i in range(250))
    assert summed_m == pytest.approx(drive.distance_m(begin_s + 10) - drive.distance_m(begin_s), abs=0.02)


@settings(max_examples=30)
@given(drive=drives())
def test_positions_lie_as_far_apart_as_the_odometer_says(drive: Drive) -> None:
    """Great-circle steps add up to the odometer's difference within 0.7 % (sphere against ellipsoid) on any road on earth."""
    states = [drive.state(i * 0.5) for i in range(300)]
    flown_m = sum(metres_between(one, other) for one, other in itertools.pairwise(states))
    driven_m = (states[-1].odometer_km - states[0].odometer_km) * 1000
    assert flown_m == pytest.approx(driven_m, rel=0.007, abs=0.5)


@settings(max_examples=30)
@given(drive=drives(), t_s=st.floats(0, 150))
def test_heading_is_the_direction_of_travel(drive: Drive, t_s: float) -> None:
    """The course between two moments lies half-way between the headings at both, within half a degree."""
    now, soon = drive.state(t_s), drive.state(t_s + 0.2)
    if soon.distance_m - now.distance_m < 0.5:
        return
    middle_deg = (now.heading_deg + ((soon.heading_deg - now.heading_deg + 180) % 360 - 180) / 2) % 360
    assert angle_between(bearing_deg(now, soon), middle_deg) < 0.5


def test_turning_rates_agree_with_heading_and_speed(drive: Drive) -> None:
    """Yaw rate is the change of heading; lateral acceleration is speed times yaw rate; no turn is driven faster than a car can."""
    for t in TENTHS:
        now, soon = drive.state(t / 10), drive.state(t / 10 + 0.01)
        turned_dps = ((soon.heading_deg - now.heading_deg + 180) % 360 - 180) / 0.01
        assert turned_dps == pytest.approx(now.yaw_rate_dps, abs=0.2) or now.yaw_rate_dps != soon.yaw_rate_dps
        assert now.lateral_mps2 == pytest.approx(now.speed_mps * math.radians(now.yaw_rate_dps), abs=1e-9)
        assert abs(now.lateral_mps2) < 4
        assert abs(now.acceleration_mps2) < 4


def test_any_moment_may_be_asked_for_in_any_order() -> None:
    """A state does not depend on what was asked before."""
    moments = [t * 0.7 for t in range(400)]
    shuffled = random.Random(3).sample(moments, len(moments))
    first, second = Drive.load("drive", 5), Drive.load("drive", 5)
    forward = {t: first.state(t) for t in moments}
    assert {t: second.state(t) for t in shuffled} == forward


def test_the_seed_decides() -> None:
    """The same seed gives the same drive, another seed another one."""
    one, same, other = (Drive.load("drive", seed).state(70.0) for seed in (4, 4, 5))
    assert one == same
    assert one.distance_m != other.distance_m
    assert one.battery_v != other.battery_v


def test_the_drive_begins_parked_with_ignition_on(drive: Drive) -> None:
    """At the start the car stands, in park, engine running; then it moves off in gear."""
    begin, rolling = drive.state(0), drive.state(8)
    assert (begin.ignition, begin.gear, begin.speed_kmh, begin.distance_m, begin.engine_running) == ("ON", "P", 0, 0, True)
    assert (rolling.gear, rolling.speed_kmh > 10) == ("D", True)


def test_the_drive_passes_500_m_and_a_thousand_kilometres_in_time(drive: Drive) -> None:
    """500 m lie behind the car before 40 s, the next multiple of 1,000 km comes between 40 and 60 s, it drives to the end."""
    to_go_m = (1000 - drive.state(0).odometer_km % 1000) * 1000
    assert drive.time_of_distance_s(500) < 40
    assert 40 < drive.time_of_distance_s(to_go_m) < 60
    assert drive.seconds == 120
    assert drive.state(120).speed_kmh > 40


def test_time_of_a_distance_that_is_never_driven() -> None:
    """A car that stands never gets anywhere."""
    assert Drive(scene([(0, 0)])).time_of_distance_s(1) == math.inf


def test_before_the_start_the_car_stands_as_it_will_start() -> None:
    """A negative time is the start."""
    drive = Drive(scene([(0, 30)]))
    assert drive.state(-5) == drive.state(0)


def test_numbers_glide_and_all_else_steps() -> None:
    """A change with over_s moves evenly from the old value to the new; one without holds at once."""
    changes = (Change(at_s=10, set_={"battery_rest_v": 11.5}, over_s=10), Change(at_s=12, set_={"fog_rear": True, "ignition": "OFF"}))
    drive = Drive(_with(scene([(0, 0)]), changes))
    assert [drive.state(t).battery_rest_v for t in (9.9, 10, 15, 20, 30)] == pytest.approx([12.5, 12.5, 12.0, 11.5, 11.5])
    assert [drive.state(t).fog_rear for t in (11.9, 12)] == [False, True]
    assert drive.state(30).battery_v == pytest.approx(11.5, abs=0.02)


def test_the_engine_ages_only_while_it_runs() -> None:
    """Engine hours and warmth count the time with ignition on, not the time parked."""
    changes = (Change(at_s=100, set_={"ignition": "OFF"}), Change(at_s=1000, set_={"ignition": "ON"}))
    drive = Drive(_with(scene([(0, 0)]), changes))
    hours = [drive.state(t).engine_hours_h * 3600 for t in (0, 100, 1000, 1060)]
    assert [round(h - hours[0], 6) for h in hours] == [0, 100, 100, 160]
    assert drive.state(100).coolant_c == drive.state(900).coolant_c


def test_a_car_that_moves_in_park_is_refused() -> None:
    """A scenario has to put the car in gear before it drives."""
    with pytest.raises(ScenarioError, match="moves in gear P"):
        Drive(scene([(0, 0), (5, 20)], gear="P"))


def test_long_roads_stay_on_the_ellipsoid() -> None:
    """100 km due east along a parallel keep length and come back by the same way."""
    start = Start(lat_deg=50.0, lon_deg=8.0, heading_deg=90.0, odometer_km=0)
    there_and_back = (Leg(straight_m=50_000), Leg(turn_deg=180, radius_m=60), Leg(straight_m=50_000), Leg(turn_deg=180, radius_m=60))
    points = (SpeedPoint(at_s=0, kmh=100), SpeedPoint(at_s=1, kmh=100))
    scenario = Scenario(title="far", start=start, route=there_and_back, speed=points, changes=(Change(at_s=0, set_={"gear": "D"}),))
    drive = Drive(scenario)
    lap_s = drive.time_of_distance_s(2 * 50_000 + 2 * math.pi * 60)
    # Courses are kept as angles to north, so the two long legs lie on two rhumb lines 120 m apart.
    assert metres_between(drive.state(0), drive.state(lap_s)) < 3


def _with(scenario: Scenario, changes: tuple[Change, ...]) -> Scenario:
    return Scenario(title="with", start=scenario.start, route=scenario.route, speed=scenario.speed, changes=scenario.changes + changes)


def test_up_to_a_crash_the_drive_is_as_it_was(drive: Drive) -> None:
    """Nothing that was already told changes when the car crashes at a moment that nobody knew of before."""
    crashed = Drive.load("drive", drive.seed)
    crashed.crash(43.7)
    assert [crashed.state(t / 10) for t in range(437)] == [drive.state(t / 10) for t in range(437)]


def test_a_crash_brings_the_car_to_a_stand_and_is_said(drive: Drive) -> None:
    """Within a tenth of a second or so and a metre; airbags, belts, hazard lights and doors say so; nothing later counts any more."""
    crashed = Drive.load("drive", drive.seed)
    before = crashed.state(43.7)
    crashed.crash(43.7)
    crashed.crash(50.0)
    after, end = crashed.state(43.9), crashed.state(110.0)
    assert crashed.crash_s == 43.7
    assert (before.speed_kmh > 70, after.speed_kmh, end.speed_kmh) == (True, 0.0, 0.0)
    assert 0 < after.distance_m - before.distance_m < 2
    assert after.distance_m == end.distance_m
    assert (after.deploy, after.belt_tensioner, after.hazard, after.locked) == ("deployed", True, True, False)
    assert (end.deploy, end.wiper_mode, end.ignition) == ("deployed", after.wiper_mode, "ON")


def test_a_scenario_may_say_when_the_car_crashes() -> None:
    """As if it had been told on the way."""
    scenario = scene([(0, 0), (10, 50)])
    told, said = Drive(scenario, 3), Drive(msgspec.structs.replace(scenario, crash_s=20.5), 3)
    told.crash(20.5)
    assert [said.state(t / 4) for t in range(120)] == [told.state(t / 4) for t in range(120)]


def test_a_gliding_value_stays_where_the_crash_found_it() -> None:
    """Rain that was beginning is as heavy as it was at that moment."""
    drive = Drive(msgspec.structs.replace(scene([(0, 0)]), changes=(Change(at_s=10, over_s=20, set_={"rain_percent": 40.0}),)))
    drive.crash(20)
    assert (drive.state(20).rain_percent, drive.state(60).rain_percent) == (20.0, 20.0)
