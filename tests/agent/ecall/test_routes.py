"""agent.ecall.routes: what the command line can ask of the call, who may, and what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from agent.ecall.loop import Ask, Loop
from agent.ecall.routes import ROUTES
from agent.ecall.switch import Switch
from agent.errors import FindingsError, UsageError
from tests.agent.ecall.build import VIN
from tests.agent.ecall.test_crash import crash
from tests.agent.ecall.test_loop import NUMBER, SENDER, TEST_NUMBER, Fakes, asked, fix


def test_the_status_shows_neither_place_nor_number() -> None:
    """In the middle of a call."""
    fakes = Fakes().takes(fix(), crash(0, 3), crash(100, 4))
    status = asked(fakes, "ecall.status")
    text = json.dumps(status)
    assert (status["state"], status["session"]["kind"], status["places"], status["sent"]) == ("sending", "automatic", 1, 1)
    assert not [secret for secret in (VIN, NUMBER, TEST_NUMBER, "39.9", "143646840", SENDER.id.hex()) if secret in text]


def test_the_head_unit_calls_and_cancels_and_tests() -> None:
    """What cannot be done just now is said."""
    fakes = Fakes()
    assert asked(fakes, "ecall.sos") == {"state": "countdown"}
    assert asked(fakes, "ecall.cancel")["state"] in ("cleared", "idle")
    assert fakes.names() == ["write", "write"]
    assert asked(fakes, "ecall.test") == {"state": "sending"}
    assert dict(fakes.did)["dial"] == TEST_NUMBER
    with pytest.raises(FindingsError, match="nothing changed"):
        asked(fakes, "ecall.cancel")


def test_a_question_that_fails_is_answered_and_the_loop_goes_on() -> None:
    """Whatever it was."""

    def breaks(_: Loop) -> object:
        raise ZeroDivisionError

    ask: Ask = Ask(cast("Callable[[Loop], object]", breaks))
    Fakes().takes(ask)
    with pytest.raises(ZeroDivisionError):
        ask.future.result(0)


def test_every_route_says_who_may() -> None:
    """Reading is for everybody of the agent's group; what calls somebody is for who drives."""
    assert {name: route.permission for name, route in ROUTES.items()} == {
        "ecall.status": "read",
        "ecall.sos": "drive",
        "ecall.cancel": "drive",
        "ecall.test": "drive",
        "ecall.may_off": "own",
        "ecall.on": "own",
        "ecall.off": "own",
    }


def test_the_owner_switches_it_off_and_on(tmp_path: Path) -> None:
    """At once, and where it can be kept only."""
    fakes = Fakes(switch=Switch(tmp_path / "switch", "third_party"))
    assert asked(fakes, "ecall.may_off") == {}
    assert asked(fakes, "ecall.off") == {"enabled": False, "state": "idle"}
    assert fakes.takes(crash(0, 3), crash(100, 4)).did == []
    assert asked(fakes, "ecall.status")["checks"]["switch"]["code"] == "ecall-off"
    with pytest.raises(FindingsError, match="switched off"):
        asked(fakes, "ecall.sos")
    assert asked(fakes, "ecall.on")["enabled"]
    regulated = Fakes(switch=Switch(tmp_path / "switch", "regulated"))
    with pytest.raises(UsageError, match="the law asks for"):
        asked(regulated, "ecall.off")
    with pytest.raises(UsageError, match="the law asks for"):
        asked(regulated, "ecall.may_off")
