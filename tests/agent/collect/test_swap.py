"""A new decision: what stays keeps its state, what goes is forgotten before the next reading, and neither shows in the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.types import Event
from agent.collect.latest import Latest
from agent.collect.pipeline import Pipeline
from agent.collect.window import Windows
from agent.model import Plan, Rule
from agent.vss import EVENT_KIND, LOCATION
from tests.agent.collect.build import ELSEWHERE, Rig, Row, plan, probe, rule

A = rule("Test.A", stream="a")
B = rule("Test.B", stream="b", window_s=60)
PERIODIC = rule("Test.A", stream="p", every_s=10, triggers=("periodic",))


def test_an_unchanged_rule_keeps_its_state() -> None:
    """Nothing is sent again because something else was granted or withdrawn."""
    rig = Rig((A,))
    rig.put("Test.A", 1, 0)
    rig.swap((A, B), 1)
    rig.put("Test.A", 1, 2)
    rig.swap((A,), 3)
    rig.put("Test.A", 1, 4).put("Test.A", 2, 5)
    assert rig.of("Test.A") == [(0, 1), (5, 2)]


def test_a_multiple_is_answered_once_though_the_plan_changes_there() -> None:
    """At the very multiple, just before it and just after it."""
    rig = Rig((PERIODIC,))
    rig.put("Test.A", 1, 1).advance(10)
    for t in (10, 10, 19.9, 20, 20.1):
        rig.swap((PERIODIC, A) if t == 20 else (PERIODIC,), t)
    rig.advance(35)
    assert [row.t for row in rig.rows if row.stream == "tests.p"] == [10, 20, 30]


def test_an_aggregate_goes_on_over_a_swap() -> None:
    """Its window is not begun anew."""
    mean = rule("Test.A", ("mean_s", 10), stream="m")
    rig = Rig((mean,))
    rig.put("Test.A", 0, 0)
    rig.swap((mean, B), 5)
    rig.put("Test.A", 10, 5).advance(10)
    assert rig.of("Test.A") == [(10, 5.0)]


def test_an_event_keeps_its_state() -> None:
    """A condition that stays true is no new edge for a stream that stays."""
    hazard = rule(EVENT_KIND, triggers=("event:rain",))
    rig = Rig((hazard,), events={"rain": Event(when="Test.Wiper >= 3")})
    rig.put("Test.Wiper", 5, 0)
    rig.swap((hazard, A), 1)
    rig.put("Test.Wiper", 4, 2)
    assert [row.t for row in rig.rows] == [0]


def test_a_grant_gives_the_first_sample_of_what_is_known() -> None:
    """The gate tells only changes: a value that another rule had already brought is not told again."""
    rig = Rig((PERIODIC,))
    rig.put("Test.A", 7, 1)
    rig.swap((PERIODIC, A), 5)
    rig.advance(6)
    assert rig.rows == [Row("tests.a", "Test.A", 7, 5)]


def sabotage_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Windows, "drop", lambda *_: None)


def sabotage_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new plan counts one reading too late."""
    original = Pipeline.swap
    waiting: list[tuple[Plan, int]] = []

    def swap(self: Pipeline, new: Plan, t_ns: int) -> None:
        if self.streams:
            waiting.append((new, t_ns))
        else:
            original(self, new, t_ns)

    monkeypatch.setattr(Pipeline, "swap", swap)


@pytest.mark.req("R29", "R30", "T05", control=sabotage_drop)
@pytest.mark.req("R29", "R30", "T05", control=sabotage_late)
def test_what_is_withdrawn_is_forgotten_at_once() -> None:
    """Neither what was collected in its window nor what comes after leaves; what was handed over before is not touched."""
    rig = Rig((A, B))
    rig.put("Test.B", 1, 1).put("Test.A", 1, 2).put("Test.B", 2, 3)
    rig.swap((A,), 4)
    rig.put("Test.B", 3, 4).put("Test.A", 2, 5).advance(200).flush()
    assert rig.of("Test.B") == []
    assert rig.of("Test.A") == [(2, 1), (5, 2)]


