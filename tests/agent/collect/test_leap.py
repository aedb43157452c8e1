"""A leap of the axis in the pipeline: what ends, what begins anew, what keeps its distance."""

from __future__ import annotations

from tests.agent.collect.build import Rig, ns, rule

DAY_S = 86_400


def leap(rig: Rig, from_s: float, to_s: float, passed_s: float = 0) -> Rig:
    rig.pipeline.leap(ns(from_s), ns(to_s), ns(passed_s) - ns(0))
    return rig.advance(to_s)


def test_a_day_that_the_leap_skipped_is_made_up_once() -> None:
    """Not for each of the days, and as of the newest; then the next as usual."""
    rig = Rig((rule(every_s=DAY_S, triggers=("periodic",)),), start_s=100)
    rig.put("Test.A", 1, 101)
    leap(rig, 200, 3 * DAY_S + 500)
    assert rig.rows == []
    rig.put("Test.A", 5, 3 * DAY_S + 510).advance(3 * DAY_S + 900)
    assert rig.of("Test.A") == [(3 * DAY_S, 5)]
    rig.advance(4 * DAY_S + 10)
    assert rig.of("Test.A")[1:] == [(4 * DAY_S, 5)]


def test_an_axis_that_goes_back_answers_its_multiples() -> None:
    """A stream of each ten seconds goes on at the earlier time, not only when the later one is reached again."""
    rig = Rig((rule(every_s=10, triggers=("periodic",)),), start_s=5000)
    rig.put("Test.A", 1, 5001)
    leap(rig, 5005, 1003)
    rig.put("Test.A", 2, 1004).advance(1025)
    assert rig.of("Test.A") == [(1010, 2), (1020, 2)]


def test_an_aggregate_begins_anew() -> None:
    """What its window had seen belongs to no moment any more; nothing is held over the gap."""
    rig = Rig((rule("Test.A", ("max_s", 10)),), start_s=0)
    rig.put("Test.A", 90, 2)
    leap(rig, 5, 1005)
    rig.put("Test.A", 7, 1006).advance(1011)
    assert rig.of("Test.A") == [(1010, 7)]


def test_the_gap_between_two_changes_is_one_of_time_that_passed() -> None:
    """`every_s` after the last sample, wherever the axis was moved meanwhile."""
    rig = Rig((rule(every_s=30),), start_s=0)
    rig.put("Test.A", 1, 2)
    leap(rig, 5, 1005)
    rig.put("Test.A", 2, 1006).advance(1050)
    assert rig.of("Test.A") == [(2, 1), (1032, 2)]
