"""The second trip, and the driver who takes over: each starts from nothing; and what a parked car still knows of places."""

from __future__ import annotations

import itertools

import pytest

from agent.collect.cells import EARTH_M_PER_DEG
from agent.collect.trip import TRIP_GAP_S, Trip
from agent.collect.zones import ZONE_M, Zones
from agent.model import Position
from agent.storage.memory import DictMemory
from agent.vss import GNSS_SIGNALS, LOCATION, SPEED
from tests.agent.collect.build import ELSEWHERE, SECRET, Rig, ns, rule

TRIM_M = 500.0
STEP_M = 10.0
KMH = 36.0
"""Ten metres a second: a step a second."""
OTHER_SECRET = b"another profile's secret, 32 B.."


def zones_of(secret: bytes) -> Zones:
    """They remember nothing here: what is silent is silent because of the start alone."""
    return Zones(secret, DictMemory(), "zones/test", enabled=False)


def new_trip() -> Trip:
    numbers = itertools.count()
    return Trip(zones_of(SECRET), lambda: f"trip-{next(numbers)}")


def north(metres: float) -> Position:
    return Position(ELSEWHERE.lat_deg + metres / EARTH_M_PER_DEG, ELSEWHERE.lon_deg)


def border(zones: Zones, beyond_m: float) -> float:
    """How far north the next border of a cell lies, to the metre: the first place of the new cell."""
    here = zones.cell(north(beyond_m))
    return next(metre for metre in itertools.count(int(beyond_m)) if zones.cell(north(metre)) != here)


def way_until_it_speaks(trip: Trip, from_s: float, start_m: float) -> tuple[float, float]:
    """Drives north from `start_m` with its first speed and first fix there: (the time, the way after which it may speak)."""
    trip.drive(KMH, ns(from_s))
    for step in range(int(2 * ZONE_M / STEP_M)):
        place = north(start_m + step * STEP_M)
        trip.tick(ns(from_s + step))
        trip.locate(place)
        if trip.may_speak(place, TRIM_M):
            break
    return from_s + step, step * STEP_M


def parked(trip: Trip, t_s: float) -> float:
    """A stop that ends the trip; when the next one begins. The car said that it stands before it was switched off."""
    trip.drive(0, ns(t_s))
    trip.ignite(False, ns(t_s))
    return t_s + TRIP_GAP_S + 60


# start beside a border: 10 m before it the trim alone counts, just behind it leaving the cell takes longer than the trim
BESIDE = pytest.mark.parametrize(("start_m", "expected_m"), [(-10.0, TRIM_M), (0.0, float(ZONE_M))], ids=["before", "behind"])


@BESIDE
def test_the_second_trip_is_trimmed_like_the_first(start_m: float, expected_m: float) -> None:
    """Neither the way nor the cell that the first trip left counts for the second: each speaks after both, and not later."""
    trip, t, ways = new_trip(), 0.0, []
    for beyond_m in (0.0, 10_000.0):
        trip.ignite(True, ns(t))
        t, way = way_until_it_speaks(trip, t, border(trip.zones, beyond_m) + start_m)
        ways.append(way)
        t = parked(trip, t)
    assert ways == pytest.approx([expected_m] * 2, abs=STEP_M)
    assert min(ways) >= TRIM_M
    assert trip.id is not None


@BESIDE
def test_a_driver_who_takes_over_is_trimmed_from_there(start_m: float, expected_m: float) -> None:
    """What the one before had gone and left counts for nothing: the way and the cell begin where the other took over."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    t, first = way_until_it_speaks(trip, 0, border(trip.zones, 0) - 10)
    other = zones_of(OTHER_SECRET)
    trip.take_over(other)
    _, second = way_until_it_speaks(trip, t, border(other, 2000) + start_m)
    assert first == pytest.approx(TRIM_M, abs=STEP_M)
    assert second == pytest.approx(expected_m, abs=STEP_M)
    assert second >= TRIM_M


@pytest.mark.parametrize("last_kmh", [0.0, KMH, 180.0])
def test_the_last_speed_of_a_trip_is_no_way_of_the_next(last_kmh: float) -> None:
    """Its frame stays away or says the same until the new trip's first one: until then nothing is known to have been driven."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(last_kmh, ns(1))
    trip.ignite(False, ns(2))
    trip.ignite(True, ns(2 + TRIP_GAP_S + 1))
    trip.tick(ns(2 + TRIP_GAP_S + 2))
    assert trip.distance_m == 0


def test_a_parked_car_forgets_where_it_is() -> None:
    """The place, heading and speed of the receiver that stood when the ignition went off are gone at once, and no new ones come."""
    rig = Rig(tuple(rule(signal, category="position", every_s=3600.0, triggers=("periodic",)) for signal in sorted(GNSS_SIGNALS)))
    rig.ignition("ON", 0).fix(ELSEWHERE, 1, course=90.0, speed_kmh=30.0)
    assert set(rig.pipeline.latest.readings) >= GNSS_SIGNALS
    rig.ignition("OFF", 2)
    assert not set(rig.pipeline.latest.readings) & GNSS_SIGNALS
    rig.fix(north(20), 3, course=90.0, speed_kmh=30.0)
    assert not set(rig.pipeline.latest.readings) & GNSS_SIGNALS
    assert SPEED not in GNSS_SIGNALS
    assert LOCATION in GNSS_SIGNALS
