"""The emergency call's own program with a real broker, the bench's car on a real bus and its modem on a pty; the test is the centre."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agent.control.protocol import ask
from agent.ecall.happenings import Acknowledged, ClearedDown, UpdateWanted
from agent.ecall.msd import decode
from agent.ecall.session import Standing
from hw.bench.program import ORDERS
from hw.bench.scenario import VIN
from tests.support.ecall_stage import Stage, staged
from tests.support.wait import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


class Road(Stage):
    """The stage with the whole car on its bus."""

    start_ns = 0

    def drive(self) -> None:
        self.start_ns = time.time_ns() + 1_000_000_000
        bus = ["--interface", self.bus.interface, "--channel", self.bus.channel]
        bus += ["--port", str(self.bus.port)] if self.bus.port is not None else []
        drive = ["--scenario", "drive", "--seed", "1", "--start-ns", str(self.start_ns)]
        self.programs.start("car", "hw.bench.car", *bus, *drive, ORDERS, listens=True)
        until(lambda: self.status()["frames"] > 5, "frames that say that all is well", 20)

    def crash(self) -> int:
        """The car crashes in a moment: when, in nanoseconds since 1970."""
        at_s = round((time.time_ns() - self.start_ns) / 1e9 + 0.5, 2)
        self.programs.tell("car", f"crash {at_s}")
        return self.start_ns + int(at_s * 1e9)

    def kept(self) -> bytes:
        """Everything that lies in the program's folders."""
        paths = [path for name in ("run", "ecall") for path in (self.folder / name).rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in paths)


@pytest.fixture
def road() -> Iterator[Road]:
    with staged(Road, scenario="drive") as road:
        road.ecall()
        road.drive()
        yield road


def vin_kept(road: Road) -> str:
    """The number of the vehicle in the message that is kept for a restart."""
    standing = Standing.read((road.folder / "run" / "call").read_bytes())
    assert standing.session is not None
    return decode(standing.session.octets).vin


def test_a_crash_is_told_acknowledged_spoken_of_and_forgotten(road: Road) -> None:
    """From the frames on the bus to the centre's clear-down; after it nothing of the car is left."""
    assert road.status()["state"] == "idle"
    crash_ns = road.crash()
    call, msd = road.message()
    assert (msd.vin, msd.automatic_activation, msd.message_identifier) == (VIN, True, 1)
    assert abs(msd.timestamp_s - crash_ns // 1_000_000_000) <= 2
    assert vin_kept(road) == VIN
    road.says(Acknowledged(call.session, 1), call)
    until(road.reaches("voice"), "the call", 20)
    assert road.status()["session"]["acknowledged"]
    road.says(UpdateWanted(call.session, 1), call)
    assert road.message()[1].message_identifier == 2
    road.says(ClearedDown(call.session), call)
    until(road.reaches("cleared"), "the clear-down")
    assert call.octets not in road.kept()
    assert call.octets.hex().encode() not in road.kept()
    assert b'"session":null' in road.kept()


def test_a_program_that_is_killed_goes_on_with_the_same_call(road: Road) -> None:
    """The same session, the same message, no second call: acknowledged within five seconds."""
    road.crash()
    call, msd = road.message()
    road.kill("ecall")
    killed_s = time.monotonic()
    road.start("ecall")  # the car goes on saying that it has crashed, which is no other crash
    again, msd_again = road.message()
    assert time.monotonic() - killed_s < 15.0
    assert (again.session, again.octets, msd_again) == (call.session, call.octets, msd)
    road.says(Acknowledged(again.session, 1), again)
    until(road.reaches("voice"), "the call", 20)
    assert road.status()["session"]["messages"] == 1


def test_a_test_call_says_that_it_is_one(road: Road) -> None:
    """Asked for in the car."""
    assert ask(road.folder / "run" / "control.sock", "ecall.test") == {"state": "sending"}
    call, msd = road.message()
    assert (msd.test_call, msd.automatic_activation) == (True, False)
    road.says(Acknowledged(call.session, 1), call)
    until(lambda: road.status()["session"]["acknowledged"], "the acknowledgement")
