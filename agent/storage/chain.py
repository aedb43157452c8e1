"""Hash-chained, sealed entries over one table of ledger.db (docs/formats.md 5, 6): the ledger's and the audit's form.

Owns: the bytes of an entry, the order of entries, the checkpoint of both ends. Promises: an entry that was changed,
removed, moved, doubled or added outside `append` is named by `verify`, also the newest ones, because the checkpoint
(first entry, last entry) stands in table `memory` under a MAC of the device secret and changes in the same transaction
as the rows. An entry whose profile key was destroyed cannot be read any more; the chain runs over ciphertext and holds.

Must never: repair, skip or renumber an entry; read on past a broken one; write outside a transaction.

What it cannot show: an older copy of the whole database put back (a checkpoint outside the device is needed), and
anything done by somebody who holds both the database key and the device secret. That attacker is outside the model.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import cbor2
import sqlite_utils
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import IntegrityError
from agent.storage.sqlite import rows, transaction

VERSION = 1
ZEROS = bytes(32)
DEVICE = b""
"""Subject of entries that belong to no profile."""
SUBJECT_BYTES = 16
NONCE_BYTES = 12
ENTRY_BYTES_MAX = 16_384

Table = Literal["ledger", "audit"]
_INSERT = {
    "ledger": "INSERT INTO ledger (n, entry, hash) VALUES (:n, :entry, :hash)",
    "audit": "INSERT INTO audit (n, entry, hash, key, day) VALUES (:n, :entry, :hash, :key, :day)",
}
_SELECT = {
    "ledger": "SELECT n, entry, hash FROM ledger WHERE n > ? ORDER BY n LIMIT ?",
    "audit": "SELECT n, entry, hash FROM audit WHERE n > ? ORDER BY n LIMIT ?",
}
_LAST = {
    "ledger": "SELECT n, entry, hash FROM ledger ORDER BY n DESC LIMIT ?",
    "audit": "SELECT n, entry, hash FROM audit ORDER BY n DESC LIMIT ?",
}
_ONE = {"ledger": "SELECT entry, hash FROM ledger WHERE n = ?", "audit": "SELECT entry, hash FROM audit WHERE n = ?"}
_ANY = {"ledger": "SELECT 1 FROM ledger LIMIT 1", "audit": "SELECT 1 FROM audit LIMIT 1"}
_CUT = {"ledger": "DELETE FROM ledger WHERE n <= ?", "audit": "DELETE FROM audit WHERE n <= ?"}
_BEFORE_ALL = -(2**63)
PAGE_ROWS = 500
"""So many rows are read at once: no cursor stays open, and a long chain does not have to fit into RAM."""


class ChainKeys(Protocol):
    """What a chain asks of the keyring."""

    def profile_key(self, profile_id: bytes, *, create: bool = False) -> bytes | None:
        """The 32-byte key of a profile; None once it was destroyed or if it never was."""
        ...

    def destroy_profile(self, profile_id: bytes) -> None:
        """Makes everything sealed under the profile's key unreadable. Doing it twice is no error."""
        ...

    def derive(self, info: bytes, length: int = 32) -> bytes:
        """HKDF of the device secret."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be: whose it is, what it says, and the table's plain columns beside it."""

    subject: bytes
    body: Mapping[str, object]
    columns: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified entry. `body` is None where the subject's key was destroyed."""

    n: int
    hash: bytes
    subject: bytes
    body: Mapping[str, object] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Both ends of a chain: the first kept entry with what precedes it, the newest entry, and a note of the owner."""

    first: int = 1
    prev: bytes = ZEROS
    n: int = 0
    hash: bytes = ZEROS
    note: bytes = b""

    def encode(self, table: str) -> bytes:
        """The bytes under the MAC."""
        return encode([VERSION, table, self.first, self.prev, self.n, self.hash, self.note])


def encode(value: object) -> bytes:
    """Deterministic CBOR (RFC 8949, 4.2.1)."""
    return cbor2.dumps(value, canonical=True)


def decode(raw: bytes) -> object:
    """The value of deterministic CBOR. Raises ValueError for any other bytes, also for a second spelling of a value."""
    try:
        value: object = cbor2.loads(raw)
        same = encode(value) == raw
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("not CBOR") from error
    if not same:
        raise ValueError("not deterministic CBOR")
    return value


def seal(key: bytes, aad: bytes, body: object) -> tuple[bytes, bytes]:
    """Nonce and ciphertext (ChaCha20-Poly1305, RFC 8439; random nonce)."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce, ChaCha20Poly1305(key).encrypt(nonce, encode(body), aad)


