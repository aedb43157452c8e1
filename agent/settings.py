"""agent.toml: one device's settings, whole.

Owns how the file is read and its own consistency. Promises that loaded settings are whole: every path is absolute
(relative ones count from the file's folder), every name that points inside the file exists, an unknown key is an error.
Never repeats a value in a message: the VIN stands here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Container
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from agent.errors import ConfigError
from agent.sections import (
    Broker,
    Bus,
    CatalogueSection,
    Clock,
    Control,
    Ecall,
    Entitlement,
    Gnss,
    Keys,
    Link,
    Modem,
    Policies,
    PowerSection,
    Recipient,
    Regions,
    State,
    Topics,
    VehicleSection,
    Vin,
)
from agent.toml import At, Report, decode, read_table

S = TypeVar("S", bound=msgspec.Struct)
SEALED = Path("/etc/credstore.encrypted/modicum-credential")
"""Where systemd looks for a credential that a unit names without a path (systemd.exec(5))."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """agent.toml"""

    vehicle: VehicleSection
    regions: Regions
    bus: tuple[Bus, ...] = ()
    brokers: dict[str, Broker] = {}
    recipients: dict[str, Recipient] = {}
    gnss: Gnss | None = None
    modem: Modem | None = None
    ecall: Ecall | None = None
    state: State = msgspec.field(default_factory=State)
    topics: Topics = msgspec.field(default_factory=Topics)
    clock: Clock = msgspec.field(default_factory=Clock)
    keys: Keys = msgspec.field(default_factory=Keys)
    power: PowerSection = msgspec.field(default_factory=PowerSection)
    control: Control = msgspec.field(default_factory=Control)
    link: Link = msgspec.field(default_factory=Link)
    catalogue: CatalogueSection = msgspec.field(default_factory=CatalogueSection)
    policies: Policies = msgspec.field(default_factory=Policies)
    entitlement: Entitlement = msgspec.field(default_factory=Entitlement)

    @property
    def credential_path(self) -> Path:
        """Where the credential rests: in the clear, or the sealed form that systemd opens."""
        default = self.state.dir / "credential" if self.keys.provider == "file" else SEALED
        return self.keys.path or default


def load_settings(path: Path, sections: Container[str] | None = None) -> Settings:
    """The settings of `path`, or of these sections of it. Raises ConfigError (file and key) for the first thing wrong."""
    report = Report()
    settings = read_settings(path, report, sections)
    report.raise_first()
    if settings is None:
        raise ConfigError("no settings", path.name, "correct the file")
    return settings


def read_settings(path: Path, report: Report, sections: Container[str] | None = None) -> Settings | None:
    """As `load_settings`, with everything that is wrong in the report instead; None when the form is."""
    raw = read_table(path, path.name, report)
    if raw is not None and sections is not None:
        raw = {name: section for name, section in raw.items() if name in sections}
    settings = None if raw is None else decode(raw, Settings, At(path.name), report)
    if settings is None:
        return None
    if settings.vehicle.vin is not None and settings.vehicle.vin_file is not None:
        at = At(path.name).key("vehicle").key("vin")
        report.error("vin-twice", "the VIN stands here and in vin_file", at, "take this one out: every technician can read it")
    _buses(settings, At(path.name).key("bus"), report)
    for name, broker in settings.brokers.items():
        _broker(broker, At(path.name).key("brokers").key(name), report)
    for name, recipient in settings.recipients.items():
        if recipient.broker not in settings.brokers:
            at = At(path.name).key("recipients").key(name).key("broker")
            report.error("unknown-broker", f"no broker {recipient.broker!r}", at, "describe it in [brokers], or correct the name")
    if settings.ecall is not None:
        _ecall(settings, settings.ecall, At(path.name).key("ecall"), report)
    return _resolved(settings, path.absolute().parent)


def watch(file: Path) -> Callable[[], bool]:
    """Tells, whenever it is called, whether the file is another than now; one that cannot be read is, for it would end the next start."""

    def content() -> bytes | None:
        try:
            return file.read_bytes()
        except OSError:
            return None

    began = content()
    return lambda: content() != began


def vin_of(settings: Settings) -> str | None:
    """The VIN, from wherever it stands; None where it is not configured. Raises ConfigError where its file cannot be read or holds none.

    For core and the emergency call alone: nobody else may read that file, nor needs to.
    """
    path = settings.vehicle.vin_file
    if path is None:
        return settings.vehicle.vin
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        hint = "put the VIN there, readable for modicum-core and modicum-ecall (docs/vehicle.md), or take vehicle.vin_file out"
        raise ConfigError(f"the file of the VIN cannot be read: {error.strerror}", str(path), hint) from error
    report = Report()
    vin: str | None = decode(text, Vin, At(str(path)), report)
    report.raise_first()
    return vin


def _ecall(settings: Settings, ecall: Ecall, at: At, report: Report) -> None:
    if ecall.test_number == ecall.number:
        report.error("test-number", "a test call would go to the emergency centre", at.key("test_number"), "name another number")
    if ecall.sos is not None and isinstance(ecall.sos.line, int) and ecall.sos.line < 0:
        report.error("sos-line", "no line has a negative offset", at.key("sos").key("line"), "write its offset in the chip, or its name")
    if ecall.broker not in settings.brokers:
        report.error("unknown-broker", f"no broker {ecall.broker!r}", at.key("broker"), "describe it in [brokers], or correct the name")
    if ecall.recipient not in settings.recipients:
        where = at.key("recipient")
        report.error("unknown-recipient", f"no recipient {ecall.recipient!r}", where, "describe it in [recipients], or correct the name")


def _buses(settings: Settings, at: At, report: Report) -> None:
    names = [bus.name for bus in settings.bus]
    for index, name in enumerate(names):
        if name in names[:index]:
            report.error("bus-twice", f"two buses {name!r}", at.item(index).key("name"), "name each bus once")


def _broker(broker: Broker, at: At, report: Report) -> None:
    complaint = _url(broker.url)
    if complaint is not None:
        report.error("broker-url", complaint, at.key("url"), "write mqtts://HOST:8883")
    elif broker.tls and broker.ca is None:
        report.error("broker-ca", "mqtts without an authority", at.key("ca"), "name the PEM file of the one authority to believe")
    for cert, key in (("cert", "key"), ("fleet_cert", "fleet_key")):
        if (getattr(broker, cert) is None) != (getattr(broker, key) is None):
            report.error("broker-pair", f"{cert} and {key} belong together", at.key(key), "name both or neither")
    for index, network in enumerate(broker.addresses):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            report.error("address", "not a network", at.key("addresses").item(index), "write for example 203.0.113.0/24")


def _url(url: str) -> str | None:
    """Why this URL cannot be used, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0:
        return "not the URL of an MQTT broker"
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        return "more than a host and a port in the URL"
    return "mqtt without encryption leaves this machine" if parts.scheme == "mqtt" and not _is_here(parts.hostname) else None


def _is_here(host: str) -> bool:
    """Whether `host` is this machine by its very name: nothing is resolved."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _resolved(struct: S, base: Path) -> S:
    """The same with every relative path counted from `base`, at any depth."""
    changed = {name: new for name in struct.__struct_fields__ if (new := _absolute(value := getattr(struct, name), base)) is not value}
    return msgspec.structs.replace(struct, **changed)


def _absolute(value: object, base: Path) -> object:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, msgspec.Struct):
        return _resolved(value, base)
    if isinstance(value, dict) and any(isinstance(item, msgspec.Struct) for item in value.values()):
        return {key: _absolute(item, base) for key, item in value.items()}
    return value
