"""The sections of agent.toml, as types: one device's buses, ports, brokers, recipients and folders.

Owns what a section may hold and what each key means; how they are read and fit together stands in `agent.settings`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Vin = Annotated[str, Meta(pattern=r"^[A-HJ-NPR-Z0-9]{17}$", description="17 characters of the VIN alphabet (ISO 3779: no I, O, Q)")]
Region = Annotated[str, Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", description="a region such as CN or CN-31 (ISO 3166)")]
Prefix = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,3}$", max_length=64, description="a topic of at most 4 levels, no wildcard"),
]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64, description="a name of letters, digits, - _ .")]
Port = Annotated[str, Meta(min_length=1, description="a serial device such as /dev/modicum-nmea, or a pyserial URL")]
Baud = Annotated[int, Meta(ge=300, le=4_000_000, description="bits per second")]
Suite = Literal["hpke-x25519-sha256-chacha20"]
PORT_TLS = 8883
PORT_PLAIN = 1883


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base: frozen, and a key that is not declared is an error."""


class VehicleSection(Section, frozen=True):
    """[vehicle]: which vehicle this is. Required."""

    platform: Annotated[Name, Meta(description="folder under config/vehicles. Required")]
    vin: Annotated[Vin | None, Meta(description="checked against its mapped signal; absent: streams with identity vin are refused")] = None
    vin_file: Annotated[
        Path | None,
        Meta(
            description="in place of vin: a file that holds it and nothing else, for core and ecall to read and no technician. Default none"
        ),
    ] = None


class State(Section, frozen=True):
    """[state]: where the device keeps its own files."""

    dir: Annotated[Path, Meta(description="databases and keys. Default /var/lib/modicum")] = msgspec.field(
        default_factory=lambda: Path("/var/lib/modicum")
    )
    quota_mib: Annotated[int, Meta(ge=1, le=4096, description="most that waiting records may take, MiB. Default 64")] = 64


class Bus(Section, frozen=True):
    """[[bus]]: one CAN bus, read by python-can, never written to."""

    name: Annotated[Name, Meta(description="as under [buses] of vehicle.toml. Required")]
    interface: Annotated[str, Meta(description="a python-can interface. Default socketcan")] = "socketcan"
    channel: Annotated[str | int, Meta(description="as that interface calls it, such as can0. Default empty")] = ""
    options: Annotated[dict[str, Any], Meta(description="further arguments of that interface. Default none; fd is true on socketcan")] = {}


class Gnss(Section, frozen=True):
    """[gnss]: the receiver. Absent: no position."""

    port: Annotated[Port, Meta(description="serial device or pyserial URL of the NMEA output or the AT port. Required")]
    kind: Annotated[
        Literal["nmea", "at"],
        Meta(description="nmea: the receiver speaks by itself; at: a modem is asked, on a port that is not [modem]'s. Default nmea"),
    ] = "nmea"
    baud: Annotated[Baud | None, Meta(description="bits per second. Default 9600 for nmea, 115200 for at")] = None


class Modem(Section, frozen=True):
    """[modem]: the AT port of the emergency call. Absent: no call can be placed."""

    port: Annotated[Port, Meta(description="serial device or pyserial URL that answers AT. Required")]
    baud: Annotated[Baud, Meta(description="bits per second. Default 115200")] = 115_200


Number = Annotated[str, Meta(pattern=r"^\+?[0-9*#]{1,32}$", description="a telephone number: digits, * and #, a + before them")]


class Sos(Section, frozen=True):
    """[ecall.sos]: the SOS button on a GPIO line. Absent: the head unit alone can call for help by hand."""

    chip: Annotated[str, Meta(min_length=1, description="device such as /dev/gpiochip0, or a chip's name or label. Required")]
    line: Annotated[int | str, Meta(description="offset in the chip, or the line's name. Required")]
    active_low: Annotated[bool, Meta(description="pressed is low: a button to ground. Default true")] = True
    bias: Annotated[Literal["as-is", "disabled", "pull-up", "pull-down"], Meta(description="the chip's own resistor. Default pull-up")] = (
        "pull-up"
    )
    debounce_ms: Annotated[int, Meta(ge=0, le=100, description="a level that lasts less is not told by the kernel. Default 10")] = 10


class Ecall(Section, frozen=True):
    """[ecall]: the emergency call's own program, where the vehicle file does not say that it is absent. Absent: it does not start."""

    broker: Annotated[str, Meta(description="of [brokers], with the program's own credential. Required")]
    number: Annotated[Number, Meta(description="the emergency centre. Required")]
    test_number: Annotated[Number, Meta(description="who answers test calls; never the emergency line. Required")]
    recipient: Annotated[str, Meta(description="of [recipients]: the centre's key. Default emergency")] = "emergency"
    sos: Annotated[Sos | None, Meta(description="the SOS button on a GPIO line. Default none")] = None
    sms: Annotated[
        Number | None,
        Meta(
            description="number that gets a message which stays unacknowledged, as SMS: "
            "VIN and place stand in it for every operator on its way to read. Default none"
        ),
    ] = None
    version: Annotated[Literal[2, 3], Meta(description="of the minimum set of data (EN 15722). Default 3")] = 3
    vehicle_type: Annotated[int, Meta(ge=1, le=23, description="of EN 15722; 1 is a passenger car (M1). Default 1")] = 1
    state: Annotated[
        Path, Meta(description="the program's secret, and the owner's switch: a file that says off. Default /var/lib/modicum-ecall")
    ] = msgspec.field(default_factory=lambda: Path("/var/lib/modicum-ecall"))
    run: Annotated[Path, Meta(description="a folder in RAM. Default /run/modicum-ecall")] = msgspec.field(
        default_factory=lambda: Path("/run/modicum-ecall")
    )
    audit: Annotated[Path, Meta(description="where core is told of a call that is over. Default /run/modicum-audit/audit.sock")] = (
        msgspec.field(default_factory=lambda: Path("/run/modicum-audit/audit.sock"))
    )
    timers: Annotated[dict[str, Any], Meta(description="other waits than those of agent/ecall/timers.py; for the bench. Default none")] = {}


