"""From settings to the parts of a core: files opened, keys unlocked, databases checked. The only place that does.

In this order: the lock, so that no second agent writes a key; the keys, of which dies what has outlived its keep; then
everything that may be full, damaged or badly configured, which must not keep a key alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass, replace
from pathlib import Path

from agent.audit import Audit
from agent.buffer.store import Buffer
from agent.catalogue.load import load_catalogue, policies_folder, shipped_catalogue
from agent.catalogue.types import Catalogue
from agent.clock import Saved, SystemClock
from agent.collect.respond import Responder
from agent.consent.choice import UNVERSIONED
from agent.consent.ledger import Ledger
from agent.core.parts import Parts
from agent.core.recipients import Recipient
from agent.envelope import public_key
from agent.errors import ConfigError, DeviceError, IntegrityError, UsageError
from agent.folders import vehicle_folder
from agent.model import Finding
from agent.seal.keyring import Keyring
from agent.sections import Recipient as RecipientSettings
from agent.settings import Settings
from agent.storage.memory import Memory, PatientMemory
from agent.storage.sqlite import open_database, open_or_set_aside
from agent.vehicle import load_vehicle, usable

CLOCK_KEY = "clock/saved"
STARTS_KEY = "health/starts"
CREDENTIAL_BYTES_MIN = 16
NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Assembled:
    """A core's parts, the clock as what it is, what was found wrong on the way, and the descriptor that holds the lock.

    `audit_holds`: whether the audit log is what was written. While it is not, what leaves could not be entered, so nothing may leave.
    """

    parts: Parts
    clock: SystemClock
    starts: int
    findings: list[Finding]
    lock: int
    audit_holds: bool


def assemble(settings: Settings) -> Assembled:
    """Opens everything. Raises ConfigError / UsageError (a file to correct), IntegrityError (keys, ledger) or DeviceError (the disk)."""
    with contextlib.ExitStack() as undone:
        lock = lock_state(settings.state.dir)
        undone.callback(os.close, lock)
        keyring = open_keyring(settings)
        undone.callback(keyring.close)
        _expire(keyring, settings)
        assembled = _assembled(settings, keyring, lock)
        undone.pop_all()
    return assembled


def _assembled(settings: Settings, keyring: Keyring, lock: int) -> Assembled:
    folder = settings.catalogue.dir or shipped_catalogue()
    policies = settings.policies.dir or policies_folder(folder)
    catalogue = load_catalogue(folder, policies)
    vehicle = load_vehicle(vehicle_folder(settings.vehicle.platform))
    ledger_db = open_database(settings.state.dir / "ledger.db", keyring.database_key("ledger"), "ledger")
    memory = PatientMemory(Memory(ledger_db))
    clock = SystemClock(frozenset(settings.clock.sources), earlier=Saved.decoded(memory.get(CLOCK_KEY)))
    memory.set(CLOCK_KEY, clock.state())
    buffer_db, finding = open_or_set_aside(settings.state.dir / "buffer.db", keyring.database_key("buffer"), "buffer")
    ledger = Ledger(ledger_db, keyring, clock)
    starts = int(memory.get(STARTS_KEY) or 0) + 1
    memory.set(STARTS_KEY, str(starts).encode())
    if not catalogue.policies and ledger.facts().policy is None:
        ledger.accept_policy(UNVERSIONED, "the catalogue has no policy")
    _entitle(ledger, settings, catalogue)
    parts = Parts(
        catalogue=catalogue,
        vehicle=vehicle,
        clock=clock,
        keyring=keyring,
        ledger=ledger,
        audit=Audit(ledger_db, keyring, clock),
        buffer=Buffer(
            buffer_db,
            keyring,
            units=catalogue.units(),
            quota_bytes=settings.state.quota_mib << 20,
        ),
        memory=memory,
        recipients={name: _recipient(name, entry, settings) for name, entry in settings.recipients.items()},
        regions=frozenset(settings.regions.allowed),
        vin=settings.vehicle.vin,
        prefix=settings.topics.prefix,
        new_id=lambda: os.urandom(16).hex(),
        responder=Responder(memory),
        policies_folder=policies,
    )
    broken = _chains(parts)
    found = [*broken.values(), *vehicle.findings, *usable(vehicle, catalogue.units())[1], *_regions(settings)]
    found += [finding] if finding else []
    return Assembled(parts, clock, starts, found, lock, audit_holds="audit" not in broken)


def _expire(keyring: Keyring, settings: Settings) -> None:
    """What has outlived its keep dies, where the time is believed at once; else the loop sees to it when it is."""
    clock = SystemClock(frozenset(settings.clock.sources))
    if clock.trusted():
        with contextlib.suppress(DeviceError):  # unreadable here already; the loop tries again and tells
            keyring.expire(clock.now_ns() // NS_PER_MS)


def lock_state(folder: Path) -> int:
    """Takes the state folder for this process as long as it lives: two agents would destroy each other's keys."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise _keyless(folder) from error
    except OSError as error:
        raise DeviceError(f"the state folder cannot be used: {error.strerror}", str(folder), "check its disk and its owner") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError("another agent uses this state folder", str(folder), "stop it first, or name another [state] dir") from error
    return descriptor


