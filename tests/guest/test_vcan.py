"""The bench on a real SocketCAN interface, in a guest whose kernel has one: one boot, one story (vcan.sh), and what it left behind."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.folders import config_folder
from agent.vehicle import load_vehicle
from hw.bench.car import STRANGER_IDS
from hw.bench.scenario import FOLDER
from hw.bench.truth import Drive
from hw.can.replay import log_frames
from hw.ports import EXTENDED_ID
from tests.support.guest import needs_guest, run_in_guest
from tests.support.live import modicum

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

STORY_S = 300
DRIVE_S, NOISE_PER_S = 16, 300
STRANGER = (0x6F3, bytes.fromhex("DEADBEEF"))
"""What cansend put on the bus while the car drove."""
ASKED = """
[[action]]
at_s = 11
do = "request"
name = "teleservices.breakdown"
[[action]]
at_s = 11.5
do = "request"
name = "remote_assistance.find_vehicle"
"""
NEAR_DEG = 0.005


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what each step left."""
    needs_guest()
    folder = tmp_path_factory.mktemp("guest")
    (folder / "asked.toml").write_text((FOLDER / "drive.toml").read_text(encoding="utf-8") + ASKED, encoding="utf-8")
    run_in_guest("tests/guest/vcan.sh", folder, STORY_S)
    return folder


def refusal(story: Path, step: str) -> str:
    """The one line of a run that was refused."""
    assert ((story / f"{step}.status").read_text(), (story / f"{step}.out").read_text()) == ("5\n", "")
    said = (story / f"{step}.err").read_text()
    assert said.count("\n") == 1
    return said


def summary(story: Path, step: str) -> dict[str, Any]:
    """Of a run that went to its end."""
    assert ((story / f"{step}.status").read_text(), (story / f"{step}.err").read_text()) == ("0\n", "")
    found: dict[str, Any] = json.loads((story / f"{step}.out").read_text())
    return found


def frames(path: Path) -> Counter[tuple[int, bytes]]:
    """Identifiers and contents of a log of candump's form."""
    named = path.with_suffix(f"{path.suffix}.log")
    named.write_bytes(path.read_bytes())
    return Counter((frame.can_id, frame.data) for frame in log_frames(named, lambda _: "pt"))


def subscribed(story: Path, step: str) -> set[int]:
    """The identifiers that the plan of the run needs."""
    plan = json.loads((story / step / "plan.json").read_text())
    return {one["id"] | (EXTENDED_ID if one["extended"] else 0) for one in plan["subscriptions"]}


def filters(story: Path, lists: Sequence[str]) -> list[tuple[int, str, str]]:
    """(identifier, mask, whose) of the kernel's filters on the interface while the car drove."""
    rows = [
        row for name in lists for row in re.findall(r"^ +vcan0 +(\w+) +(\w+) .* (\w+)$", (story / f"full.{name}").read_text(), re.MULTILINE)
    ]
    return [(int(can_id, 16), mask, whose) for can_id, mask, whose in rows]


def told(story: Path, step: str) -> dict[str, float]:
    """The numbers that left because somebody asked, by signal."""
    lines = [json.loads(line) for line in (story / step / "received.jsonl").read_text().splitlines()]
    asked = [line for line in lines if line["stream"] in {"breakdown", "find_vehicle"}]
    return {line["signal"]: line["value"] for line in asked if isinstance(line["value"], float | int)}


def test_an_interface_that_is_missing_or_down_is_told_at_once(story: Path) -> None:
    """Named, or taken by itself: the real kernel's answers lead to the commands that mend it."""
    assert "ip link add vcan7 type vcan" in refusal(story, "missing")
    assert "vcan0 is down (socketcan:vcan0): ip link set vcan0 up" in refusal(story, "down")


def test_vcan0_is_taken_by_itself_and_carries_the_whole_drive(story: Path) -> None:
    """candump sees each frame that was sent and recorded, CAN FD and noise among them, and besides them the stranger's alone."""
    sent = frames(story / "full.log")
    assert frames(story / "full.candump") == sent + Counter([STRANGER])
    assert [can_id for can_id, data in sent if len(data) > 8]


