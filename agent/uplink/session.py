"""One connection's decisions, without a socket, a thread or a clock: inputs and the time in, actions out, as data.

Owns which offer is where and when to connect. Promises: an offer is acknowledged only for its PUBACK; whatever a lost
connection leaves open goes back to core as refused, never as sent; nothing is held while offline; never more in flight
than the window, the broker's Receive Maximum and its Maximum Packet Size allow; after `TakenBack` no byte of those is
written: what had been handed over dies with its connection first. It must never act: `agent.uplink.lane` does.

    offline --(retry time)--> connecting --(Online)--> online --(Lost, ack overdue, take back)--> offline
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from agent.link import WINDOW, Ack, Offer, Refused, State, TakeBack, TakenBack
from agent.mqtt.terms import ALTERNATIVE, V5, Connect, Lost, Online, Terms

TOPIC_BYTES_MAX = 65_535
TOPIC_SLASHES_MAX = 7
"""The tightest broker that we know of takes no more."""
UNSUPPORTED_PROTOCOL = 0x84


class Phase(Enum):
    """Where the connection is."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every number of a session. `spread_s`: reconnects of a fleet after its broker said that it goes away are spread over it."""

    window: int = WINDOW
    connect_s: float = 30.0
    ack_s: float = 30.0
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 300.0
    stable_s: float = 60.0
    spread_s: float = 30.0
    denied_hold_s: float = 3600.0
    busy_hold_s: float = 60.0


# Inputs beside core's Offer and TakeBack. `generation` names the connection; what speaks of an older one is ignored.


@dataclass(frozen=True, slots=True)
class PubAck:
    """The broker answered the PUBLISH of offer `n`."""

    generation: int
    n: int
    code: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Woke:
    """The device was suspended: the broker has long given up what still looks like a connection here."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The lane is to end for good."""


Input = Offer | TakeBack | Online | Lost | PubAck | Tick | Woke | Stop


# Actions beside the messages to core.


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand the offer to the connection, QoS 1, never retained. `expires_in_ms` is what is left by now, 0 for no end."""

    generation: int
    offer: Offer
    expires_in_ms: int


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the connection before the next action. `politely`: with a DISCONNECT, else no further byte leaves the socket."""

    generation: int
    politely: bool = False


