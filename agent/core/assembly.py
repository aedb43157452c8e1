"""From settings to the parts of a core: files opened, keys unlocked, databases checked. The only place that does.

In this order: the lock, so that no second agent writes a key; the keys (agent.core.unlock), of which dies what has outlived its keep;
then everything that may be full, damaged or badly configured, which must not keep a key alive.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlite_utils import Database

from agent.audit import Audit
from agent.buffer.store import Buffer
from agent.catalogue.load import load_catalogue, policies_folder, shipped_catalogue
from agent.catalogue.types import Catalogue
from agent.clock import Saved, SystemClock
from agent.collect.respond import Responder
from agent.consent.choice import UNVERSIONED
from agent.consent.ledger import Ledger
from agent.core.parts import Parts
from agent.core.power import power_of
from agent.core.recipients import Recipient
from agent.core.unlock import Unlocked, unlock
from agent.envelope import public_key
from agent.errors import ConfigError, DeviceError, IntegrityError
from agent.folders import vehicle_folder
from agent.model import Finding
from agent.seal.credential import AtRest
from agent.seal.keyring import Keyring
from agent.sections import Recipient as RecipientSettings
from agent.settings import Settings, vin_of
from agent.storage.memory import Memory, PatientMemory
from agent.storage.sqlite import FutureSchema, open_database, open_or_set_aside
from agent.vehicle import load_vehicle, usable

CLOCK_KEY = "clock/saved"
STARTS_KEY = "health/starts"
RAM_QUOTA_MIB = 8
"""Most that waiting records may take where they are kept in RAM only."""
NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Assembled:
    """A core's parts, the clock as what it is, what was found wrong on the way, how the keys rest, and what holds the lock.

    `audit_holds`: whether the audit log is what was written. While it is not, what leaves could not be entered, so nothing may leave.
    """

    parts: Parts
    clock: SystemClock
    starts: int
    findings: list[Finding]
    at_rest: AtRest
    lock: int | None
    audit_holds: bool


class Books(NamedTuple):
    """The database of the ledger, and what is made of it."""

    db: Database
    memory: PatientMemory
    clock: SystemClock
    ledger: Ledger


def assemble(settings: Settings) -> Assembled:
    """Opens everything. Raises ConfigError / UsageError (a file to correct), FutureSchema (a newer release's) or DeviceError (the disk)."""
    with contextlib.ExitStack() as undone:
        unlocked = unlock(settings)
        undone.callback(unlocked.close)
        _expire(unlocked.keyring, settings)
        assembled = _assembled(settings, unlocked, _books(unlocked, settings))
        undone.pop_all()
    return assembled


def _assembled(settings: Settings, unlocked: Unlocked, books: Books) -> Assembled:
    keyring, folder = unlocked.keyring, settings.catalogue.dir or shipped_catalogue()
    policies = settings.policies.dir or policies_folder(folder)
    catalogue = load_catalogue(folder, policies)
    vehicle = load_vehicle(vehicle_folder(settings.vehicle.platform))
    ledger_db, memory, clock, ledger = books
    memory.set(CLOCK_KEY, clock.state())
    buffer_db, finding = _buffer(unlocked)
    starts = int(memory.get(STARTS_KEY) or 0) + 1
    memory.set(STARTS_KEY, str(starts).encode())
    if not (catalogue.policies or ledger.closed) and ledger.facts().policy is None:
        ledger.accept_policy(UNVERSIONED, "the catalogue has no policy")
    _entitle(ledger, settings, catalogue)
    given, unusable = usable(vehicle, catalogue.units())
    power, powerless = power_of(settings.power, given)
    recipients, keyless = _recipients(settings)
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
            quota_bytes=(settings.state.quota_mib if unlocked.folder else min(settings.state.quota_mib, RAM_QUOTA_MIB)) << 20,
        ),
        memory=memory,
        recipients=recipients,
        regions=frozenset(settings.regions.allowed),
        vin=vin_of(settings),
        prefix=settings.topics.prefix,
        new_id=lambda: os.urandom(16).hex(),
        responder=Responder(memory),
        policies_folder=policies,
        power=power,
        kept=unlocked.folder is not None,
    )
    broken = _audit(parts.audit)
    found = [*unlocked.findings, *broken, *vehicle.findings, *unusable, *powerless, *keyless, *_regions(settings)]
    found += [finding] if finding else []
    return Assembled(parts, clock, starts, found, unlocked.at_rest, unlocked.lock, audit_holds=not broken)


