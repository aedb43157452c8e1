"""A device's state folder, opened with its own credential after (or beside) a run: what is left, and what can still be read."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlite_utils import Database

from agent.audit import Audit
from agent.clock import SystemClock
from agent.consent.ledger import Ledger
from agent.errors import IntegrityError
from agent.seal.keyring import Keyring
from agent.seal.record import Header, unseal
from agent.storage.sqlite import open_database, rows
from tests.support.rules import M_PER_DEG, Place

ZONE_M = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it lies there."""

    n: int
    header: Header
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Store:
    """An opened state folder."""

    keyring: Keyring
    buffer: Database
    ledger_db: Database
    ledger: Ledger
    audit: Audit

    def rows(self) -> list[Row]:
        """The records that wait."""
        found = rows(self.buffer, "SELECT n, stream, basis_ref, epoch, seq, plan_id, sealed FROM records ORDER BY n")
        return [Row(n, Header(*head), sealed) for n, *head, sealed in found]

    def counts(self) -> dict[str, int]:
        """The last number that each stream gave a record."""
        return {key.removeprefix("seq:"): value for key, value in rows(self.buffer, "SELECT key, value FROM meta WHERE key LIKE 'seq:%'")}

    def epoch(self) -> bytes:
        """The store's own number."""
        return bytes(rows(self.buffer, "SELECT value FROM meta WHERE key = 'store_epoch'")[0][0])

    def memories(self) -> list[str]:
        """Names of the small things that outlive a restart."""
        return [key for (key,) in rows(self.ledger_db, "SELECT key FROM memory")]

    def disclosed(self) -> list[dict[str, Any]]:
        """Every line of the audit log."""
        return [dict(line) for line in self.audit.show(limit=1_000_000)]


@contextlib.contextmanager
def opened(state: Path) -> Iterator[Store]:
    """Opens a copy of the folder as the agent does. Raises IntegrityError where something does not hold.

    A copy, because opening takes the WAL in: the original goes on showing what the agent left.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        copy = copied(state, Path(folder) / "state")
        keyring = Keyring.open(copy, (copy / "credential").read_bytes())
        ends.callback(keyring.close)
        databases = {}
        names: tuple[Literal["ledger", "buffer"], ...] = ("ledger", "buffer")
        for name in names:
            databases[name] = open_database(copy / f"{name}.db", keyring.database_key(name), name)
            ends.callback(databases[name].conn.close)
        clock = SystemClock(frozenset({"system"}))
        ledger, audit = Ledger(databases["ledger"], keyring, clock), Audit(databases["ledger"], keyring, clock)
        yield Store(keyring, databases["buffer"], databases["ledger"], ledger, audit)


def copied(state: Path, to: Path) -> Path:
    """A copy as a thief or a backup takes it; while the agent runs it must be stopped for this moment."""
    return Path(shutil.copytree(state, to, ignore=lambda folder, names: [name for name in names if (Path(folder) / name).is_socket()]))


def opens(row: Row, keyring: Keyring) -> bool:
    """Whether any key that the keyring has left opens the record."""
    for key in keyring.data_keys:
        try:
            unseal(key.key, row.header, row.sealed)
        except IntegrityError:
            continue
        return True
    return False


def cell_of(profile_key: bytes) -> Callable[[Place], tuple[int, int]]:
    """The secret grid of a profile, computed here anew: which cell a place lies in."""
    secret = hashlib.sha256(b"modicum/zone-secret/1" + profile_key).digest()
    digest = hmac.digest(secret, b"modicum/zone-shift/1", "sha256")
    north_m, east_m = (int.from_bytes(digest[at : at + 8], "big") / 2**64 * ZONE_M for at in (0, 8))

    def cell(place: Place) -> tuple[int, int]:
        row = math.floor((place[0] * M_PER_DEG + north_m) / ZONE_M)
        middle_deg = ((row + 0.5) * ZONE_M - north_m) / M_PER_DEG
        return row, math.floor((place[1] * M_PER_DEG * math.cos(math.radians(middle_deg)) + east_m) / ZONE_M)

    return cell


def profile_cell(keyring: Keyring, ledger: Ledger, name: str = "driver") -> Callable[[Place], tuple[int, int]]:
    """The grid of a named profile."""
    key = keyring.profile_key(bytes.fromhex(ledger.facts().profiles[name].id))
    assert key is not None
    return cell_of(key)
