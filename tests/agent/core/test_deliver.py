"""Delivery: what is offered where, and that only an acknowledgement counts as sent."""

from __future__ import annotations

import secrets

import pytest

from agent.audit import Audit
from agent.body import unpack
from agent.buffer.store import Buffer
from agent.clock import NS
from agent.core.deliver import Delivery
from agent.core.uplinked import AGAIN_NS, NEVER_AGAIN_NS
from agent.errors import DeviceError
from agent.link import WINDOW, Ack, Close, Offer, Refused, State
from tests.agent.core.stage import EXTRA, PLACE, SPEED, VIN, WEAR, Stage, opened, stream_of

LANE, OPEN_LANE = "id:main", "open:main:someone"


@pytest.fixture
def driven(stage: Stage) -> Stage:
    """Ten seconds of everything are buffered."""
    stage.trip_of("anna", "x.speed", "x.place")
    stage.drive(10)
    return stage


def on_lane(lane: str, offers: list[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer.lane == lane]


# -- lanes -------------------------------------------------------------------------------------------------------------


def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delivery, "lane_of", lambda self, recipient, identity: LANE)


@pytest.mark.req("R39", control=one_lane)
def test_a_lane_without_identity_is_shared_with_nothing(driven: Stage) -> None:
    """Streams of identity none go over a connection of their own, without client id, without the device's topic, without the VIN."""
    driven.connect()
    driven.deliver_all()
    lanes = {stream: {offer.lane for offer in driven.offers if stream_of(offer) == stream} for stream in (SPEED, PLACE, WEAR, EXTRA)}
    assert lanes == {SPEED: {LANE}, PLACE: {OPEN_LANE}, WEAR: {LANE}, EXTRA: {LANE}}
    for lane in driven.lanes_said():
        assert bool(lane.client_id) != lane.lane.startswith("open:")
    for offer in on_lane(OPEN_LANE, driven.offers):
        assert offer.topic == "m/v1/open/a/place"
        assert (opened(offer).id, opened(offer).vin) == (None, None)


def test_each_recipient_without_identity_has_a_lane_of_its_own(stage: Stage) -> None:
    """Two recipients' unlinkable messages never meet on one connection; those with an identity share one a broker."""
    delivery = stage.core.delivery
    delivery.ruled = {(name, unlinkable) for name in ("someone", "other") for unlinkable in (True, False)}
    lanes = delivery.lanes()
    assert {name: sorted(recipients) for name, (_, recipients, _) in lanes.items()} == {
        "open:main:someone": ["someone"],
        "open:main:other": ["other"],
        "id:main": ["other", "someone"],
    }
    assert {name for name, (_, _, unlinkable) in lanes.items() if unlinkable} == {"open:main:someone", "open:main:other"}


def one_number_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delivery, "told", lambda self, recipient, number: number)


@pytest.mark.req("R39", "R40", control=one_number_for_all)
def test_two_recipients_who_compare_notes_share_no_number(driven: Stage) -> None:
    """Neither id, store epoch nor boot of one recipient's messages is known to the other: nothing ties a pairwise id to a VIN."""
    driven.connect()
    driven.deliver_all()
    told: dict[str, set[bytes]] = {}
    for offer in on_lane(LANE, driven.offers):
        message = opened(offer)
        epoch = message.key[2] if len(message.key) == 4 else b""
        recipient = "other" if stream_of(offer) == WEAR else "someone"
        told.setdefault(recipient, set()).update({bytes.fromhex(message.id or ""), epoch, unpack(message.body).boot})
    assert {len(numbers) for numbers in told.values()} == {3}
    assert told["someone"].isdisjoint(told["other"])


def test_no_position_is_offered_after_a_restart_without_a_trip(driven: Stage) -> None:
    """Killed while driving, started again on a sleeping bus hours later: what was buffered of places is gone, the rest waits."""
    driven.clock.set(driven.clock.now_ns() + 600 * NS)
    with driven.again() as parked:
        assert parked.core.trip.id is None
        assert PLACE not in parked.stored()
        assert WEAR in parked.stored()


