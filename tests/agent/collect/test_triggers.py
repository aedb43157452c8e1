"""When a stream speaks: periods, changes, distances, the start, and what `while` lets through."""

from __future__ import annotations

import pytest

from agent.collect.stream import Stream
from agent.model import Value
from agent.vss import GEAR, ODOMETER, SPEED
from tests.agent.collect.build import Rig, ns, rule
from tests.support.samples import T_NS

DAY_S = 86_400
WEEK_S = 7 * DAY_S


def first_week_s() -> int:
    """The first multiple of a week after T_NS, in the test's seconds."""
    return WEEK_S - (T_NS // 10**9) % WEEK_S


# -- periodic ---------------------------------------------------------------------------------------------------------


def sabotage_multiples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the period from when the stream was armed."""

    def arm(self: Stream, t_ns: int, before: Stream | None) -> None:
        self.next_ns = t_ns + self.every_ns

    monkeypatch.setattr(Stream, "arm", arm)


@pytest.mark.req("R24", control=sabotage_multiples)
def test_periodic_speaks_at_exact_multiples() -> None:
    """`t` is the multiple, wherever the stream began and however the readings lie."""
    rig = Rig((rule(every_s=10, triggers=("periodic",)),), start_s=3.7)
    for i in range(40):
        rig.put("Test.A", i, 4 + i)
    rig.advance(43)
    assert rig.of("Test.A") == [(10, 6), (20, 16), (30, 26), (40, 36)]


def test_a_reading_at_the_multiple_itself_counts() -> None:
    """All frames with that very time stamp come first, whatever their order in the log."""
    rig = Rig(tuple(rule(name, every_s=10, triggers=("periodic",)) for name in ("Test.A", "Test.B")))
    rig.put("Test.A", 1, 9).put("Test.B", 1, 9).put("Test.A", 2, 10).put("Test.B", 2, 10).advance(10)
    assert [(row.signal, row.value) for row in rig.rows] == [("Test.A", 2), ("Test.B", 2)]


def test_a_period_of_a_fraction() -> None:
    """Every 100 ms, without drift."""
    rig = Rig((rule(every_s=0.1, triggers=("periodic",)),))
    rig.put("Test.A", 1, 0.05).advance(1.0)
    assert [t for t, _ in rig.of("Test.A")] == pytest.approx([i / 10 for i in range(1, 11)])


def test_an_unchanged_value_is_repeated_while_its_frame_arrives() -> None:
    """The gate tells changes and silence only: no news is the same value."""
    rig = Rig((rule(every_s=10, triggers=("periodic",)),))
    rig.put("Test.A", 7, 1).advance(65)
    assert rig.of("Test.A") == [(t, 7) for t in range(10, 70, 10)]


@pytest.mark.parametrize(("every_s", "timeout_s"), [(1, 5), (10, 30)])
def test_a_value_whose_frame_is_missing_is_absent(every_s: int, timeout_s: int) -> None:
    """From max(3 x every, 5 s) after its last frame on; with the next frame it is there again."""
    rig = Rig((rule(every_s=every_s, triggers=("periodic",)),))
    rig.put("Test.A", 7, 1).silence("Test.A", 4, 4 + 5)
    rig.advance(100)
    assert [t for t, _ in rig.of("Test.A")] == [t for t in range(every_s, 100, every_s) if t < 4 + timeout_s]
    rig.put("Test.A", 7, 100.5).advance(110)
    assert rig.of("Test.A")[-1] == (110, 7)


def test_each_rule_of_a_stream_gives_what_it_has() -> None:
    """A signal that never came leaves the others as they are; all carry the same time."""
    rig = Rig(tuple(rule(name, every_s=10, triggers=("periodic",)) for name in ("Test.A", "Test.B", "Test.C")))
    rig.put("Test.A", 1, 1).put("Test.C", 3, 2).advance(10)
    assert [(row.signal, row.t) for row in rig.rows] == [("Test.A", 10), ("Test.C", 10)]


def test_time_floor_coarsens_the_time_only() -> None:
    """The value is the newest, its time the floor's multiple."""
    rig = Rig((rule(every_s=15, time_floor_s=10, triggers=("periodic",)),))
    rig.put("Test.A", 1, 1).put("Test.A", 2, 29).advance(45)
    assert rig.of("Test.A") == [(10, 1), (30, 2), (40, 2)]


# -- a day or more ----------------------------------------------------------------------------------------------------


def test_a_missed_week_is_made_up_once() -> None:
    """Off at the multiple: answered when the value is known again, as of that multiple, once; then the next as usual."""
    weekly, week = rule(every_s=WEEK_S, triggers=("periodic",)), first_week_s()
    before = Rig((weekly,), start_s=100)
    before.put("Test.A", 1, 101).advance(200)
    after = Rig((weekly,), memory=before.memory, start_s=week + 3 * DAY_S)
    after.advance(week + 3 * DAY_S + 50)
    assert after.rows == []
    after.put("Test.A", 5, week + 3 * DAY_S + 60).advance(week + 3 * DAY_S + 600)
    assert after.of("Test.A") == [(week, 5)]
    again = Rig((weekly,), memory=before.memory, start_s=week + 4 * DAY_S)
    again.put("Test.A", 6, week + 4 * DAY_S + 1).advance(week + 5 * DAY_S)
    assert again.rows == []


def late(day: float) -> Rig:
    """Two signals of one stream that missed a day, at `day`, and are not known yet."""
    rules = tuple(rule(name, every_s=DAY_S, triggers=("periodic",)) for name in ("Test.A", "Test.B"))
    return Rig(rules, memory=Rig(rules, start_s=100).memory, start_s=day)


def test_a_missed_day_waits_for_every_signal() -> None:
    """The one that comes first does not leave the other out."""
    rig = late(DAY_S + 100)
    rig.put("Test.A", 1, DAY_S + 101).put("Test.B", 2, DAY_S + 140).advance(DAY_S + 600)
    assert [(row.signal, row.t) for row in rig.rows] == [("Test.A", DAY_S), ("Test.B", DAY_S)]


def test_a_missed_day_does_not_wait_for_ever() -> None:
    """A minute after the stream could first say something it says what it has."""
    rig = late(DAY_S + 100)
    rig.advance(DAY_S + 1000)
    rig.put("Test.A", 1, DAY_S + 1000.5).advance(DAY_S + 1060)
    assert rig.rows == []
    rig.swap(rig.rules, DAY_S + 1060.5)
    assert rig.advance(DAY_S + 1062).of("Test.A") == [(DAY_S, 1)]


def test_several_missed_days_are_one() -> None:
    """After a month in the garage one report, not thirty."""
    daily = rule(every_s=DAY_S, triggers=("periodic",))
    before = Rig((daily,), start_s=100)
    after = Rig((daily,), memory=before.memory, start_s=30 * DAY_S + 100)
    after.put("Test.A", 5, 30 * DAY_S + 101).advance(30 * DAY_S + 1000)
    assert after.of("Test.A") == [(30 * DAY_S, 5)]


def test_the_first_start_owes_nothing() -> None:
    """Nothing was missed by a stream that did not exist."""
    rig = Rig((rule(every_s=DAY_S, triggers=("periodic",)),), start_s=5 * DAY_S + 100)
    rig.put("Test.A", 1, 5 * DAY_S + 101).advance(5 * DAY_S + 1000)
    assert rig.rows == []


def sabotage_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "basis", b"")


