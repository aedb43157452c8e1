"""What was before an event and what comes after it: held in memory, minimised, released by the event alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.types import Event
from agent.clock import NS
from agent.collect.pipeline import Pipeline
from agent.collect.window import Windows
from agent.model import Rule
from agent.storage.memory import DictMemory
from agent.vss import EVENT_KIND, IGNITION, LOCATION, SPEED
from tests.agent.collect.build import ELSEWHERE, Rig, ns, rule

EVENTS = {"hard": Event(when="Test.Hard == 1", min_gap_s=0)}
TICK_S = 1
AROUND = {"every_s": 2, "before_s": 10, "after_s": 6, "triggers": ("event:hard",)}


def around(signal: str = "Test.A", *steps: tuple[str, object], **changes: object) -> Rule:
    return rule(signal, *steps, **(AROUND | changes))


def driven(*rules: Rule, until_s: float = 30) -> Rig:
    """A value that counts the seconds, one second after the other, and no event yet."""
    rig = Rig(rules or (around(),), EVENTS)
    rig.put("Test.Hard", 0, 0.1)
    for t_s in range(1, int(until_s) + 1):
        rig.put("Test.A", t_s, t_s)
    return rig


def sabotage_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What should be held goes out at once."""
    monkeypatch.setattr(Windows, "hold", lambda self, stream, samples, *_: self.add(samples, 0))


@pytest.mark.req("R24", control=sabotage_hold)
def test_without_an_event_nothing_leaves() -> None:
    """However long it is held: neither as time passes nor when the run ends."""
    assert driven().advance(60).flush().rows == []


def test_an_event_releases_what_was_before_and_goes_on_after() -> None:
    """Each multiple within 10 s before, the moment itself, each multiple within 6 s after; nothing more."""
    rig = driven(until_s=24)
    rig.put("Test.Hard", 1, 24.5)
    for t_s in range(25, 40):
        rig.put("Test.A", t_s, t_s)
    rig.advance(60)
    assert rig.of("Test.A") == [(16, 16), (18, 18), (20, 20), (22, 22), (24, 24), (24.5, 24), (26, 26), (28, 28), (30, 30)]


def test_what_was_before_is_one_record_with_the_event() -> None:
    """At once: it does not wait for what comes after."""
    rig = driven(until_s=24)
    rig.put("Test.Hard", 1, 24.5)
    assert [len(draft.samples) for draft in rig.drafts] == [6]


def test_a_second_event_tells_nothing_twice() -> None:
    """What the first released, and what came after it, is not held for the next."""
    rig = driven(until_s=20)
    rig.put("Test.Hard", 1, 20.5).put("Test.Hard", 0, 21).put("Test.A", 23, 23).put("Test.Hard", 1, 24.5).advance(60)
    times = [t for t, _ in rig.of("Test.A")]
    assert times == [12, 14, 16, 18, 20, 20.5, 22, 24, 24.5, 26, 28, 30]


def test_an_event_at_a_multiple_is_told_once() -> None:
    """The event speaks for that moment."""
    rig = driven(until_s=20)
    rig.put("Test.Hard", 1, 22).advance(60)
    assert [t for t, _ in rig.of("Test.A")] == [12, 14, 16, 18, 20, 22, 24, 26, 28]


def test_only_before_or_only_after() -> None:
    """Each works without the other."""
    before = driven(around(after_s=0), until_s=20).put("Test.Hard", 1, 21).advance(60)
    after = driven(around(before_s=0), until_s=20).put("Test.Hard", 1, 21).advance(60)
    assert [t for t, _ in before.of("Test.A")] == [12, 14, 16, 18, 20, 21]
    assert [t for t, _ in after.of("Test.A")] == [21, 22, 24, 26]


def test_what_is_held_is_minimised_already() -> None:
    """The values in memory are those that may leave."""
    rig = driven(around("Test.A", ("round_to", 10)), until_s=18)
    held = rig.pipeline.windows.held["tests.plain"]
    assert [sample.value for _, samples in held for sample in samples] == [10, 10, 10, 10, 20]


@given(before_s=st.integers(1, 60), every_s=st.integers(1, 60), until_s=st.integers(1, 200))
def test_nothing_is_held_longer_than_it_may(before_s: int, every_s: int, until_s: int) -> None:
    """Neither the oldest is too old nor are there more than fit into the time."""
    rig = driven(around(before_s=before_s, every_s=every_s), until_s=until_s)
    held = [sample for _, samples in rig.pipeline.windows.held.get("tests.plain", ()) for sample in samples]
    assert len(held) <= before_s // every_s + 1
    assert all(ns(until_s) - sample.t_ns <= (before_s + TICK_S) * NS for sample in held)


def test_a_rule_that_ends_takes_what_was_held_with_it() -> None:
    """The event comes under a plan that no longer has it."""
    one, other = around(), around("Test.B")
    rig = driven(one, other, until_s=20)
    rig.put("Test.B", 7, 20)
    rig.swap((other,), 20.5)
    assert all(sample.rule == other for held in rig.pipeline.windows.held.values() for _, samples in held for sample in samples)
    rig.put("Test.Hard", 1, 21).advance(60)
    assert {row.signal for row in rig.rows} == {"Test.B"}


def test_a_grant_anew_does_not_find_what_was_held_under_the_old_one() -> None:
    """Another basis is another rule."""
    rig = driven(until_s=20)
    rig.swap((around(basis_ref="ledger:9"),), 20.5)
    rig.put("Test.Hard", 1, 21).advance(60)
    assert min(t for t, _ in rig.of("Test.A")) == 21


