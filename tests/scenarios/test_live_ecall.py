"""The emergency call's own program with a real broker, the bench's car on a real bus and its modem on a pty; the test is the centre."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.control.protocol import ask
from agent.ecall import wire
from agent.ecall.happenings import Acknowledged, ClearedDown, UpdateWanted
from agent.ecall.msd import Msd, decode
from agent.ecall.session import Standing
from agent.ecall.store import IN_RAM, kind_of
from agent.errors import AgentAbsent
from agent.mqtt.connection import Arrived, Connection, Event, access
from agent.mqtt.terms import V311, Connect, Online
from hw.bench.authority import Authority, Credential
from hw.bench.group import free_udp_port, usable_group
from hw.bench.program import ORDERS
from tests.support.live import alone
from tests.support.wait import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

VIN = "WMWTESTCAR0000001"
CONFIG = """
[vehicle]
platform = "bench"
vin = "{vin}"
[clock]
sources = ["system"]
[regions]
allowed = ["CN"]
[[bus]]
name = "pt"
interface = "udp_multicast"
channel = "{group}"
options = {{ port = {udp} }}
[modem]
port = "{folder}/at"
[brokers.main]
url = "mqtts://127.0.0.1:{broker}"
region = "CN"
ca = "{ca}"
cert = "{cert}"
key = "{key}"
first_protocol = "3.1.1"
[recipients.emergency]
broker = "main"
key = "{folder}/emergency.pub"
region = "CN"
[ecall]
broker = "main"
number = "+8610000001"
test_number = "+8610000002"
run = "{folder}/run"
state = "{folder}/state"
"""


class Stage:
    """A car, a modem, a broker, and the emergency call among them. `private`: the centre's key."""

    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        self.folder, self._ends = folder, ends
        self.private = X25519PrivateKey.generate()
        self.arrived: queue.SimpleQueue[Event] = queue.SimpleQueue()
        authority = Authority(folder / "keys")
        server = authority.issue("server", ("localhost", "127.0.0.1"))
        files = ["--cert", str(server.cert), "--key", str(server.key), "--ca", str(authority.ca)]
        self.broker = int(self.start("hw.bench.broker", *files, says=True)[1].split()[-1])
        self.udp = free_udp_port()
        self.group = usable_group(self.udp)
        self._write(authority, authority.issue("ecall"))
        centre = authority.issue("centre")
        to = access(f"mqtts://127.0.0.1:{self.broker}", ca=authority.ca, cert=centre.cert, key=centre.key, protocol=V311)
        self.connection = Connection(to, Connect(1, V311), "centre", ("modicum/v1/+/ecall/msd",), self.arrived.put)
        self.connection.start()
        ends.callback(self.connection.hang_up, politely=True)
        assert isinstance(self.arrived.get(timeout=10), Online)
        self.start_ns = time.time_ns() + 2_500_000_000
        drive = ["--scenario", "drive", "--seed", "1", "--start-ns", str(self.start_ns)]
        self.start("hw.bench.modem", "--vendor", "quectel", "--link", str(folder / "at"), *drive, says=True)
        self.program = self.ecall()
        bus = ["--interface", "udp_multicast", "--channel", self.group, "--port", str(self.udp)]
        self.car = self.start("hw.bench.car", *bus, *drive, ORDERS)[0]

    def _write(self, authority: Authority, own: Credential) -> None:
        (self.folder / "emergency.pub").write_bytes(self.private.public_key().public_bytes_raw())
        text = CONFIG.format(
            vin=VIN,
            group=self.group,
            udp=self.udp,
            folder=self.folder,
            broker=self.broker,
            ca=authority.ca,
            cert=own.cert,
            key=own.key,
        )
        (self.folder / "agent.toml").write_text(text)

    def start(self, module: str, *arguments: str, says: bool = False) -> tuple[subprocess.Popen[str], str]:
        """A program, and its first line where it says one."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE if says else None, text=True
        )
        self._ends.callback(_ended, process)
        return process, (process.stdout.readline() if process.stdout is not None else "")

    def ecall(self) -> subprocess.Popen[str]:
        """The program itself, once it answers."""
        process, _ = self.start("agent.daemons.ecall", "--config", str(self.folder / "agent.toml"))
        until(lambda: self.status().get("centre", {}).get("online"), "the connection to the centre", 20)
        return process

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(AgentAbsent):
            found: dict[str, Any] = ask(self.folder / "run" / "control.sock", "ecall.status")
            return found
        return {}

    def crash(self) -> int:
        """The car crashes in a moment: when, in nanoseconds since 1970."""
        at_s = round((time.time_ns() - self.start_ns) / 1e9 + 0.5, 2)
        assert self.car.stdin is not None
        self.car.stdin.write(f"crash {at_s}\n")
        self.car.stdin.flush()
        return self.start_ns + int(at_s * 1e9)

    def message(self, within_s: float = 10.0) -> tuple[wire.Call, Msd]:
        """The next one that the centre gets."""
        end_s = time.monotonic() + within_s
        while True:
            event = self.arrived.get(timeout=max(end_s - time.monotonic(), 0.01))
            if isinstance(event, Arrived):
                event.accept()
                call = wire.opened(event.payload, self.private.private_bytes_raw())
                return call, decode(call.octets)

    def says(self, word: wire.Word, call: wire.Call) -> None:
        self.connection.publish(wire.answers_to("modicum", call.id), wire.said(word, call.reply_key))

    def kept(self) -> bytes:
        """Everything that lies in the program's folders."""
        paths = [path for name in ("run", "state") for path in (self.folder / name).rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in paths)