@pytest.mark.req("R29", control=sabotage_basis)
def test_a_new_grant_owes_nothing_from_before_it() -> None:
    """A multiple that passed while nothing was granted is not made up."""
    daily = rule(every_s=DAY_S, triggers=("periodic",), basis_ref="ledger:one")
    rig = Rig((daily,), start_s=DAY_S - 100)
    rig.swap((), DAY_S - 50)
    rig.advance(DAY_S + 50)
    rig.swap((rule(every_s=DAY_S, triggers=("periodic",), basis_ref="ledger:two"),), DAY_S + 100)
    rig.put("Test.A", 1, DAY_S + 101).advance(DAY_S + 1000)
    assert rig.rows == []


def test_a_made_up_report_does_not_use_a_frame_that_fell_silent() -> None:
    """What counts is whether the frame arrives now, not at the multiple."""
    daily = rule(every_s=DAY_S, triggers=("periodic",), while_="parked")
    before = Rig((daily,), start_s=100)
    after = Rig((daily,), memory=before.memory, start_s=DAY_S + 100)
    after.put("Test.A", 5, DAY_S + 101)
    after.pipeline.latest.unseen_since_ns["Test.A"] = ns(-3 * DAY_S)
    after.ignition("OFF", DAY_S + 102).advance(DAY_S + 200)
    assert after.rows == []
    after.put("Test.A", 5, DAY_S + 201).advance(DAY_S + 300)
    assert after.of("Test.A") == [(DAY_S, 5)]


