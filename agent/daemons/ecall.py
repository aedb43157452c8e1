"""`modicum-ecall`: the emergency call, which needs neither of the others. Wiring only."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from agent.clock import NS, RELEASE_NS, age_ns, boot_ns, kernel_synchronised
from agent.control.protocol import ask
from agent.control.server import ControlServer
from agent.daemons.ending import close_all
from agent.daemons.starting import started
from agent.ecall import wire
from agent.ecall.addresses import Addresses, addresses_of
from agent.ecall.centre import Centre
from agent.ecall.crash import Trigger
from agent.ecall.fixes import FixHearer
from agent.ecall.loop import Item, Loop
from agent.ecall.machine import Machine
from agent.ecall.message import VIN_UNKNOWN, Facts
from agent.ecall.record import Recorder
from agent.ecall.routes import ROUTES, submit_to
from agent.ecall.rules import rules_of
from agent.ecall.selftest import SelfTest
from agent.ecall.session import Standing
from agent.ecall.store import Store
from agent.ecall.switch import SWITCH, Switch
from agent.ecall.table import State
from agent.ecall.timers import Timers
from agent.errors import ConfigError, ModicumError, UsageError
from agent.folders import vehicle_folder
from agent.model import Finding
from agent.mqtt.connection import access
from agent.mqtt.terms import PROTOCOLS
from agent.notify import Vote, Voter
from agent.sections import Bus, Ecall
from agent.settings import Settings, watch
from agent.vehicle import Vehicle, load_vehicle
from hw.can.bus import BusReader
from hw.modem.voice import Voice
from hw.ports import Subscription
from hw.registry import driver
from hw.sos.line import Wiring
from hw.supervision import Supervised

if TYPE_CHECKING:
    from hw.sos.gpio import SosLine

EVERYTHING = 2**512 - 1
CALL_SECTIONS = frozenset({"vehicle", "regions", "bus", "brokers", "recipients", "modem", "ecall", "topics", "clock", "control"})
"""What is wrong elsewhere in agent.toml costs no call."""
CLOSE_S = 0.5
"""For everything that has a thread; a modem in the middle of an answer is not waited for."""
BESIDE = frozenset({"record", "control", "fixes"})
"""Threads that a call can do without. While one stands, or may be called back, they are found and end nothing; then they vote again.

So are buses while a session stands: the crash that it tells may have torn off the adapter. Not in a test, in the countdown or in that hour:
a crash would be news there.
"""
log = logging.getLogger("modicum.ecall")
Inbox = queue.SimpleQueue[Item]


def main() -> int:
    """Runs until SIGTERM. Exit status as the command line's."""
    come_first()
    return started("modicum-ecall", "Makes the emergency call, by itself.", run, CALL_SECTIONS)