class Broker(Section, frozen=True):
    """[brokers.X]: an MQTT broker and how this device shows who it is."""

    url: Annotated[str, Meta(description="mqtts://HOST[:8883]; mqtt://HOST[:1883] only on this machine itself. Required")]
    region: Annotated[Region, Meta(description="where it stands: the operator's attestation. Required")]
    ca: Annotated[Path | None, Meta(description="the one authority that is believed, PEM. Required with mqtts")] = None
    cert: Annotated[Path | None, Meta(description="this device's certificate, PEM, for lanes with an identity. Default none")] = None
    key: Annotated[Path | None, Meta(description="its private key, PEM. Default none")] = None
    fleet_cert: Annotated[Path | None, Meta(description="the fleet's certificate, PEM, for lanes without identity. Default none")] = None
    fleet_key: Annotated[Path | None, Meta(description="its private key, PEM. Default none")] = None
    addresses: Annotated[tuple[str, ...], Meta(description="networks (CIDR) that the host must resolve into. Default any")] = ()
    first_protocol: Annotated[
        Literal["5", "3.1.1"], Meta(description="MQTT version that is tried first; the other is fallen back to. Default 5")
    ] = "5"

    @property
    def host(self) -> str:
        """The host of the URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port of the URL, or the scheme's usual one."""
        return urlsplit(self.url).port or (PORT_TLS if self.tls else PORT_PLAIN)

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


class Recipient(Section, frozen=True):
    """[recipients.X]: who can open what a stream sends to X."""

    broker: Annotated[str, Meta(description="of [brokers]. Required")]
    key: Annotated[Path, Meta(description="public key, X25519: 32 raw bytes, or PEM. Required")]
    region: Annotated[Region, Meta(description="where it is opened. Required")]
    suite: Annotated[Suite, Meta(description="how envelopes are sealed. Default is the one there is")] = "hpke-x25519-sha256-chacha20"


class Regions(Section, frozen=True):
    """[regions]: where data may go. Required."""

    allowed: Annotated[tuple[Region, ...], Meta(description="regions of brokers and recipients that may be used. Required")]


class Topics(Section, frozen=True):
    """[topics]"""

    prefix: Annotated[Prefix, Meta(description="first levels of every topic. Default modicum")] = "modicum"


class Clock(Section, frozen=True):
    """[clock]: who may set what the agent believes of the time, best first."""

    sources: Annotated[
        tuple[Literal["ntp", "gnss", "system"], ...],
        Meta(description="any of ntp, gnss; system: the host's clock is vouched for. Default ntp, gnss"),
    ] = ("ntp", "gnss")


class Keys(Section, frozen=True):
    """[keys]: where the credential comes from that opens the key block."""

    provider: Annotated[
        Literal["systemd", "systemd-host", "file"],
        Meta(
            description="systemd: handed in by the unit, and only a TPM opens its sealed form; systemd-host: however it is sealed; "
            "file: it lies there in the clear. The last two are weak. Default systemd"
        ),
    ] = "systemd"
    path: Annotated[
        Path | None,
        Meta(
            description="the file; with systemd the sealed form, whose file name is the credential's. "
            "Default /etc/credstore.encrypted/modicum-credential, or DIR/credential"
        ),
    ] = None


class PowerSection(Section, frozen=True):
    """[power]: when core makes everything durable and ends by itself; a unit of the integrator's then does what it is to do."""

    off_delay_s: Annotated[float, Meta(ge=10, le=604_800, description="so long after the ignition was on. Default never")] | None = None
    low_v: Annotated[float, Meta(ge=6, le=60, description="a starter battery below this is low, V. Default never")] | None = None
    low_for_s: Annotated[
        float, Meta(ge=10, le=3600, description="it has to be low for so long; starting the engine takes seconds. Default 60")
    ] = 60.0


class Control(Section, frozen=True):
    """[control]: where the command line talks to the agent."""

    socket: Annotated[Path, Meta(description="Default /run/modicum/control.sock")] = msgspec.field(
        default_factory=lambda: Path("/run/modicum/control.sock")
    )


class Link(Section, frozen=True):
    """[link]: where core and uplink talk to each other."""

    socket: Annotated[Path, Meta(description="Default /run/modicum-link/link.sock")] = msgspec.field(
        default_factory=lambda: Path("/run/modicum-link/link.sock")
    )


class CatalogueSection(Section, frozen=True):
    """[catalogue]"""

    dir: Annotated[Path | None, Meta(description="a catalogue folder. Default: the shipped one")] = None


class Policies(Section, frozen=True):
    """[policies]"""

    dir: Annotated[Path | None, Meta(description="a folder of policy versions. Default: the catalogue's own")] = None


class Entitlement(Section, frozen=True):
    """[entitlement]: what the owner has bought. Written here until signed entitlements exist; they will replace it."""

    package: Annotated[str, Meta(description="of packages.toml, or none. Default none")] = "none"
