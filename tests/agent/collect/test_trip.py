"""The trip: when it begins and ends, over restarts too, what counts as driving, and when a trimmed position may leave."""

from __future__ import annotations

import itertools

import pytest

from agent.collect.cells import EARTH_M_PER_DEG
from agent.collect.trip import PARK_GEAR, TRIP_GAP_S, Trip, ignition_of
from agent.collect.zones import Zones
from agent.model import Position, Value
from agent.storage.memory import DictMemory
from agent.vss import GEAR, IGNITION, LOCATION, SPEED
from tests.agent.collect.build import ELSEWHERE, SECRET, Rig, ns, probe, rule

TRIM_M = 500.0


def new_trip(memory: DictMemory | None = None, first: int = 0) -> Trip:
    numbers = itertools.count(first)
    zones = Zones(SECRET, memory or DictMemory(), "zones/test")
    zones.enabled = True
    return Trip(zones, lambda: f"trip-{next(numbers)}")


def restarted(trip: Trip, t_s: float, *, trusted: bool = True) -> Trip:
    """What a new process makes of the stored state."""
    again = new_trip(first=100)
    again.resume(trip.state(), ns(t_s), trusted=trusted)
    return again


def north(metres: float) -> Position:
    """So far north of a place that lies somewhere in its cell."""
    return Position(ELSEWHERE.lat_deg + metres / EARTH_M_PER_DEG, ELSEWHERE.lon_deg)


def drive_north(trip: Trip, from_s: float, metres: float, speed_kmh: float = 36.0) -> tuple[float, float | None]:
    """Drives straight on; (the time it ended, the way after which a trimmed position first might leave)."""
    trip.drive(speed_kmh, ns(from_s))
    spoke = None
    for i in range(int(metres / 10) + 1):
        t = from_s + i * 36.0 / speed_kmh
        trip.tick(ns(t))
        trip.locate(north(i * 10))
        if spoke is None and trip.may_speak(north(i * 10), TRIM_M):
            spoke = i * 10.0
    return t, spoke


# -- begin and end ----------------------------------------------------------------------------------------------------


def sabotage_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collect.trip.TRIP_GAP_S", 10_000)


@pytest.mark.req("T06", control=sabotage_end)
def test_a_trip_ends_after_three_minutes_without_ignition() -> None:
    """Not at 180 s, but at the first moment after; the next ignition begins another."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.ignite(False, ns(100))
    trip.tick(ns(100 + TRIP_GAP_S))
    seen = [trip.id]
    trip.tick(ns(100 + TRIP_GAP_S) + 1)
    seen.append(trip.id)
    trip.ignite(True, ns(400))
    assert [*seen, trip.id] == ["trip-0", None, "trip-1"]


def test_a_shorter_stop_continues_the_trip() -> None:
    """Same id, and it has still moved; many short stops do not add up."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(50, ns(1))
    for stop in range(5):
        trip.ignite(False, ns(1000 * stop + 10))
        trip.ignite(True, ns(1000 * stop + 10 + TRIP_GAP_S))
    assert (trip.id, trip.driving) == ("trip-0", True)


def test_a_long_stop_that_nobody_watched_ends_it() -> None:
    """Also when the next thing that is heard after the OFF is the next ON."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.ignite(False, ns(10))
    trip.ignite(True, ns(10 + TRIP_GAP_S + 1))
    assert trip.id == "trip-1"


def test_an_agent_that_starts_with_ignition_on_begins_a_trip() -> None:
    """Without a stored trip there is nothing to continue."""
    trip = restarted(new_trip(), 0)
    assert trip.id is None
    trip.ignite(True, ns(5))
    assert trip.id == "trip-100"


# -- over a restart ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("off_s", "continues"), [(TRIP_GAP_S, True), (TRIP_GAP_S + 1, False)])
def test_a_stop_counts_over_a_restart(off_s: float, continues: bool) -> None:
    """As if the agent had been there all the time."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.ignite(False, ns(10))
    again = restarted(trip, 10 + off_s)
    again.ignite(True, ns(10 + off_s))
    assert (again.id == "trip-0") is continues


def test_a_crash_on_the_way_continues_the_trip() -> None:
    """The same id, still driving and clear of its start; the place of the restart is not taken for a start."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    t, spoke = drive_north(trip, 1, 2500)
    assert spoke is not None
    again = restarted(trip, t + 20)
    again.ignite(True, ns(t + 21))
    again.drive(50, ns(t + 22))
    again.locate(north(2600))
    assert again.id == trip.id
    assert again.may_speak(north(2600), TRIM_M)
    assert not again.zones.holds(again.zones.cell(north(2600)))


def sabotage_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored trip that was running counts as alive for ever."""
    original = Trip.resume

    def resume(self: Trip, state: bytes | None, t_ns: int, *, trusted: bool = True) -> None:
        monkeypatch.setattr("agent.collect.trip.TRIP_GAP_S", 10**9)
        original(self, state, t_ns, trusted=trusted)

    monkeypatch.setattr(Trip, "resume", resume)


