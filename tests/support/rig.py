"""A device on the desk for tests of delivery: core and uplink as processes, mosquitto with client certificates behind a proxy.

A small sender stands in for the car: ignition, gear and a speed that never repeats, so that each record differs. The
recipients are one client of paho with a persistent session: what the broker took for them is theirs, however often it stops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import can
import cantools
import paho.mqtt.client as paho
from cantools.database.can import Database
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from agent.catalogue.load import load_catalogue
from agent.cli.bench.device import BusChoice, Device, prepare_state, write_config
from agent.cli.bench.listeners import NOTICE, recipients_of
from agent.cli.bench.programs import Programs
from agent.cli.bench.stage import default_bus
from agent.consent.choice import DRIVER, Choice, GrantEntry
from agent.control.protocol import RemoteError, ask
from agent.envelope import Key, open_envelope, received_lines
from agent.errors import AgentAbsent
from hw.bench.authority import Authority, Credential
from hw.bench.car import open_bus
from hw.bench.crc import sae_j1850
from hw.bench.link import Proxy
from hw.bench.scenario import VIN
from tests.support.mosquitto import Mosquitto
from tests.support.truth import VEHICLE
from tests.support.virtual import SCENARIOS
from tests.support.wait import until

CATALOGUE = SCENARIOS / "catalogue"
CHOICE = Choice(True, {"steady.share": GrantEntry(state="YES"), "steady.never": GrantEntry(state="NO")})
WAIT_S = 45.0
FRAME_S = 0.1


@dataclass(slots=True)
class Message:
    """What a recipient opened: how often it came, and its lines."""

    stream: str
    key: Key
    lines: list[dict[str, Any]]
    times: int = 1

    @property
    def seq(self) -> int:
        return int(self.key[-1]) if isinstance(self.key[-1], int) else 0

    @property
    def t_s(self) -> float:
        return min(float(line["t"]) for line in self.lines)


@dataclass(slots=True)
class Mailbox:
    """Everything that the broker handed over, by message key."""

    private_keys: dict[str, bytes]
    recipient_of: dict[str, str]
    messages: dict[Key, Message] = field(default_factory=dict)
    different: int = 0
    notices: list[str] = field(default_factory=list)

    def start(self, port: int, ca: Path, credential: Credential) -> paho.Client:
        """Listens with a session that outlives every connection."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="all-recipients", clean_session=False, protocol=paho.MQTTv311)
        client.tls_set(str(ca), str(credential.cert), str(credential.key))
        client.reconnect_delay_set(1, 1)
        client.on_message = lambda _client, _data, message: self._take(message.topic, bytes(message.payload))
        client.connect("127.0.0.1", port, keepalive=20)
        client.subscribe("modicum/v1/#", qos=1)  # once: the session remembers it
        client.loop_start()
        return client

    def of(self, stream: str) -> list[Message]:
        """The distinct messages of a stream, in the order of time."""
        return sorted((one for one in list(self.messages.values()) if one.stream == stream), key=lambda one: one.t_s)

    def repeated(self) -> int:
        return sum(one.times - 1 for one in self.messages.values())

    def _take(self, topic: str, payload: bytes) -> None:
        stream = ".".join(topic.rsplit("/", 2)[-2:])
        if stream.endswith(NOTICE):  # to whoever got something under a grant that has ended
            self.notices.append(stream)
            return
        opened = open_envelope(payload, self.private_keys[self.recipient_of[stream]])
        lines = [{**line, "seq": 0} for line in received_lines(opened, 0)]
        known = self.messages.get(opened.key)
        if known is None:
            self.messages[opened.key] = Message(stream, opened.key, lines)
        else:
            known.times += 1
            self.different += known.lines != lines


