"""When the device may go: exact moments on a clock that the test sets, with the car's own frames."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import NS
from agent.core.power import SILENT_S, power_of
from agent.sections import PowerSection
from agent.vss import IGNITION, SPEED, VOLTAGE
from hw.ports import Silence
from tests.agent.core.stage import TREE, Stage, one, vehicle

OFF_S, LOW_V, LOW_S, LONG_S = 30, 11.5, 20, 60


@pytest.fixture
def car(tmp_path: Path) -> Iterator[Stage]:
    """A device that goes 30 s after the ignition, or after 20 s below 11.5 V."""
    with Stage(tmp_path) as made:
        guarded(made)
        yield made


def guarded(stage: Stage) -> None:
    power = stage.core.parts.power
    power.off_delay_s, power.low_v, power.low_for_s = OFF_S, LOW_V, LOW_S
    stage.core.decide()


def goes(stage: Stage, seconds: float) -> bool:
    """Time passes in one go; whether it is time then."""
    stage.wait(seconds)
    return stage.core.may_go()


def battery(stage: Stage, volts: float) -> None:
    stage.frame("BATTERY", VOLTAGE=volts)
    stage.core.may_go()


def silent(stage: Stage, signal: str) -> None:
    source = vehicle().sources[signal]
    stage.core.silence(Silence("pt", source.can_id, stage.clock.now_ns()))
    stage.core.may_go()


def off(stage: Stage) -> None:
    stage.ignition(on=False)
    stage.core.may_go()


def test_it_goes_when_the_delay_after_the_ignition_is_over(car: Stage) -> None:
    """Not a millisecond before."""
    car.ignition(on=True)
    assert not goes(car, LONG_S)
    off(car)
    assert not goes(car, OFF_S - 0.001)
    assert goes(car, 0.001)
    assert car.core.parts.power.why == "ignition-off"


def test_ignition_on_during_the_delay_takes_it_back(car: Stage) -> None:
    """And the next delay is a whole one."""
    car.ignition(on=True)
    off(car)
    assert not goes(car, OFF_S - 1)
    car.ignition(on=True)
    assert not goes(car, LONG_S)
    off(car)
    assert not goes(car, OFF_S - 1)
    assert goes(car, 1)


def test_a_car_that_tells_no_ignition_from_the_start_is_given_an_hour(car: Stage) -> None:
    """It sleeps, or its bus is not there, or its connector is pulled: nobody can know."""
    assert not goes(car, 0)
    assert not goes(car, SILENT_S - 0.001)
    assert goes(car, 0.001)
    assert car.core.parts.power.why == "ignition-off"


def test_an_ignition_that_is_lost_on_the_way_is_given_an_hour(car: Stage) -> None:
    """From when that is known, and not the delay: the connector is pulled, or its interface is gone, and somebody may be driving.

    It comes to an end all the same: the battery is not emptied by a bus that stays lost.
    """
    car.ignition(on=True)
    assert not goes(car, LONG_S)
    silent(car, IGNITION)
    assert not goes(car, SILENT_S - 0.001)
    assert goes(car, 0.001)


def test_a_delay_of_more_than_an_hour_counts_with_a_silent_ignition_too(car: Stage) -> None:
    """It is never the shorter one."""
    car.core.parts.power.off_delay_s = 2 * SILENT_S
    car.ignition(on=True)
    silent(car, IGNITION)
    assert not goes(car, 2 * SILENT_S - 1)
    assert goes(car, 1)


def test_what_the_ignition_tells_after_its_silence_counts_anew(car: Stage) -> None:
    """On: it stays; off: the delay, a whole one and no hour."""
    car.ignition(on=True)
    silent(car, IGNITION)
    assert not goes(car, SILENT_S - 1)
    car.ignition(on=True)
    assert not goes(car, LONG_S)
    silent(car, IGNITION)
    assert not goes(car, SILENT_S - 1)
    off(car)
    assert not goes(car, OFF_S - 1)
    assert goes(car, 1)


def test_an_ignition_that_was_off_stays_off(car: Stage) -> None:
    """Its bus falls asleep, or an adapter goes with it: the delay goes on."""
    car.ignition(on=True)
    off(car)
    assert not goes(car, 1)
    silent(car, IGNITION)
    assert not goes(car, OFF_S - 2)
    assert goes(car, 1)


def test_a_device_that_had_gone_and_is_woken_beside_a_silent_car_counts_as_off(car: Stage) -> None:
    """Whatever woke it: a modem that rings each hour must not keep it awake for good."""
    car.core.parts.power.ignition = False
    assert not goes(car, 0)
    assert not goes(car, OFF_S - 1)
    assert goes(car, 1)


def test_a_weak_battery_ends_an_ignition_that_is_not_told(car: Stage) -> None:
    """It does not wait for the hour: whoever drives has an alternator."""
    car.ignition(on=True)
    silent(car, IGNITION)
    battery(car, 11.0)
    assert not goes(car, LOW_S - 0.001)
    assert goes(car, 0.001)
    assert car.core.parts.power.why == "low-voltage"


def test_it_goes_sooner_when_the_battery_is_low(car: Stage) -> None:
    """For long enough, exactly."""
    car.ignition(on=True)
    off(car)
    battery(car, 11.4)
    assert not goes(car, LOW_S - 0.001)
    assert goes(car, 0.001)
    assert car.core.parts.power.why == "low-voltage"


def test_a_battery_at_the_threshold_is_not_below_it(car: Stage) -> None:
    """As [power] says it."""
    car.core.parts.power.off_delay_s = None
    off(car)
    battery(car, LOW_V)
    assert not goes(car, LONG_S)


def test_what_is_decided_is_not_taken_back(car: Stage) -> None:
    """By an ignition that comes on in the last two seconds: the end has begun, and its word must be that of its reason."""
    car.ignition(on=True)
    off(car)
    assert goes(car, OFF_S)
    car.ignition(on=True)
    assert car.core.may_go()
    assert car.core.parts.power.why == "ignition-off"


def test_a_short_dip_is_no_low_battery(car: Stage) -> None:
    """As when the lock's motors run, again and again."""
    car.core.parts.power.off_delay_s = None
    off(car)
    for _ in range(10):
        battery(car, 9.0)
        assert not goes(car, 3)
        battery(car, 12.4)
    assert not goes(car, LONG_S)


