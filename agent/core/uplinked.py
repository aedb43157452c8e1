"""Core's end of the link: lanes announced, offers sent, answers taken, take-backs confirmed. No socket is opened here."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.deliver import Delivery
from agent.link import Ack, Close, Inbound, Lane, Link, LinkDown, Message, Offer, Refused, State, TakeBack, TakenBack

NS_PER_MS = 1_000_000
AGAIN_NS = 1_000_000_000
NEVER_AGAIN_NS = 3_600_000_000_000
"""A message that the broker will not take is looked at again after an hour; it is not dropped before its keep ends."""


@dataclass(slots=True)
class Uplinked:
    """The state of the link.

    `announced`: lanes that the uplink was told of; `online`: those that carry offers; `pending`: take-backs not yet confirmed.
    """

    delivery: Delivery
    link: Link | None = None
    online: set[str] = field(default_factory=set)
    announced: set[str] = field(default_factory=set)
    protocols: dict[str, int] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    acks: list[int] = field(default_factory=list)
    refusals: int = 0
    why: dict[str, str] = field(default_factory=dict)

    def attach(self, link: Link | None) -> None:
        """A new uplink, or none: whatever was open on the old one is uncertain and will be offered again."""
        if self.link is not None and self.link is not link:
            self.link.close()
        self.link = link
        for lane in list(self.online):
            self._offline(lane)
        for lane in {outgoing.lane for outgoing in self.delivery.open.values()}:
            self.delivery.lane_lost(lane)
        self.pending.clear()
        self.announced.clear()
        self.acks += self.delivery.recalled  # it had them and can no longer say: bytes that may have left count as sent
        if link is None:
            return
        self._announce()

    def hear(self, message: Message, now_ns: int) -> None:
        """A message of the uplink. What it says of a lane that it was not told of is not believed."""
        match message:
            case Ack(n=n):
                outgoing = self.delivery.open.get(n)
                if n in self.delivery.recalled or (outgoing is not None and outgoing.lane in self.announced):
                    self.acks.append(n)
            case Refused():
                self.refusals += 1
                again_ns = max(message.hold_ms * NS_PER_MS, AGAIN_NS) if message.again else NEVER_AGAIN_NS
                self.delivery.refused(message.n, now_ns + again_ns)
            case TakenBack():
                self.pending -= set(message.ns)
                self.acks += message.maybe_sent
                self.delivery.unsent(set(message.ns) - set(message.maybe_sent) - set(self.acks))
            case State():
                self._state(message)
            case Inbound():
                pass  # Orders to the car come with a later release; nothing is subscribed to yet.
            case _:
                self.cut()

    def pump(self, now_ns: int) -> None:
        """Takes back what was forgotten, settles what was acknowledged, offers what waits."""
        self.take_back()
        self.settle(now_ns)
        self.offer(now_ns)

    def settle(self, now_ns: int) -> None:
        """Enters what was acknowledged, and deletes it."""
        self.delivery.settle(self.acks, now_ns)
        self.acks = []

    def offer(self, now_ns: int) -> None:
        """Offers what waits; writes nothing."""
        if self.link is None:
            return
        if self.delivery.fresh:
            self._announce()
        for outgoing in self.delivery.next_offers(self.online, now_ns):
            stored = outgoing.stored
            ends_ms = self.delivery.keyring.ends_ms(stored.stream, stored.basis_ref, stored.epoch) or 0
            left_ms = max(ends_ms - now_ns // NS_PER_MS, 1)
            offer = Offer(n=stored.n, lane=outgoing.lane, topic=outgoing.topic, payload=outgoing.payload, expires_in_ms=left_ms)
            if not self._send(offer):
                return

    def _announce(self) -> None:
        """Opens the lanes that are needed now and ends those that are not any more."""
        lanes = self.delivery.lanes()
        for lane in self.announced - lanes.keys():
            self._offline(lane)
            self._send(Close(lane=lane))
        for lane in lanes.keys() - self.announced:
            broker, _, unlinkable = lanes[lane]
            self._send(Lane(lane=lane, broker=broker, client_id="" if unlinkable else self.delivery.client_id(broker)))
        self.announced = set(lanes) if self.link is not None else set()

    def take_back(self) -> None:
        """Asks for everything back that must not leave any more."""
        ns = self.delivery.take_backs()
        if ns and self.link is not None:
            self.pending |= set(ns)
            self._send(TakeBack(ns=tuple(ns)))

    def unconfirmed(self) -> frozenset[int]:
        """Offers of which a byte might still leave."""
        return frozenset(self.pending) if self.link is not None else frozenset()

    def cut(self) -> None:
        """Closes the link: the uplink then closes its connections, so nothing taken back can leave."""
        self.attach(None)

    def _state(self, state: State) -> None:
        if state.lane not in self.announced:
            return
        self.protocols[state.lane] = state.protocol
        self.why[state.lane] = state.why
        if state.online:
            self.online.add(state.lane)
            self.delivery.fresh = True
        else:
            self._offline(state.lane)

    def _offline(self, lane: str) -> None:
        self.online.discard(lane)
        self.delivery.lane_lost(lane)

    def _send(self, message: Message) -> bool:
        if self.link is None:
            return False
        try:
            self.link.send(message)
        except LinkDown:
            self.attach(None)
            return False
        return True
