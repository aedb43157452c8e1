"""Core's end of the link: lanes announced, a link that goes away or speaks another form."""

from __future__ import annotations

import pytest

from agent.core.loop import Linked
from agent.link import Ack, Inbound, Lane, Link, LinkDown, Offer, State, pair
from tests.agent.core.stage import EXTRA, Stage, stream_of


def test_every_lane_is_announced_to_a_new_uplink(stage: Stage) -> None:
    """Before the first offer, and again to the next one."""
    for _ in range(2):
        stage.connect()
        assert {message.lane for message in stage.heard() if isinstance(message, Lane)} == set(stage.core.delivery.lanes())


def test_an_uplink_that_speaks_out_of_turn_is_cut(stage: Stage) -> None:
    """What only core says, said by the uplink, ends the link."""
    stage.connect()
    stage.loop.take(Offer(n=1, lane="id:main", topic="t", payload=b""))
    assert stage.loop.uplinked.link is None


def test_inbound_messages_change_nothing_yet(stage: Stage) -> None:
    """Orders come with a later release: what arrives is dropped and the link stays."""
    stage.connect()
    stage.loop.take(Inbound(lane="id:main", topic="t", payload=b"x"))
    assert stage.loop.uplinked.link is not None


def test_the_end_of_an_old_link_does_not_end_the_new_one(stage: Stage) -> None:
    """A second uplink replaces a frozen one; the old reader's last word comes late and is about the old link."""
    stage.connect()
    old = stage.loop.uplinked.link
    near, far = pair()
    stage.loop.take(Linked(near))
    stage.loop.take(Linked(None, ended=old))
    assert stage.loop.uplinked.link is near
    stage.loop.take(Linked(None, ended=near))
    assert not stage.loop.uplinked.link
    far.close()


def test_a_link_that_breaks_while_sending_is_given_up(stage: Stage) -> None:
    """Nothing raises; everything open will be offered again."""
    stage.trip_of("anna", "x.speed")
    stage.drive(2)
    stage.connect()
    assert stage.far is not None
    stage.far.close()
    stage.loop.uplinked.pump(stage.clock.now_ns())
    assert stage.loop.uplinked.link is None
    assert stage.core.delivery.open == {}
    stage.connect()
    assert len(stage.pump()) == 6


def test_why_a_lane_is_offline_is_known(stage: Stage) -> None:
    """For `status`: protocol while online, the reason while not."""
    stage.connect()
    stage.loop.take(State(lane="id:main", online=False, why="no network", protocol=0))
    uplinked = stage.loop.uplinked
    assert (uplinked.why["id:main"], uplinked.protocols["id:main"], "id:main" in uplinked.online) == ("no network", 0, False)


def test_core_never_blocks_on_an_uplink_that_is_gone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link whose every send fails costs one attempt a connection, not one a record."""
    tried: list[object] = []

    def fails(self: Link, message: object) -> None:
        tried.append(message)
        raise LinkDown("gone")

    stage.trip_of("anna", "x.speed")
    stage.drive(5)
    stage.connect()
    monkeypatch.setattr(Link, "send", fails)
    stage.loop.uplinked.pump(stage.clock.now_ns())
    assert len(tried) == 1


def test_a_lane_that_was_never_announced_does_not_come_online(stage: Stage) -> None:
    """Nor is anything remembered of it."""
    stage.connect()
    uplinked = stage.loop.uplinked
    stage.loop.take(State(lane="id:elsewhere", online=True, why="x", protocol=5))
    stage.loop.take(Ack(n=12345))
    assert "id:elsewhere" not in uplinked.online | uplinked.why.keys() | uplinked.protocols.keys()
    assert uplinked.acks == []


def test_an_acknowledgement_on_a_lane_that_was_not_announced_is_not_believed(stage: Stage) -> None:
    """The record stays, and no disclosure is written."""
    stage.drive(1)
    stage.connect()
    [offer] = [offer for offer in stage.pump() if stream_of(offer) == EXTRA]
    stage.loop.uplinked.announced.discard(offer.lane)
    stage.loop.take(Ack(n=offer.n))
    stage.loop.uplinked.pump(stage.clock.now_ns())
    assert stage.stored()[EXTRA] == 1
    assert stage.disclosures() == []