def test_the_agent_sent_no_frame(story: Path) -> None:
    """The interface itself has counted what was sent on it, from its beginning on: the car's frames and the stranger's."""
    assert int((story / "full.tx").read_text()) == frames(story / "full.log").total() + 1


def test_no_moment_of_the_drive_is_left_out(story: Path) -> None:
    """The guest is slow at starting programs, yet the car and its noise are there from the first half second."""
    times_ns = [frame.t_ns for frame in log_frames(story / "full.log", lambda _: "pt") if frame.can_id in STRANGER_IDS]
    assert 0 <= times_ns[0] - summary(story, "full")["start_ns"] < 0.5e9
    assert len(times_ns) == pytest.approx(NOISE_PER_S * DRIVE_S, rel=0.1)


def test_what_no_rule_wants_stays_in_the_kernel(story: Path) -> None:
    """Its broadcast manager has the plan's subscriptions, each for both formats; a fiftieth at most of the bus wakes core."""
    exact = filters(story, ["sff", "eff"])
    assert {whose for _, _, whose in exact} == {"bcm"}
    assert set(Counter(can_id for can_id, _, _ in exact).values()) == {2}
    assert {can_id for can_id, _, _ in exact} == subscribed(story, "full")
    counts = summary(story, "full")
    assert counts["frames_unknown_id"] == 0
    assert counts["frames_delivered"] == counts["frames_wanted"] == counts["frames_read"]
    assert len(subscribed(story, "full")) <= counts["frames_read"] <= frames(story / "full.candump").total() / 50


def test_every_frame_is_read_of_the_crash_frames_alone(story: Path) -> None:
    """By the emergency call's raw socket, with exact filters; core's lets through no identifier of the car, only error frames."""
    ours = {message.frame_id for message in load_vehicle(config_folder() / "vehicles" / "bench").crash_messages.values()}
    rows = filters(story, ["fil"])
    assert {(can_id, mask) for can_id, mask, _ in rows} == {(one, "800007ff") for one in ours} | {(0x9FFFFFFF, "9fffffff")}
    assert {whose for _, _, whose in rows} == {"raw"}


@pytest.mark.parametrize("step", ["full", "short"])
def test_what_left_is_what_the_car_and_the_receiver_said(story: Path, step: str) -> None:
    """By SocketCAN and by a pty, the second time a modem's: odometer and place are the truth's."""
    truth = Drive.load(str(story / "asked.toml"), 0).state(11)
    values = told(story, step)
    assert values["Vehicle.TraveledDistance"] == pytest.approx(truth.odometer_km, abs=1)
    assert values["Vehicle.CurrentLocation.Latitude"] == pytest.approx(truth.lat_deg, abs=NEAR_DEG)
    assert values["Vehicle.CurrentLocation.Longitude"] == pytest.approx(truth.lon_deg, abs=NEAR_DEG)


def test_without_can_fd_the_rest_of_the_drive_goes_on(story: Path) -> None:
    """It is said, with the cure; what was not sent is in no recording."""
    notes = summary(story, "short")["notes"]
    assert [note for note in notes if "carries no CAN FD (mtu 16)" in note and "ip link set vcan0 mtu 72" in note]
    assert not [note for note in summary(story, "full")["notes"] if "CAN FD" in note]
    assert not [can_id for can_id, data in frames(story / "short.log") if len(data) > 8]


def test_an_interface_that_goes_down_is_read_again(story: Path) -> None:
    """It was away for a second: the agent reported itself, and was told each identifier anew when it was back."""
    counts = summary(story, "short")
    assert counts["streams"]["operations.health"]["messages"] == 2
    there = {can_id for can_id, _ in frames(story / "short.candump")} & subscribed(story, "short")
    assert counts["frames_read"] >= 2 * len(there)


def test_a_drive_recorded_there_can_be_replayed(story: Path) -> None:
    """Every frame of it is read, and the noise is told as unknown."""
    drive, vehicle = str(story / "full.log"), str(config_folder() / "vehicles" / "bench")
    done = modicum("replay", drive, "--vehicle", vehicle, "--package", "navigation_plus", "--consent", "all", "--json")
    counts = json.loads(done.stdout)
    assert counts["frames_read"] == frames(story / "full.log").total()
    assert counts["frames_unknown_id"] == pytest.approx(NOISE_PER_S * DRIVE_S, rel=0.1)