def sabotage_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Latest, "forget", lambda *_: None)


@pytest.mark.req("R29", control=sabotage_forget)
def test_a_reading_from_before_a_withdrawal_does_not_come_back() -> None:
    """Granted again, the rule waits for the next frame."""
    rig = Rig((B,))
    rig.put("Test.B", 1, 1)
    rig.swap((A,), 2)
    rig.swap((B,), 3)
    rig.advance(100)
    assert rig.of("Test.B") == []
    rig.put("Test.B", 1, 101).advance(200)
    assert rig.of("Test.B") == [(101, 1)]


def test_withdrawing_while_a_change_is_held() -> None:
    """The held change dies with its rule."""
    held = rule("Test.A", stream="h", every_s=10)
    rig = Rig((held,))
    rig.put("Test.A", 1, 0).put("Test.A", 2, 1)
    rig.swap((), 2)
    rig.advance(60)
    rig.swap((held,), 61)
    assert rig.advance(100).of("Test.A") == [(0, 1)]


def test_an_empty_plan_wants_and_keeps_nothing() -> None:
    """No reading of it stays in RAM, positions included."""
    rig = Rig((A, *probe()))
    rig.ignition("ON", 0).put("Test.A", 1, 1).fix(ELSEWHERE, 2)
    rig.pipeline.swap(Plan(id=b"", rules=(), refused=(), wanted={}, valid_until_ms=None), 10**18)
    assert rig.pipeline.latest.readings == {}
    rig.put("Test.A", 1, 3).fix(ELSEWHERE, 4)
    assert rig.pipeline.latest.readings == {}
    assert LOCATION not in plan(()).wanted


# -- switches are independent -----------------------------------------------------------------------------------------

SHARED: tuple[Rule, ...] = (
    A,
    PERIODIC,
    rule("Test.A", ("count_s", 10), stream="c"),
    rule("Test.A", ("round_to", 10), stream="h", every_s=7, window_s=20),
)
OTHERS: tuple[Rule, ...] = (
    B,
    rule("Test.B", stream="b2", every_s=3, triggers=("periodic",)),
    rule("Test.A", stream="b3", every_s=1, triggers=("periodic",), window_s=5),
)
STORY = st.lists(
    st.one_of(
        st.tuples(st.just("A"), st.integers(0, 30)),
        st.tuples(st.just("B"), st.integers(0, 3)),
        st.tuples(st.just("swap"), st.integers(0, 2 ** len(OTHERS) - 1)),
        st.tuples(st.just("wait"), st.integers(1, 20)),
    ),
    max_size=30,
)


def told(story: list[tuple[str, int]], *, swapping: bool) -> list[Row]:
    """What the shared rules gave."""
    rig, t = Rig(SHARED), 0.0
    for what, number in story:
        t += 0.5
        if what == "wait":
            t += number
            rig.advance(t)
        elif what == "swap" and swapping:
            rig.swap((*SHARED, *(one for i, one in enumerate(OTHERS) if number >> i & 1)), t)
        elif what in "AB":
            rig.put(f"Test.{what}", number, t)
    rig.advance(t + 100).flush()
    names = {one.name for one in SHARED}
    return [row for row in rig.rows if row.stream in names]


def sabotage_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A swap forgets the state of the rules that stay."""
    original = Pipeline.swap

    def swap(self: Pipeline, new: Plan, t_ns: int) -> None:
        self.streams = []
        original(self, new, t_ns)

    monkeypatch.setattr(Pipeline, "swap", swap)


@pytest.mark.req("R08", "T03", control=sabotage_keep)
@given(STORY)
def test_no_switch_shows_in_another_rules_samples(story: list[tuple[str, int]]) -> None:
    """Other rules come and go, on the same signal too: value for value, time for time, these give the same."""
    assert told(story, swapping=True) == told(story, swapping=False)
