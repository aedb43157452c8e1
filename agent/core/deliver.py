"""Delivery: from waiting records to envelopes on the link, and from a PUBACK to a deleted row with an audit entry.

Promises: an offer counts as sent only when its acknowledgement came; then the disclosure is written first and the row
deleted after it (a crash in between repeats both, harmlessly). What was taken back is never offered again.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.audit import Audit, Disclosure
from agent.buffer.store import Buffer, Stored
from agent.consent.ledger import Ledger
from agent.core.notices import Notices
from agent.core.recipients import Recipient
from agent.envelope import RANDOM_KEY_BYTES, Sender, seal_envelope, sender_for
from agent.errors import IntegrityError
from agent.link import WINDOW
from agent.model import Rule
from agent.seal.keyring import Keyring

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An envelope ready for its lane."""

    stored: Stored
    lane: str
    topic: str
    payload: bytes = field(repr=False)


@dataclass(slots=True)
class Delivery:
    """Offers of one core.

    `open`: offered and not yet answered, by record number. `hold_ns`: not before this time. `fresh`: whether anything
    happened since the buffer was last asked for what waits. `recalled`: taken back while it was open, by record number.
    `ruled`: (recipient, without identity) of the live rules. `item_of`: the item that a stream rests on. `may_send`: false
    where what left could not be written down. `unsure`: streams whose `last_sent_ms` is of a clock that was not believed.
    """

    buffer: Buffer
    audit: Audit
    ledger: Ledger
    recipients: Mapping[str, Recipient]
    keyring: Keyring
    vin: str | None
    prefix: str
    notices: Notices
    item_of: Mapping[str, str]
    may_send: bool = True
    open: dict[int, Outgoing] = field(default_factory=dict)
    hold_ns: dict[int, int] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)
    ruled: set[tuple[str, bool]] = field(default_factory=set)
    recalled: dict[int, Outgoing] = field(default_factory=dict)
    acked: int = 0
    last_sent_ms: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    fresh: bool = True
    _senders: dict[str, Sender] = field(default_factory=dict)

    def lane_of(self, recipient: str, identity: str) -> str:
        """The connection that a message of this identity to this recipient takes; `none` shares it with nothing."""
        broker = self.recipients[recipient].broker
        return f"open:{broker}:{recipient}" if identity == "none" else f"id:{broker}"

    def sender(self, recipient: str) -> Sender:
        """The signing identity towards `recipient`."""
        if recipient not in self._senders:
            self._senders[recipient] = sender_for(self.keyring.derive, recipient)
        return self._senders[recipient]

    def told(self, recipient: str, number: bytes) -> bytes:
        """What this recipient is told instead of a number of the device or of its store: the same length, its own for each.

        Two recipients who compare what they got find no number that both know (HMAC under a key of the recipient).
        """
        return hmac.digest(self.keyring.derive(b"modicum/told/1" + recipient.encode()), number, "sha256")[: len(number)]

    def client_id(self, broker: str) -> str:
        """The stable client id towards a broker, which is no recipient's pairwise id."""
        return self.sender(f"broker:{broker}").id.hex()

    def topic_of(self, stored: Stored) -> str:
        """`<prefix>/v1/<pairwise id or open>/<service>/<stream>`"""
        who = "open" if stored.identity == "none" else self.sender(stored.recipient).id.hex()
        return f"{self.prefix}/v1/{who}/{stored.stream.replace('.', '/')}"

    def serve(self, rules: Iterable[Rule]) -> None:
        """From now on these rules need a way out."""
        ruled = {(rule.recipient, rule.identity == "none") for rule in rules}
        self.fresh = self.fresh or ruled != self.ruled
        self.ruled = ruled

    def lanes(self) -> dict[str, tuple[str, frozenset[str], bool]]:
        """Every lane that a live rule or a waiting record needs: its broker, its recipients, whether it is without identity.

        No rule, no connection.
        """
        lanes: dict[str, tuple[str, frozenset[str], bool]] = {}
        for name, unlinkable in sorted(self.ruled | self.buffer.routes()):
            if name in self.recipients:
                lane = self.lane_of(name, "none" if unlinkable else "pairwise")
                others = lanes[lane][1] if lane in lanes else frozenset()
                lanes[lane] = (self.recipients[name].broker, others | {name}, unlinkable)
        return lanes

    def next_offers(self, online: Collection[str], now_ns: int) -> list[Outgoing]:
        """What can be offered now: by priority, then age; a window of 20 a lane, and nothing to a lane that is offline."""
        held = len(self.hold_ns)
        self.hold_ns = {n: until for n, until in self.hold_ns.items() if until > now_ns}
        if not self.may_send or (not self.fresh and len(self.hold_ns) == held):
            return []
        self.fresh = False
        offers: list[Outgoing] = []
        for lane, (_, recipients, unlinkable) in self.lanes().items():
            room = WINDOW - sum(outgoing.lane == lane for outgoing in self.open.values())
            if lane in online and room > 0:
                waiting = self.buffer.waiting(room, {*self.open, *self.hold_ns}, recipients=recipients, unlinkable=unlinkable)
                self.fresh = self.fresh or len(waiting) == room
                offers += [outgoing for stored in waiting if (outgoing := self.sealed(stored, lane)) is not None]
        self.open |= {outgoing.stored.n: outgoing for outgoing in offers}
        return offers

    def sealed(self, stored: Stored, lane: str) -> Outgoing | None:
        """The envelope of a record, or None when the record does not open any more."""
        try:
            body = self.buffer.body_of(stored)
        except IntegrityError:
            return None
        service, stream = stored.stream.split(".", 1)
        sender = None if stored.identity == "none" else self.sender(stored.recipient)
        payload = seal_envelope(
            recipient_key=self.recipients[stored.recipient].key,
            service=service,
            stream=stream,
            purpose=stored.purpose,
            policy=stored.policy,
            body=body,
            sender=sender,
            store_epoch=self.told(stored.recipient, self.buffer.store_epoch) if sender else b"",
            seq=stored.seq if sender else 0,
            vin=self.vin if stored.identity == "vin" else None,
            message_key=b"" if sender else self._message_key(stored),
        )
        return Outgoing(stored, lane, self.topic_of(stored), payload)

    def settle(self, ns: Sequence[int], now_ns: int) -> None:
        """The broker acknowledged these. Of what was taken back in the meantime: it left before, and the record says so.

        Raises DeviceError, IntegrityError; then they stay open, so that nothing is offered anew, and may be settled again.
        """
        done = {n: self.open[n] for n in ns if n in self.open}
        late = {n: self.recalled[n] for n in ns if n in self.recalled}
        if not done and not late:
            return
        left = [*done.values(), *late.values()]
        self.audit.disclosed([self._disclosure(outgoing, now_ns) for outgoing in left])
        for outgoing in left:
            self._shared(outgoing.stored)
        self.buffer.acked(done)
        for n in (*done, *late):
            self.open.pop(n, None)
            self.recalled.pop(n, None)
        self.fresh = True
        self.acked += len(done)
        sent = {outgoing.stored.stream for outgoing in left}
        self.last_sent_ms |= dict.fromkeys(sent, now_ns // NS_PER_MS)
        self.unsure = self.unsure - sent if self.audit.believed else self.unsure | sent

    def refused(self, n: int, until_ns: int) -> None:
        """Not sent for sure, or unknown: offered again, not before `until_ns`."""
        if self.open.pop(n, None) is not None:
            self.hold_ns[n] = until_ns
            self.fresh = True

    def lane_lost(self, lane: str) -> None:
        """The connection ended: everything open on it is uncertain, so it is offered again."""
        self.open = {n: outgoing for n, outgoing in self.open.items() if outgoing.lane != lane}
        self.fresh = True

    def doomed(self, dead: Callable[[str, str], bool]) -> list[int]:
        """The numbers of open offers of a stream and basis that are `dead`."""
        return [n for n, outgoing in self.open.items() if dead(outgoing.stored.stream, outgoing.stored.basis_ref)]

    def forgotten(self, ns: Iterable[int]) -> None:
        """Rows are gone, or about to go: those of them that had been offered must be taken back."""
        for n in ns:
            outgoing = self.open.pop(n, None)
            if outgoing is not None:
                self.recalled[n] = outgoing
                self.taken.append(n)
                self.fresh = True

    def unsent(self, ns: Iterable[int]) -> None:
        """No byte of these had left when they were taken back."""
        for n in ns:
            self.recalled.pop(n, None)

    def take_backs(self) -> list[int]:
        """The offers to take back now; asked once."""
        taken, self.taken = self.taken, []
        return taken

    def _shared(self, stored: Stored) -> None:
        """Who holds something under a grant will have to hear of its end."""
        item, subject = self.item_of.get(stored.stream), self.ledger.subject_of(stored.basis_ref)
        if stored.identity != "none" and item is not None and subject:
            self.notices.shared(subject, item, stored.recipient, stored.stream)

    def _message_key(self, stored: Stored) -> bytes:
        """By which a message without identity is known when it comes twice.

        The same over restarts, and random to whoever does not hold the device secret (HMAC as a PRF).
        """
        named = self.buffer.store_epoch + stored.seq.to_bytes(8, "big") + stored.stream.encode()
        return hmac.digest(self.keyring.derive(b"modicum/message/1"), named, "sha256")[:RANDOM_KEY_BYTES]

    def _disclosure(self, outgoing: Outgoing, now_ns: int) -> Disclosure:
        stored = outgoing.stored
        return Disclosure(
            stream=stored.stream,
            recipient=stored.recipient,
            identity=stored.identity,
            profile=self.ledger.subject_of(stored.basis_ref) if stored.identity != "none" else "",
            policy=stored.policy,
            basis_ref=stored.basis_ref if stored.identity != "none" else "",
            rules=stored.rules,
            samples=stored.samples,
            bytes=len(outgoing.payload),
            seq=stored.seq,
            store_epoch=self.buffer.store_epoch,
            t_ms=now_ns // NS_PER_MS,
        )
