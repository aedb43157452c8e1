"""Samples into records: aligned windows, a limit, and `last`."""

from __future__ import annotations

from agent.collect.window import SAMPLES_MAX, Windows
from agent.model import Sample
from tests.agent.collect.build import Rig, ns, rule

A = rule("Test.A", window_s=10)


def sizes(windows: Windows) -> list[int]:
    return [len(draft.samples) for draft in windows.take(trusted=True)]


def add(windows: Windows, t_s: float, **changes: object) -> None:
    windows.add([Sample(rule("Test.A", window_s=10, **changes), 1, ns(t_s))], ns(t_s))


def test_without_a_window_a_record_is_made_at_once() -> None:
    """What one trigger collected is one record."""
    rig = Rig(tuple(rule(name, every_s=10, triggers=("periodic",)) for name in ("Test.A", "Test.B")))
    rig.put("Test.A", 1, 1).put("Test.B", 2, 1).advance(20)
    assert [len(draft.samples) for draft in rig.drafts] == [2, 2]


def test_windows_end_at_multiples_of_their_length() -> None:
    """Wherever they began; the next one begins with the next sample."""
    rig = Rig((A,))
    for t in (7.0, 8.0, 11.0, 19.0, 37.0):
        rig.put("Test.A", t, t)
    assert [[one.value for one in draft.samples] for draft in rig.drafts] == [[7.0, 8.0], [11.0, 19.0]]
    rig.advance(39.9)
    assert len(rig.drafts) == 2
    rig.advance(40)
    assert [one.value for one in rig.drafts[2].samples] == [37.0]


def test_the_end_of_the_run_ends_all_windows() -> None:
    """Nothing that was collected is lost by a clean stop."""
    rig = Rig((A, rule("Test.B", stream="other", window_s=600)))
    rig.put("Test.A", 1, 1).put("Test.B", 1, 2).flush()
    assert len(rig.drafts) == 2


def test_a_record_has_a_largest_size() -> None:
    """The window is cut short and the rest goes into the next record."""
    windows = Windows()
    for _ in range(SAMPLES_MAX + 5):
        add(windows, 1)
    assert sizes(windows) == [SAMPLES_MAX]
    windows.close(ns(10))
    assert sizes(windows) == [5]


def test_streams_and_bases_never_share_a_record() -> None:
    """Each has its own window, and its own key later."""
    windows = Windows()
    add(windows, 1)
    add(windows, 1, stream="other")
    add(windows, 1, basis_ref="ledger:two")
    windows.close(ns(10))
    assert sizes(windows) == [1, 1, 1]


def test_last_leaves_the_newest_of_a_window() -> None:
    """No history of it leaves; a rule without `last` keeps its own."""
    rig = Rig((rule("Test.A", ("last", True), window_s=60), rule("Test.B", window_s=60)))
    for t in range(5):
        rig.put("Test.A", t, t).put("Test.B", t, t)
    rig.advance(60)
    assert [one.value for one in rig.drafts[0].samples if one.rule.signal == "Test.A"] == [4]
    assert len(rig.of("Test.B")) == 5


def test_an_unlinkable_record_carries_no_boot() -> None:
    """The boot would join its messages; a linked one carries it."""
    windows = Windows(boot_for=lambda _: b"boot")
    add(windows, 1)
    add(windows, 1, identity="none", stream="open")
    windows.close(ns(10))
    assert {draft.samples[0].rule.identity: draft.boot for draft in windows.take(trusted=True)} == {"pairwise": b"boot", "none": b""}


def test_dropped_rules_leave_nothing_behind() -> None:
    """Neither in an open window nor among the finished ones; other rules' samples stay."""
    windows = Windows()
    add(windows, 1, id="gone")
    add(windows, 2, id="stays")
    windows.done.append((Sample(rule(id="gone"), 1, ns(0)),))
    windows.drop({"stays"})
    windows.close(ns(10))
    assert [[one.rule.id for one in draft.samples] for draft in windows.take(trusted=True)] == [["stays"]]
