"""Gathers the facts of `modicum doctor`: what the programs say of themselves, and what can be seen from outside of them.

Promises to work whichever of the programs does not answer, to open no port that a running one holds, to send nothing on a bus, and
to take no longer than its parts may: LISTEN_S for all buses together, some seconds for each lane of a broker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from agent.cli.sealing import credential_of
from agent.control.protocol import ask
from agent.core.unlock import open_keyring, require_keys
from agent.daemons.uplink import access_for
from agent.envelope import sender_for
from agent.errors import AgentAbsent, ConfigError, DeviceError, ModicumError, NotPermitted
from agent.health.credentials import certificates, issued_files, own_files, readable_by_others
from agent.health.facts import NOT_ALLOWED, BrokerFacts, BusFacts, ClockFacts, Facts, KeyFacts, ReceiverFacts, Told
from agent.health.probe import PROBE, probe, reached
from agent.health.reach import offline
from agent.health.storage import disk_facts, swap_facts
from agent.seal.credential import Keyless, read_credential
from agent.sections import Bus, Control, Gnss, State
from agent.settings import Settings, vin_of
from agent.uplink.lane import unlinkable
from agent.vehicle import Vehicle
from hw.can.interface import KERNEL_INTERFACES, can_interfaces, interface_of
from hw.can.listen import listen
from hw.errors import DeviceLost
from hw.gnss.receiver import Receiver

LISTEN_S = 2.0
"""Ten times a second is usual for what matters; a car that is awake says much in this."""
RECEIVER_S, WAIT_S = 3.0, 0.05
EVERY_ID = range(1 << 32)
"""Of a bus whose DBC files are not known no identifier is strange."""
CHANGED = "agent.toml has changed since modicum-core started: restart it"
IdOf = Callable[[str], str | None]


def facts_of(settings: Settings, vehicle: Vehicle | None) -> Facts:
    """Everything that can be known now; without a vehicle file it counts as one that calls for help. Raises NotPermitted."""
    core, core_why = _told(settings.control.socket, "status")
    if core is None:
        core_why = _kept_from_starting(settings) or core_why
    wanted = settings.ecall is not None and (vehicle is None or vehicle.file.ecall.mode != "absent")
    known = {} if vehicle is None else vehicle.known_ids
    ecall, ecall_why = _told(settings.ecall.run / "control.sock", "ecall.status") if settings.ecall and wanted else (None, "")
    keys, id_of = _keys(settings, core)
    with ThreadPoolExecutor() as hands:
        buses = hands.map(lambda bus: _bus(bus, core, known.get(bus.name) or EVERY_ID), settings.bus)
        brokers = hands.map(lambda lane: _seen_by_uplink(_broker(settings, id_of, *lane), core), _lanes(settings, core))
        receiver = _receiver(settings.gnss, core)
        return Facts(
            core=core,
            core_why=core_why,
            ecall=ecall,
            ecall_why=ecall_why,
            ecall_wanted=wanted,
            quota_bytes=settings.state.quota_mib << 20,
            clock=_clock(core),
            buses=tuple(buses),
            receiver=receiver,
            disk=disk_facts(settings.state.dir),
            swap=swap_facts(),
            keys=keys,
            certificates=tuple(certificates(settings)),
            brokers=tuple(brokers),
        )


def facts_of_host() -> Facts:
    """What needs no settings: each CAN interface, the clock, and what is where it is by default. Raises NotPermitted."""
    core, core_why = _told(Control().socket, "status")
    with ThreadPoolExecutor() as hands:
        buses = hands.map(lambda name: _bus(Bus(name=name, channel=name), core, EVERY_ID), can_interfaces())
        disk = disk_facts(State().dir)
        return Facts(core=core, core_why=core_why, clock=_clock(core), buses=tuple(buses), disk=disk, swap=swap_facts())


def _kept_from_starting(settings: Settings) -> str:
    """What ends each start of core: the file of the VIN, beside agent.toml and what `modicum check` says of the rest. Empty: not that."""
    file = settings.vehicle.vin_file
    if file is not None and (os.access(file, os.R_OK) or not file.exists()):  # who may not read it knows nothing of it
        try:
            vin_of(settings)
        except ConfigError as error:
            return f"it cannot start: {error.what} ({error.where}): {error.hint}"
    return ""


def _told(socket: Path, route: str) -> tuple[Told | None, str]:
    """What a program says of itself, or why it does not."""
    try:
        told: Told = ask(socket, route)
    except AgentAbsent:
        return None, f"nobody answers on {socket}"
    except ModicumError as error:
        if error.exit_status == NotPermitted.exit_status:
            raise
        return None, error.what
    return told, ""


def _clock(core: Told | None) -> ClockFacts:
    if core is None:
        return ClockFacts(host_s=time.time())
    return ClockFacts(host_s=time.time(), source=core["clock"]["source"], trusted=core["clock"]["trusted"])


def _bus(bus: Bus, core: Told | None, known: Container[int]) -> BusFacts:
    """One bus; where it is a kernel's interface it is listened to, besides whoever reads it. `known`: identifiers of its DBC files."""
    channel = str(bus.channel)
    said: Told = next((one for one in core["buses"] if one["name"] == bus.name), {}) if core else {}
    facts = BusFacts(
        name=bus.name,
        where=f"{bus.interface}:{channel}",
        problem=said.get("problem", "") if said.get("losses") else "",
        quiet=tuple(said.get("quiet", ())),
        lost=said.get("lost", 0),
    )
    if bus.interface not in KERNEL_INTERFACES:
        # Another program may be the only one that can open it.
        return replace(facts, unseen=said.get("problem", CHANGED) if core else "modicum-core alone reads it, and does not answer")
    facts = replace(facts, where=channel, interface=interface_of(channel), software_gate=said.get("engine") == "software")
    if facts.interface is None or not facts.interface.up:
        return facts
    try:
        heard = listen(bus.interface, channel, LISTEN_S)
    except DeviceLost as error:
        return replace(facts, problem=facts.problem or str(error))
    # Asked again after listening: the controller's state is that of the errors that were just heard.
    after = interface_of(channel)
    facts = replace(facts, stranger=bool(heard.ids) and not any(can_id in known for can_id in heard.ids))
    return replace(facts, interface=after, good=heard.frames, errors=heard.error_frames, load=heard.load(after.bit_rate))