def _books(unlocked: Unlocked, settings: Settings) -> Books:
    """The ledger, read to its end. Where that is not what was written, none of it counts: the agent runs in RAM only."""
    if unlocked.folder is not None:
        try:
            return _opened(unlocked.folder / "ledger.db", unlocked, settings)
        except FutureSchema:
            raise
        except IntegrityError as error:
            unlocked.without_ledger(error)
    return _opened(None, unlocked, settings)


def _opened(path: Path | None, unlocked: Unlocked, settings: Settings) -> Books:
    db = open_database(path, unlocked.keyring.database_key("ledger"), "ledger")
    try:
        memory = PatientMemory(Memory(db))
        clock = SystemClock(frozenset(settings.clock.sources), earlier=Saved.decoded(memory.get(CLOCK_KEY)))
        ledger = Ledger(db, unlocked.keyring, clock, closed=unlocked.ledger_broken)
        ledger.facts()
    except BaseException:
        db.close()
        raise
    return Books(db, memory, clock, ledger)


def _buffer(unlocked: Unlocked) -> tuple[Database, Finding | None]:
    key = unlocked.keyring.database_key("buffer")
    if unlocked.folder is None:
        return open_database(None, key, "buffer"), None
    return open_or_set_aside(unlocked.folder / "buffer.db", key, "buffer")


def _expire(keyring: Keyring, settings: Settings) -> None:
    """What has outlived its keep dies, where the time is believed at once; else the loop sees to it when it is."""
    clock = SystemClock(frozenset(settings.clock.sources))
    if clock.trusted():
        with contextlib.suppress(DeviceError):  # unreadable here already; the loop tries again and tells
            keyring.expire(clock.now_ns() // NS_PER_MS)


def _recipients(settings: Settings) -> tuple[dict[str, Recipient], list[Finding]]:
    """Those that something can be sealed to. Of each other one it is found why not; it counts as not described, and costs no other."""
    made, found = {}, []
    for name, entry in settings.recipients.items():
        region = entry.region if settings.brokers[entry.broker].region == entry.region else _stricter(entry, settings)
        try:
            made[name] = Recipient(public_key(entry.key.read_bytes(), str(entry.key)), region, entry.broker)
        except (OSError, ConfigError) as error:
            why = (error.strerror or "cannot be read") if isinstance(error, OSError) else error.what
            text = f"the public key of recipient {name} cannot be used, nothing is collected for it: {why}"
            hint = f"ask the recipient for its public key, put it at {entry.key} and restart modicum-core"
            found.append(Finding(code="recipient-key", severity="error", text=text, hint=hint))
    return made, found


def _stricter(entry: RecipientSettings, settings: Settings) -> str:
    """A recipient counts as in its broker's region where that one is not allowed: both have to be."""
    broker = settings.brokers[entry.broker].region
    return entry.region if broker in settings.regions.allowed else broker


def _audit(audit: Audit) -> list[Finding]:
    """Whether the audit log is what was written."""
    try:
        audit.verify()
    except IntegrityError as error:
        text, hint = f"the audit's chain is broken: {error.what} ({error.where})", "keep the files; they are evidence"
        return [Finding(code="audit-broken", severity="error", text=text, hint=hint)]
    return []


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
    if not ledger.closed and ledger.facts().package != package:
        ledger.set_package(package)
