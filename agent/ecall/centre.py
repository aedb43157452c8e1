"""The connection to the emergency centre's broker, kept up all the time: what has to be sent finds it warm.

Owns its connection and the attempts at one: with a call a new attempt begins each URGENT_S, beside those that have not ended, and the first
that is accepted is taken; without one there is a single attempt at a time, with growing pauses. With a call attempts also begin beside a
connection that owes an answer for too long, until it is heard again or one of them takes its place. Decides nothing of what is sent. All
of it runs in the loop's thread and never waits for the network.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

from agent.mqtt.connection import REFUSED_CODE, Access, Arrived, Connection, Event, Post, PubAcked
from agent.mqtt.terms import ALTERNATIVE, Connect, Lost, Online, Terms

URGENT_S = 1.0
"""Between the beginnings of two attempts while there is a call."""
ATTEMPTS_MAX = 6
"""At a time; the oldest is given up for another one. So long, in URGENT_S, a slow network has to answer."""
CALM_S = (1.0, 2.0, 5.0, 15.0, 60.0)
JITTER = 0.2
SILENT_S = 20.0
"""A single attempt of which nothing is heard for so long is given up."""
UNHEARD_S = 5.0
"""A connection that owes the broker's answer for so long is in doubt: a network that has forgotten it tells nobody, and TCP notices after
30 s. As T6 of EN 16062."""
NEVER_S = float("inf")
Open = Callable[[Access, Connect, str, tuple[str, ...], Post], Connection]
forgetful = partial(Connection, keeps=False)
"""The broker keeps nothing for it: who has not been heard says it again, and each attempt is another client, which would leave its own."""


class Centre:
    """`post` brings events of a connection to the loop, which gives them to `feed`. `topic`: where the centre's answers come from.

    Each attempt is another client at the broker (`client_id` and a number), so that no broker ends one for the other.
    """

    def __init__(self, to: Access, client_id: str, topic: str, post: Post, open_connection: Open = forgetful) -> None:
        self._to, self._client_id, self._topic, self._post, self._open = to, client_id, topic, post, open_connection
        self._attempts: dict[int, Connection] = {}
        self._owed: dict[int, float] = {}
        """What was sent and the broker has not answered yet, the oldest first -> since when it is waited for."""
        self._generation, self._failures = 0, 0
        self._protocol = to.protocol
        self._due_s, self._begun_s = 0.0, -URGENT_S
        self.link = 0
        """Which connection is in use, each has another number; 0: none. Another one has carried nothing yet."""
        self.why = "not tried yet"
        """Why it is not online."""
        self._untaken = False
        """Whether the broker refused what was sent last, on whichever connection."""

    @property
    def in_use(self) -> Connection | None:
        """The connection that carries what is sent; an attempt that hangs is given up for another, so nobody waits for it."""
        connection = self._attempts.get(self.link)
        return connection if connection is not None and connection.outcome is None else None

    @property
    def online(self) -> bool:
        return self.link != 0

    @property
    def refused(self) -> str:
        """What the broker has refused, as an ACL's line would allow it; empty: nothing that it told. By 3.1.1 it never tells `write`."""
        if self._untaken:
            return "write PREFIX/v1/+/ecall/msd"
        return "read PREFIX/v1/+/down" if self.in_use is not None and self.in_use.deaf else ""

    def next_due_s(self, *, urgent: bool) -> float:
        """When `tick` is to be called at the latest."""
        if self.online:
            doubt_s = next(iter(self._owed.values()), NEVER_S) + UNHEARD_S
            return max(doubt_s, self._begun_s + URGENT_S) if urgent else NEVER_S
        return min(self._due_s, self._begun_s + URGENT_S) if urgent else self._due_s

    def tick(self, now_s: float, *, urgent: bool) -> None:
        """Begins an attempt where one is due."""
        if now_s >= self.next_due_s(urgent=urgent):
            self._connect(now_s, ATTEMPTS_MAX if urgent else 1)

    def feed(self, now_s: float, event: Event) -> bytes | None:
        """Takes an event of a connection; what the centre said, if it said something."""
        match event:
            case Online(generation, terms) if generation in self._others():
                self._use(generation, terms)
            case Lost(generation) if self._attempts.pop(generation, None) is not None:
                self._lost(now_s, event)
            case PubAcked(generation, mid, code) if generation == self.link:
                self._untaken = code >= REFUSED_CODE
                self._heard(now_s, mid)
            case Arrived(generation):
                if generation == self.link:
                    self._heard(now_s)
                event.accept()
                return event.payload if event.topic == self._topic else None
        return None

    def send(self, now_s: float, topic: str, payload: bytes) -> bool:
        """Hands it over, QoS 1, never retained. Whether it could be; that it arrived only the centre's answer says."""
        mid = self._attempts[self.link].publish(topic, payload) if self.online else None
        if mid is not None:
            self._owed[mid] = now_s
        return mid is not None

    def woke(self, now_s: float) -> None:
        """The device was suspended: no connection has lived through that, whatever it says; another attempt is due at once."""
        for generation in list(self._attempts):
            self._give_up(generation)
        self.link, self.why, self._failures, self._due_s = 0, "the device was suspended", 0, now_s

    def close(self) -> None:
        """Ends the connection politely, and every attempt, of which it waits for none."""
        for other in self._others():
            self._give_up(other)
        for connection in self._attempts.values():
            connection.hang_up(politely=True)
        self._attempts.clear()
        self.link = 0

    def _connect(self, now_s: float, attempts_max: int) -> None:
        while len(others := self._others()) >= attempts_max:
            self._give_up(others[0])
        self._generation += 1
        self._begun_s, self._due_s = now_s, now_s + SILENT_S
        order = Connect(self._generation, self._protocol)
        name = f"{self._client_id}{self._generation % 100:02d}"
        connection = self._attempts[self._generation] = self._open(self._to, order, name, (self._topic,), self._post)
        connection.start()

    def _others(self) -> list[int]:
        """The attempts under way, the oldest first."""
        return [generation for generation in self._attempts if generation != self.link]

    def _use(self, generation: int, terms: Terms) -> None:
        self.link, self.why, self._failures, self._protocol = generation, "", 0, terms.protocol
        self._owed.clear()
        for other in self._others():
            self._give_up(other)

    def _heard(self, now_s: float, mid: int | None = None) -> None:
        """The connection lives. What it still owes is waited for anew."""
        self._owed = {owed: now_s for owed in self._owed if owed != mid}
        for other in self._others():
            self._give_up(other)

    def _give_up(self, generation: int) -> None:
        """Without waiting for it: a thread may hang in a name service."""
        connection = self._attempts.pop(generation)
        threading.Thread(target=connection.hang_up, kwargs={"politely": False}, name="centre gives up", daemon=True).start()

    def _lost(self, now_s: float, lost: Lost) -> None:
        if self.online and lost.generation != self.link:
            return
        if not self.online and lost.reached:
            self._protocol = ALTERNATIVE[self._protocol]
        self.link, self.why = 0, lost.why
        pause_s = CALM_S[min(self._failures, len(CALM_S) - 1)]
        self._failures += 1
        if not self._attempts:
            self._due_s = now_s + pause_s * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311  no secret