def _receiver(gnss: Gnss | None, core: Told | None) -> ReceiverFacts | None:
    """As core has it; where core does not answer its port is free, and is listened to. A modem's is not asked: that would be commands."""
    if gnss is None:
        return None
    if core is not None:
        return ReceiverFacts(**core["receiver"]) if core["receiver"] else ReceiverFacts(port=gnss.port, unseen=CHANGED)
    if gnss.kind != "nmea":
        return ReceiverFacts(port=gnss.port, unseen="modicum-core alone asks it, and does not answer")
    return _listened(gnss)


def _listened(gnss: Gnss) -> ReceiverFacts:
    """What a receiver that speaks by itself says in RECEIVER_S, or until it has told a position; of that nothing is kept."""
    heard: list[tuple[float, bool, int | None]] = []
    receiver = Receiver(
        gnss.port,
        deliver=lambda fix: heard.append((time.monotonic(), fix.mode > 0, fix.satellites)),
        now_ns=time.time_ns,
        baud=gnss.baud,
    )
    end_s = time.monotonic() + RECEIVER_S
    receiver.start()
    while time.monotonic() < end_s and not receiver.losses and not any(fixed for _, fixed, _ in heard):
        time.sleep(WAIT_S)
    problem = receiver.problem if receiver.losses else ""
    receiver.close()
    now_s, epochs = time.monotonic(), receiver.epochs
    return ReceiverFacts(
        port=gnss.port,
        problem=problem,
        good=epochs.good,
        bad=epochs.bad_checksum + epochs.malformed,
        heard_age_s=now_s - heard[-1][0] if heard else None,
        fix_age_s=next((now_s - t_s for t_s, fixed, _ in reversed(heard) if fixed), None),
        satellites=heard[-1][2] if heard else None,
    )


