"""The connection to the emergency centre's broker, kept up all the time: what has to be sent finds it warm.

Owns its connection and the attempts at one: with a call a new attempt begins each URGENT_S, beside those that have not ended, and the first
that is accepted is taken; without one there is a single attempt at a time, with growing pauses. Decides nothing of what is sent. All of it
runs in the loop's thread and never waits for the network.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

from agent.mqtt.connection import Access, Arrived, Connection, Event, Post
from agent.mqtt.terms import ALTERNATIVE, Connect, Lost, Online

URGENT_S = 1.0
"""Between the beginnings of two attempts while there is a call."""
ATTEMPTS_MAX = 6
"""At a time; the oldest is given up for another one. So long, in URGENT_S, a slow network has to answer."""
CALM_S = (1.0, 2.0, 5.0, 15.0, 60.0)
JITTER = 0.2
SILENT_S = 20.0
"""A single attempt of which nothing is heard for so long is given up."""
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
        self._current = 0
        self._generation, self._failures = 0, 0
        self._protocol = to.protocol
        self._due_s, self._begun_s = 0.0, -URGENT_S
        self.online = False
        self.why = "not tried yet"
        """Why it is not online."""

    def next_due_s(self, *, urgent: bool) -> float:
        """When `tick` is to be called at the latest."""
        if self.online:
            return NEVER_S
        return min(self._due_s, self._begun_s + URGENT_S) if urgent else self._due_s

    def tick(self, now_s: float, *, urgent: bool) -> None:
        """Begins an attempt where one is due."""
        if now_s >= self.next_due_s(urgent=urgent):
            self._connect(now_s, ATTEMPTS_MAX if urgent else 1)

    def feed(self, now_s: float, event: Event) -> bytes | None:
        """Takes an event of a connection; what the centre said, if it said something."""
        match event:
            case Online(generation) if generation in self._attempts and not self.online:
                self.online, self.why, self._failures, self._current = True, "", 0, generation
                for other in [one for one in self._attempts if one != generation]:
                    self._give_up(other)
            case Lost(generation) if self._attempts.pop(generation, None) is not None:
                self._lost(now_s, event)
            case Arrived():
                event.accept()
                return event.payload if event.topic == self._topic else None
        return None

    def send(self, topic: str, payload: bytes) -> bool:
        """Hands it over, QoS 1, never retained. Whether it could be; that it arrived only the centre's answer says."""
        return self.online and self._attempts[self._current].publish(topic, payload) is not None

    def close(self) -> None:
        """Ends the connection politely, and every attempt."""
        for generation, connection in self._attempts.items():
            connection.hang_up(politely=self.online and generation == self._current)
        self._attempts.clear()
        self.online = False

    def _connect(self, now_s: float, attempts_max: int) -> None:
        while len(self._attempts) >= attempts_max:
            self._give_up(next(iter(self._attempts)))
        self._generation += 1
        self._begun_s, self._due_s = now_s, now_s + SILENT_S
        order = Connect(self._generation, self._protocol)
        name = f"{self._client_id}{self._generation % 100:02d}"
        connection = self._attempts[self._generation] = self._open(self._to, order, name, (self._topic,), self._post)
        connection.start()

    def _give_up(self, generation: int) -> None:
        """Without waiting for it: a thread may hang in a name service."""
        connection = self._attempts.pop(generation)
        threading.Thread(target=connection.hang_up, kwargs={"politely": False}, name="centre gives up", daemon=True).start()

    def _lost(self, now_s: float, lost: Lost) -> None:
        if self.online and lost.generation != self._current:
            return
        if not self.online and lost.reached:
            self._protocol = ALTERNATIVE[self._protocol]
        self.online, self.why = False, lost.why
        pause_s = CALM_S[min(self._failures, len(CALM_S) - 1)]
        self._failures += 1
        if not self._attempts:
            self._due_s = now_s + pause_s * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311  no secret
