"""The buffer: the only queue. Sealed records from their birth until a recipient's broker acknowledged them.

Promises: what `append` returned is durable; a number and a stream's count are never used twice; `forget` and `expire`
destroy keys first, so that a crash in between leaves rows that nobody can read and that the next start deletes; a row
without its key is garbage. One bad row never stops the others: it is deleted, counted and reported.
Belongs to one thread. Must never do: look into a sample's value, hold a record that was not sealed, decide who may
send what (the rule in each sample says that).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlite_utils import Database

from agent.body import NS_PER_MS, BodyTooLarge, pack
from agent.buffer.counts import Counts, Held, oldest_ms
from agent.buffer.quota import QUOTA_BYTES, drop, size_bytes
from agent.errors import IntegrityError
from agent.limits import POSITION_KEEP_S_MAX
from agent.model import Draft, Finding
from agent.seal.keyring import DataKey, KeyBlockFull, Keyring
from agent.seal.record import Header, seal, unseal
from agent.storage.sqlite import checkpoint, rows, transaction

STORE_EPOCH_BYTES = 8
COLUMNS = "stream, basis_ref, epoch, seq, plan_id, recipient, identity, purpose, policy, priority, destroy_ms"
LOST = {
    "quota": Finding(
        code="buffer-quota", severity="error", text="the buffer was full", hint="let the car reach its broker, or raise the quota"
    ),
    "oversize": Finding(
        code="buffer-oversize",
        severity="error",
        text="a single sample did not fit into a record",
        hint="shorten the signal in the catalogue",
    ),
    "keys": Finding(
        code="buffer-keys", severity="error", text="the key block was full", hint="fewer streams or shorter lifetimes in the catalogue"
    ),
    "unreadable": Finding(
        code="buffer-unreadable", severity="error", text="records did not open", hint="if it comes again, replace the storage medium"
    ),
}
"""Why a record was lost, and what is found then."""
Lane = tuple[frozenset[str] | None, bool | None]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it lies in the buffer, with what its sender must know without opening it."""

    n: int
    stream: str
    basis_ref: str
    epoch: int
    seq: int
    plan_id: bytes
    recipient: str
    identity: str
    purpose: str
    policy: str
    priority: int
    destroy_ms: int
    rules: tuple[str, ...]
    samples: int
    sealed: bytes = field(repr=False)

    @property
    def header(self) -> Header:
        """What the seal is bound to."""
        return Header(self.stream, self.basis_ref, self.epoch, self.seq, self.plan_id)


def _stored(row: tuple[Any, ...]) -> Stored:
    *head, rules, samples, sealed = row
    fields = [*head, tuple(json.loads(rules)), samples, sealed]
    return Stored(*fields)