def _keys(settings: Settings, core: Told | None) -> tuple[KeyFacts, IdOf]:
    """How the keys are; and, where they open, the device's id towards a recipient."""
    facts, root = KeyFacts(at_rest=core["at_rest"] if core else ""), os.geteuid() == 0  # for whom systemd opens it, as for core
    known = root or settings.keys.provider == "file"
    try:
        facts = replace(facts, open=readable_by_others(own_files(settings)), issued=readable_by_others(issued_files(settings)))
        settings.state.dir.stat()
        if known:
            require_keys(settings.state.dir)
        credential = credential_of(settings) if root else read_credential(settings.keys, settings.credential_path)
        keyring = open_keyring(settings.state.dir, credential, read_only=True)
    except (OSError, ModicumError) as error:
        return _unopened(facts, error, known=known), _nobody
    ids = {name: sender_for(keyring.derive, name).id.hex() for name in settings.recipients}
    keyring.close()
    if core and any(one["code"] == "key-missing" for one in core["findings"]):
        facts = replace(facts, missing="modicum-core began without it", cure="it is there now: sudo systemctl restart modicum-core")
    return facts, ids.get


def _unopened(facts: KeyFacts, error: OSError | ModicumError, *, known: bool) -> KeyFacts:
    """Why they do not open here; a credential that systemd hands to modicum-core alone can be looked at by root and nobody else."""
    if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
        return replace(facts, unseen=NOT_ALLOWED)
    if isinstance(error, OSError):
        return replace(facts, missing=f"{error.filename}: {error.strerror}")
    if isinstance(error, DeviceError):
        return replace(facts, unseen=error.what)
    if not known and isinstance(error, Keyless):
        return replace(facts, unseen="its credential is modicum-core's and root's alone")
    if isinstance(error, Keyless) and error.code == "key-missing":
        return replace(facts, missing=f"{error.what} ({error.where})", cure=error.hint)
    return replace(facts, wrong=error.what)


def _nobody(_: str) -> None:
    """Whose keys do not open has no id."""


def _lanes(settings: Settings, core: Told | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(broker, lane, recipients). Those that core has use for; and each broker for which it has none, without a recipient."""
    lanes: Told = core["lanes"] if core else {}
    seen = set()
    for lane, row in lanes.items():
        seen.add(row["broker"])
        yield row["broker"], lane, tuple(row["recipients"])
    for name in settings.brokers:
        if name not in seen:
            yield name, f"id:{name}", ()


def _seen_by_uplink(tried: BrokerFacts, core: Told | None) -> BrokerFacts:
    """Where the try met nothing: what modicum-uplink met, for root may read what it may not."""
    row = core["lanes"].get(tried.lane) if core else None
    return tried if tried.step or row is None else offline(tried.lane, row) or tried


def _broker(settings: Settings, id_of: IdOf, name: str, lane: str, recipients: tuple[str, ...]) -> BrokerFacts:
    """One lane's way. A broker that no rule and no record needs is not told which device asks."""
    broker = settings.brokers.get(name)
    if broker is None:
        return BrokerFacts(name=name, lane=lane, unseen=CHANGED)
    if broker.region not in settings.regions.allowed:
        return BrokerFacts(name=name, lane=lane, step="region", why=f"it stands in {broker.region}, which is not allowed")
    try:
        to = access_for(broker, lane, settings.regions.allowed)
    except ConfigError as error:
        return BrokerFacts(name=name, lane=lane, step="credential", why=f"{error.what}: {error.hint}")
    if not recipients:
        return reached(name, lane, to)
    ids = ["open"] if unlinkable(lane) else [one for one in map(id_of, recipients) if one is not None]
    return probe(name, lane, to, [f"{settings.topics.prefix}/v1/{one}/{PROBE}" for one in ids])