@pytest.mark.req("T06", "T11", control=sabotage_alive)
def test_power_cut_with_ignition_on_then_a_night() -> None:
    """Where power goes with the ignition no OFF is ever seen: the next morning is another trip, which has its start before it."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    t, _ = drive_north(trip, 1, 2500)
    morning = restarted(trip, t + 36_000)
    morning.ignite(True, ns(t + 36_001))
    morning.drive(50, ns(t + 36_002))
    morning.locate(north(2500))
    assert morning.id == "trip-100"
    assert not morning.may_speak(north(2500), TRIM_M)


@pytest.mark.parametrize(("t_s", "trusted"), [(20.0, False), (-3600.0, True)])
def test_a_stop_whose_length_cannot_be_told_has_ended_the_trip(t_s: float, trusted: bool) -> None:
    """A clock that nobody vouches for, or one that stands before the last sign of life."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.ignite(False, ns(10))
    assert restarted(trip, t_s, trusted=trusted).id is None


def test_the_stored_state_holds_no_place_and_changes_seldom() -> None:
    """Where the car goes is not in it, and a running trip is written once a minute, not once a fix."""
    here, there = new_trip(), new_trip()
    states = set()
    for trip, sign in ((here, 1), (there, -1)):
        trip.ignite(True, ns(0))
        trip.drive(60, ns(0))
        for t in range(180):
            trip.locate(north(sign * 20 * t))
            trip.tick(ns(t))
            states.add(trip.state())
    assert here.state() == there.state()
    assert len(states) <= 5


# -- ignition ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "want"),
    [("ON", True), ("START", True), ("OFF", False), ("LOCK", False), ("ACC", False), (True, True), (False, False)]
    + [(value, None) for value in ("UNDEFINED", "", 1, 0, 2.5, ("ON",))],
)
def test_what_an_ignition_value_means(value: Value, want: bool | None) -> None:
    """VSS's texts and plain truth values; anything else says nothing."""
    assert ignition_of(value) is want


def test_unknown_ignition_is_neither_driving_nor_parked() -> None:
    """Only `any` may collect, and a moving car does not make it known."""
    trip = new_trip()
    trip.drive(80, ns(0))
    assert (trip.allows("any"), trip.allows("driving"), trip.allows("parked")) == (True, False, False)
    assert not trip.may_speak(ELSEWHERE, 0)


def sabotage_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trip, "lose_ignition", lambda *_: None)


@pytest.mark.req("T06", control=sabotage_silence)
def test_bus_falls_asleep_without_saying_off() -> None:
    """The ignition is unknown then: nothing that drives goes on, and the stop counts from the last frame."""
    rig = Rig((rule(LOCATION, ("grid_m", 200), category="position", triggers=("periodic",), every_s=1),))
    rig.ignition("ON", 0).fix(ELSEWHERE, 1)
    before = rig.advance(2.5).of(LOCATION)
    assert before
    rig.silence(IGNITION, 2, 7)
    for t in range(8, 60):
        rig.fix(ELSEWHERE, t)
    assert rig.trip.ignition is None
    assert [t for t, _ in rig.of(LOCATION) if t > 7] == []
    assert rig.advance(2 + TRIP_GAP_S).trip.id is not None
    assert rig.advance(2 + TRIP_GAP_S + 2).trip.id is None


def test_a_car_that_said_off_before_it_fell_asleep_stays_parked() -> None:
    """So that what is collected while parked goes on."""
    rig = Rig()
    rig.ignition("ON", 0).ignition("OFF", 5).silence(IGNITION, 6, 11)
    assert rig.trip.parked


# -- driving ----------------------------------------------------------------------------------------------------------


def test_a_jam_is_driving() -> None:
    """Twenty minutes at standstill change nothing; park does; leaving park is driving again."""
    rig = Rig()
    rig.ignition("ON", 0).put(GEAR, 127, 1).put(SPEED, 0.0, 2)
    seen = [rig.trip.driving]
    rig.put(SPEED, 30.0, 3).put(SPEED, 0.0, 10).advance(1210)
    seen.append(rig.trip.driving)
    rig.put(GEAR, PARK_GEAR, 1211)
    seen.append(rig.trip.driving)
    rig.put(GEAR, 127, 1220)
    assert [*seen, rig.trip.driving] == [False, True, False, True]