class Sender:
    """The car: ten frames a second of each message that the steady streams need."""

    def __init__(self, bus: BusChoice) -> None:
        database = cantools.database.load_file(VEHICLE / "bench.dbc")
        assert isinstance(database, Database)
        self._database, self._bus = database, open_bus(bus.interface, bus.channel, bus.port)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="car", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5)
        self._bus.shutdown()

    def _run(self) -> None:
        count = 0
        while not self._ended.wait(FRAME_S):
            count += 1
            self._send("IGN", {"KL": 2, "KEY_INSIDE": 1, "ALIVE": count % 16})
            self._send("IDENT", {"SERIAL": int.from_bytes(VIN[-7:].encode(), "big")})
            self._send("GEARBOX", {"LEVER": 4, "STEP": 2, "OIL_TEMPERATURE": 60})
            self._send("MOTION", {"CRC": 0, "ALIVE": count % 16, "DIRECTION": 1, "SPEED": 10 + count * 0.01, "ACCELERATION": 0})

    def _send(self, name: str, values: dict[str, float]) -> None:
        message = self._database.get_message_by_name(name)
        data = message.encode(values)
        if "CRC" in values:
            data = bytes([sae_j1850(data[1:])]) + data[1:]
        self._bus.send(can.Message(arbitration_id=message.frame_id, is_extended_id=False, data=data))


class Rig:
    """The whole desk. `proxy` stands between uplink and broker; the recipients reach the broker directly."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder, "ca")
        self.device = Device(folder, folder)
        self.device.ca = authority.ca
        server, self._listener = authority.issue("broker", ("127.0.0.1", "localhost")), authority.issue("recipients")
        for name in ("device", "fleet"):
            authority.issue(name)
        store = folder / "mosquitto"
        store.mkdir()
        self.broker = Mosquitto(store, authority, server, persistent=True)
        self.proxy = Proxy(self.broker.port)
        self.programs = Programs(folder / "logs")
        catalogue, self.bus = load_catalogue(CATALOGUE), default_bus()
        for name in sorted(catalogue.recipients()):
            private = X25519PrivateKey.generate()
            self.device.recipients[name] = private.private_bytes_raw()
            (folder / f"{name}.pub").write_bytes(private.public_key().public_bytes_raw())
        self.device.broker_url = f"mqtts://127.0.0.1:{self.proxy.port}"
        write_config(self.device, self.bus, "basic", CATALOGUE)
        prepare_state(self.device, catalogue, CHOICE)
        self.mailbox = Mailbox(self.device.recipients, recipients_of(catalogue))

    def __enter__(self) -> Self:
        self.broker.start()
        self._client = self.mailbox.start(self.broker.port, self.device.ca, self._listener)
        self._sender = Sender(self.bus)
        self.start("core")
        self.start("uplink")
        self.until(self.trip, "the trip")
        self.ask("profile.use", name=DRIVER)
        self.until(lambda: len(self.mailbox.of("steady.granted")) >= 3, "the first messages")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sender.stop()
        self.programs.stop_all()
        self._client.disconnect()
        self._client.loop_stop()
        self.proxy.__exit__(None, None, None)
        self.broker.__exit__(None, None, None)

    def start(self, name: str) -> None:
        """Core or uplink."""
        if name == "core":
            self.programs.start("core", "agent.daemons.core", "--config", str(self.device.config))
        else:
            self.programs.start("uplink", "tests.support.quick_uplink", str(self.device.config))

    def kill(self, name: str) -> None:
        """kill -9. What has ended by itself before is a fault."""
        process = self.programs.running.pop(name)
        assert process.poll() is None, f"{name} ended by itself with {process.returncode}"
        process.kill()
        process.wait()

    def ask(self, route: str, **args: object) -> Any:
        return ask(self.device.control, route, **args)

    def trip(self) -> bool:
        """Whether core runs and knows a trip."""
        return bool(self.answer("live", {"trip": False})["trip"])

    def answer(self, route: str, absent: Any) -> Any:
        """What core says, or `absent` while it does not answer."""
        try:
            return self.ask(route)
        except (AgentAbsent, RemoteError):
            return absent

    def until(self, holds: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
        until(holds, what, within_s, pause_s=0.1)

    def rest(self) -> None:
        """The car stops, what waits is delivered, core and uplink end cleanly."""
        self._sender.stop()
        self.until(lambda: self.answer("status", {"buffer": True})["buffer"] == {}, "an empty buffer")
        for name in ("core", "uplink"):
            self.programs.stop(name)
        self._quiet()

    def _quiet(self) -> None:
        seen = -1
        while seen != len(self.mailbox.messages):
            seen = len(self.mailbox.messages)
            time.sleep(0.5)
