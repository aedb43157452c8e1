"""The rule by which a recipient is told that a grant has ended."""

from __future__ import annotations

from typing import Any

import pytest

from agent.plan import notice
from agent.plan.notice import notice_rules
from agent.vss import BASIS_ENDED
from tests.agent.plan.build import all_on

STREAMS = ("a.one", "b.two", "a.three")


def whoever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "reach", lambda *_: None)


def test_each_service_tells_of_its_own_streams() -> None:
    """One rule a service, for the one signal, under the id that the data had, for the one recipient."""
    found = list(notice_rules("near", STREAMS, all_on(recipients={"near": "CN"})))
    assert [(rule.service, value) for rule, value in found] == [("a", ("one", "three")), ("b", ("two",))]
    assert {(rule.signal, rule.identity, rule.recipient, rule.transforms) for rule, _ in found} == {(BASIS_ENDED, "pairwise", "near", ())}


def told(**changes: Any) -> bool:
    return bool(list(notice_rules("near", STREAMS, all_on(**changes))))


@pytest.mark.req("R30", control=whoever_it_is)
@pytest.mark.parametrize("changes", [{"recipients": {"near": "XX"}}, {"recipients": {}}])
def test_nothing_goes_where_nothing_may_go_now(changes: dict[str, Any]) -> None:
    """A recipient that has moved abroad, or has no key any more, gets not even a notice."""
    assert not told(**changes)


@pytest.mark.parametrize("changes", [{"recipients": {"near": "CN"}}, {"recipients": {"near": "XX"}, "regions": None}])
def test_whoever_may_get_anything_is_told(changes: dict[str, Any]) -> None:
    """In a region that is allowed, or where none is configured."""
    assert told(**changes)
