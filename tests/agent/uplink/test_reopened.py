"""A lane that core opens anew with other contents: what the connection before it left behind belongs to nobody."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from agent import link
from agent.daemons.uplink import Uplink
from agent.link import State
from agent.mqtt.connection import Access, Post, access
from agent.mqtt.terms import V5, Connect, Lost, Online, Terms
from agent.uplink import lane as lane_module
from tests.support.core import QUICK


class StandIn:
    """A connection that says nothing by itself; `said` is how it reaches the uplink."""

    made: ClassVar[list[StandIn]] = []

    def __init__(self, to: Access, order: Connect, client_id: str, topics: tuple[str, ...], said: Post) -> None:
        self.said, self.outcome = said, None
        self.beat_s, self.patience_s = time.monotonic(), 60.0

    def start(self) -> None:
        self.made.append(self)

    def alive(self) -> bool:
        return True

    def hang_up(self, *, politely: bool) -> None: ...


def test_what_an_ended_connection_still_says_is_not_taken_for_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane's next connection has the number of its first: the old one's end must not end it."""
    monkeypatch.setattr(lane_module, "Connection", StandIn)
    monkeypatch.setattr(StandIn, "made", [])
    near, far = link.pair()
    uplink = Uplink(far, lambda _: access("mqtt://127.0.0.1:1"), QUICK)
    with near, far:
        for client_id in ("car-1", "car-2"):
            uplink._take(link.Lane(lane="id:main", broker="main", client_id=client_id))
            uplink._lanes["id:main"].tick(time.monotonic())
        old, new = StandIn.made
        old.said(Lost(1, "stopped"))
        new.said(Online(1, Terms(protocol=V5)))
        for _ in range(2):
            uplink._serve()
        said = [near.receive(0) for _ in range(2)]
    assert said[1] == State(lane="id:main", online=True, why="", protocol=V5)