# -- on change --------------------------------------------------------------------------------------------------------


def test_on_change_gives_the_first_and_every_different_one() -> None:
    """Different after the transforms; a value of another type is different."""
    rig = Rig((rule("Test.A", ("round_to", 10)),))
    for t, value in enumerate((3, 4, 6, 14, 16, -1, True, 0)):
        rig.put("Test.A", value, t)
    assert rig.of("Test.A") == [(0, 0), (2, 10), (4, 20), (5, 0)]
    texts = Rig((rule(),))
    said: list[Value] = ["ON", "ON", True, 1, 1.0, "ON"]
    for t, text in enumerate(said):
        texts.put("Test.A", text, t)
    assert texts.of("Test.A") == [(0, "ON"), (2, True), (3, 1), (4, 1.0), (5, "ON")]


def test_a_change_inside_every_s_waits_for_its_end() -> None:
    """It is sent then, as of then, if it still differs."""
    rig = Rig((rule(every_s=10),))
    rig.put("Test.A", 1, 0).put("Test.A", 2, 3).put("Test.A", 3, 4).advance(30)
    assert rig.of("Test.A") == [(0, 1), (10, 3)]


def test_a_change_that_was_taken_back_is_not_sent() -> None:
    """1-2-1 within `every_s` is nothing; a later change is free at once."""
    rig = Rig((rule(every_s=10),))
    rig.put("Test.A", 1, 0).put("Test.A", 2, 3).put("Test.A", 1, 4).put("Test.A", 5, 14)
    assert rig.advance(60).of("Test.A") == [(0, 1), (14, 5)]


def test_a_held_change_whose_frame_fell_silent_is_dropped() -> None:
    """What is not known any more is not sent."""
    rig = Rig((rule(every_s=10),))
    rig.put("Test.A", 1, 0).put("Test.A", 2, 1).silence("Test.A", 1, 6)
    rig.pipeline.latest.unseen_since_ns["Test.A"] = ns(-30)
    assert rig.advance(60).of("Test.A") == [(0, 1)]


def test_driving_begins_and_what_is_known_counts() -> None:
    """A stream that waited for `driving` gets its first sample then, though nothing changed."""
    rig = Rig((rule(while_="driving"),))
    rig.put("Test.A", 5, 0).ignition("ON", 1)
    assert rig.rows == []
    rig.put(SPEED, 20, 2).put("Test.A", 6, 3)
    assert rig.of("Test.A") == [(2, 5), (3, 6)]


@pytest.mark.parametrize(
    ("while_", "want"),
    [("any", [0, 10, 20, 30, 40, 50]), ("driving", [30, 40]), ("parked", [0, 50])],
)
def test_while(while_: str, want: list[Value]) -> None:
    """Off at first; ignition; gear D; moving; then a jam; off."""
    rig = Rig((rule(while_=while_),))
    rig.ignition("OFF", 0).put("Test.A", 0, 1)
    rig.ignition("ON", 9).put("Test.A", 10, 10)
    rig.put(GEAR, 127, 19).put("Test.A", 20, 20)
    rig.put(SPEED, 30, 29).put("Test.A", 30, 30)
    rig.put(SPEED, 0, 39).put("Test.A", 40, 40)
    rig.ignition("OFF", 49).put("Test.A", 50, 50)
    late = {value for _, value in rig.of("Test.A")} - set(want)
    assert late <= {20, 40}  # what was known when the state began
    assert [value for _, value in rig.of("Test.A") if value in want] == want