def test_without_a_rule_there_is_no_connection(stage: Stage) -> None:
    """A lane is opened for a live rule or a waiting record, and ended when neither is left."""
    stage.trip_of("anna", "x.place")
    stage.connect()
    stage.pump()
    assert {lane.lane for lane in stage.lanes_said()} >= {OPEN_LANE}
    stage.core.parts.ledger.withdraw("anna", "x.place")
    stage.core.decide()
    stage.pump()
    assert OPEN_LANE not in stage.core.delivery.lanes()
    assert [message.lane for message in stage.said if isinstance(message, Close)] == [OPEN_LANE]


def test_client_id_and_pairwise_ids_do_not_join(driven: Stage) -> None:
    """The broker's name for the car is neither recipient's, and the two recipients' differ; no topic holds the VIN."""
    driven.connect()
    driven.deliver_all()
    [client] = {lane.client_id for lane in driven.lanes_said() if lane.client_id}
    ids = {stream_of(offer): opened(offer).id for offer in on_lane(LANE, driven.offers)}
    assert ids[SPEED] == ids[EXTRA] != ids[WEAR]
    assert client not in ids.values()
    assert all(VIN not in offer.topic and VIN.encode() not in offer.payload for offer in driven.offers)
    assert {opened(offer).vin for offer in driven.offers if stream_of(offer) == WEAR} == {VIN}


def test_nothing_is_offered_to_a_lane_that_is_offline(driven: Stage) -> None:
    """The other lane goes on; what waits is offered as soon as the lane is back."""
    driven.connect()
    driven.loop.take(State(lane=LANE, online=False, why="no network", protocol=0))
    assert {offer.lane for offer in driven.pump()} == {OPEN_LANE}
    driven.loop.take(State(lane=LANE, online=True, why="", protocol=5))
    assert {offer.lane for offer in driven.pump()} == {LANE}


def test_without_a_link_nothing_is_offered(driven: Stage) -> None:
    """Nothing is opened, sealed or counted."""
    driven.loop.uplinked.pump(driven.clock.now_ns())
    assert driven.core.delivery.open == {}


# -- the window --------------------------------------------------------------------------------------------------------


def test_at_most_twenty_offers_of_a_lane_are_open(driven: Stage) -> None:
    """The window is full at twenty, and each answer makes room for one more, in order of age."""
    driven.connect()
    first = on_lane(LANE, driven.pump())
    assert len(first) == WINDOW
    assert [offer.n for offer in first] == sorted(offer.n for offer in first)
    assert driven.pump() == []
    driven.acknowledge(*first[:3])
    assert len(on_lane(LANE, [m for m in driven.heard() if isinstance(m, Offer)])) == 3
    assert sum(one.lane == LANE for one in driven.core.delivery.open.values()) == WINDOW


def test_a_refused_message_makes_room_for_the_others(driven: Stage) -> None:
    """Twenty messages that the broker will never take do not hold up the ones behind them."""
    driven.connect()
    first = on_lane(LANE, driven.pump())
    for offer in first:
        driven.loop.take(Refused(n=offer.n, why="not authorised", again=False))
    assert on_lane(LANE, driven.pump())


# -- what counts as sent -----------------------------------------------------------------------------------------------


