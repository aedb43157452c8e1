"""What of the past may stay, whoever drives now."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest

from agent.consent.state import Grant
from agent.plan import compile as compiler
from agent.plan import standing
from agent.plan.compile import compile_plan
from agent.plan.standing import keeps, next_end_ms
from tests.agent.plan.build import DRIVER, NOW_MS, all_on, grant, granted, newest, shipped

PROBE, STATUS = "real_time_traffic.probe", "remote_assistance.vehicle_status"
ITEM = "traffic.position"


def kept(stream: str, ref: str, **changes: Any) -> bool:
    return keeps(compile_plan(all_on(**changes)), stream, ref)


def stands_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "stands", lambda *_: True)


def only_the_driver_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rests on the grants of whoever does not drive now is dropped."""
    monkeypatch.setattr(standing, "_standing", lambda inputs: [one for one in inputs.grants.values() if one.profile == inputs.trip.profile])


def nothing_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = compiler._refusal
    monkeypatch.setattr(compiler, "_refusal", lambda candidate, reason, lasting: refusal(candidate, reason, lasting=False))


def blind_to_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "stands_since", lambda *_: True)


@pytest.mark.req("R27", "R30", control=stands_for_ever)
@pytest.mark.parametrize("ended", [{"state": "NOT_SET"}, {"state": "NO"}, {"until_ms": NOW_MS}, {"until_ms": None, "trip": "another"}])
def test_what_was_granted_goes_with_its_grant(ended: dict[str, Any]) -> None:
    """Withdrawn, refused, over, or of another trip: nothing under it may stay; a standing one keeps its own streams only."""
    mine = grant(ITEM)
    assert kept(PROBE, mine.ref, grants={("driver", ITEM): mine})
    assert not kept(STATUS, mine.ref, grants={("driver", ITEM): mine})
    assert not kept(PROBE, mine.ref, grants=granted([ITEM], **ended))


@pytest.mark.req("R27", control=only_the_driver_s)
@pytest.mark.parametrize("driver", [DRIVER, replace(DRIVER, profile="other"), replace(DRIVER, profile="guest", kind="guest")])
def test_what_another_driver_granted_lives_while_its_grant_stands(driver: Any) -> None:
    """It rests on that word, not on who sits in the car, and not on what this driver's grant was given for."""
    hers = replace(grant(ITEM), profile="hers", entry=9)
    his = grant(ITEM, until_ms=NOW_MS)
    both: dict[tuple[str, str], Grant] = {("hers", ITEM): hers, ("driver", ITEM): his}
    assert kept(PROBE, hers.ref, trip=driver, grants=both)
    assert not kept(PROBE, his.ref, trip=driver, grants=both)


def test_an_untrusted_clock_ends_nothing_that_is_kept() -> None:
    """Nothing new is collected, and nothing is destroyed on a date that nobody vouches for."""
    plan = compile_plan(all_on(trusted=False, now_ms=NOW_MS * 2, grants=granted([ITEM])))
    assert PROBE not in {rule.name for rule in plan.rules}
    assert keeps(plan, PROBE, grant(ITEM).ref)


@pytest.mark.req("R06", control=nothing_lasts)
@pytest.mark.parametrize("lost", [{"package": "basic"}, {"services_off": frozenset({"remote_assistance"})}])
def test_package_and_switch_end_a_stream_for_everybody(lost: dict[str, Any]) -> None:
    """Also one that rests on the contract."""
    assert kept(STATUS, f"policy:{newest(shipped())}")
    assert not kept(STATUS, f"policy:{newest(shipped())}", **lost)


@pytest.mark.parametrize("passing", [{"recipients": {}}, {"regions": frozenset()}, {"mapped": frozenset()}, {"trusted": False}])
def test_what_may_come_back_destroys_nothing(passing: dict[str, Any]) -> None:
    """A recipient, a region, a signal that is missing now."""
    assert kept(STATUS, f"policy:{newest(shipped())}", **passing)


@pytest.mark.req("R37", control=blind_to_changes)
def test_a_major_change_ends_what_was_granted_before_it() -> None:
    """The new version names another recipient for the stream: the old grant carries nothing of it any more."""
    old = shipped().policies[newest(shipped()) or ""]
    new = msgspec.structs.replace(old, version="new", effective=date(2027, 1, 1), contact="somebody else")
    catalogue = msgspec.structs.replace(shipped(), policies={old.version: old, "new": new})
    mine = grant(ITEM)
    grants = {("driver", ITEM): mine}
    assert kept(PROBE, mine.ref, catalogue=catalogue, acknowledged=old.version, grants=grants)
    assert not kept(PROBE, mine.ref, catalogue=catalogue, acknowledged="new", grants=grants)


def blind_to_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "_covered", lambda *_: True)


def changed(**left_out: Any) -> dict[str, Any]:
    """Facts in which a newer version of the notice, "new", leaves something out."""
    old = shipped().policies[newest(shipped()) or ""]
    new = msgspec.structs.replace(old, version="new", effective=date(2027, 1, 1), **left_out)
    return {"catalogue": msgspec.structs.replace(shipped(), policies={old.version: old, "new": new}), "grants": granted([ITEM])}


@pytest.mark.req("R27", "R36", control=blind_to_what_is_left_out)
def test_what_the_newer_notice_leaves_out_may_not_stay() -> None:
    """Speed and heading of the probe live on; what was buffered before holds positions, which nothing covers any more."""
    facts = changed(categories=("movement",))
    assert PROBE in {rule.name for rule in compile_plan(all_on(acknowledged="new", **facts)).rules}
    assert kept(PROBE, grant(ITEM).ref, acknowledged=newest(shipped()), **facts)
    assert not kept(PROBE, grant(ITEM).ref, acknowledged="new", **facts)


@pytest.mark.parametrize("left_out", [{"recipients": ()}, {"purposes": ()}, {"categories": ()}])
def test_a_notice_that_names_nothing_of_a_stream_ends_it(left_out: dict[str, Any]) -> None:
    """Also one that rests on the contract; and no notice at all."""
    assert not kept(STATUS, f"policy:{newest(shipped())}", acknowledged="new", **changed(**left_out))
    assert not kept(STATUS, f"policy:{newest(shipped())}", acknowledged=None)


def test_zones_are_kept_for_whoever_has_a_trimmed_stream_granted() -> None:
    """Not for another item, and not after its end."""
    assert compile_plan(all_on()).zoned == {"driver"}
    assert compile_plan(all_on(grants=granted(["journey.position"]))).zoned == frozenset()
    assert compile_plan(all_on(grants=granted([ITEM], until_ms=NOW_MS))).zoned == frozenset()


def test_the_next_end_is_that_of_the_first_dated_grant_that_still_stands() -> None:
    """Whoever gave it; an end that has come is none."""
    grants = {
        ("a", "x"): grant("x", until_ms=NOW_MS + 9),
        ("b", "x"): grant("x", until_ms=NOW_MS + 5),
        ("b", "y"): grant("y", until_ms=NOW_MS),
        ("c", "x"): grant("x", state="NO", until_ms=NOW_MS + 1),
    }
    assert next_end_ms(grants, NOW_MS) == NOW_MS + 5
    assert next_end_ms({}, NOW_MS) is None
