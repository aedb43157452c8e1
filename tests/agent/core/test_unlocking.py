"""Unlocking for a technician: for how long, who may, what ends it, and that it is in the audit log before it counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.clock import NS
from agent.control.routes import ROUTES
from agent.core.unlocking import Unlocking
from agent.errors import DeviceError, FindingsError, UsageError
from hw.ports import Fix
from tests.agent.core.stage import VIN, Stage

REASON = "no fix at the workshop"
LAT, LON = 31.2345, 121.4567


def ask(stage: Stage, route: str, **args: Any) -> Any:
    return ROUTES[route].run(stage.core, args)


@pytest.fixture
def unlocked(stage: Stage) -> Stage:
    """Ignition on, a fix, unlocked for ten minutes."""
    stage.ignition(on=True)
    stage.fix(LAT, LON)
    ask(stage, "unlock", minutes=10, reason=REASON)
    return stage


def shown(stage: Stage) -> bool:
    """Whether VIN and place are shown, both or neither."""
    if not stage.core.unlocking.left_s():
        for route in ("vin", "gnss.plain"):
            with pytest.raises(FindingsError, match="masked"):
                ask(stage, route)
        return False
    assert (ask(stage, "vin")["vin"], ask(stage, "gnss.plain")["lat"]) == (VIN, LAT)
    return True


def test_locked_is_how_it_begins(stage: Stage) -> None:
    """VIN and place are masked; that it is locked can be seen by everybody."""
    stage.fix(LAT, LON)
    assert not shown(stage)
    assert ask(stage, "status")["unlocked"] == {"left_s": 0, "reason": ""}


def test_unlocked_shows_both_and_says_so(unlocked: Stage) -> None:
    """In `status` and in `live`, with the reason and the time that is left."""
    assert shown(unlocked)
    for route in ("status", "live"):
        said = ask(unlocked, route)["unlocked"]
        assert (said["reason"], 590 < said["left_s"] <= 600) == (REASON, True)


def test_it_ends_by_itself() -> None:
    """To the second, on a clock that goes on while the device is suspended and that nobody sets."""
    now = [1000 * NS]
    lock = Unlocking(now_ns=lambda: now[0])
    lock.unlock(2, REASON)
    now[0] += 120 * NS - 1
    assert (lock.left_s(), lock.reason) == (1, REASON)
    now[0] += 1
    assert (lock.left_s(), lock.reason) == (0, "")


def test_it_ends_with_lock(unlocked: Stage) -> None:
    """At once."""
    assert ask(unlocked, "lock") == {"left_s": 0, "reason": ""}
    assert not shown(unlocked)


@pytest.mark.parametrize("back", [False, True])
def test_it_ends_when_the_ignition_changes(unlocked: Stage, back: bool) -> None:
    """Also where it is on again when somebody looks: another drive has begun, and nobody agreed to that."""
    unlocked.ignition(on=False)
    if back:
        unlocked.ignition(on=True)
    assert not shown(unlocked)


def test_it_ends_with_the_program(unlocked: Stage) -> None:
    """It lives in RAM alone; the entry in the audit log stays."""
    again = unlocked.again()
    again.fix(LAT, LON)
    assert not shown(again)
    assert [line["kind"] for line in again.audit.show()] == ["unlocked"]


def test_it_is_in_the_audit_log_with_its_reason_and_no_value(unlocked: Stage) -> None:
    """Who reads the log sees when, for how long and why."""
    [line] = unlocked.audit.show()
    assert (line["kind"], line["minutes"], line["reason"], line["profile"]) == ("unlocked", 10, REASON, "")
    assert VIN not in str(line)
    unlocked.audit.verify()


def test_without_an_audit_log_nothing_is_unlocked(stage: Stage) -> None:
    """It could not be entered."""
    stage.fix(LAT, LON)
    stage.core.delivery.may_send = False
    with pytest.raises(DeviceError, match="audit log is broken"):
        ask(stage, "unlock", minutes=10, reason=REASON)
    assert not shown(stage)


def test_a_log_that_ends_with_the_program_unlocks_nothing(stage: Stage) -> None:
    """In RAM only, nobody would ever read that somebody looked."""
    stage.fix(LAT, LON)
    stage.core.parts = replace(stage.core.parts, kept=False)
    with pytest.raises(DeviceError, match="keeps no audit log"):
        ask(stage, "unlock", minutes=10, reason=REASON)
    assert not shown(stage)


def test_a_log_that_takes_nothing_unlocks_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the entry, then the view."""

    def full(*_: object) -> None:
        raise DeviceError("the disk is full", "ledger.db", "make room")

    stage.fix(LAT, LON)
    monkeypatch.setattr("agent.audit.Audit.unlocked", full)
    with pytest.raises(DeviceError, match="disk is full"):
        ask(stage, "unlock", minutes=10, reason=REASON)
    assert not shown(stage)


@pytest.mark.parametrize("minutes", [0, 61, -1, 2.5, True, None, "5"])
def test_a_time_that_is_none_is_refused(stage: Stage, minutes: object) -> None:
    """At most an hour, whoever asks."""
    with pytest.raises(UsageError, match="not so long"):
        ask(stage, "unlock", minutes=minutes, reason=REASON)


@pytest.mark.parametrize("reason", ["", "  ", None, 7, "x" * 121, "two\nlines", f"car {VIN}", f"car {VIN.lower()}"])
def test_a_reason_that_cannot_be_kept_is_refused(stage: Stage, reason: object) -> None:
    """One line, of a person, and not the car's name."""
    with pytest.raises(UsageError):
        ask(stage, "unlock", minutes=5, reason=reason)
    assert stage.audit.show() == []


def test_only_the_agents_user_and_root_may_unlock_and_see() -> None:
    """Those who drive may lock; who may read sees how the receiver does, without a place."""
    permissions = {name: ROUTES[name].permission for name in ("unlock", "vin", "gnss.plain", "lock", "gnss")}
    assert permissions == {"unlock": "own", "vin": "own", "gnss.plain": "own", "lock": "drive", "gnss": "read"}


@pytest.mark.parametrize(("speed_mps", "said"), [(None, "unknown"), (0.4, "standing"), (13.0, "up to 50 km/h"), (40.0, "faster")])
def test_the_receiver_is_told_without_a_place(stage: Stage, speed_mps: float | None, said: str) -> None:
    """Speed as a class; no number of which a place or a way could be made."""
    assert ask(stage, "gnss") == {"fixes": 0, "age_s": None}
    stage.core.fix(Fix(stage.clock.now_ns(), mode=3, lat_deg=LAT, lon_deg=LON, speed_mps=speed_mps, satellites=9, hdop=0.8))
    told = ask(stage, "gnss")
    assert told == {"fixes": 1, "age_s": 0.0, "mode": 3, "satellites": 9, "hdop": 0.8, "time_trusted": False, "speed": said}
