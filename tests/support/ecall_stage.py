"""A bus, a modem on a pty and a broker, and the emergency call's own program among them; whoever sets the stage is the centre.

Core and the uplink can be started on it too: one device, one agent.toml for the three, everything granted. The folder lies in RAM.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import Device, prepare_state, write_config
from agent.cli.bench.programs import Programs
from agent.cli.bench.stage import default_bus
from agent.consent.choice import Choice
from agent.control.protocol import ask
from agent.ecall import wire
from agent.ecall.happenings import Acknowledged, ClearedDown
from agent.ecall.msd import Msd, decode
from agent.ecall.store import IN_RAM, kind_of
from agent.errors import AgentAbsent
from agent.mqtt.connection import Arrived, Connection, Event, access
from agent.mqtt.terms import V311, Connect, Online
from hw.bench.authority import Authority, Credential
from hw.bench.link import Proxy
from tests.support.airbag import Airbag
from tests.support.live import alone
from tests.support.virtual import scenario_file
from tests.support.wait import until

SHM = Path("/dev/shm")
PACKAGE = "navigation_plus"
MODULES = {"core": "agent.daemons.core", "uplink": "agent.daemons.uplink", "ecall": "agent.daemons.ecall"}
START_S = 20.0
S = TypeVar("S", bound="Stage")
CONFIG = """
[modem]
port = "{folder}/at"
[brokers.emergency]
url = "mqtts://127.0.0.1:{port}"
region = "CN"
ca = "{ca}"
cert = "{cert}"
key = "{key}"
first_protocol = "3.1.1"
[ecall]
broker = "emergency"
number = "+8610000001"
test_number = "+8610000002"
run = "{folder}/run"
state = "{folder}/ecall"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How one crash was told: `acknowledged_s` after `begun_s` (monotonic).

    `dials`: how often the modem was made to dial; `sessions`: how many calls the centre saw.
    """

    call: wire.Call
    msd: Msd
    begun_s: float
    acknowledged_s: float
    dials: int
    sessions: int


class Stage:
    """`link` lies between the emergency call and its broker, `bulk` between the uplink and the same one.

    `heard`: each message that the centre has got, also one that it got before.
    """

    def __init__(self, folder: Path, ends: contextlib.ExitStack, *, answer_s: float = 0.3, scenario: str = "standing") -> None:
        self.folder, self._ends = folder, ends
        self.device = Device(folder, folder, embedded=True)
        self.programs = Programs(folder / "logs")
        self.authority = Authority(folder)
        self.device.ca = self.authority.ca
        self.server = self.authority.issue("broker", ("127.0.0.1", "localhost"))
        for name in ("device", "fleet"):
            self.authority.issue(name)
        ends.callback(self.programs.stop_all)
        self.broker = self._start_broker()
        self.link, self.bulk = (ends.enter_context(Proxy(self.broker)) for _ in range(2))
        self.bus = default_bus()
        self._write(self.authority.issue("ecall"))
        self._arrived: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.heard: list[wire.Call] = []
        self.centre = self._connect(self.authority.issue("centre"))
        self.scenario = scenario_file(scenario)
        self._modem(answer_s)

    def _start_broker(self) -> int:
        """Its port."""
        files = ["--cert", str(self.server.cert), "--key", str(self.server.key), "--ca", str(self.device.ca)]
        return int(self.programs.start("broker", "hw.bench.broker", *files, ready=True).split()[-1])

    def _write(self, own: Credential) -> None:
        """The device's files: agent.toml for all three programs, keys, the driver's choice."""
        device, catalogue = self.device, load_catalogue(shipped_catalogue())
        for name in sorted(catalogue.recipients()):
            private = X25519PrivateKey.generate()
            device.recipients[name] = private.private_bytes_raw()
            (self.folder / f"{name}.pub").write_bytes(private.public_key().public_bytes_raw())
        device.broker_url, device.linked_url = (f"mqtts://127.0.0.1:{port}" for port in (self.broker, self.bulk.port))
        call = CONFIG.format(folder=self.folder, port=self.link.port, ca=device.ca, cert=own.cert, key=own.key)
        write_config(device, self.bus, PACKAGE, None, call)
        prepare_state(device, catalogue, Choice(True, None))

    def _connect(self, own: Credential) -> Connection:
        to = access(f"mqtts://127.0.0.1:{self.broker}", ca=self.device.ca, cert=own.cert, key=own.key, protocol=V311)
        connection = Connection(to, Connect(1, V311), "centre", ("modicum/v1/+/ecall/msd",), self._arrived.put)
        connection.start()
        self._ends.callback(connection.hang_up, politely=True)
        assert isinstance(self._arrived.get(timeout=START_S), Online)
        return connection

    def _modem(self, answer_s: float) -> None:
        self._said = self.folder / "modem.said"
        command = ["hw.bench.modem", "--link", f"{self.folder}/at", "--answer-s", str(answer_s), "--scenario", self.scenario]
        with self._said.open("w") as out:
            process = subprocess.Popen([sys.executable, "-m", *command], stdout=out)
        self._ends.callback(_ended, process)
        until(lambda: "ready" in self._said.read_text(), "the modem", START_S)

    # -- the programs -------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """`core`, `uplink` or `ecall`, without waiting for it."""
        self.programs.start(name, MODULES[name], "--config", str(self.device.config))

    def ecall(self) -> None:
        """The emergency call's program, once it has its connection and knows a crash from what was always so."""
        self.start("ecall")
        until(lambda: self.status().get("centre", {}).get("online"), "the connection to the centre", START_S)
        until((self.folder / "run" / "armed").exists, "the end of its beginning", START_S)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.programs.running.pop(name)
        process.kill()
        process.wait()

    def airbag(self) -> Airbag:
        """The control unit of the airbags, where no whole car sends its frames."""
        airbag = Airbag(self.bus)
        self._ends.callback(airbag.stop)
        return airbag

    def status(self) -> dict[str, Any]:
        """What the program says of itself; nothing while it does not answer."""
        with contextlib.suppress(AgentAbsent):
            found: dict[str, Any] = ask(self.folder / "run" / "control.sock", "ecall.status")
            return found
        return {}

    def reaches(self, state: str) -> Callable[[], bool]:
        return lambda: self.status().get("state") == state

    def acknowledged(self) -> bool:
        """Whether the standing call knows that the centre has its message."""
        session = self.status().get("session")
        return bool(session and session["acknowledged"])

    @property
    def dials(self) -> int:
        """How often the modem was made to dial."""
        return self._said.read_text().split().count("dialled")

    @property
    def calls(self) -> bool:
        """Whether the modem has a call."""
        return self._said.read_text().split()[-1] in ("dialled", "rings")

    @property
    def sessions(self) -> set[str]:
        """Those that the centre has heard of."""
        return {call.session for call in self.heard}

    # -- the centre ---------------------------------------------------------------------------------------------------

    def message(self, within_s: float = 10.0, *, news: bool = False) -> tuple[wire.Call, Msd]:
        """The next one that the centre gets; with `news` the next one of a call that it has not heard of. Raises queue.Empty."""
        end_s = time.monotonic() + within_s
        while True:
            event = self._arrived.get(timeout=max(end_s - time.monotonic(), 0.001))
            if isinstance(event, Arrived):
                event.accept()
                call = wire.opened(event.payload, self.device.recipients["emergency"])
                known = call.session in self.sessions
                self.heard.append(call)
                if not (known and news):
                    return call, decode(call.octets)

    def says(self, word: wire.Word, call: wire.Call) -> None:
        self.centre.publish(wire.answers_to("modicum", call.id), wire.said(word, call.reply_key))

    def told(self, begin: Callable[[], object], within_s: float = 10.0) -> Told:
        """A crash from `begin` to the voice call; the centre answers each message at once."""
        dials, sessions, begun_s = self.dials, len(self.sessions), time.monotonic()
        begin()
        call, msd = self.message(within_s, news=True)
        self.says(Acknowledged(call.session, msd.message_identifier), call)
        until(self._answered, "the acknowledgement")
        acknowledged_s = time.monotonic() - begun_s
        until(self.reaches("voice"), "the voice call")
        return Told(
            call=call,
            msd=msd,
            begun_s=begun_s,
            acknowledged_s=acknowledged_s,
            dials=self.dials - dials,
            sessions=len(self.sessions) - sessions,
        )

    def _answered(self) -> bool:
        """Whether the answer has arrived; answers again who asks again: a program that was killed has heard nothing."""
        with contextlib.suppress(queue.Empty):
            call, msd = self.message(0.02)
            self.says(Acknowledged(call.session, msd.message_identifier), call)
        return self.acknowledged()

    def clear_down(self, call: wire.Call) -> None:
        """The centre ends it; returns when the modem has no call any more."""
        self.says(ClearedDown(call.session), call)
        until(self.reaches("cleared"), "the clear-down")
        until(lambda: not self.calls, "the end of the voice call")


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


@contextlib.contextmanager
def staged(kind: type[S], **how: Any) -> Iterator[S]:
    """A stage of that kind without a program on it yet. Skips the test where there is no file system in RAM."""
    if kind_of(SHM, Path("/proc/self/mounts")) not in IN_RAM:
        pytest.skip("no tmpfs at /dev/shm")
    with alone(), TemporaryDirectory(dir=SHM) as folder, contextlib.ExitStack() as ends:
        yield kind(Path(folder), ends, **how)
