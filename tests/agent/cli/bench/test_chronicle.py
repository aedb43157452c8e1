"""agent.cli.bench.chronicle: what left is told with a rule that was in force when it left."""

from __future__ import annotations

from typing import Any

from agent.cli.bench.chronicle import PLANS_MAX, Chronicle, Document

STREAM, SIGNAL = "a.x", "Vehicle.Speed"


def plan(name: str, because: str | None = None) -> dict[str, Any]:
    """A plan with one rule, or none."""
    rules = [{"service": "a", "stream": "x", "signal": SIGNAL, "because": because}] if because else []
    return {"id": name, "rules": rules, "refused": []}


def line(n: int, signal: str = SIGNAL) -> dict[str, Any]:
    return {"service": "a", "stream": "x", "signal": signal, "seq": n}


def of_stream(rule: Document) -> bool:
    return bool(rule["stream"] == "x")


def because(chronicle: Chronicle) -> list[str]:
    return [rule["because"] for rule in chronicle.left[STREAM, SIGNAL]]


def test_a_grant_that_came_later_is_not_what_something_left_under() -> None:
    """Sent under entry 1, withdrawn, granted anew as entry 2, and nothing more left: entry 1 alone."""
    chronicle = Chronicle()
    chronicle.note([], plan("1", "entry 1"))
    chronicle.note([line(1)])
    chronicle.note([line(1)], plan("2"))
    chronicle.note([line(1)], plan("3", "entry 2"))
    assert because(chronicle) == ["entry 1"]


def test_what_left_under_two_grants_is_told_with_both() -> None:
    """In their order, each once."""
    chronicle, lines = Chronicle(), [line(1), line(2)]
    chronicle.note([], plan("1", "entry 1"))
    chronicle.note(lines, plan("2"))
    chronicle.note(lines, plan("3", "entry 2"))
    chronicle.note([*lines, line(3), line(4)])
    assert because(chronicle) == ["entry 1", "entry 2"]


def test_what_was_on_its_way_when_its_rule_ended_left_under_that_rule() -> None:
    """It arrives after the withdrawal was seen."""
    chronicle = Chronicle()
    chronicle.note([], plan("1", "entry 1"))
    chronicle.note([], plan("2"))
    chronicle.note([line(1)])
    assert because(chronicle) == ["entry 1"]


def test_what_came_with_a_new_plan_left_under_it_where_the_old_one_had_no_rule() -> None:
    """The first message after a grant may be seen together with its plan."""
    chronicle = Chronicle()
    chronicle.note([], plan("1", "entry 1"))
    chronicle.note([], plan("2"))
    chronicle.note([line(1)], plan("3", "entry 2"))
    assert because(chronicle) == ["entry 2"]


def test_both_halves_of_a_position_are_one_signal() -> None:
    """The plan has one rule for it."""
    chronicle = Chronicle()
    halves = [line(1, f"Vehicle.CurrentLocation.{half}") for half in ("Latitude", "Longitude")]
    chronicle.note(halves, {"id": "1", "rules": [plan("", "granted")["rules"][0] | {"signal": "Vehicle.CurrentLocation"}], "refused": []})
    assert [len(rules) for rules in chronicle.left.values()] == [1]


def test_old_plans_are_forgotten_and_what_left_under_them_is_not() -> None:
    """A person who grants and withdraws all day fills no memory."""
    chronicle = Chronicle()
    chronicle.note([line(1)], plan("0", "entry 0"))
    for n in range(1, PLANS_MAX + 5):
        chronicle.note([line(1)], plan(str(n)))
    assert len(chronicle.plans) == PLANS_MAX
    assert because(chronicle) == ["entry 0"]


def test_when_nothing_allowed_a_stream_is_known() -> None:
    """From the withdrawal to the next grant, and from the second withdrawal to the end; two plans without it are one stretch."""
    chronicle = Chronicle()
    for t_s, name, granted in ((0.3, "1", "entry 1"), (20.0, "2", None), (25.0, "3", None), (40.0, "4", "entry 2"), (50.0, "5", None)):
        chronicle.note([], plan(name, granted), t_s=t_s)
    assert list(chronicle.since_s) == [0.0, 20.0, 25.0, 40.0, 50.0]
    assert chronicle.without(of_stream, 60.0) == [(20.0, 40.0), (50.0, 60.0)]
    assert chronicle.without(lambda rule: not of_stream(rule), 60.0) == [(0.0, 60.0)]


def test_before_a_grant_nothing_was_allowed() -> None:
    """The first plan counts from the start of the drive, whenever it is seen; what came after the end of the run counts not at all."""
    chronicle = Chronicle()
    for t_s, name, granted in ((0.3, "1", None), (20.0, "2", "entry 1"), (61.0, "3", None)):
        chronicle.note([], plan(name, granted), t_s=t_s)
    assert chronicle.without(of_stream, 60.0) == [(0.0, 20.0)]


def test_of_forgotten_plans_nothing_is_said() -> None:
    """Nobody knows any more what they allowed."""
    chronicle = Chronicle()
    for n in range(PLANS_MAX + 5):
        chronicle.note([], plan(str(n)), t_s=float(n))
    assert chronicle.without(of_stream, 200.0) == [(5.0, 200.0)]