def _ended(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(10)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    shm = Path("/dev/shm")
    if kind_of(shm, Path("/proc/self/mounts")) not in IN_RAM:
        pytest.skip("no tmpfs at /dev/shm")
    with alone(), TemporaryDirectory(dir=shm) as folder, contextlib.ExitStack() as ends:
        yield Stage(Path(folder), ends)


def vin_kept(stage: Stage) -> str:
    """The number of the vehicle in the message that is kept for a restart."""
    standing = Standing.read((stage.folder / "run" / "call").read_bytes())
    assert standing.session is not None
    return decode(standing.session.octets).vin


def reaches(stage: Stage, state: str) -> Callable[[], bool]:
    return lambda: stage.status().get("state") == state


def test_a_crash_is_told_acknowledged_spoken_of_and_forgotten(stage: Stage) -> None:
    """From the frames on the bus to the centre's clear-down; after it nothing of the car is left."""
    until(lambda: stage.status()["frames"] > 40, "frames that say that all is well", 20)
    assert stage.status()["state"] == "idle"
    crash_ns = stage.crash()
    call, msd = stage.message()
    assert (msd.vin, msd.automatic_activation, msd.message_identifier) == (VIN, True, 1)
    assert abs(msd.timestamp_s - crash_ns // 1_000_000_000) <= 2
    assert vin_kept(stage) == VIN
    stage.says(Acknowledged(call.session, 1), call)
    until(reaches(stage, "voice"), "the call", 20)
    assert stage.status()["session"]["acknowledged"]
    stage.says(UpdateWanted(call.session), call)
    assert stage.message()[1].message_identifier == 2
    stage.says(ClearedDown(call.session), call)
    until(reaches(stage, "cleared"), "the clear-down")
    assert call.octets not in stage.kept()
    assert call.octets.hex().encode() not in stage.kept()
    assert b'"session":null' in stage.kept()


def test_a_program_that_is_killed_goes_on_with_the_same_call(stage: Stage) -> None:
    """The same session, the same message, no second call: acknowledged within five seconds."""
    until(lambda: stage.status()["frames"] > 40, "frames that say that all is well", 20)
    stage.crash()
    call, msd = stage.message()
    os.kill(stage.program.pid, signal.SIGKILL)
    stage.program.wait(10)
    killed_s = time.monotonic()
    stage.ecall()
    again, msd_again = stage.message()
    assert time.monotonic() - killed_s < 15.0
    assert (again.session, again.octets, msd_again) == (call.session, call.octets, msd)
    stage.says(Acknowledged(again.session, 1), again)
    until(reaches(stage, "voice"), "the call", 20)
    assert stage.status()["session"]["messages"] == 1


def test_a_test_call_says_that_it_is_one(stage: Stage) -> None:
    """Asked for in the car."""
    assert ask(stage.folder / "run" / "control.sock", "ecall.test") == {"state": "sending"}
    call, msd = stage.message()
    assert (msd.test_call, msd.automatic_activation) == (True, False)
    stage.says(Acknowledged(call.session, 1), call)
    until(lambda: stage.status()["session"]["acknowledged"], "the acknowledgement")