def come_first() -> None:
    """Takes the least of the real-time priorities where it may (sched(7)): on a busy device the time goes into waiting for a processor.

    Every thread of the program inherits it. The kernel leaves others a twentieth of each second, whatever happens.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def run(settings: Settings, file: Path) -> None:
    """Builds everything, runs the loop, takes down in reverse whatever was built. Raises ConfigError where there is no [ecall].

    `file`: where the settings stand; that it changes is found.
    """
    if settings.ecall is None:
        raise ConfigError("no [ecall] section", "agent.toml", "name the centre's broker and numbers, or do not start it")
    with contextlib.ExitStack() as built:
        _run(settings, settings.ecall, watch(file), built)


def _run(settings: Settings, own: Ecall, changed: Callable[[], bool], built: contextlib.ExitStack) -> None:
    inbox, store = Inbox(), Store(own.run)
    _alone(own, built)
    vehicle, found = _vehicle(settings)
    switch = Switch(own.state / SWITCH, vehicle.file.ecall.mode if vehicle else "third_party")
    addresses, wrong = addresses_of(settings, own)
    machine = _machine(own, addresses.vin, vehicle, switch, store)
    session = machine.standing.session
    told = session is not None and session.kind == "automatic"  # killed before it could say that it has told of a crash
    trigger = _trigger(vehicle, found, armed=store.armed and not told)
    readers = [_reader(bus, trigger, inbox) for bus in settings.bus if trigger.ids(bus.name)]
    voice = _voice(settings, inbox)
    sos = _sos(own, inbox, found)
    recorder = Recorder(functools.partial(ask, own.audit))
    centre = _centre(settings, own, addresses, inbox)
    broker = settings.brokers[own.broker]
    selftest = SelfTest(
        machine=machine,
        centre=centre,
        store=store,
        switch=switch,
        utc_s=lambda: utc_s(settings.clock.sources),
        readers=readers,
        watched=sum(rule.bus in {bus.name for bus in settings.bus} for rule in trigger.frames),
        voice=voice,
        sos=sos,
        certificate=broker.cert if broker.tls else None,
        at_start=found | wrong,
        changed=changed,
    )
    loop = Loop(
        machine=machine,
        trigger=trigger,
        centre=centre,
        store=store,
        addresses=addresses,
        switch=switch,
        selftest=selftest,
        inbox=inbox,
        voice=voice,
        ended=recorder,
    )
    parts: dict[str, Supervised | Recorder | ControlServer | FixHearer] = {f"bus {reader.name}": reader for reader in readers}
    parts |= {name: device for name, device in (("modem", voice), ("SOS", sos)) if device is not None}
    parts |= {"record": recorder, **_sockets(own, loop, selftest)}
    built.callback(close_all, [part.close for part in parts.values()], CLOSE_S)
    for part in parts.values():
        part.start()
    selftest.beside = {name: part for name, part in parts.items() if name in BESIDE}
    loop.vote = Vote("modicum-ecall", lambda: _voters(parts, loop)).take
    trigger.begin(boot_ns())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put(None))
    log.info("crash frames that are watched: %d", len(trigger.frames))
    loop.run()


def _voters(parts: Mapping[str, Voter], loop: Loop) -> dict[str, Voter]:
    """Whoever may end the program now."""
    calm, session, centre = loop.machine.state is State.IDLE, loop.machine.standing.session, loop.centre.in_use
    called = session is not None and session.kind != "test"

    def spared(name: str, part: Voter) -> bool:
        return called if isinstance(part, BusReader) else name in BESIDE and not calm

    voting: dict[str, Voter] = {name: part for name, part in parts.items() if not spared(name, part)}
    return voting | ({"centre": centre} if centre else {})


def _alone(own: Ecall, built: contextlib.ExitStack) -> None:
    """Raises UsageError where another one runs: it would take the sockets of the first away. What cannot be locked bars nobody."""
    with contextlib.suppress(OSError):
        lock = built.enter_context((own.run / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError("modicum-ecall runs already", str(own.run), "look at it: modicum ecall status") from error


def _vehicle(settings: Settings) -> tuple[Vehicle | None, dict[str, Finding]]:
    """What cannot be read costs the automatic call; the button and the test call need no vehicle file."""
    try:
        return load_vehicle(vehicle_folder(settings.vehicle.platform)), {}
    except ModicumError as error:
        text = f"the vehicle file cannot be used, so no crash is seen: {error.what}"
        return None, {"crash frames": Finding(code="ecall-vehicle", severity="error", text=text, hint=error.hint)}


def _trigger(vehicle: Vehicle | None, found: dict[str, Finding], *, armed: bool) -> Trigger:
    """Of the rules that can be used; the first of those that cannot is found."""
    if vehicle is None:
        return Trigger([], [], armed)
    frames, signs, findings = rules_of(vehicle)
    for finding in findings:
        log.warning("%s: %s: %s", finding.code, finding.text, finding.hint)
        found.setdefault("crash frames", finding)
    return Trigger(frames, signs, armed)


def _machine(own: Ecall, vin: str | None, vehicle: Vehicle | None, switch: Switch, store: Store) -> Machine:
    try:
        if unknown := own.timers.keys() - {one.name for one in fields(Timers)}:
            raise msgspec.ValidationError(", ".join(sorted(unknown)))
        timers = msgspec.convert(own.timers, Timers)
    except msgspec.ValidationError as error:
        raise ConfigError(f"no such wait: {error}", "ecall.timers", "see agent/ecall/timers.py") from error
    facts = Facts(
        vin=vin or VIN_UNKNOWN,
        propulsion=vehicle.file.vehicle.propulsion if vehicle else (),
        vehicle_type=own.vehicle_type,
        version=own.version,
    )
    return Machine(facts, timers, sms=own.sms is not None, enabled=switch.on, standing=_standing(store))


def _standing(store: Store) -> Standing:
    kept = store.read()
    try:
        return Standing() if kept is None else Standing.read(kept)
    except ValueError:
        log.error("what was kept of a call cannot be read; it is erased")  # noqa: TRY400  what it says is no log's business
        store.write(None)
        return Standing()


def _voice(settings: Settings, inbox: Inbox) -> Voice | None:
    if settings.modem is None:
        return None
    return Voice(settings.modem.port, tell=inbox.put, found=inbox.put, baud=settings.modem.baud)


def _sos(own: Ecall, inbox: Inbox, found: dict[str, Finding]) -> SosLine | None:
    if own.sos is None:
        return None
    try:
        line = cast("type[SosLine]", driver("sos", "gpio"))  # its library is loaded where there is a button
    except ImportError as error:
        text = f"the SOS button is not read: its library does not load ({error})"
        found["sos"] = Finding(code="ecall-sos", severity="error", text=text, hint="install the package anew")
        return None
    return line(Wiring(**msgspec.structs.asdict(own.sos)), tell=lambda: inbox.put("held"))


def _centre(settings: Settings, own: Ecall, addresses: Addresses, inbox: Inbox) -> Centre:
    broker = settings.brokers[own.broker]
    protocol = PROTOCOLS[broker.first_protocol]
    to = access(broker.url, ca=broker.ca, cert=broker.cert, key=broker.key, addresses=broker.addresses, protocol=protocol)
    topic = wire.answers_to(addresses.prefix, addresses.sender.id.hex())
    return Centre(to, f"e{addresses.sender.id.hex()[:18]}", topic, inbox.put)


def _sockets(own: Ecall, loop: Loop, selftest: SelfTest) -> dict[str, ControlServer | FixHearer]:
    """Where core and the command line speak to it; a socket that cannot be opened is a finding, and no reason not to call."""
    fixes = FixHearer(own.run, loop.inbox.put)
    why, opened = fixes.problem, dict[str, ControlServer | FixHearer]({"fixes": fixes})
    try:
        permissions = {name: route.permission for name, route in ROUTES.items()}
        opened["control"] = ControlServer(own.run / "control.sock", permissions, submit_to(loop))
    except OSError as error:
        why = f"{own.run / 'control.sock'}: {error.strerror}"
    if why:
        text = f"core or the command line cannot reach the emergency call: {why}"
        finding = Finding(code="ecall-sockets", severity="error", text=text, hint="correct [ecall] run")
        selftest.at_start = {**selftest.at_start, "sockets": finding}
    return opened


def _reader(bus: Bus, trigger: Trigger, inbox: Inbox) -> BusReader:
    def to_axis(wall_s: float) -> int:
        return boot_ns() - age_ns(wall_s)

    reader = BusReader(
        bus.name,
        bus.interface,
        str(bus.channel),
        deliver=cast("Callable[[object], object]", inbox.put),  # ungated and without time-outs: frames alone
        to_axis=to_axis,
        now_ns=boot_ns,
        extra=bus.options,
        gated=False,
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