def test_a_weak_battery_ends_nothing_while_the_ignition_is_on(car: Stage) -> None:
    """On the way the emergency call goes along; it counts from the ignition's end."""
    car.ignition(on=True)
    battery(car, 11.0)
    assert not goes(car, LONG_S)
    off(car)
    assert not goes(car, LOW_S - 1)
    assert goes(car, 1)


def test_a_battery_that_is_not_heard_is_not_guessed(car: Stage) -> None:
    """Low once, then silent."""
    car.core.parts.power.off_delay_s = None
    off(car)
    battery(car, 11.0)
    silent(car, VOLTAGE)
    assert not goes(car, LONG_S)


@pytest.mark.parametrize("guards", [True, False])
def test_the_voltage_is_heard_for_this_alone_and_no_record_comes_of_it(tmp_path: Path, guards: bool) -> None:
    """Without package and grant the ignition and it are subscribed; without low_v the ignition alone."""
    with Stage(tmp_path, package=None) as stage:
        if guards:
            guarded(stage)
        assert set(stage.core.plan.wanted) == {IGNITION} | ({VOLTAGE} if guards else set())
        off(stage)
        battery(stage, 11.0)
        assert goes(stage, LOW_S) == guards
        stage.core.keep()
        assert stage.stored() == {}


def test_a_request_is_answered_first(tmp_path: Path) -> None:
    """Somebody in the parked car asks in the last second: the answer, or that there is none, comes before the end."""
    tree = copy.deepcopy(TREE)
    state = one("state", SPEED, triggers=["request:state"], every_s=0)
    state["signal"] = [{"id": SPEED, "fresh_s": 5}]
    tree["services/a.toml"]["stream"].append(state)
    with Stage(tmp_path, tree=tree) as stage:
        guarded(stage)
        stage.ignition(on=True)
        off(stage)
        assert not goes(stage, OFF_S - 1)
        request = stage.core.ask("a.state")
        assert not goes(stage, 1)
        stage.frame("MOTION", SPEED=0.0)
        assert goes(stage, 1)
        assert request.answered
        assert stage.stored()["a.state"] == 1


