"""`modicum-ecall`: the emergency call, which needs neither of the others. Wiring only."""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import fields

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.clock import NS, RELEASE_NS, kernel_synchronised
from agent.control.server import ControlServer
from agent.daemons.starting import started
from agent.ecall import wire
from agent.ecall.centre import Centre
from agent.ecall.crash import Trigger
from agent.ecall.loop import Addresses, Item, Loop, boot_ns
from agent.ecall.machine import Machine
from agent.ecall.message import VIN_UNKNOWN, Facts
from agent.ecall.routes import ROUTES, submit_to
from agent.ecall.rules import rules_of
from agent.ecall.session import Standing
from agent.ecall.store import Store
from agent.ecall.timers import Timers
from agent.envelope import Sender, public_key, sender_for
from agent.errors import ConfigError
from agent.folders import vehicle_folder
from agent.mqtt.connection import access
from agent.mqtt.terms import PROTOCOLS
from agent.settings import Bus, Ecall, Settings
from agent.vehicle import Vehicle, load_vehicle
from hw.can.bus import BusReader
from hw.modem.voice import Voice
from hw.ports import Subscription

SECRET_BYTES = 32
OFF = "off"
EVERYTHING = 2**512 - 1
log = logging.getLogger("modicum.ecall")


def main() -> int:
    """Runs until SIGTERM. Exit status as the command line's."""
    return started("modicum-ecall", "Makes the emergency call, by itself.", run)


def run(settings: Settings) -> None:
    """Builds everything, runs the loop, takes down in reverse whatever was built. Raises ConfigError where there is no [ecall]."""
    if settings.ecall is None:
        raise ConfigError("no [ecall] section", "agent.toml", "name the centre's broker and numbers, or do not start it")
    with contextlib.ExitStack() as built:
        _run(settings, settings.ecall, built)


def _run(settings: Settings, own: Ecall, built: contextlib.ExitStack) -> None:
    vehicle = load_vehicle(vehicle_folder(settings.vehicle.platform))
    inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
    store = Store(own.run)
    frames, signs, findings = rules_of(vehicle)
    for finding in findings:
        log.warning("%s: %s: %s", finding.code, finding.text, finding.hint)
    machine = _machine(settings, own, vehicle, store)
    trigger = Trigger(frames, signs, store.armed, told=machine.standing.session is not None)
    addresses = _addresses(settings, own)
    voice = None
    if settings.modem is not None:
        voice = Voice(settings.modem.port, tell=inbox.put, baud=settings.modem.baud)
        built.callback(voice.close)
    loop = Loop(
        machine=machine,
        trigger=trigger,
        centre=_centre(settings, own, addresses, inbox),
        store=store,
        addresses=addresses,
        inbox=inbox,
        voice=voice,
        utc_s=lambda: utc_s(settings.clock.sources),
    )
    readers = [_reader(bus, trigger, inbox) for bus in settings.bus if trigger.ids(bus.name)]
    server = ControlServer(own.run / "control.sock", {name: route.permission for name, route in ROUTES.items()}, submit_to(loop))
    for reader in readers:
        built.callback(reader.close)
        reader.start()
    if voice is not None:
        voice.start()
    built.callback(server.close)
    server.start()
    trigger.begin(boot_ns())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put(None))
    log.info("watching %d crash frames", len(frames))
    loop.run()


def _machine(settings: Settings, own: Ecall, vehicle: Vehicle, store: Store) -> Machine:
    try:
        if unknown := own.timers.keys() - {one.name for one in fields(Timers)}:
            raise msgspec.ValidationError(", ".join(sorted(unknown)))
        timers = msgspec.convert(own.timers, Timers)
    except msgspec.ValidationError as error:
        raise ConfigError(f"no such wait: {error}", "ecall.timers", "see agent/ecall/timers.py") from error
    facts = Facts(
        vin=settings.vehicle.vin or VIN_UNKNOWN,
        propulsion=vehicle.file.vehicle.propulsion,
        vehicle_type=own.vehicle_type,
        version=own.version,
    )
    return Machine(facts, timers, enabled=_enabled(own, vehicle), standing=_standing(store))


def _enabled(own: Ecall, vehicle: Vehicle) -> bool:
    """Whether the owner has not switched it off, where that is the owner's to say. What cannot be read is no "off"."""
    if vehicle.file.ecall.mode != "third_party":
        return vehicle.file.ecall.mode == "regulated"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (own.state / "switch").read_text(encoding="utf-8").strip() != OFF
    return True


def _standing(store: Store) -> Standing:
    kept = store.read()
    if kept is not None:
        with contextlib.suppress(ValueError):
            return Standing.read(kept)
    return Standing()


def _addresses(settings: Settings, own: Ecall) -> Addresses:
    path, key = settings.recipients[own.recipient].key, b""
    try:
        key = public_key(path.read_bytes(), str(path))
    except (OSError, ConfigError) as error:  # the voice call needs no key; what cannot be sealed is a problem that `status` tells
        log.error("no key to seal a message with: %s", error)  # noqa: TRY400  the line says it all
    return Addresses(
        sender=_sender(own),
        recipient_key=key,
        prefix=settings.topics.prefix,
        number=own.number,
        test_number=own.test_number,
        vin=settings.vehicle.vin,
    )


def _sender(own: Ecall) -> Sender:
    """Who signs: by the program's own secret, or by one of this run alone where no file can be had."""
    path, secret = own.state / "secret", b""
    with contextlib.suppress(OSError):
        secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        secret = secrets.token_bytes(SECRET_BYTES)
        with contextlib.suppress(OSError):
            own.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(secret)
    return sender_for(lambda info: HKDF(SHA256(), SECRET_BYTES, None, info).derive(secret), own.recipient)


def _centre(settings: Settings, own: Ecall, addresses: Addresses, inbox: queue.SimpleQueue[Item]) -> Centre:
    broker = settings.brokers[own.broker]
    protocol = PROTOCOLS[broker.first_protocol]
    to = access(broker.url, ca=broker.ca, cert=broker.cert, key=broker.key, addresses=broker.addresses, protocol=protocol)
    topic = wire.answers_to(addresses.prefix, addresses.sender.id.hex())
    return Centre(to, f"e{addresses.sender.id.hex()[:18]}", topic, inbox.put)


def _reader(bus: Bus, trigger: Trigger, inbox: queue.SimpleQueue[Item]) -> BusReader:
    def to_axis(wall_s: float) -> int:
        return boot_ns() - max(time.time_ns() - int(wall_s * 1e9), 0)

    def deliver(item: object) -> None:
        inbox.put(item)  # type: ignore[arg-type]  # an ungated reader of no time-outs delivers frames alone

    reader = BusReader(
        bus.name, bus.interface, str(bus.channel), deliver=deliver, to_axis=to_axis, now_ns=boot_ns, extra=bus.options, gated=False
    )
    reader.subscribe(Subscription(bus.name, can_id, EVERYTHING, 0, 2**62) for can_id in trigger.ids(bus.name))
    return reader


def utc_s(sources: Collection[str]) -> int | None:
    """Where the host's clock is vouched for or disciplined, and says no time before this release."""
    now_ns = time.time_ns()
    believed = "system" in sources or ("ntp" in sources and kernel_synchronised())
    return now_ns // NS if believed and now_ns >= RELEASE_NS else None


if __name__ == "__main__":
    sys.exit(main())
