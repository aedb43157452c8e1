"""What a lane adds to its session: kinds of lanes kept apart, packet ids paired, orders handed on before they are accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent import link
from agent.link import Ack, Inbound, Offer, Refused
from agent.mqtt.connection import INBOUND_BYTES_MAX, Access, Arrived, Post, PubAcked
from agent.mqtt.terms import V5, Connect, Lost, Online, Terms
from agent.uplink import lane as lane_module
from agent.uplink.lane import Lane

NAMED, NAMELESS = "m/v1/0123abcd/svc/stream", "m/v1/open/svc/stream"


@dataclass
class StandIn:
    """A connection that does what it is told and nothing else."""

    to: Access
    order: Connect
    client_id: str
    topics: tuple[str, ...]
    post: Post
    outcome: Lost | None = None
    living: bool = True
    published: list[str] = field(default_factory=list)
    during: Callable[[int], None] = lambda _: None

    def start(self) -> None:
        made.append(self)

    def alive(self) -> bool:
        return self.living

    def publish(self, topic: str, _payload: bytes, _expires_in_ms: int) -> int:
        self.published.append(topic)
        self.during(len(self.published))
        return len(self.published)

    def hang_up(self, *, politely: bool) -> None:
        self.living = False


made: list[StandIn] = []


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[link.Message]:
    made.clear()
    monkeypatch.setattr(lane_module, "Connection", StandIn)
    return []


def opened(said: list[link.Message], name: str = "id:main") -> Lane:
    """A lane that is online."""
    made_lane = Lane(link.Lane(lane=name, broker="main"), Access(host="localhost", port=1, tls=False), said.append, lambda _: None)
    made_lane.tick(0)
    made_lane.feed(0, Online(1, Terms(protocol=V5)))
    said.clear()
    return made_lane


def offer(n: int, topic: str) -> Offer:
    return Offer(n=n, lane="", topic=topic, payload=b"")


def all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "UNLINKABLE_TOPIC", "")
    monkeypatch.setattr(lane_module, "unlinkable", lambda _: True)


@pytest.mark.parametrize(("name", "good", "bad"), [("id:main", NAMED, NAMELESS), ("open:main:traffic", NAMELESS, NAMED)])
@pytest.mark.req("R12", "R39", control=all_alike)
def test_what_has_an_identity_never_meets_what_has_none(said: list[link.Message], name: str, good: str, bad: str) -> None:
    """Even if core were wrong: a topic of the other kind is refused on every lane and never published."""
    lane = opened(said, name)
    lane.offer(0, offer(1, bad))
    lane.offer(0, offer(2, good))
    assert [(one.n, one.again) for one in said if isinstance(one, Refused)] == [(1, False)]
    assert made[0].published == [good]


def test_an_answer_that_is_faster_than_publish_is_paired(said: list[link.Message]) -> None:
    """The broker may answer before the packet id has come back from the client: the loop takes it up afterwards."""
    lane = opened(said)
    early: list[PubAcked] = []
    made[0].during = lambda mid: early.append(PubAcked(1, mid, 0))
    lane.offer(0, offer(7, NAMED))
    lane.feed(0, early[0])
    assert said == [Ack(n=7)]


def test_an_answer_of_an_older_connection_is_nobody_s(said: list[link.Message]) -> None:
    """Packet ids begin anew with each connection."""
    lane = opened(said)
    lane.offer(0, offer(7, NAMED))
    lane.feed(0, PubAcked(0, 1, 0))
    assert said == []


def test_an_order_is_accepted_after_core_has_it(said: list[link.Message]) -> None:
    """Should core be gone, the broker keeps the order."""
    lane = opened(said)
    heard: list[int] = []
    lane.feed(0, Arrived(1, "m/v1/a/down", b"order", lambda: heard.append(len(said))))
    assert said == [Inbound(lane="id:main", topic="m/v1/a/down", payload=b"order")]
    assert heard == [1]


def test_an_order_that_no_packet_can_carry_is_dropped(said: list[link.Message]) -> None:
    """It is accepted, or the broker would send it for ever."""
    lane = opened(said)
    heard: list[bool] = []
    lane.feed(0, Arrived(1, "m/v1/a/down", bytes(INBOUND_BYTES_MAX), lambda: heard.append(True)))
    assert (said, heard) == ([], [True])


def test_attempts_never_pile_up(said: list[link.Message]) -> None:
    """While a thread waits for a name service, the next attempt waits for the thread."""
    lane = opened(said)
    lane.feed(0, Lost(1, "cut"))
    for now_s in range(1, 10):
        lane.tick(now_s * 1000)
    assert len(made) == 1
    made[0].living = False
    lane.tick(1e6)
    assert len(made) == 2
