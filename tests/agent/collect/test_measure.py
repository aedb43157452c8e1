"""The agent counts in its own units, readings carry the catalogue's: neither may be taken for the other."""

from __future__ import annotations

import pytest

from agent.units import converted
from agent.vss import GNSS_SPEED, HEADING, ODOMETER, SPEED, UNITS
from tests.agent.collect.build import ELSEWHERE, Rig, rule

ONE_KMH = {"km/h": 1.0, "m/s": 1 / 3.6, "mph": 1 / 1.609344}


@pytest.mark.parametrize("unit", ONE_KMH)
def test_the_trip_counts_in_kilometres_an_hour(unit: str) -> None:
    """Ten seconds at 36 km/h are 100 m, in whatever unit the catalogue has the speed."""
    rig = Rig(units={SPEED: unit})
    rig.ignition("ON", 0).put(SPEED, 36 * ONE_KMH[unit], 0).advance(10)
    assert rig.trip.distance_m == pytest.approx(100)


def test_a_walking_speed_is_moving_in_any_unit() -> None:
    """0.9 m/s is more than the 1 km/h of idling wheels."""
    rig = Rig(units={SPEED: "m/s"})
    assert rig.ignition("ON", 0).put(SPEED, 0.9, 1).trip.driving


def test_a_speed_in_something_else_is_unknown() -> None:
    """A catalogue that calls it a temperature moves no car."""
    rig = Rig(units={SPEED: "celsius"})
    assert rig.ignition("ON", 0).put(SPEED, 90, 1).trip.speed_kmh is None


@pytest.mark.parametrize(("unit", "times"), [("km", 1), ("m", 1000), ("mi", 1 / 1.609344)])
def test_distance_is_in_kilometres(unit: str, times: float) -> None:
    """Each 1,000 km, also where the odometer is in metres or miles."""
    rig = Rig((rule(triggers=("distance:1000",)),), units={ODOMETER: unit})
    rig.put("Test.A", 1, 0)
    for t, km in enumerate((1_990, 1_999.9, 2_000.5, 2_900, 3_100)):
        rig.put(ODOMETER, km * times, 1 + t)
    assert [t for t, _ in rig.of("Test.A")] == [3, 5]


@pytest.mark.parametrize(
    ("signal", "unit", "value"),
    [(GNSS_SPEED, "m/s", 20.0), (GNSS_SPEED, "mph", 44.73872), (GNSS_SPEED, "", 72.0), (HEADING, "rad", 1.5707963)],
)
def test_what_the_receiver_measured_is_said_in_the_catalogues_unit(signal: str, unit: str, value: float) -> None:
    """20 m/s to the east; the agent's own unit where the catalogue writes none."""
    rig = Rig((rule(signal),), units={signal: unit})
    rig.ignition("ON", 0).fix(ELSEWHERE, 1, course=90, speed_kmh=72)
    assert [said for _, said in rig.of(signal)] == [pytest.approx(value)]


def test_a_receivers_value_that_cannot_be_said_is_not() -> None:
    """No number under a unit that it does not have."""
    rig = Rig((rule(GNSS_SPEED),), units={GNSS_SPEED: "percent"})
    assert rig.ignition("ON", 0).fix(ELSEWHERE, 1, speed_kmh=72).rows == []


def test_speed_from_the_receiver_is_in_the_catalogues_unit_too() -> None:
    """For conditions, which are written in it, and for the trip, which is not."""
    rig = Rig((rule(),), units={SPEED: "m/s"}, speed_from_gnss=True)
    rig.ignition("ON", 0).fix(ELSEWHERE, 1, speed_kmh=72)
    assert rig.pipeline.latest.value(SPEED) == pytest.approx(20)
    assert rig.trip.speed_kmh == pytest.approx(72)


@pytest.mark.parametrize(("name", "other"), [(SPEED, "m/s"), (GNSS_SPEED, "m/s"), (ODOMETER, "m"), (HEADING, "rad")])
def test_the_agents_units_can_become_others(name: str, other: str) -> None:
    """No unit of the table converts only to itself."""
    assert converted(converted(9.0, UNITS[name], other) or 0, other, UNITS[name]) == pytest.approx(9)
