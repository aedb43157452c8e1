"""`modicum doctor` on a whole device with each fault that a technician meets: one boot, one story (doctor.py), and what it said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.guest import needs_guest, run_in_guest

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

STORY_S = 300
LISTENED = "vcan0, "
FAULTS = {
    "no interface": {"bus-missing"},
    "interface down": {"bus-down"},
    "no frames": {"bus-silent"},
    "wrong bit rate": {"bus-bit-rate"},
    "receiver silent": {"receiver-silent"},
    "broker down": {"broker-unreachable"},
    "wrong certificate": {"broker-certificate"},
    "disk full": {"disk-full"},
    "clock in 1970": {"clock-past", "clock-unsure", "broker-certificate"},
    "swap": {"swap-open"},
    "key missing": {"key-missing"},
    "nothing runs": {"key-missing", "core-silent", "receiver-lost"},
}
"""What is wrong -> what is found. With a false clock no certificate is valid yet; at the end the receiver is unplugged, too."""
SECRETS = ("WMWTESTCAR0000001", "39.8", "116.4", "490154203237518")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each command said, and how it ended."""
    needs_guest()
    folder: Path = tmp_path_factory.mktemp("guest")
    run_in_guest("tests/guest/doctor.sh", folder, STORY_S)
    found: dict[str, Any] = json.loads((folder / "doctor.json").read_text(encoding="utf-8"))
    return found


def findings(said: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Errors and warnings by their code."""
    assert said["err"] == ""
    checks = json.loads(said["out"])["checks"]
    return {one["code"]: one for check in checks for one in check["findings"] if one["severity"] != "info"}


def test_a_whole_device_is_well(story: dict[str, Any]) -> None:
    """Bus, receiver, clock, disk, keys, certificates, broker with TLS and a message, plan, buffer: nothing to do, exit 0."""
    assert findings(story["well"]) == {}
    assert story["well"]["status"] == 0
    checks = {one["check"]: one["says"] for one in json.loads(story["well"]["out"])["checks"]}
    assert checks["bus pt"].startswith(LISTENED)
    assert checks["broker main (id:main)"].startswith("an empty message was acknowledged")
    assert story["text"]["out"].splitlines()[0] == "ok   modicum-core: answers"


@pytest.mark.parametrize("step", FAULTS)
def test_each_fault_is_found_as_what_it_is_with_what_to_do(story: dict[str, Any], step: str) -> None:
    """Its code and nothing that is not wrong; exit 1."""
    found = findings(story[step])
    assert set(found) == FAULTS[step]
    assert all(len(one["hint"]) > 10 for one in found.values())
    assert story[step]["status"] == 1


def test_swap_is_held_against_the_service_that_can_get_there(story: dict[str, Any]) -> None:
    """And against no other, by what the kernel says of each."""
    assert findings(story["swap"])["swap-open"]["text"].startswith("modicum-core: ")


def test_identifiers_are_listed_beside_a_running_agent(story: dict[str, Any]) -> None:
    """By the kernel's own socket: also those that core's own filter keeps away, with names, and which of them the plan wants."""
    [bus] = json.loads(story["list"]["out"])["buses"]
    assert {row["wanted"] for row in bus["ids"]} == {True, False}
    assert {"STEERING", "MOTION"} <= {row["name"] for row in bus["ids"]}
    assert bus["frames_per_s"] > 100


def test_nothing_that_was_said_names_the_car_or_its_place(story: dict[str, Any]) -> None:
    """In no step, also of the receiver that was watched."""
    said = json.dumps(story)
    assert "satellites" in story["watch"]["out"]
    assert [secret for secret in SECRETS if secret in said] == []