def unseal(key: bytes, aad: bytes, nonce: bytes, sealed: bytes) -> object:
    """What `seal` was given. Raises ValueError where key, context or bytes differ."""
    try:
        return decode(ChaCha20Poly1305(key).decrypt(nonce, sealed, aad))
    except InvalidTag as error:
        raise ValueError("does not open") from error


class Chain:
    """The entries of one table. `kinds`: what a body may call itself, so that no entry can change tables."""

    def __init__(self, db: sqlite_utils.Database, table: Table, keys: ChainKeys, kinds: Collection[str]) -> None:
        self._db, self._table, self._keys, self._kinds = db, table, keys, frozenset(kinds)
        self._device_key = keys.derive(b"modicum/ledger/1")
        self._head_key = keys.derive(b"modicum/head/1")
        self._place = f"head.{table}"

    def key_of(self, subject: bytes) -> bytes | None:
        """The key that seals a subject's entries; None once destroyed."""
        return self._device_key if subject == DEVICE else self._keys.profile_key(subject)

    def head(self) -> Checkpoint:
        """The checkpoint. Raises IntegrityError where it is forged, or gone while entries exist."""
        found = rows(self._db, "SELECT value FROM memory WHERE key = ?", [self._place])
        if not found:
            if rows(self._db, _ANY[self._table]):
                raise self.broken("the checkpoint", "is gone")
            return Checkpoint()
        try:
            raw, mac = _pair(found[0][0])
            if not hmac.compare_digest(mac, self._mac(raw)):
                raise ValueError("MAC")
            return _checkpoint(raw, self._table)
        except ValueError as error:
            raise self.broken("the checkpoint") from error

    def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Numbers of the new entries. Inside the caller's transaction or one of its own; durable when that one commits."""
        with transaction(self._db):
            head = self.head()
            n, prev, numbers = head.n, head.hash, []
            for draft in drafts:
                n += 1
                raw = self._entry(n, prev, draft)
                prev = hashlib.sha256(raw).digest()
                self._db.execute(_INSERT[self._table], {**draft.columns, "n": n, "entry": raw, "hash": prev})
                numbers.append(n)
            self._write(Checkpoint(head.first, head.prev, n, prev, head.note))
        return numbers

    def entries(self, after: Entry | None = None) -> Iterator[Entry]:
        """Verified entries in order, from the first or behind `after`; raises IntegrityError at the first broken one.

        The end of the iteration is the checkpoint's: reading to the end proves that nothing is missing there.
        """
        head = self.head()
        n, prev = (head.first - 1, head.prev) if after is None else (after.n, after.hash)
        for row in self._rows(_BEFORE_ALL if after is None else n):
            n += 1
            entry = self._open(row, n, prev)
            prev = entry.hash
            yield entry
        if n != head.n:
            raise self.broken(f"entry {min(n, head.n) + 1}", "is missing or was added")
        if prev != head.hash:
            raise self.broken(f"entry {n}")

    def newest(self, limit: int) -> list[Entry]:
        """The last `limit` entries, newest first: each opened by its own row, and together they hang from the checkpoint.

        What is before them is not looked at (`verify` does that). Raises IntegrityError at the first broken one.
        """
        head = self.head()
        n, digest, found = head.n, head.hash, []
        for row in rows(self._db, _LAST[self._table], [limit]):
            prev = self._prev_of(row, n, digest)
            found.append(self._open(row, n, prev))
            n, digest = n - 1, prev
        if len(found) < limit and (n, digest) != (head.first - 1, head.prev):
            raise self.broken(f"entry {n}", "is missing or was added")
        return found

    def holds(self, entry: Entry) -> bool:
        """Whether the table still says of the entry's number what was read: false after a rollback."""
        return [digest for _, digest in rows(self._db, _ONE[self._table], [entry.n])] == [entry.hash]

    def subject_at(self, n: int) -> bytes:
        """Whose entry `n` is, also where it cannot be read any more; DEVICE where there is none."""
        found = rows(self._db, _ONE[self._table], [n])
        try:
            return _fields(found[0][0])[0][3] if found else DEVICE
        except ValueError as error:
            raise self.broken(f"entry {n}") from error

    def verify(self) -> int:
        """How many entries there are. Raises IntegrityError naming the entry where the chain breaks."""
        return sum(1 for _ in self.entries())

    def write_note(self, note: bytes) -> None:
        """Puts the owner's note (a digest of what belongs to the chain but stands elsewhere) under the checkpoint's MAC."""
        with transaction(self._db):
            head = self.head()
            self._write(Checkpoint(head.first, head.prev, head.n, head.hash, note))

    def cut(self, last: Entry) -> None:
        """Forgets all entries up to and with `last`; the checkpoint carries its hash, so that the rest still verifies."""
        with transaction(self._db):
            head = self.head()
            if not head.first <= last.n < head.n:
                raise ValueError("a chain keeps at least its newest entry")
            self._db.execute(_CUT[self._table], [last.n])
            self._write(Checkpoint(last.n + 1, last.hash, head.n, head.hash, head.note))

    def broken(self, what: str, how: str = "is not what was written") -> IntegrityError:
        """The one error of a chain."""
        return IntegrityError(
            f"{what} of the {self._table} {how}", "ledger.db", "keep the state folder as it is and report it as an incident"
        )

    def _entry(self, n: int, prev: bytes, draft: Draft) -> bytes:
        key = self.key_of(draft.subject)
        if key is None:
            raise self.broken(f"the key of the subject of entry {n}", "was destroyed")
        if draft.body.get("kind") not in self._kinds:
            raise ValueError(f"{draft.body.get('kind')!r} is no kind of the {self._table}")
        context = [VERSION, n, prev, draft.subject]
        nonce, sealed = seal(key, encode(context), dict(draft.body))
        raw = encode([*context, nonce, sealed])
        if len(raw) > ENTRY_BYTES_MAX:
            raise ValueError(f"an entry is at most {ENTRY_BYTES_MAX} bytes")
        return raw

    def _rows(self, after: int) -> Iterator[tuple[int, object, bytes]]:
        while page := rows(self._db, _SELECT[self._table], [after, PAGE_ROWS]):
            yield from page
            after = page[-1][0]

    def _open(self, row: tuple[int, object, bytes], n: int, prev: bytes) -> Entry:
        number, raw, digest = row
        if number != n:
            raise self.broken(f"entry {n}", "is missing or not in its place")
        try:
            if not isinstance(raw, bytes) or hashlib.sha256(raw).digest() != digest:
                raise ValueError("hash")
            subject, body = self._read(raw, n, prev)
        except ValueError as error:
            raise self.broken(f"entry {n}") from error
        return Entry(n, bytes(digest), subject, body)

    def _prev_of(self, row: tuple[int, object, bytes], n: int, digest: bytes) -> bytes:
        """The hash of the entry before the one in `row`, by that entry, which has to be number `n` with this hash."""
        number, raw, known = row
        if number != n:
            raise self.broken(f"entry {n}", "is missing or not in its place")
        try:
            if known != digest:
                raise ValueError("hash")
            return _fields(raw)[0][2]
        except ValueError as error:
            raise self.broken(f"entry {n}") from error

    def _read(self, raw: bytes, n: int, prev: bytes) -> tuple[bytes, Mapping[str, object] | None]:
        context, nonce, sealed = _fields(raw)
        subject = context[3]
        if context[:3] != (VERSION, n, prev):
            raise ValueError("context")
        key = self.key_of(subject)
        if key is None:
            return subject, None
        body = unseal(key, encode(list(context)), nonce, sealed)
        if not isinstance(body, dict) or body.get("kind") not in self._kinds:
            raise ValueError("kind")
        return subject, body

    def _write(self, head: Checkpoint) -> None:
        raw = head.encode(self._table)
        self._db.execute("INSERT OR REPLACE INTO memory (key, value) VALUES (?, ?)", [self._place, encode([raw, self._mac(raw)])])

    def _mac(self, raw: bytes) -> bytes:
        return hmac.digest(self._head_key, raw, "sha256")


def _fields(raw: object) -> tuple[tuple[int, int, bytes, bytes], bytes, bytes]:
    """Context (version, n, prev, subject), nonce and ciphertext of an entry's bytes."""
    match decode(raw) if isinstance(raw, bytes) and len(raw) <= ENTRY_BYTES_MAX else None:
        case [int(version), int(n), bytes(prev), bytes(subject), bytes(nonce), bytes(sealed)]:
            if len(subject) in (0, SUBJECT_BYTES) and len(nonce) == NONCE_BYTES:
                return (version, n, prev, subject), nonce, sealed
    raise ValueError("form")


def _pair(value: object) -> tuple[bytes, bytes]:
    match decode(value) if isinstance(value, bytes) else None:
        case [bytes(raw), bytes(mac)]:
            return raw, mac
    raise ValueError("form")


def _checkpoint(raw: bytes, table: str) -> Checkpoint:
    match decode(raw):
        case [1, str(name), int(first), bytes(prev), int(n), bytes(digest), bytes(note)] if name == table:
            return Checkpoint(first, prev, n, digest, note)
    raise ValueError("form")
