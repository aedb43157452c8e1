"""The audit log: what left, to whom, why and how much; never what it said. And when the device was unlocked for a technician, and why.

Owns: table `audit` of ledger.db and the day counters beside it (table `memory`). Promises: one entry for each message with an
identity, however often its acknowledgement is written; messages of unlinkable streams only as counts of a day; entries of a
profile sealed under that profile's key; after 30 days one line a day; any change of a row is found by `verify`.
Must never: take a value, a position, a VIN or a topic (`Disclosure` has no place for one), or be written outside a transaction.

Counting an unlinkable message: an acknowledgement is recognised as a repetition within the last 1,024 message numbers of its
stream and store. An older one is counted again, because a count that is too high hides no disclosure. Entries for single messages
are recognised as long as they exist, 30 days, which is no shorter than a record waits in the shipped catalogue. A message whose
profile was erased before its acknowledgement came is entered for the device, without its basis and rules.
"""

from __future__ import annotations

import builtins
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any

import sqlite_utils

from agent.clock import Clock
from agent.storage.chain import DEVICE, NONCE_BYTES, Chain, ChainKeys, Draft, Entry, encode, seal, unseal
from agent.storage.sqlite import rows, transaction

DAY_MS = 86_400_000
NS_PER_MS = 1_000_000
MESSAGE_DAYS = 30
"""Messages older than so many whole days become counts of their day."""
KEEP_DAYS = 1_461
"""Counts are kept four years: records of processing are asked for over at least three."""
WINDOW = 1_024
"""So many message numbers of an unlinkable stream are remembered as counted (128 bytes)."""
TEXT_MAX, RULES_MAX, STORE_BYTES = 200, 64, 8
REASON_MAX = 120
"""Of the words of whoever unlocked the device."""
_COUNTER = "audit.day."
_DUE = "SELECT 1 FROM audit WHERE n < ? AND (key IS NOT NULL OR day < ?) LIMIT 1"
_KINDS = ("disclosure", "disclosure_day", "compacted", "unlocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """A message that a broker acknowledged. `profile`: id as in `state.Profile.id`, empty for the device (`Ledger.subject_of`).

    `samples` how many values it carried, `bytes` the sealed size, `t_ms` when it was acknowledged, `store_epoch` 8 bytes.
    """

    stream: str
    recipient: str
    identity: str
    profile: str
    policy: str
    basis_ref: str
    rules: tuple[str, ...]
    samples: int
    bytes: int
    seq: int
    store_epoch: builtins.bytes
    t_ms: int

    def __post_init__(self) -> None:
        texts = (self.stream, self.recipient, self.identity, self.policy, self.basis_ref, *self.rules)
        if max(map(len, texts)) > TEXT_MAX or len(self.rules) > RULES_MAX or len(self.store_epoch) != STORE_BYTES:
            raise ValueError("a disclosure names things; it carries none of their content")


@dataclass(frozen=True, slots=True)
class _Line:
    """What counts are kept apart by. `day`: days since 1970-01-01 UTC; `trusted`: whether the clock was believed then."""

    day: int
    stream: str
    recipient: str
    identity: str
    policy: str
    basis_ref: str
    trusted: bool = True


@dataclass(slots=True)
class _Count:
    messages: int = 0
    samples: int = 0
    bytes: int = 0
    rules: list[str] = field(default_factory=list)

    def add(self, messages: int, samples: int, size: int, rules: Iterable[str]) -> None:
        self.messages, self.samples, self.bytes = self.messages + messages, self.samples + samples, self.bytes + size
        self.rules = sorted({*self.rules, *rules})[:RULES_MAX]


@dataclass(slots=True)
class _Counter:
    """A subject's open counts; and for each stream the store, the newest message number and which of the last are counted."""

    lines: dict[_Line, _Count] = field(default_factory=dict)
    seen: dict[str, tuple[bytes, int, int]] = field(default_factory=dict)

    def first_time(self, stream: str, store: bytes, seq: int) -> bool:
        """Notes a message number; false if it was noted before. Bit i of the mask stands for `newest - i`."""
        known, newest, mask = self.seen.get(stream, (store, 0, 0))
        if known != store:
            newest, mask = 0, 0
        if seq > newest:
            newest, mask = seq, (mask << min(seq - newest, WINDOW)) % (1 << WINDOW)
        behind = newest - seq
        if behind < WINDOW and mask >> behind & 1:
            return False
        self.seen[stream] = (store, newest, mask | 1 << behind if behind < WINDOW else mask)
        return True

    def close(self, today: int) -> dict[_Line, _Count]:
        """Takes out the counts of days before `today`."""
        over = {line: count for line, count in self.lines.items() if line.day < today}
        self.lines = {line: count for line, count in self.lines.items() if line.day >= today}
        return over

    def encode(self) -> list[object]:
        lines = [[list(astuple(line)), list(astuple(count))] for line, count in self.lines.items()]
        return [lines, [[name, store, newest, mask.to_bytes(WINDOW // 8, "big")] for name, (store, newest, mask) in self.seen.items()]]

    @classmethod
    def decode(cls, value: object) -> _Counter:
        """Raises ValueError. The bytes were sealed here, so their inner types are those of `encode`."""
        match value:
            case [list(lines), list(seen)]:
                counts = {_Line(*line): _Count(*count) for line, count in lines}
                return cls(counts, {name: (store, newest, int.from_bytes(mask, "big")) for name, store, newest, mask in seen})
        raise ValueError("form")


class Audit:
    """The audit log of one device."""

    def __init__(self, db: sqlite_utils.Database, keyring: ChainKeys, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._chain = Chain(db, "audit", keyring, _KINDS)
        self._place_key = keyring.derive(b"modicum/audit-key/1")

    def disclosed(self, entries: Sequence[Disclosure]) -> None:
        """Enters messages, all or none, durable on return. Entering one again changes nothing (its limit: see the module)."""
        with transaction(self._db):
            single = {self._place(entry.stream, entry.store_epoch, entry.seq): entry for entry in entries if entry.identity != "none"}
            fresh = [self._message(entry) for place, entry in single.items() if not self._known(place)]
            if fresh:
                self._chain.append(fresh)
            unlinkable = [entry for entry in entries if entry.identity == "none"]
            if unlinkable:
                self._count(unlinkable)

    def unlocked(self, minutes: int, reason: str) -> None:
        """Enters that VIN and place could be seen on the device for so long, and why; durable on return. Kept as long as counts are."""
        if len(reason) > REASON_MAX:
            raise ValueError("a reason is a line")
        with transaction(self._db):
            self._chain.append([self._draft(DEVICE, {"kind": "unlocked"} | self._now() | {"minutes": minutes, "reason": reason})])

    @property
    def believed(self) -> bool:
        """Whether an entry made now would have a date that is believed."""
        return self._clock.trusted()

    def close_days(self) -> None:
        """Enters the counts of days that are over. Call it at start and once a day; until then `show` has them as open."""
        today = self._today()
        with transaction(self._db):
            for subject, counter in list(self._counters()):
                over = counter.close(today)
                if over:
                    self._chain.append([self._day(subject, line, count) for line, count in over.items()])
                    self._store(subject, counter)
            self._forget_erased()
            if (digest := self._digest()) != self._chain.head().note:  # with nothing new, nothing is written: the disk may be slow
                self._chain.write_note(digest)

    def show(self, limit: int = 100) -> list[dict[str, object]]:
        """The newest `limit` lines for people: counts of days not closed yet, marked `open`, then entries, newest first.

        Only these are read: a long log must not hold the loop up. That all the others are there is `verify`'s to say.
        """
        waiting = [
            _told_count(subject, line, count) | {"open": True}
            for subject, counter in self._counters()
            for line, count in counter.lines.items()
        ]
        return (waiting + [_told(entry) for entry in self._chain.newest(max(0, limit - len(waiting)))])[:limit]

    def verify(self) -> None:
        """Raises IntegrityError naming the entry where the chain breaks, or the counters. Limits: `agent.storage.chain`."""
        columns = rows(self._db, "SELECT key, day FROM audit ORDER BY n")
        for entry, beside in zip(self._chain.entries(), columns, strict=True):
            if entry.body is not None and self._columns(entry.body) != beside:
                raise self._chain.broken(f"entry {entry.n}", "has columns that are not its own")
        for _ in self._counters():
            pass
        if self._digest() != self._chain.head().note:
            raise self._chain.broken("the day counters")

    def compact(self) -> int:
        """Turns messages older than 30 days into counts of their day and drops counts older than four years; entries gone.

        Takes the oldest entries without a gap, writes their sums as new entries and cuts the old ones off; the checkpoint keeps
        the hash of the last one cut, so the chain goes on holding. One transaction. Nothing happens while the clock is not
        trusted, and nothing is read where no message and no count is due. What an erased profile left goes along, without a
        sum. A sum that is in the way is written anew, unchanged.
        """
        if not self._clock.trusted():
            return 0
        today = self._today()
        [(kept,)] = rows(self._db, "SELECT MIN(n) FROM audit WHERE day >= ?", [today - MESSAGE_DAYS])
        end = self._chain.head().n + 1 if kept is None else kept
        if not rows(self._db, _DUE, [end, today - KEEP_DAYS]):
            return 0
        sums, worthwhile, last = _Sums(today - KEEP_DAYS), False, None
        for last in takewhile(lambda entry: entry.n < end, self._chain.entries()):
            worthwhile |= sums.add(last)
        if last is None or not worthwhile:
            return 0
        with transaction(self._db):
            drafts = [self._day(subject, line, count) for (subject, line), count in sums.lines.items()]
            drafts += [self._draft(DEVICE, body) for body in sums.unlocked]
            note = {"kind": "compacted", "through": last.n, "entries": sums.entries, "erased": sums.erased}
            self._chain.append([*drafts, self._draft(DEVICE, self._now() | note)])
            self._chain.cut(last)
        return sums.entries

    def _count(self, entries: Sequence[Disclosure]) -> None:
        counters = dict(self._counters())
        for subject, entry in map(self._owned, entries):
            counter = counters.setdefault(subject, _Counter())
            if counter.first_time(entry.stream, entry.store_epoch, entry.seq):
                names = (entry.stream, entry.recipient, entry.identity, entry.policy, entry.basis_ref)
                line = _Line(entry.t_ms // DAY_MS, *names, self._clock.trusted())
                counter.lines.setdefault(line, _Count()).add(1, entry.samples, entry.bytes, entry.rules)
        for subject, counter in counters.items():
            self._store(subject, counter)
        self._chain.write_note(self._digest())

    def _message(self, entry: Disclosure) -> Draft:
        subject, entry = self._owned(entry)
        names = ("stream", "recipient", "identity", "policy", "basis_ref", "samples", "bytes", "seq", "store_epoch", "t_ms")
        body = {"kind": "disclosure", "trusted": self._clock.trusted(), "rules": list(entry.rules)}
        return self._draft(subject, body | {name: getattr(entry, name) for name in names})

    def _day(self, subject: bytes, line: _Line, count: _Count) -> Draft:
        return self._draft(subject, {"kind": "disclosure_day"} | self._now() | asdict(line) | asdict(count))

    def _draft(self, subject: bytes, body: Mapping[str, object]) -> Draft:
        key, day = self._columns(body)
        return Draft(subject, body, {"key": key, "day": day})

    def _columns(self, body: Mapping[str, Any]) -> tuple[str | None, int]:
        """What stands in plain columns: a keyed hash that recognises a message, and the day."""
        key = self._place(body["stream"], body["store_epoch"], body["seq"]) if body["kind"] == "disclosure" else None
        return key, body["day"] if body["kind"] == "disclosure_day" else body["t_ms"] // DAY_MS

    def _owned(self, entry: Disclosure) -> tuple[bytes, Disclosure]:
        subject = bytes.fromhex(entry.profile)
        if self._chain.key_of(subject) is not None:
            return subject, entry
        return DEVICE, replace(entry, profile="", basis_ref="", rules=())

    def _place(self, stream: str, store_epoch: bytes, seq: int) -> str:
        return hmac.digest(self._place_key, f"{stream}/{store_epoch.hex()}/{seq}".encode(), "sha256").hex()

    def _known(self, place: str) -> bool:
        return bool(rows(self._db, "SELECT 1 FROM audit WHERE key = ?", [place]))

    def _now(self) -> dict[str, object]:
        return {"t_ms": self._clock.now_ns() // NS_PER_MS, "trusted": self._clock.trusted()}

    def _today(self) -> int:
        return self._clock.now_ns() // NS_PER_MS // DAY_MS

    def _sealed_counters(self) -> list[tuple[str, bytes]]:
        return rows(self._db, "SELECT key, value FROM memory WHERE key >= ? AND key < ? ORDER BY key", [_COUNTER, _COUNTER + "~"])

    def _counters(self) -> Iterator[tuple[bytes, _Counter]]:
        """The counters that can be read, by subject. Raises IntegrityError for one that is not what was written."""
        for name, value in self._sealed_counters():
            try:
                subject = bytes.fromhex(name.removeprefix(_COUNTER))
                key = self._chain.key_of(subject)
                if key is not None:
                    yield subject, _Counter.decode(unseal(key, name.encode(), value[:NONCE_BYTES], value[NONCE_BYTES:]))
            except ValueError as error:
                raise self._chain.broken("a day counter") from error

    def _store(self, subject: bytes, counter: _Counter) -> None:
        name, key = _COUNTER + subject.hex(), self._chain.key_of(subject)
        if key is not None:
            value = b"".join(seal(key, name.encode(), counter.encode()))
            self._db.execute("INSERT OR REPLACE INTO memory (key, value) VALUES (?, ?)", [name, value])

    def _forget_erased(self) -> None:
        for name, _ in self._sealed_counters():
            if self._chain.key_of(bytes.fromhex(name.removeprefix(_COUNTER))) is None:
                self._db.execute("DELETE FROM memory WHERE key = ?", [name])

    def _digest(self) -> bytes:
        sealed = self._sealed_counters()
        return hashlib.sha256(encode([list(row) for row in sealed])).digest() if sealed else b""


class _Sums:
    """What entries that go add up to, by subject and line. Counts of days before `keep_from` are left out."""

    def __init__(self, keep_from: int) -> None:
        self.keep_from, self.entries, self.erased = keep_from, 0, 0
        self.lines: dict[tuple[bytes, _Line], _Count] = {}
        self.unlocked: list[Mapping[str, Any]] = []
        """Entries of a technician that stay as they are."""

    def add(self, entry: Entry) -> bool:
        """Whether something is gained by letting this entry go."""
        self.entries += 1
        if entry.body is None:
            self.erased += 1
            return True
        body: Mapping[str, Any] = entry.body
        if body["kind"] == "compacted":
            return False
        if body["kind"] == "unlocked":
            old = bool(body["t_ms"] // DAY_MS < self.keep_from)
            self.unlocked += [] if old else [body]
            return old
        single: bool = body["kind"] == "disclosure"
        line = _line_of(body)
        if line.day < self.keep_from:
            return True
        count = self.lines.setdefault((entry.subject, line), _Count())
        count.add(1 if single else body["messages"], body["samples"], body["bytes"], body["rules"])
        return single


def _line_of(body: Mapping[str, Any]) -> _Line:
    day = body["t_ms"] // DAY_MS if body["kind"] == "disclosure" else body["day"]
    return _Line(day, *(body[name] for name in ("stream", "recipient", "identity", "policy", "basis_ref", "trusted")))


def _told(entry: Entry) -> dict[str, object]:
    if entry.body is None:
        return {"entry": entry.n, "kind": "erased"}
    told: dict[str, object] = {"entry": entry.n, "profile": entry.subject.hex()}
    for key, value in entry.body.items():
        told[key] = value.hex() if isinstance(value, bytes) else value
    return told | _dates(entry.body)


def _told_count(subject: bytes, line: _Line, count: _Count) -> dict[str, object]:
    told = {"kind": "disclosure_day", "profile": subject.hex()} | asdict(line) | asdict(count)
    return told | _dates(told)


def _dates(body: Mapping[str, Any]) -> dict[str, object]:
    """Times for people, ISO 8601 in UTC, in place of numbers."""
    dates: dict[str, object] = {}
    if "t_ms" in body:
        dates["t"] = datetime.fromtimestamp(body["t_ms"] / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if "day" in body:
        dates["day"] = (date(1970, 1, 1) + timedelta(days=body["day"])).isoformat()
    return dates
