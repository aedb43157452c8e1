"""Aggregates over aligned windows, against a reference that looks at every second of the window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS
from agent.collect.aggregates import KINDS, Aggregate
from agent.model import Reading, Value
from tests.agent.collect.build import Rig, ns, rule
from tests.support.samples import T_NS

WINDOW_S = 10


@dataclass(frozen=True)
class Change:
    """At `t` whole seconds: a new value, or None for the frame falling silent."""

    t: int
    value: int | None


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Changes at strictly rising seconds; two silences never in a row."""
    times = sorted(draw(st.sets(st.integers(0, 80), min_size=1, max_size=14)))
    found: list[Change] = []
    for t in times:
        silent = bool(found) and found[-1].value is not None and draw(st.booleans())
        found.append(Change(t, None if silent else draw(st.integers(-5, 5))))
    return found


def reference(kind: str, history: list[Change], end_s: int) -> dict[int, float]:
    """Second by second: what was known in each window, and what follows from it."""
    results: dict[int, float] = {}
    for start in range(0, end_s, WINDOW_S):
        held: int | None = None
        seen: list[int] = []
        seconds: list[int] = []
        changes = 0
        for t in range(start + WINDOW_S):
            here = [change for change in history if change.t == t]
            for change in here:
                changes += t >= start and change.value is not None and change.value != held
                held = change.value
            if t >= start and held is not None:
                seconds.append(held)
                seen.append(held)
        if seconds:
            values = {"mean_s": sum(seconds) / len(seconds), "min_s": min(seen), "max_s": max(seen), "count_s": changes}
            results[start + WINDOW_S] = values[kind]
    return results


def run(kind: str, history: list[Change], end_s: int) -> dict[int, float]:
    """The same through the product."""
    aggregate, done = Aggregate(kind, WINDOW_S, "Test.A"), []
    for change in history:
        done += aggregate.close(ns(change.t))
        if change.value is None:
            aggregate.silent(ns(change.t))
        else:
            aggregate.feed(Reading("Test.A", change.value, ns(change.t)))
    done += aggregate.close(ns(end_s))
    assert all(isinstance(one.value, int | float) for one in done)
    return {(one.t_ns - T_NS) // NS: one.value for one in done}  # type: ignore[misc]  # asserted above


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(histories())
def test_an_aggregate_is_what_the_seconds_say(kind: str, history: list[Change]) -> None:
    """Every window with known time gives its result at its end; silence counts for nothing; no other window gives any."""
    want = reference(kind, history, 100)
    got = run(kind, history, 100)
    assert got.keys() == want.keys()
    assert all(math.isclose(got[t], want[t], abs_tol=1e-9) for t in want)


def test_a_mean_is_weighted_by_time() -> None:
    """Nine seconds of 0 and one of 10 make 1, not 5."""
    assert run("mean_s", [Change(0, 0), Change(9, 10)], 10) == {10: 1.0}


def test_a_frame_without_news_counts_for_nothing() -> None:
    """A reading that repeats the value was brought by another signal of its frame; whose rule is live must not show here."""
    assert run("count_s", [Change(1, 3), Change(2, 3), Change(3, 3), Change(4, 5)], 10) == {10: 2}


@given(st.floats(allow_nan=True), st.text(max_size=2), st.booleans())
def test_what_is_no_number_is_not_aggregated(value: float, text: str, flag: bool) -> None:
    """Texts, truth values and non-finite numbers change nothing."""
    aggregate = Aggregate("mean_s", WINDOW_S, "Test.A")
    said: list[Value] = [4, text, flag, value if not math.isfinite(value) else math.nan]
    for t, one in enumerate(said):
        aggregate.feed(Reading("Test.A", one, ns(t)))
    assert [one.value for one in aggregate.close(ns(10))] == [4]


def test_it_sees_every_change_before_the_trigger() -> None:
    """A peak between two periodic samples is in the maximum, and `t` is the window's end."""
    rig = Rig((rule("Test.A", ("max_s", 10), every_s=10, triggers=("periodic",)),))
    rig.put("Test.A", 1, 1).put("Test.A", 99, 3).put("Test.A", 2, 3.5)
    assert rig.advance(30).of("Test.A") == [(10, 99), (20, 2), (30, 2)]


def test_steps_stand_before_and_after() -> None:
    """What stands before an aggregate bounds what it sees; what stands after rounds what it says."""
    rig = Rig((rule("Test.A", ("clamp", [0, 50]), ("mean_s", 10), ("round_to", 10)),))
    rig.put("Test.A", 400, 0).put("Test.A", 6, 5)
    assert rig.advance(10).of("Test.A") == [(10, 30)]


def test_on_change_speaks_at_window_ends_only() -> None:
    """Equal results are not repeated."""
    rig = Rig((rule("Test.A", ("min_s", 10)),))
    rig.put("Test.A", 5, 1).put("Test.A", 7, 2)
    rig.advance(25).put("Test.A", 9, 25)
    assert rig.advance(60).of("Test.A") == [(10, 5), (20, 7), (40, 9)]


def test_a_window_without_a_word_is_left_out() -> None:
    """After silence nothing is repeated until the frame comes again."""
    rig = Rig((rule("Test.A", ("count_s", 10)),))
    rig.put("Test.A", 5, 1).silence("Test.A", 4, 9)
    rig.put("Test.A", 5, 41)
    assert rig.advance(50).of("Test.A") == [(10, 1)]
    assert run("count_s", [Change(1, 5), Change(4, None), Change(41, 5)], 60) == {10: 1, 50: 1, 60: 0}
