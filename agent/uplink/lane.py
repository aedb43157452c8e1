"""A lane at work: one session's decisions carried out on one connection at a time.

Owns the pairing of packet ids with offers. Promises that what has an identity and what has none never
meet on a lane. All of it runs in the loop's thread; it must never wait for the network.
"""

from __future__ import annotations

from collections.abc import Callable

from agent import link
from agent.link import Ack, Inbound, Offer, Refused, State, TakeBack, TakenBack
from agent.mqtt.connection import INBOUND_BYTES_MAX, Access, Arrived, Connection, Event, Post, PubAcked
from agent.mqtt.terms import Connect, Lost
from agent.uplink.session import Action, Hangup, Input, Limits, PubAck, Publish, Session, Stop, Tick, Woke

UNLINKABLE = "open:"
"""How the name of a lane for `identity = "none"` begins."""
UNLINKABLE_TOPIC = "/v1/open/"
Send = Callable[[link.Message], None]


class Lane:
    """One lane. `send` speaks to core, `post` brings events back to the loop, which gives them to `feed`."""

    def __init__(self, opening: link.Lane, to: Access, send: Send, post: Post, limits: Limits | None = None) -> None:
        self.opening = opening
        self._to, self._send, self._post = to, send, post
        self._session = Session(opening.lane, limits or Limits(), protocol=to.protocol)
        self._connection: Connection | None = None
        self._mids: dict[int, int] = {}

    @property
    def at_work(self) -> Connection | None:
        """Its connection, or the attempt at one; None where the last one has ended."""
        return self._connection if self._connection is not None and self._connection.outcome is None else None

    def next_due_s(self) -> float | None:
        """When `tick` is wanted at the latest."""
        return self._session.next_due_s()

    def tick(self, now_s: float) -> None:
        """Time passed. Also hears of a connection whose thread died without a word: paho would go on saying connected."""
        silent = self._connection.outcome if self._connection is not None and not self._connection.alive() else None
        if silent is not None:
            self._step(now_s, silent)
        self._step(now_s, Tick())

    def offer(self, now_s: float, offer: Offer) -> None:
        """Takes an offer of core's on, or refuses it at once. Raises ValueError when its number is still open."""
        if (UNLINKABLE_TOPIC in offer.topic) != unlinkable(self.opening.lane):
            self._send(Refused(n=offer.n, why="this topic is for another kind of lane", again=False))
        else:
            self._step(now_s, offer)

    def take_back(self, now_s: float, ns: tuple[int, ...]) -> tuple[int, ...]:
        """When this returns no further byte of `ns` is written. Returns those that may have left before."""
        return self._step(now_s, TakeBack(ns=ns))

    def feed(self, now_s: float, event: Event) -> None:
        """An event of this lane's connection."""
        match event:
            case PubAcked():
                # Looked up here, in the thread that published: the answer may be faster than `publish` returns.
                n = self._mids.pop(event.mid, None) if event.generation == self._session.generation else None
                if n is not None:
                    self._step(now_s, PubAck(event.generation, n, event.code))
            case Arrived():
                if len(event.payload) + len(event.topic.encode()) <= INBOUND_BYTES_MAX:
                    self._send(Inbound(lane=self.opening.lane, topic=event.topic, payload=event.payload))
                event.accept()
            case _:
                self._step(now_s, event)

    def woke(self, now_s: float) -> None:
        """The device was suspended: open offers go back to core, and it connects anew."""
        self._step(now_s, Woke())

    def stop(self, now_s: float) -> None:
        """Ends the lane for good; open offers go back to core."""
        self._step(now_s, Stop())

    def _step(self, now_s: float, event: Input) -> tuple[int, ...]:
        maybe_sent: tuple[int, ...] = ()
        for action in self._session.step(now_s, event):
            if isinstance(action, TakenBack):
                maybe_sent = action.maybe_sent
            else:
                self._act(now_s, action)
        return maybe_sent

    def _act(self, now_s: float, action: Action) -> None:
        match action:
            case Connect():
                self._connect(now_s, action)
            case Publish() if self._connection is not None:
                mid = self._connection.publish(action.offer.topic, action.offer.payload, action.expires_in_ms)
                if mid is not None:
                    self._mids[mid] = action.offer.n
            case Hangup() if self._connection is not None:
                self._connection.hang_up(politely=action.politely)
            case Ack() | Refused() | State():
                self._send(action)

    def _connect(self, now_s: float, order: Connect) -> None:
        if self._connection is not None and self._connection.alive():
            # A name service that does not answer holds the thread; one of them is enough.
            self._step(now_s, Lost(order.generation, "the attempt before has not ended"))
            return
        self._mids.clear()
        self._connection = Connection(self._to, order, self.opening.client_id, self.opening.topics, self._post)
        self._connection.start()


def unlinkable(lane: str) -> bool:
    """Whether this lane carries `identity = "none"`."""
    return lane.startswith(UNLINKABLE)