def counted_when_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offering is taken for sending."""
    real = Delivery.next_offers

    def offers(self: Delivery, online: set[str], now_ns: int) -> object:
        found = real(self, online, now_ns)
        self.settle([one.stored.n for one in found], now_ns)
        return found

    monkeypatch.setattr(Delivery, "next_offers", offers)


@pytest.mark.req("R31", control=counted_when_offered)
@pytest.mark.parametrize("trouble", ["refused", "lane lost", "link lost", "restart"])
def test_only_an_acknowledgement_counts_as_sent(driven: Stage, trouble: str) -> None:
    """Whatever ends an offer without an answer: rows stay, nothing is on record, and the same message is offered again."""
    driven.connect()
    first = driven.pump()
    before = driven.stored()
    if trouble == "refused":
        for offer in first:
            driven.loop.take(Refused(n=offer.n, why="busy", again=True, maybe_sent=True))
        driven.clock.set(driven.clock.now_ns() + AGAIN_NS)
    elif trouble == "lane lost":
        for lane in (LANE, OPEN_LANE):
            driven.loop.take(State(lane=lane, online=False, why="gone", protocol=0))
            driven.loop.take(State(lane=lane, online=True, why="", protocol=5))
    elif trouble == "link lost":
        driven.loop.uplinked.attach(None)
        driven.connect()
    stage = driven.again() if trouble == "restart" else driven
    try:
        if trouble == "restart":
            stage.connect()
        assert stage.stored() == before
        assert stage.disclosures() == []
        assert stage.core.delivery.acked == 0
        second = {offer.n: offer for offer in stage.pump()}
        assert set(second) == {offer.n for offer in first}
        for offer in first:
            assert opened(offer).key == opened(second[offer.n]).key
            assert opened(offer).body == opened(second[offer.n]).body
    finally:
        if stage is not driven:
            stage.close()


def test_a_refusal_waits_for_its_time(stage: Stage) -> None:
    """At least a second, else as long as the uplink says; a message that the broker will never take, an hour."""
    stage.trip_of("anna", "x.speed")
    stage.drive(1)
    stage.connect()
    first, second, third = stage.pump()
    stage.loop.take(Refused(n=first.n, why="busy", again=True))
    stage.loop.take(Refused(n=second.n, why="quota", again=True, hold_ms=5000))
    stage.loop.take(Refused(n=third.n, why="too large", again=False))
    offered: dict[int, int] = {}
    for after_ns in (AGAIN_NS - 1, AGAIN_NS, 5 * NS - 1, 5 * NS, NEVER_AGAIN_NS - 1, NEVER_AGAIN_NS):
        stage.loop.uplinked.pump(stage.clock.now_ns() + after_ns)
        offered |= {message.n: after_ns for message in stage.heard() if isinstance(message, Offer)}
    assert offered == {first.n: AGAIN_NS, second.n: 5 * NS, third.n: NEVER_AGAIN_NS}


def test_an_offer_says_how_long_it_may_still_live(driven: Stage) -> None:
    """The broker forgets an undelivered message when the device would have."""
    driven.connect()
    for offer in driven.pump():
        [stored] = [one.stored for one in driven.core.delivery.open.values() if one.stored.n == offer.n]
        assert offer.expires_in_ms == stored.destroy_ms - driven.now_ms > 0


class Crash(Exception):
    """The power failed."""


def crash(*_: object) -> None:
    raise Crash


def entered_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing recognises a message that is entered again."""
    monkeypatch.setattr(Audit, "_place", lambda self, stream, store_epoch, seq: secrets.token_hex(32))


