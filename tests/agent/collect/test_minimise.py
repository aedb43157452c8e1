"""The one place where a sample is made, and what it never lets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collect import minimise as minimise_module
from agent.collect import stream as stream_module
from agent.collect.minimise import minimise, reduced
from agent.model import Position, Reading, Transform, Value
from agent.vss import LOCATION, SPEED
from tests.agent.collect.build import ELSEWHERE, Rig, context, ns, probe, rule

HOME = ELSEWHERE


def test_steps_run_in_the_order_written() -> None:
    """Clamp then round is not round then clamp."""
    one = [Transform(name="clamp", argument=[0, 14]), Transform(name="round_to", argument=10)]
    assert (reduced(19, one, context()), reduced(19, one[::-1], context())) == (10, 14)


def test_a_step_that_does_not_exist_gives_nothing() -> None:
    """Nor does a datum conversion that nobody provides, or a second aggregate."""
    for name in ("sharpen", "datum:nobody", "mean_s"):
        assert reduced(1.0, [Transform(name=name, argument=10)], context()) is None


def sabotage_ignition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimise_module, "_tells_place", lambda *_: False)


PLACES_OF: list[tuple[str, Value, str]] = [
    (LOCATION, HOME, "position"),
    (f"{LOCATION}.Heading", 90.0, "movement"),
    ("Vehicle.Navigation.DestinationLatitude", 48.1, "position"),
    ("Test.A", HOME, "status"),
]


@pytest.mark.req("R23", "T06", "T11", control=sabotage_ignition)
@pytest.mark.parametrize(("signal", "value", "category"), PLACES_OF)
@pytest.mark.parametrize("state", ["OFF", "ACC", "unheard of"])
def test_no_position_with_ignition_off_or_unknown(signal: str, value: Value, category: str, state: str) -> None:
    """Whatever the signal is called: by category, by name and by kind of value. With the ignition on each of them leaves."""
    one = rule(signal, category=category)
    rig = Rig((one,))
    rig.ignition(state, 0)
    assert minimise(Reading(signal, value, ns(1)), one, (), context(one, rig)) is None
    rig.ignition("ON", 2)
    assert minimise(Reading(signal, value, ns(3)), one, (), context(one, rig)) is not None


def sabotage_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimise_module, "_too_sensitive", lambda *_: False)


@pytest.mark.req("R23", control=sabotage_unknown)
def test_nothing_sensitive_while_the_ignition_is_unknown() -> None:
    """Whatever its category; with the ignition known, off too, what is no position leaves."""
    one = rule(SPEED, category="movement", sensitive=True)
    rig = Rig((one,))
    made = []
    for t, state in enumerate(("unheard of", "OFF", "ON")):
        rig.ignition(state, t)
        made.append(minimise(Reading(SPEED, 50, ns(t)), one, (), context(one, rig)) is not None)
    assert made == [False, True, True]


def test_ignition_off_is_the_end_of_the_traffic_stream() -> None:
    """A car that is carried away, with a receiver that goes on, says nothing."""
    rig = Rig(probe(while_="any"))
    rig.ignition("ON", 0).put(SPEED, 90, 1)
    for t in range(1, 200):
        rig.fix(Position(HOME.lat_deg + t * 3e-4, HOME.lon_deg), t, course=0)
    spoken = len(rig.of(LOCATION))
    rig.ignition("OFF", 200)
    for t in range(201, 400):
        rig.fix(Position(HOME.lat_deg + t * 3e-4, HOME.lon_deg), t, course=0)
    assert spoken > 0
    assert [t for t, _ in rig.of(LOCATION) if t > 200] == []


def sabotage_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module.Stream, "trim_m", None)


@pytest.mark.req("R39", "T11", control=sabotage_whole)
def test_a_trimmed_stream_is_silent_as_a_whole() -> None:
    """Speed and heading do not leave either where the position does not: they would lead back to where the trip began."""
    rig = Rig(probe())
    rig.ignition("ON", 0)
    for t in range(1, 400):
        rig.put(SPEED, 40 + t % 3, t)
        rig.fix(Position(HOME.lat_deg + t * 1e-4, HOME.lon_deg), t, course=0)
    with_place = {t for t, _ in rig.of(LOCATION)}
    assert with_place
    assert {row.t for row in rig.rows} == with_place


def test_a_position_that_is_no_longer_current_is_not_repeated() -> None:
    """Five seconds after its fix there is no position, until the receiver says one again; void epochs do not prolong it."""
    rig = Rig((rule(LOCATION, ("grid_m", 200), category="position", every_s=1, triggers=("periodic",)),))
    rig.ignition("ON", 0).fix(HOME, 1.5)
    for t in range(2, 20):
        rig.fix(Position(float("nan"), 0.0), t + 0.5)
    assert [t for t, _ in rig.of(LOCATION)] == [2, 3, 4, 5, 6]


@given(st.floats(), st.floats())
def test_a_receiver_can_say_anything(lat: float, lon: float) -> None:
    """Impossible and non-finite numbers are no position and no exception, in the trip, the zones and the stream."""
    rig = Rig(probe())
    rig.ignition("ON", 0).put(SPEED, 50, 1)
    rig.fix(Position(lat, lon), 2, course=lat, speed_kmh=lon).advance(60)
    assert all(isinstance(row.value, int | float | Position) for row in rig.rows)


@given(st.integers(0, 10**6), st.integers(1, 3600))
def test_the_time_is_no_finer_than_the_floor(t_s: int, floor_s: int) -> None:
    """A multiple of the floor, not later than the moment and less than one floor before it."""
    one = rule("Test.A", time_floor_s=floor_s)
    sample = minimise(Reading("Test.A", 1, ns(t_s)), one, (), context(one, t_s=t_s))
    assert sample is not None
    assert sample.t_ns % (floor_s * 10**9) == 0
    assert 0 <= ns(t_s) - sample.t_ns < floor_s * 10**9
