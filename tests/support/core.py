"""Core's end of the link, for tests: opens lanes, keeps the window full, offers again what comes back."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from agent import link
from agent.daemons.uplink import AccessOf, Uplink
from agent.link import Ack, Inbound, Link, Offer, Refused, State, TakenBack
from agent.uplink.session import Limits

QUICK = Limits(backoff_base_s=0.1, backoff_cap_s=0.3, spread_s=0.3, connect_s=3.0, ack_s=1.5)
"""A session's limits for tests: the same rules, less patience."""


@dataclass(slots=True)
class Core:
    """`todo` holds payloads by number; `acked` what the broker took. `run` serves until its condition holds."""

    end: Link
    lane: str = "id:main"
    topic: str = "m/v1/abc/svc/stream"
    window: int = 20
    todo: deque[tuple[int, bytes]] = field(default_factory=deque)
    open: dict[int, bytes] = field(default_factory=dict)
    acked: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    taken: list[TakenBack] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    inbound: list[Inbound] = field(default_factory=list)
    online: bool = False

    def open_lane(self, client_id: str = "car-1", topics: tuple[str, ...] = ()) -> None:
        self.end.send(link.Lane(lane=self.lane, broker="main", client_id=client_id, topics=topics))

    def told_why(self, word: str) -> bool:
        """Whether there were two states at least, and the last one gives this reason."""
        return len(self.states) >= 2 and word in self.states[-1].why.upper()

    def run(self, until: Callable[[], bool], within_s: float = 10.0) -> bool:
        """Whether `until` came to hold in time."""
        give_up = time.monotonic() + within_s
        while not until():
            if time.monotonic() > give_up:
                return False
            self.serve(0.02)
        return True

    def serve(self, wait_s: float = 0.0) -> None:
        """Offers what it may and hears what there is."""
        self._offer()
        message = self.end.receive(wait_s)
        while message is not None:
            self._take(message)
            message = self.end.receive(0)

    def _offer(self) -> None:
        while self.online and self.todo and len(self.open) < self.window:
            n, payload = self.todo.popleft()
            self.open[n] = payload
            self.end.send(Offer(n=n, lane=self.lane, topic=self.topic, payload=payload))

    def _take(self, message: link.Message) -> None:
        match message:
            case Ack():
                self.acked.append(message.n)
                del self.open[message.n]
            case Refused():
                self.refused.append(message)
                payload = self.open.pop(message.n)
                if message.again and not message.hold_ms:
                    self.todo.appendleft((message.n, payload))
            case TakenBack():
                self.taken.append(message)
                for n in message.ns:
                    self.open.pop(n, None)
            case State():
                self.states.append(message)
                self.online = message.online
            case Inbound():
                self.inbound.append(message)


class Running:
    """An uplink in a thread of this process, and core's end of its link."""

    def __init__(self, access_of: AccessOf, limits: Limits = QUICK) -> None:
        near, far = link.pair()
        self.core = Core(near)
        self.uplink = Uplink(far, access_of, limits)
        self._thread = threading.Thread(target=self.uplink.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.uplink.stop()
        self._thread.join(10)
        self.core.end.close()
        assert not self._thread.is_alive(), "the uplink did not end"