def test_idling_wheels_have_not_moved() -> None:
    """Speed signals idle at a few hundredths; reversing out is moving."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(0.9, ns(1))
    assert not trip.driving
    trip.drive(-5, ns(2))
    assert trip.driving


def test_ignition_off_is_parked_and_not_driving() -> None:
    """Whatever speed the car still says."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(50, ns(1))
    trip.ignite(False, ns(2))
    trip.drive(50, ns(3))
    assert (trip.driving, trip.parked) == (False, True)


def test_the_way_is_speed_times_time_while_the_ignition_is_on() -> None:
    """Unknown speed adds nothing, nor does a car that is pulled."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(36, ns(0))
    trip.drive(None, ns(10))
    trip.drive(-72, ns(20))
    trip.ignite(False, ns(25))
    trip.tick(ns(100))
    assert trip.distance_m == pytest.approx(100 + 100)


def test_gnss_falls_silent_where_it_is_the_speed() -> None:
    """The last speed does not go on for ever: the way, and with it the trimming, would."""
    rig = Rig(probe(), speed_from_gnss=True)
    rig.ignition("ON", 0)
    rig.fix(ELSEWHERE, 1, speed_kmh=100)
    rig.advance(600)
    assert rig.trip.speed_kmh is None
    assert rig.trip.distance_m < 250


# -- trimming ---------------------------------------------------------------------------------------------------------


def sabotage_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trip, "may_speak", lambda *_: True)


@pytest.mark.req("R39", "T11", control=sabotage_trim)
def test_silent_until_clear_of_the_start() -> None:
    """Out of the start cell and as far as the trim says since ignition on; then it speaks, before two kilometres are over."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    start = trip.zones.cell(ELSEWHERE)
    _, spoke = drive_north(trip, 1, 2500)
    assert spoke is not None
    assert trip.zones.cell(north(spoke)) != start
    assert TRIM_M <= spoke < 1000 * 1.5


def test_a_shorter_trim_of_another_stream_clears_nothing_for_a_longer_one() -> None:
    """Each stream keeps its own distance."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(36, ns(0))
    for i in range(300):
        trip.tick(ns(i))
        trip.locate(north(10 * i))
        short = trip.may_speak(north(10 * i), 10)
        if short:
            assert not trip.may_speak(north(10 * i), 5000)
    assert short


def test_once_clear_a_jam_goes_on_speaking() -> None:
    """At standstill for twenty minutes, as long as the gear is not in park; not with the ignition off."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    t, _ = drive_north(trip, 1, 2500)
    trip.drive(0, ns(t))
    trip.tick(ns(t + 1200))
    assert trip.may_speak(north(2500), TRIM_M)
    trip.gear = PARK_GEAR
    assert not trip.may_speak(north(2500), TRIM_M)
    trip.gear = 127
    trip.ignite(False, ns(t + 1201))
    assert not trip.may_speak(north(2500), TRIM_M)


def test_without_a_first_fix_nothing_is_clear() -> None:
    """A start that nobody saw may be anywhere."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    trip.drive(100, ns(0))
    trip.tick(ns(3600))
    assert not trip.may_speak(ELSEWHERE, TRIM_M)


def test_silent_around_places_where_trips_ended() -> None:
    """The whole cell of an ended trip is silent for every later one; past it the trip speaks again."""
    trip = new_trip()
    home = trip.zones.cell(north(5000))
    trip.zones.remember(home)
    trip.ignite(True, ns(0))
    trip.drive(36, ns(0))
    spoke = {}
    for i in range(1000):
        trip.tick(ns(i))
        trip.locate(north(10 * i))
        spoke[10 * i] = trip.may_speak(north(10 * i), TRIM_M)
    inside = [metres for metres in spoke if trip.zones.cell(north(metres)) == home]
    assert not any(spoke[metres] for metres in inside)
    assert spoke[min(inside) - 20]
    assert spoke[max(inside) + 20]


def test_start_and_end_become_places() -> None:
    """Where a trip began counts as a place where one ended: the very first departure from home is covered on the way back."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    t, _ = drive_north(trip, 1, 3000)
    trip.ignite(False, ns(t + 1))
    assert trip.zones.holds(trip.zones.cell(ELSEWHERE))
    assert trip.zones.holds(trip.zones.cell(north(3000)))
    assert not trip.zones.holds(trip.zones.cell(north(1500)))


def test_a_driver_who_takes_over_on_the_way_starts_there() -> None:
    """Nothing that the one before had cleared counts; one who is confirmed before the first fix keeps what a restart kept."""
    trip = new_trip()
    trip.ignite(True, ns(0))
    drive_north(trip, 1, 2500)
    zones = Zones(b"another profile's secret, 32 B..", DictMemory(), "zones/other", enabled=True)
    trip.take_over(zones)
    trip.locate(north(2510))
    assert not trip.may_speak(north(2510), TRIM_M)
    assert zones.holds(zones.cell(north(2510)))