class Buffer:
    """The records of one database, sealed with the keys of one keyring."""

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        *,
        units: Mapping[str, str],
        quota_bytes: int = QUOTA_BYTES,
        store_epoch: bytes | None = None,
    ) -> None:
        """`store_epoch` is for replays: used at the database's birth instead of random bytes."""
        self._db, self._keyring, self._units, self._quota_bytes = db, keyring, units, quota_bytes
        self._offered: dict[Lane, frozenset[int]] = {}
        self._lost: Counter[tuple[str, str]] = Counter()
        self._owed = False  # rows whose key is gone may still be there
        self._counts = Counts(db)
        with transaction(db):
            db.execute("INSERT OR IGNORE INTO meta VALUES ('store_epoch', ?)", (store_epoch or os.urandom(STORE_EPOCH_BYTES),))
        self.store_epoch: bytes = rows(db, "SELECT value FROM meta WHERE key = 'store_epoch'")[0][0]
        self._sweep()

    def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Seals and stores, durable on return: the numbers of the new records. One transaction, all or nothing.

        A draft too large for one record becomes several. What finds no room is counted (`findings`), not returned.
        Raises DeviceError, IntegrityError; then nothing was stored.
        """
        parts = [(part, body) for draft in drafts for part, body in self._bodies(draft)]
        keyed = [(part, body, key) for part, body in parts if (key := self._key_for(part)) is not None]
        if not keyed:
            return []
        with transaction(self._db):
            stored = [self._insert(part, body, key) for part, body, key in keyed]
            held_bytes = self._counts.total_bytes + sum(record.size for record in stored)
            offered: frozenset[int] = frozenset().union(*self._offered.values())
            dropped = [Held(*row) for row in drop(self._db, held_bytes - self._quota_bytes, offered)]
            oldest = oldest_ms(self._db)
        self._counts.oldest_ms = oldest
        self._counts.came(stored)
        self._counts.went(dropped)
        self._lost.update(("quota", record.stream) for record in dropped)
        gone = {record.n for record in dropped}
        return [record.n for record in stored if record.n not in gone]

    def waiting(
        self, limit: int, exclude: Collection[int], *, recipients: Collection[str] | None = None, unlinkable: bool | None = None
    ) -> list[Stored]:
        """At most `limit` records, by priority, then age, without `exclude` (what is being offered).

        A lane narrows it to its `recipients` and to streams without identity (`unlinkable`) or with one, so that a lane
        that is down holds nobody up. What is returned or excluded here counts as offered until the lane's next call.
        """
        lane = (None if recipients is None else frozenset(recipients), unlinkable)
        self._offered[lane] = frozenset(exclude)
        if limit <= 0 or not self._counts.any_for(*lane):
            return []
        sql = f"SELECT n, {COLUMNS}, rules, samples, sealed FROM records"  # noqa: S608  constants
        sql += " WHERE n NOT IN (SELECT value FROM json_each(?))"
        parameters: list[object] = [json.dumps(sorted(exclude))]
        if recipients is not None:
            sql += " AND recipient IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps(sorted(recipients)))
        if unlinkable is not None:
            sql += " AND (identity = 'none') = ?"
            parameters.append(unlinkable)
        found = rows(self._db, sql + " ORDER BY priority, n LIMIT ?", (*parameters, limit))
        stored = [_stored(row) for row in found]
        self._offered[lane] = frozenset(exclude) | {record.n for record in stored}
        return stored

    def body_of(self, stored: Stored) -> bytes:
        """The packed body. Raises IntegrityError where it does not open; the row is then gone and counted."""
        key = self._keyring.find(stored.stream, stored.basis_ref, stored.epoch)
        try:
            if key is None:
                raise IntegrityError("a record's key was destroyed", stored.stream, "it is dropped")
            return unseal(key, stored.header, stored.sealed)
        except IntegrityError:
            self._lost["unreadable", stored.stream] += len(self._delete([stored.n]))
            raise

    def acked(self, ns: Collection[int]) -> None:
        """Deletes what arrived. Unknown numbers are no error: a take-back may have been faster."""
        self._delete(ns)

    def forget(self, dead: Callable[[str, str], bool]) -> list[int]:
        """Destroys the keys of every `dead(stream, basis_ref)` and deletes its rows: their numbers.

        On return neither is left, in the files neither. Raises DeviceError when that is not certain: call it again.
        """
        self._owed = True
        self._keyring.destroy(lambda key: dead(key.stream, key.basis_ref))
        gone = self._sweep()
        checkpoint(self._db)
        return gone

    def expire(self, now_ms: int) -> list[int]:
        """Destroys what has outlived its keep at `now_ms` on the time axis: the numbers. Also completes a `forget` that failed."""
        self._owed |= self._keyring.expire(now_ms) > 0
        return self._sweep() if self._owed else []

    def routes(self) -> set[tuple[str, bool]]:
        """(recipient, whether without identity) of everything that waits."""
        return {(recipient, identity == "none") for recipient, identity in self._counts.routes()}

    def statistics(self) -> dict[str, dict[str, int]]:
        """By stream: rows, bytes (sealed)."""
        return self._counts.by_stream()

    def oldest_ms(self) -> int | None:
        """When what waits for the longest was collected, on the axis; None where nothing waits."""
        return self._counts.oldest_ms

    def findings(self) -> list[Finding]:
        """What was lost since the start, and why: one finding a reason and stream."""
        return [
            replace(LOST[reason], text=f"{stream}: {lost} lost, {LOST[reason].text}")
            for (reason, stream), lost in sorted(self._lost.items())
            if lost
        ]

    def _bodies(self, draft: Draft) -> Iterator[tuple[Draft, bytes]]:
        """The draft, halved until each part fits."""
        rule = draft.samples[0].rule
        if any((sample.rule.name, sample.rule.basis_ref) != (rule.name, rule.basis_ref) for sample in draft.samples):
            raise ValueError("a record holds one stream on one basis")
        try:
            yield draft, pack(draft.samples, self._units, b"" if rule.identity == "none" else draft.boot, draft.trusted)
        except BodyTooLarge:
            half = len(draft.samples) // 2
            if not half:
                self._lost["oversize", rule.name] += 1
                return
            for samples in (draft.samples[:half], draft.samples[half:]):
                yield from self._bodies(Draft(samples, draft.plan_id, draft.boot, draft.trusted))

    def _key_for(self, draft: Draft) -> DataKey | None:
        """By the oldest sample, so that none outlives its keep."""
        rule = draft.samples[0].rule
        keep_s = min(sample.rule.keep_s for sample in draft.samples)
        if keep_s <= 0:
            raise ValueError(f"{rule.name} lives in RAM only and must not be buffered")
        if any(sample.rule.category == "position" for sample in draft.samples):
            keep_s = min(keep_s, POSITION_KEEP_S_MAX)
        try:
            return self._keyring.data_key(rule.name, rule.basis_ref, min(sample.t_ns for sample in draft.samples), keep_s)
        except KeyBlockFull:
            self._lost["keys", rule.name] += 1
            return None

    def _insert(self, draft: Draft, body: bytes, key: DataKey) -> Held:
        rule, seq = draft.samples[0].rule, self._next_seq(key.stream)
        sealed = seal(key.key, Header(key.stream, key.basis_ref, key.epoch, seq, draft.plan_id), body)
        route = (rule.recipient, rule.identity, rule.purpose, rule.policy, rule.priority)
        values = (key.stream, key.basis_ref, key.epoch, seq, draft.plan_id, *route, key.destroy_ms)
        oldest_ms = min(sample.t_ns for sample in draft.samples) // NS_PER_MS
        rules = json.dumps(sorted({sample.rule.id for sample in draft.samples}))
        size = size_bytes(sealed)
        cursor = self._db.execute(
            f"INSERT INTO records ({COLUMNS}, oldest_ms, rules, samples, bytes, sealed) VALUES ({', '.join('?' * 16)})",  # noqa: S608
            (*values, oldest_ms, rules, len(draft.samples), size, sealed),
        )
        return Held(int(cursor.lastrowid or 0), key.stream, rule.recipient, rule.identity, size)

    def _next_seq(self, stream: str) -> int:
        sql = "INSERT INTO meta VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
        return int(rows(self._db, sql, (f"seq:{stream}",))[0][0])

    def _delete(self, ns: Collection[int]) -> list[int]:
        """Those of `ns` that were there."""
        if not ns:
            return []
        with transaction(self._db):
            sql = "DELETE FROM records WHERE n IN (SELECT value FROM json_each(?)) RETURNING n, stream, recipient, identity, bytes"
            gone = [Held(*row) for row in rows(self._db, sql, (json.dumps(sorted(ns)),))]
            oldest = oldest_ms(self._db)
        self._counts.oldest_ms = oldest
        self._counts.went(gone)
        return [record.n for record in gone]

    def _sweep(self) -> list[int]:
        """Deletes every row whose key is gone, from the WAL too."""
        keys = rows(self._db, "SELECT DISTINCT stream, basis_ref, epoch FROM records")
        gone: list[int] = []
        for name in keys:
            if self._keyring.find(*name) is None:
                gone += [n for (n,) in rows(self._db, "SELECT n FROM records WHERE (stream, basis_ref, epoch) = (?, ?, ?)", name)]
        self._delete(gone)
        if gone:
            checkpoint(self._db)
        self._owed = False
        return sorted(gone)