def test_a_plan_that_keeps_the_rule_keeps_what_is_held() -> None:
    """And the event that goes on goes on."""
    one = around()
    rig = driven(one, until_s=20)
    rig.swap((one, around("Test.B")), 20.5)
    rig.put("Test.Hard", 1, 21)
    rig.swap((one,), 22.5)
    rig.advance(60)
    assert [t for t, _ in rig.of("Test.A")] == [12, 14, 16, 18, 20, 21, 22, 24, 26]


def test_an_event_that_may_not_be_told_releases_nothing() -> None:
    """`while` holds for the event; what is held grows old meanwhile."""
    rig = Rig((around(while_="parked"),), EVENTS)
    rig.put("Test.Hard", 0, 0.1).ignition("OFF", 0.2).put("Test.A", 1, 1).advance(10)
    rig.ignition("ON", 10.5).put("Test.Hard", 1, 11).advance(60)
    assert rig.rows == []


def sabotage_end_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "end_events", lambda _: None)


@pytest.mark.req("R24", control=sabotage_end_events)
@pytest.mark.parametrize(
    ("signal", "category", "state"), [(LOCATION, "position", "OFF"), ("Test.A", "status", "OFF"), ("Test.A", "status", "ON")]
)
def test_what_was_held_ends_with_the_ignition(signal: str, category: str, state: str) -> None:
    """Off, and on again: an event two seconds later tells nothing of before, whatever it is of."""
    rig = Rig((around(signal, category=category),), EVENTS)
    rig.put("Test.Hard", 0, 0.1).ignition("OFF" if state == "ON" else "ON", 0.2)
    for t_s in range(1, 21):
        rig.fix(ELSEWHERE, t_s).put("Test.A", t_s, t_s)
    rig.ignition(state, 20.5).put("Test.Hard", 1, 21).put("Test.Hard", 0, 21.5).flush()
    assert [row for row in rig.rows if row.t < 20.5] == []
    assert rig.pipeline.windows.held == {}


def test_an_event_does_not_go_on_after_the_ignition() -> None:
    """What it set off ends as what was before it does."""
    rig = driven(until_s=20)
    rig.ignition("ON", 20.2).put("Test.Hard", 1, 21).ignition("OFF", 23).advance(60)
    assert [t for t, _ in rig.of("Test.A")] == [21, 22]


def test_an_ignition_that_is_lost_ends_it_too() -> None:
    """Nobody knows whether the same person drives."""
    rig = Rig((around(),), EVENTS)
    rig.put("Test.Hard", 0, 0.1).ignition("ON", 0.2)
    for t_s in range(1, 21):
        rig.put("Test.A", t_s, t_s)
    rig.silence(IGNITION, 15, 20.5).put("Test.Hard", 1, 21)
    assert [row for row in rig.rows if row.t < 20.5] == []


def test_of_what_is_taken_last_only_the_newest_is_released() -> None:
    """`last` holds for a record, whenever its samples were taken."""
    rig = driven(around("Test.A", ("last", True)), until_s=20)
    rig.put("Test.Hard", 1, 21)
    assert rig.of("Test.A") == [(21, 20)]


def test_an_event_of_another_stream_is_not_said() -> None:
    """At a multiple of this one, or at the very moment of its own event: each stream names its own."""
    events = EVENTS | {"other": Event(when="Test.Other == 1", min_gap_s=0)}
    own, other = around(EVENT_KIND), around(EVENT_KIND, stream="other", triggers=("event:other",))
    rig = Rig((own, other), events)
    rig.put("Test.Hard", 0, 0.1).put("Test.Other", 0, 0.1).put("Test.Other", 1, 20).advance(21)
    rig.put("Test.Hard", 1, 22.5).advance(60)
    assert [(row.stream, row.t, row.value) for row in rig.rows] == [("tests.other", 20, "other"), ("tests.plain", 22.5, "hard")]


def test_a_period_of_a_day_makes_up_for_nothing() -> None:
    """Whatever a catalogue says: without an event nothing is said, also after a restart on another day."""
    memory, one = DictMemory(), around(every_s=86_400)
    Rig((one,), EVENTS, memory=memory).put("Test.A", 1, 1)
    rig = Rig((one,), EVENTS, memory=memory, start_s=3 * 86_400).put("Test.A", 1, 3 * 86_400 + 1)
    assert rig.advance(3 * 86_400 + 200).flush().rows == []


def test_which_event_it_was_is_said_at_the_event_alone() -> None:
    """Not beside what came before, which knew nothing of it, nor after an earlier one."""
    rig = driven(around(), around(EVENT_KIND), until_s=20)
    rig.put("Test.Hard", 1, 21).advance(60)
    rig.put("Test.Hard", 0, 61).put("Test.Hard", 1, 81).advance(120)
    assert rig.of(EVENT_KIND) == [(21, "hard"), (81, "hard")]


def test_a_leap_of_the_axis_forgets_what_was_held() -> None:
    """Its times are no longer of this axis."""
    rig = driven(until_s=20)
    rig.pipeline.leap(20_000_000_000, 80_000_000_000, 1)
    assert rig.pipeline.windows.held == {}


def test_speed_before_a_trip_is_not_told() -> None:
    """`while = "driving"` holds for each moment that is held."""
    rig = Rig((around(SPEED, while_="driving"),), EVENTS)
    rig.put("Test.Hard", 0, 0.1).put(IGNITION, "ON", 0.2).put(SPEED, 0, 1)
    rig.put(SPEED, 20, 15).put("Test.Hard", 1, 19).advance(60)
    assert [t for t, _ in rig.of(SPEED)][:3] == [16, 18, 19]