def test_unknown_ignition_collects_only_for_any() -> None:
    """Undecidable means no."""
    rig = Rig(tuple(rule(stream=name, while_=name) for name in ("any", "driving", "parked")))
    rig.put(SPEED, 50, 0).put("Test.A", 1, 1)
    assert [row.stream for row in rig.rows] == ["tests.any"]


# -- distance, start --------------------------------------------------------------------------------------------------


def test_distance_speaks_at_each_multiple() -> None:
    """Not at the first reading, then whenever a multiple was passed, once however many lie between."""
    rig = Rig((rule(triggers=("distance:1000",)),))
    rig.put("Test.A", 1, 0)
    for t, km in enumerate((10_999.0, 10_999.9, 11_000.0, 11_400, 11_999.9, 14_200, 14_900)):
        rig.put(ODOMETER, km, 1 + t)
    assert [t for t, _ in rig.of("Test.A")] == [3, 6]


def test_a_multiple_passed_while_off_counts_at_the_next_reading() -> None:
    """The odometer is the memory; a restart in between answers nothing twice."""
    service = rule(triggers=("distance:1000",))
    before = Rig((service,))
    before.put(ODOMETER, 1_990, 1)
    after = Rig((service,), memory=before.memory)
    after.put("Test.A", 1, 9).put(ODOMETER, 2_010, 10)
    again = Rig((service,), memory=before.memory)
    again.put("Test.A", 1, 19).put(ODOMETER, 2_011, 20)
    assert (len(after.rows), len(again.rows)) == (1, 0)


@pytest.mark.req("R29", control=sabotage_basis)
def test_kilometres_before_a_grant_are_not_owed() -> None:
    """Neither those of a stream that was withdrawn nor those of another grant; the next multiple is answered."""
    rig = Rig((rule(triggers=("distance:1000",), basis_ref="ledger:one"),))
    rig.put(ODOMETER, 1_990, 1)
    rig.swap((), 2)
    rig.put(ODOMETER, 5_010, 3)
    rig.swap((rule(triggers=("distance:1000",), basis_ref="ledger:two"),), 4)
    rig.put("Test.A", 1, 5).put(ODOMETER, 5_011, 6)
    assert rig.rows == []
    assert [t for t, _ in rig.put(ODOMETER, 6_000, 7).of("Test.A")] == [7]


@pytest.mark.parametrize("value", ["far", True, float("nan"), float("inf"), ("x",)])
def test_an_odometer_that_says_nonsense_is_ignored(value: Value) -> None:
    """No sample, no memory, no exception; one that jumps back starts anew without a word."""
    rig = Rig((rule(triggers=("distance:1000",)),))
    rig.put("Test.A", 1, 0).put(ODOMETER, value, 1)
    assert rig.memory.keys("distance/") == []
    rig.put(ODOMETER, 5_500, 2).put(ODOMETER, 900, 3).put(ODOMETER, 990, 4)
    assert rig.rows == []


def test_start_speaks_once() -> None:
    """When the agent begins, and not when it is asked again or the plan changes."""
    report = rule("Modicum.Health.Samples", triggers=("start",))
    rig = Rig((report,), health={"Modicum.Health.Samples": 4})
    rig.start(1).start(2)
    rig.swap((report,), 3)
    rig.start(4)
    assert rig.of("Modicum.Health.Samples") == [(1, 4)]


def test_the_agents_own_signals_are_looked_at_once_a_second() -> None:
    """A change shows at the next tick."""
    rig = Rig((rule("Modicum.Health.Samples"),), health={"Modicum.Health.Samples": 4})
    rig.advance(0)
    rig.health["Modicum.Health.Samples"] = 5
    rig.advance(10)
    assert [value for _, value in rig.of("Modicum.Health.Samples")] == [4, 5]
