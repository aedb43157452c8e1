"""A bus that goes and comes back, and a full one, in the guest: one boot, two stories (life.py, sixty.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.folders import config_folder
from agent.vehicle import load_vehicle
from agent.vss import IGNITION
from tests.support.guest import needs_guest
from tests.support.sixty import ALL, FRAMES_PER_S, IDS, NOTHING, played

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

SECONDS = 12
BACK_S_MAX = 3 * 3.0
"""A bus that is back is read within 3 s; factor 3 in real time."""
AWAY = ["late", "down", "renamed", "deleted", "bus off"]
READERS = {"gated": "kernel", "every frame": "software"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each step of life.py found, and under `sixty` what came of the traffic."""
    needs_guest()
    folder: Path = tmp_path_factory.mktemp("guest")
    sixty = played(folder, ["gate"], SECONDS, "tests/guest/bus.sh")
    life: dict[str, Any] = json.loads((folder / "life.json").read_text(encoding="utf-8"))
    return life | {"sixty": sixty}


@pytest.mark.parametrize("step", AWAY)
def test_a_bus_that_is_gone_is_a_problem_and_read_again_when_it_is_back(found: dict[str, Any], step: str) -> None:
    """By its name, whatever its number is then; a frame that says nothing new is delivered, because nobody knows what was meanwhile."""
    assert all("socketcan:vcan0" in problem for problem in found[step]["problems"])
    assert found[step]["gone_s"] < BACK_S_MAX
    assert max(found[step]["back_s"]) < BACK_S_MAX


@pytest.mark.parametrize("step", AWAY)
def test_a_silence_is_told_once_while_the_bus_is_gone(found: dict[str, Any], step: str) -> None:
    """The kernel's gate is gone with it."""
    assert found[step]["silences"] == 1


def test_an_interface_that_takes_the_name_is_read(found: dict[str, Any]) -> None:
    """Not the one that had it before."""
    assert min(found["replaced"]["losses"]) >= 1
    assert max(found["replaced"]["back_s"]) < BACK_S_MAX


@pytest.mark.parametrize(("step", "length"), [("classic", 1), ("fd", 16)])
def test_can_fd_is_read_by_itself_once_the_interface_carries_it(found: dict[str, Any], step: str, length: int) -> None:
    """By both readers, though nothing was said of it; before that classic frames are read."""
    assert found[step]["bytes"] == [length] * len(READERS)
    assert max(found[step]["back_s"]) < BACK_S_MAX


@pytest.mark.parametrize(("reader", "engine"), READERS.items())
def test_each_gap_is_recorded_with_its_cause(found: dict[str, Any], reader: str, engine: str) -> None:
    """From when to when, in order, none of them open at the end; also by the reader of the emergency call, which needs every frame."""
    assert (found[reader]["engine"], found[reader]["lost"]) == (engine, 0)
    gaps = found[reader]["gaps"]
    assert len(gaps) == len(AWAY) + 3
    times = [time for gap in gaps for time in (gap["from_ns"], gap["to_ns"])]
    assert times == sorted(times)
    assert [gap["to_ns"] - gap["from_ns"] > 3e9 for gap in gaps] == [True] * len(AWAY) + [False] * 3
    assert ["does not open" in gap["why"] for gap in gaps[:2]] == [True, False]
    assert ["bus off" in gap["why"] for gap in gaps] == [step == "bus off" for step in AWAY] + [False] * 3


def test_error_frames_are_counted_by_class_and_deliver_nothing(found: dict[str, Any]) -> None:
    """What a wrong bit rate looks like; reading goes on after it."""
    errors = found["errors"]
    assert errors["classes"] == [{"bus-off": 1, "protocol": 3, "bus-error": 3, "error-passive": 3, "no-ack": 3}] * 2
    assert errors["delivered"] == 0
    assert max(errors["back_s"]) < BACK_S_MAX


def test_at_most_a_fiftieth_of_the_frames_is_delivered(found: dict[str, Any]) -> None:
    """60 identifiers, 1,000 frames/s, everything granted: content, throttle and time-out are the kernel's, and nothing got lost."""
    sixty = found["sixty"]
    assert sixty["sent"] == {"frames": FRAMES_PER_S * SECONDS, "ids": IDS}
    gate = sixty[ALL]["gate"]
    assert (gate["engine"], gate["dropped"], gate["read"]) == ("kernel", 0, gate["delivered"])
    assert len(gate["by_id"]) > 10
    assert gate["delivered"] <= FRAMES_PER_S * SECONDS / 50


def test_without_package_and_policy_the_ignition_alone_is_delivered(found: dict[str, Any]) -> None:
    """Of the whole traffic."""
    ignition = load_vehicle(config_folder() / "vehicles" / "bench").sources[IGNITION].can_id
    gate = found["sixty"][NOTHING]["gate"]
    assert list(gate["by_id"]) == [str(ignition)]
    assert (gate["engine"], gate["dropped"]) == ("kernel", 0)
