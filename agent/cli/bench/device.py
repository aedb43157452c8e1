"""The bench's device: a folder with everything that a real one would have, made for this run and thrown away after it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.catalogue.types import Catalogue
from agent.clock import SystemClock
from agent.consent.choice import Choice, apply_choice
from agent.consent.ledger import Ledger
from agent.consent.state import Kind
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database
from hw.bench.authority import Authority, Credential
from hw.bench.scenario import VIN

REGION = "CN"
CREDENTIAL_BYTES = 32
NOBODY: Mapping[str, Kind] = {}
SOCKETCAN = "socketcan"
EMERGENCY = "emergency"
NUMBER, TEST_NUMBER = "+8610000001", "+8610000002"
"""The bench's modem dials nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusChoice:
    """The bus between the simulated car and core."""

    interface: str
    channel: str
    port: int | None = None


@dataclass(slots=True)
class Device:
    """Paths and secrets of one bench. `recipients`: private keys, which only the recipients' side uses.

    `ram`: a folder whose files no disk keeps, where this computer has one. `linked_url`: the broker as the device reaches it, over a
    link that can be cut where there is one.
    """

    folder: Path
    ram: Path
    broker_url: str = ""
    linked_url: str = ""
    embedded: bool = False
    gnss_kind: str = "nmea"
    recipients: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    listener: Credential | None = None
    server: Credential | None = None
    centre: Credential | None = None
    ca: Path = Path()

    @property
    def config(self) -> Path:
        """agent.toml"""
        return self.folder / "agent.toml"

    @property
    def state(self) -> Path:
        """The device's own files: what a thief would find."""
        return self.folder / "state"

    @property
    def control(self) -> Path:
        """Core's control socket."""
        return self.folder / "control.sock"

    @property
    def link(self) -> Path:
        """Core's link socket."""
        return self.folder / "link.sock"

    @property
    def call(self) -> Path:
        """The emergency call's folder in RAM."""
        return self.ram / "ecall"

    @property
    def call_control(self) -> Path:
        """Where the command line reaches the emergency call."""
        return self.call / "control.sock"

    @property
    def at(self) -> Path:
        """Where the pty of the emergency call's modem is linked to."""
        return self.folder / "at"

    @property
    def gnss(self) -> Path:
        """Where the receiver's pty is linked to."""
        return self.folder / "gnss"


def make_credentials(device: Device, catalogue: Catalogue) -> None:
    """Certificates of the broker, the device, the fleet and the listener; a key pair for every recipient."""
    authority = Authority(device.folder)
    device.ca = authority.ca
    device.server = authority.issue("broker", ("127.0.0.1", "localhost"))
    device.listener = authority.issue("recipients")
    device.centre = authority.issue("centre")
    authority.issue("device")
    authority.issue("fleet")
    for name in sorted({*catalogue.recipients(), EMERGENCY}):
        private = X25519PrivateKey.generate()
        device.recipients[name] = private.private_bytes_raw()
        (device.folder / f"{name}.pub").write_bytes(private.public_key().public_bytes_raw())


def call_sections(device: Device) -> str:
    """The emergency call's part of agent.toml."""
    numbers = f'number = "{NUMBER}"\ntest_number = "{TEST_NUMBER}"'
    places = f'run = "{device.call}"\nstate = "{device.folder / "ecall"}"\naudit = "{device.folder / "audit.sock"}"'
    return f'[modem]\nport = "{device.at}"\n[ecall]\nbroker = "main"\n{numbers}\n{places}'


def write_config(device: Device, bus: BusChoice, package: str | None, catalogue: Path | None, call: str = "") -> None:
    """agent.toml as an integrator would write it; `call`: another part for the emergency call."""
    options = [] if bus.interface == SOCKETCAN else ["fd = true"]
    if bus.port is not None:
        options.append(f"port = {bus.port}")
    if bus.interface == "udp_multicast":
        options.append("hop_limit = 0")
    lines = [
        '[vehicle]\nplatform = "bench"\nvin = "' + VIN + '"',
        f'[state]\ndir = "{device.state}"\n[keys]\nprovider = "file"',
        f'[control]\nsocket = "{device.control}"',
        f'[link]\nsocket = "{device.link}"',
        f'[[bus]]\nname = "pt"\ninterface = "{bus.interface}"\nchannel = "{bus.channel}"',
        f"options = {{ {', '.join(options)} }}",
        f'[gnss]\nkind = "{device.gnss_kind}"\nport = "{device.gnss}"\nbaud = 115200',
        call or (call_sections(device) if EMERGENCY in device.recipients else ""),
        '[clock]\nsources = ["system"]',
        f'[entitlement]\npackage = "{package or "none"}"',
        f'[regions]\nallowed = ["{REGION}"]',
        f'[brokers.main]\nurl = "{device.linked_url or device.broker_url}"\nregion = "{REGION}"',
    ]
    if device.embedded:  # it speaks 3.1.1 only, and never answers the other
        lines.append('first_protocol = "3.1.1"')
    if device.broker_url.startswith("mqtts"):
        lines.append('ca = "ca.pem"\ncert = "device.pem"\nkey = "device.key"\nfleet_cert = "fleet.pem"\nfleet_key = "fleet.key"')
    if catalogue is not None:
        lines.append(f'[catalogue]\ndir = "{catalogue.absolute()}"')
    lines += [f'[recipients.{name}]\nbroker = "main"\nkey = "{name}.pub"\nregion = "{REGION}"' for name in device.recipients]
    device.config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare_state(device: Device, catalogue: Catalogue, choice: Choice, profiles: Mapping[str, Kind] = NOBODY) -> None:
    """Keys as `modicum keys init` makes them, the driver's choice and the other drivers in the ledger before the first start."""
    device.state.mkdir(mode=0o700)
    credential = os.urandom(CREDENTIAL_BYTES)
    path = device.state / "credential"
    path.touch(mode=0o600)
    path.write_bytes(credential)
    keyring = Keyring.create(device.state, credential)
    database = open_database(device.state / "ledger.db", keyring.database_key("ledger"), "ledger")
    ledger = Ledger(database, keyring, SystemClock(frozenset({"system"})))
    device.notes += apply_choice(choice, ledger, catalogue, time.time_ns() // 1_000_000)
    for name, kind in profiles.items():
        ledger.add_profile(name, kind)
    database.conn.close()
    keyring.close()
