"""The end of a drive as a trigger: the ignition goes off, and the trip is over."""

from __future__ import annotations

import pytest

from agent.collect import minimise as minimise_module
from agent.collect.trip import TRIP_GAP_S
from agent.model import Rule
from agent.vss import IGNITION, LOCATION, SPEED
from tests.agent.collect.build import ELSEWHERE, Rig, ns, rule

OFF = rule("Test.A", stream="off", triggers=("ignition_off",))
END = rule("Test.A", stream="end", triggers=("trip_end",))


def driven(*rules: Rule, off_s: float | None = 10) -> Rig:
    """A drive of ten seconds."""
    rig = Rig(rules)
    rig.ignition("ON", 0).put("Test.A", 7, 1)
    return rig if off_s is None else rig.ignition("OFF", off_s)


def test_ignition_off_speaks_once_at_the_edge() -> None:
    """Not again while it stays off, whatever word says so; again after the next drive."""
    rig = driven(OFF).ignition("LOCK", 11).ignition("OFF", 12).advance(500)
    assert rig.of("Test.A") == [(10, 7)]
    assert rig.ignition("ON", 501).ignition("ACC", 502).of("Test.A")[1:] == [(502, 7)]


def test_an_agent_that_starts_in_a_parked_car_has_seen_no_edge() -> None:
    """Unknown to off is none, nor is an ignition that was only lost."""
    rig = Rig((OFF,))
    rig.put("Test.A", 7, 0).ignition("OFF", 1)
    rig.ignition("ON", 2).silence(IGNITION, 3, 8).ignition("OFF", 9)
    assert rig.rows == []


def test_the_ignition_may_be_told_by_something_else_than_a_reading() -> None:
    """A pin of the unit."""
    rig = Rig((OFF,))
    for on, t in ((True, 0), (False, 10), (False, 11)):
        rig.pipeline.ignite(on, ns(t))
        rig.put("Test.A", 7, t)
    assert rig.advance(12).of("Test.A") == [(10, 7)]


def test_the_trip_end_speaks_once_when_the_stop_has_become_long() -> None:
    """Three minutes after the ignition went off, a second of the tick more at most."""
    rig = driven(END).advance(10 + TRIP_GAP_S)
    assert rig.rows == []
    [(t, value)] = rig.advance(1000).of("Test.A")
    assert (10 + TRIP_GAP_S < t <= 10 + TRIP_GAP_S + 1, value) == (True, 7)


def test_a_short_stop_is_no_end() -> None:
    """The trip goes on."""
    assert driven(END).ignition("ON", 10 + TRIP_GAP_S).advance(1000).rows == []


def test_a_lost_ignition_ends_the_trip_too() -> None:
    """The bus fell asleep without a word."""
    rig = driven(END, off_s=None).silence(IGNITION, 20, 25).advance(20 + TRIP_GAP_S)
    assert rig.rows == []
    assert [value for _, value in rig.advance(1000).of("Test.A")] == [7]


def test_a_bus_that_sleeps_by_then_has_said_its_last_value() -> None:
    """What fell silent while driving is not among it."""
    rules = tuple(rule(name, stream="end", triggers=("trip_end",)) for name in ("Test.A", "Test.B"))
    rig = driven(*rules, off_s=None).put("Test.B", 8, 1).silence("Test.B", 2, 7)
    rig.ignition("OFF", 100).silence("Test.A", 130, 135).advance(1000)
    assert [(row.signal, row.value) for row in rig.rows] == [("Test.A", 7)]


def sabotage_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimise_module, "_tells_place", lambda *_: False)


@pytest.mark.req("R23", "T11", control=sabotage_place)
@pytest.mark.parametrize("again_s", [None, TRIP_GAP_S + 10.3])
def test_no_place_at_the_end(again_s: float | None) -> None:
    """Neither at the edge nor at the trip's end, also where the next ignition is what tells that the last trip is over."""
    stream = {"triggers": ("ignition_off", "trip_end")}
    rig = Rig((rule(LOCATION, ("grid_m", 200), category="position", **stream), rule(SPEED, **stream)))
    rig.ignition("ON", 0).put(SPEED, 50, 1).fix(ELSEWHERE, 9.9).ignition("OFF", 10.2)
    rig = rig.advance(1000) if again_s is None else rig.ignition("ON", again_s)
    assert [row.signal for row in rig.rows] == [SPEED, SPEED]