def test_an_emergency_call_keeps_the_device_awake(car: Stage) -> None:
    """For as long as there is one to be seen; it is looked for only when it is time."""
    stands, looks = [True], [0]

    def call_stands() -> bool:
        looks[0] += 1
        return stands[0]

    car.core.parts.power.call_stands = call_stands
    car.ignition(on=True)
    assert not goes(car, LONG_S)
    off(car)
    assert not goes(car, OFF_S - 1)
    assert looks == [0]
    assert not goes(car, LONG_S)
    stands[0] = False
    assert car.core.may_go()


def test_a_device_that_wakes_waits_anew(car: Stage) -> None:
    """It was suspended by the host in the middle of the delay: the driver who woke it has not turned the key yet."""
    car.ignition(on=True)
    off(car)
    battery(car, 11.0)
    begun_ns = car.clock.now_ns()
    car.clock.set(begun_ns + LONG_S * NS)
    car.core.leap(begun_ns, car.clock.now_ns(), LONG_S * NS)
    assert not car.core.may_go()
    assert not goes(car, LOW_S - 1)
    assert goes(car, 1)


def test_the_loop_ends_and_what_was_collected_is_durable(car: Stage) -> None:
    """Nobody has to stop it."""
    car.trip_of("anna", "x.speed")
    car.drive(3)
    off(car)
    car.clock.set(car.clock.now_ns() + OFF_S * NS)
    car.loop.run()
    assert car.core.parts.power.why == "ignition-off"
    assert car.stored()["a.minute"] == 1


def test_without_power_in_the_settings_it_never_goes(stage: Stage) -> None:
    """Off and empty."""
    stage.ignition(on=False)
    battery(stage, 8.0)
    assert not goes(stage, LONG_S)


@pytest.mark.finding("power-not-told")
def test_what_the_vehicle_does_not_tell_is_found_and_has_no_effect() -> None:
    """Instead of a guess."""
    section = PowerSection(off_delay_s=OFF_S, low_v=LOW_V)
    power, found = power_of(section, {IGNITION, VOLTAGE})
    assert ((power.off_delay_s, power.low_v), found) == ((OFF_S, LOW_V), [])
    power, found = power_of(section, ())
    assert (power.off_delay_s, power.low_v) == (None, None)
    assert [one.code for one in found] == ["power-not-told"] * 2
    power.hear(8.0, 0)
    assert not power.look(10**18, ignition=False, asked=False)
    assert power_of(PowerSection(), ())[1] == []


def test_it_tells_what_it_waits_for_and_for_how_long(car: Stage) -> None:
    """For status: whichever comes first; nothing runs while the ignition is on."""

    def told() -> dict[str, bool | float | None] | None:
        return car.core.parts.power.waits(car.clock.now_ns())

    car.ignition(on=True)
    battery(car, LOW_V - 1)
    assert told() == {"ignition": True, "ignition_s": 0.0, "low_s": 0.0, "left_s": None}
    off(car)
    assert not goes(car, 12)
    assert told() == {"ignition": False, "ignition_s": 12.0, "low_s": 12.0, "left_s": LOW_S - 12.0}
    battery(car, LOW_V + 1)
    assert told() == {"ignition": False, "ignition_s": 12.0, "low_s": None, "left_s": OFF_S - 12.0}