@pytest.mark.req("R59", control=entered_each_time)
def test_a_crash_between_the_disclosure_and_the_deletion_leaves_one_entry(driven: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is sent again after the restart, and is on record exactly once; so are the counts of those without identity."""
    driven.connect()
    offers = driven.pump()
    with monkeypatch.context() as broken:
        broken.setattr(Buffer, "acked", crash)
        for offer in offers:
            driven.loop.take(Ack(n=offer.n))
        with pytest.raises(Crash):
            driven.loop.uplinked.pump(driven.clock.now_ns())
    with driven.again() as after:
        after.connect()
        after.deliver_all()
        assert after.stored() == {}
        entries = [(line["stream"], line["seq"]) for line in after.disclosures() if line["kind"] == "disclosure"]
        assert len(entries) == len(set(entries)) == 30
        [day] = [line for line in after.disclosures() if line["kind"] == "disclosure_day"]
        assert (day["stream"], day["messages"]) == (PLACE, 10)


def test_an_acknowledgement_that_comes_twice_or_for_nothing_changes_nothing(driven: Stage) -> None:
    """A duplicate PUBACK is no second disclosure, an unknown number no error."""
    driven.connect()
    offer = driven.pump()[0]
    driven.acknowledge(offer, offer)
    driven.acknowledge(offer)
    driven.loop.take(Ack(n=999_999))
    driven.loop.uplinked.pump(driven.clock.now_ns())
    assert len(driven.disclosures()) == 1
    assert driven.core.delivery.acked == 1


def test_the_record_of_disclosures_names_rule_policy_and_basis_and_no_value(driven: Stage) -> None:
    """What left can be explained: to whom, under which rule, policy and ledger entry; without identity nothing that leads back."""
    driven.connect()
    driven.deliver_all()
    rules = {rule.id for rule in driven.core.plan.rules}
    anna = driven.ledger.facts().profiles["anna"].id
    for line in driven.disclosures():
        assert set(line["rules"]) <= rules
        assert line["policy"] == "2026-11"
        if line["stream"] == SPEED:
            assert (line["profile"], line["recipient"]) == (anna, "someone")
        if line["stream"] == PLACE:
            assert (line["basis_ref"], line["profile"]) == ("", "")
            assert "seq" not in line
    text = str(driven.disclosures())
    assert not any(value in text for value in ("31.2", "121.4", "1234", VIN))


def test_a_message_is_on_record_before_its_row_is_gone(driven: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power fails while the disclosure is written: the row is still there."""
    driven.connect()
    before, offer = driven.stored(), driven.pump()[0]
    monkeypatch.setattr(Audit, "disclosed", crash)
    driven.loop.take(Ack(n=offer.n))
    with pytest.raises(Crash):
        driven.loop.uplinked.pump(driven.clock.now_ns())
    assert driven.stored() == before
    assert driven.core.delivery.acked == 0


def test_a_log_that_takes_nothing_has_nothing_sent_twice(driven: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the audit log: what is acknowledged waits for its entry, and is not offered meanwhile."""

    def full(*_: object) -> None:
        raise DeviceError("the disk is full")

    driven.connect()
    first = driven.pump()
    with monkeypatch.context() as broken:
        broken.setattr(Audit, "disclosed", full)
        for offer in first:
            driven.loop.take(Ack(n=offer.n))
        for _ in range(5):
            with pytest.raises(DeviceError):
                driven.loop.uplinked.pump(driven.clock.now_ns())
        assert [message for message in driven.heard() if isinstance(message, Offer)] == []
    driven.loop.uplinked.pump(driven.clock.now_ns())
    assert len([line for line in driven.disclosures() if line["kind"] == "disclosure"]) == len(first) - 10
    assert not {offer.n for offer in first} & set(driven.core.delivery.open)


def test_where_nothing_can_be_entered_nothing_is_sent(driven: Stage) -> None:
    """The audit log was found broken: what would leave could not be written down."""
    driven.core.delivery.may_send = False
    driven.connect()
    assert driven.pump() == []


def test_what_left_while_the_clock_was_not_believed_is_dated_so(driven: Stage) -> None:
    """In the log, also in the count of a day that is closed by a clock that is believed again, and in what `live` is told."""
    driven.connect()
    driven.clock.believed = False
    driven.deliver_all()
    driven.clock.believed = True
    driven.drive(10)
    driven.clock.set(driven.clock.now_ns() + 86_400 * NS)
    driven.core.parts.audit.close_days()
    told = driven.core.parts.audit.show()
    assert {(entry["kind"], entry["trusted"]) for entry in told} == {("disclosure", False), ("disclosure_day", False)}
    assert driven.core.delivery.unsure == driven.core.delivery.last_sent_ms.keys() != set()
    driven.deliver_all()
    assert driven.core.delivery.unsure == set()