def open_keyring(settings: Settings, *, read_only: bool = False) -> Keyring:
    """The device's keys; `read_only` beside a running core.

    UsageError when there are none yet, IntegrityError when the credential opens no slot.
    """
    credential = read_credential(settings)
    if not (settings.state.dir / "keys.block").exists():
        raise _keyless(settings.state.dir)
    return Keyring.open(settings.state.dir, credential, read_only=read_only)


def _keyless(folder: Path) -> UsageError:
    return UsageError("this device has no keys yet", str(folder), "make them once with: modicum keys init")


def read_credential(settings: Settings) -> bytes:
    """The secret that opens the key block, from where [keys] says."""
    path = settings.credential_path
    try:
        credential = path.read_bytes()
    except OSError as error:
        raise UsageError("no credential", str(path), "make it once with: modicum keys init") from error
    if len(credential) < CREDENTIAL_BYTES_MIN:
        raise ConfigError(f"a credential of {len(credential)} bytes", str(path), f"it has at least {CREDENTIAL_BYTES_MIN}")
    return credential


def _recipient(name: str, entry: RecipientSettings, settings: Settings) -> Recipient:
    try:
        data = entry.key.read_bytes()
    except OSError as error:
        raise ConfigError(f"recipient {name} has no key file", str(entry.key), "ask the recipient for its public key") from error
    region = entry.region if settings.brokers[entry.broker].region == entry.region else _stricter(entry, settings)
    return Recipient(public_key(data, str(entry.key)), region, entry.broker)


def _stricter(entry: RecipientSettings, settings: Settings) -> str:
    """A recipient counts as in its broker's region where that one is not allowed: both have to be."""
    broker = settings.brokers[entry.broker].region
    return entry.region if broker in settings.regions.allowed else broker


def _chains(parts: Parts) -> dict[str, Finding]:
    """What of ledger and audit log is not what was written. A broken ledger stops the agent where it is read."""
    found, hint = {}, "keep the files; they are evidence"
    broken = {
        "ledger": Finding(code="ledger-broken", severity="error", text="", hint=hint),
        "audit": Finding(code="audit-broken", severity="error", text="", hint=hint),
    }
    for name, verify in (("ledger", parts.ledger.verify), ("audit", parts.audit.verify)):
        try:
            verify()
        except IntegrityError as error:
            found[name] = replace(broken[name], text=f"the {name}'s chain is broken: {error.what} ({error.where})")
    return found


def _regions(settings: Settings) -> list[Finding]:
    called = settings.ecall.recipient if settings.ecall else None  # core sends nothing to it, and the call finds its own
    return [
        Finding(
            code="region-refused",
            severity="warning",
            text=f"recipient {name} or its broker is in a region that is not allowed; nothing is sent to it",
            hint="correct [recipients], [brokers] or [regions] allowed",
        )
        for name, entry in settings.recipients.items()
        if name != called and not {entry.region, settings.brokers[entry.broker].region} <= set(settings.regions.allowed)
    ]


def _entitle(ledger: Ledger, settings: Settings, catalogue: Catalogue) -> None:
    """The package of [entitlement] is written down when it changes."""
    package = None if settings.entitlement.package == "none" else settings.entitlement.package
    if package is not None and package not in catalogue.packages:
        raise ConfigError(f"no package {package}", "entitlement.package", f"use none or one of {', '.join(sorted(catalogue.packages))}")
    if ledger.facts().package != package:
        ledger.set_package(package)