Action = Connect | Publish | Hangup | Ack | Refused | TakenBack | State


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reason code of a PUBACK means: acknowledged, or refused for now (`hold`: a field of Limits) or for good."""

    why: str
    acknowledged: bool = False
    consumers: bool = True
    again: bool = True
    hold: str = ""


ANSWERS = {
    0x00: Answer("", acknowledged=True),
    0x10: Answer("", acknowledged=True, consumers=False),
    0x87: Answer("not authorised for this topic", hold="denied_hold_s"),
    0x90: Answer("topic name invalid", again=False),
    0x91: Answer("packet identifier in use"),
    0x97: Answer("quota exceeded", hold="busy_hold_s"),
    0x99: Answer("payload format invalid", again=False),
}
"""MQTT 5 section 3.4.2.1. Every other code holds the service for `busy_hold_s` and is tried again."""
GOING_AWAY = frozenset({0x88, 0x89, 0x8B})
"""Server unavailable, busy, shutting down: said to the whole fleet at once, so that it must not come back at once."""
KEPT_OUT = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8E, 0x9C, 0x9D})
"""Refused because of who we are, or sent elsewhere (which is never followed): asking again soon helps nobody."""
KEPT_OUT_ATTEMPTS = 6
DOUBT_ATTEMPTS = 4
"""A broker that once spoke a protocol and then closes this often without a word may have been replaced."""


@dataclass(slots=True)
class Session:
    """The state of one lane. `step` is its only door; `next_due_s` says when it wants a Tick at the latest."""

    lane: str
    limits: Limits = field(default_factory=Limits)
    jitter: Callable[[], float] = random.random
    phase: Phase = Phase.OFFLINE
    generation: int = 0
    protocol: int = V5
    _proven: bool = False
    _attempts: int = 0
    _retry_s: float = 0.0
    _since_s: float = 0.0
    _window: int = 0
    _packet_bytes_max: int | None = None
    _pending: dict[int, tuple[Offer, float]] = field(default_factory=dict)
    _in_flight: dict[int, tuple[Offer, float]] = field(default_factory=dict)
    _holds: dict[str, float] = field(default_factory=dict)

    def step(self, now_s: float, event: Input) -> list[Action]:
        """The actions that `event` at `now_s` (monotonic) asks for, to be carried out in this order.

        Raises ValueError when core breaks the link's promise (an `n` that is still open is offered again).
        """
        if isinstance(event, (Online, Lost, PubAck)) and event.generation != self.generation:
            return []
        match event:
            case Offer():
                actions = self._offered(now_s, event)
            case TakeBack():
                actions = self._take_back(now_s, event.ns)
            case Online():
                actions = self._online(now_s, event.terms)
            case Lost():
                actions = self._lost(now_s, event)
            case PubAck():
                actions = self._answered(now_s, event)
            case Tick():
                actions = self._tick(now_s)
            case Woke():
                actions = self._woke(now_s)
            case Stop():
                actions = self._stop()
        return actions

    def next_due_s(self) -> float | None:
        """The time of the next Tick that matters; None when only events do."""
        if self.phase is Phase.OFFLINE:
            return self._retry_s
        if self.phase is Phase.CONNECTING:
            return self._since_s + self.limits.connect_s
        oldest = next(iter(self._in_flight.values()), None)
        return oldest[1] + self.limits.ack_s if oldest is not None else None

    def _offered(self, now_s: float, offer: Offer) -> list[Action]:
        if offer.n in self._pending or offer.n in self._in_flight:
            raise ValueError(f"offer {offer.n} is still open on {self.lane}")
        refusal = self._objection(now_s, offer)
        if refusal is not None:
            return [refusal]
        self._pending[offer.n] = (offer, now_s)
        return self._fill(now_s)

    def _objection(self, now_s: float, offer: Offer) -> Refused | None:
        if self.phase is not Phase.ONLINE:
            return Refused(n=offer.n, why="offline", again=True)
        if not valid_topic(offer.topic):
            return Refused(n=offer.n, why="topic name invalid", again=False)
        if self._packet_bytes_max is not None and publish_bytes(offer, self.protocol) > self._packet_bytes_max:
            return Refused(n=offer.n, why="larger than the broker takes", again=False)
        if len(self._pending) + len(self._in_flight) >= self.limits.window:
            return Refused(n=offer.n, why="the window is full", again=True)
        hold_ms = round((self._holds.get(service_topic(offer.topic), now_s) - now_s) * 1000)
        return Refused(n=offer.n, why="held back", again=True, hold_ms=hold_ms) if hold_ms > 0 else None

    def _fill(self, now_s: float) -> list[Action]:
        """Publishes from what is pending, oldest first, up to the window."""
        actions: list[Action] = []
        while self._pending and len(self._in_flight) < self._window:
            offer, since_s = self._pending.pop(next(iter(self._pending)))
            left_ms = offer.expires_in_ms - round((now_s - since_s) * 1000)
            if offer.expires_in_ms and left_ms <= 0:
                actions.append(Refused(n=offer.n, why="expired", again=False))
                continue
            self._in_flight[offer.n] = (offer, now_s)
            actions.append(Publish(self.generation, offer, max(0, left_ms)))
        return actions

    def _take_back(self, now_s: float, ns: tuple[int, ...]) -> list[Action]:
        for n in ns:
            self._pending.pop(n, None)
        written = tuple(n for n in ns if n in self._in_flight)
        confirmed = TakenBack(ns=ns, maybe_sent=written)
        if not written:
            return [confirmed, *self._fill(now_s)]
        for n in written:
            del self._in_flight[n]
        hangup = Hangup(self.generation)
        # Our own decision, not the broker's trouble: it does not count as a failed attempt.
        self._retry_s = now_s + self.jitter() * self.limits.backoff_base_s
        return [hangup, confirmed, *self._go_offline("taken back")]

    def _online(self, now_s: float, terms: Terms) -> list[Action]:
        if self.phase is not Phase.CONNECTING:
            return []
        self.phase, self.protocol, self._proven, self._since_s = Phase.ONLINE, terms.protocol, True, now_s
        self._window = max(1, min(self.limits.window, terms.receive_max))
        self._packet_bytes_max = terms.packet_bytes_max
        return [State(lane=self.lane, online=True, why="", protocol=terms.protocol)]

    def _lost(self, now_s: float, event: Lost) -> list[Action]:
        if self.phase not in (Phase.CONNECTING, Phase.ONLINE):
            return []
        wrong_protocol = self.phase is Phase.CONNECTING and event.code == UNSUPPORTED_PROTOCOL
        doubted = not self._proven or self._attempts >= DOUBT_ATTEMPTS
        silent = self.phase is Phase.CONNECTING and event.code is None and event.reached and doubted
        self._back_off(now_s, event.code)
        if wrong_protocol and self.protocol == V5:
            self._retry_s = now_s
        if wrong_protocol or silent:
            self.protocol, self._proven = ALTERNATIVE[self.protocol], False
        return self._go_offline(event.why)

    def _back_off(self, now_s: float, code: int | None) -> None:
        """Full jitter, doubling up to the cap; begins anew after a connection that was stable."""
        if self.phase is Phase.ONLINE and now_s - self._since_s >= self.limits.stable_s:
            self._attempts = 0
        if code in KEPT_OUT:
            self._attempts = max(self._attempts, KEPT_OUT_ATTEMPTS)
        span_s = min(self.limits.backoff_cap_s, self.limits.backoff_base_s * 2 ** min(self._attempts, 30))
        if code in GOING_AWAY:
            span_s = max(span_s, self.limits.spread_s)
        self._attempts += 1
        self._retry_s = now_s + self.jitter() * span_s

    def _go_offline(self, why: str) -> list[Action]:
        """Nothing is held while offline: what is open goes back to core, unknown where it was handed over."""
        self.phase = Phase.OFFLINE
        return [*self._refuse_open(why), State(lane=self.lane, online=False, why=why, protocol=0)]

    def _refuse_open(self, why: str) -> list[Action]:
        written, waiting = list(self._in_flight), list(self._pending)
        self._in_flight.clear()
        self._pending.clear()
        refusals: Iterable[tuple[int, bool]] = [*((n, True) for n in written), *((n, False) for n in waiting)]
        return [Refused(n=n, why=why, again=True, maybe_sent=maybe) for n, maybe in refusals]

    def _answered(self, now_s: float, event: PubAck) -> list[Action]:
        offer, _ = self._in_flight.pop(event.n, (None, 0.0))
        if offer is None:
            return []
        answer = ANSWERS.get(event.code)
        if answer is None:
            answer = Answer(f"refused with reason {event.code:#04x}", hold="busy_hold_s")
        if answer.acknowledged:
            return [Ack(n=offer.n, consumers=answer.consumers), *self._fill(now_s)]
        hold_s = float(getattr(self.limits, answer.hold)) if answer.hold else 0.0
        return [*self._hold(now_s, offer, answer, hold_s), *self._fill(now_s)]

    def _hold(self, now_s: float, offer: Offer, answer: Answer, hold_s: float) -> list[Action]:
        """Refuses the offer and, with a hold, what waits for the same service; other services go on."""
        refused: list[Action] = [Refused(n=offer.n, why=answer.why, again=answer.again, hold_ms=round(hold_s * 1000))]
        if not hold_s:
            return refused
        service = service_topic(offer.topic)
        self._holds = {key: until_s for key, until_s in self._holds.items() if until_s > now_s}
        self._holds[service] = now_s + hold_s
        for waiting in [each for each, _ in self._pending.values() if service_topic(each.topic) == service]:
            del self._pending[waiting.n]
            refused.append(Refused(n=waiting.n, why=answer.why, again=True, hold_ms=round(hold_s * 1000)))
        return refused

    def _tick(self, now_s: float) -> list[Action]:
        due_s = self.next_due_s()
        if due_s is None or now_s < due_s or self.phase is Phase.STOPPED:
            return []
        if self.phase is Phase.OFFLINE:
            self.phase, self._since_s = Phase.CONNECTING, now_s
            self.generation += 1
            return [Connect(self.generation, self.protocol)]
        why = "no answer to CONNECT" if self.phase is Phase.CONNECTING else "a PUBACK is overdue"
        return [Hangup(self.generation), *self._lost(now_s, Lost(self.generation, why, reached=True))]

    def _woke(self, now_s: float) -> list[Action]:
        """Connects anew, soon, also where it was waiting for another attempt: the network is another one by now, perhaps."""
        if self.phase is Phase.STOPPED:
            return []
        connected = self.phase is not Phase.OFFLINE
        self._retry_s = now_s + self.jitter() * self.limits.backoff_base_s
        return [Hangup(self.generation), *self._go_offline("the device was suspended")] if connected else []

    def _stop(self) -> list[Action]:
        connected = self.phase in (Phase.CONNECTING, Phase.ONLINE)
        hangup: list[Action] = [Hangup(self.generation, politely=True)] if connected else []
        left = [*hangup, *self._go_offline("stopped")]
        self.phase = Phase.STOPPED
        return left


def service_topic(topic: str) -> str:
    """The part of a topic that a hold is for: everything but the stream."""
    return topic.rpartition("/")[0]


def valid_topic(topic: str) -> bool:
    """A topic that a PUBLISH may carry (MQTT 5 section 4.7), with at most seven slashes."""
    return bool(topic) and not set(topic) & set("+#\0") and topic.count("/") <= TOPIC_SLASHES_MAX and len(topic.encode()) <= TOPIC_BYTES_MAX


def publish_bytes(offer: Offer, protocol: int) -> int:
    """The size of the offer's PUBLISH packet at most (MQTT 5 section 3.3)."""
    properties = 0 if protocol != V5 else 6 if offer.expires_in_ms else 1
    return 5 + 2 + len(offer.topic.encode()) + 2 + properties + len(offer.payload)
