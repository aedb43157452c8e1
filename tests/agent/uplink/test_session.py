"""The session's promises, event by event and under random sequences of events."""

from __future__ import annotations

import pytest

from agent.link import Ack, Offer, Refused, State, TakeBack, TakenBack
from agent.mqtt.terms import V5, V311, Connect, Lost, Online, Terms
from agent.uplink.session import Action, Hangup, Limits, Phase, PubAck, Publish, Session, Stop, Tick, Woke, publish_bytes, valid_topic

TOPIC = "m/v1/abc/svc/stream"


def offer(n: int, topic: str = TOPIC, payload: bytes = b"x", expires_in_ms: int = 0) -> Offer:
    return Offer(n=n, lane="id:main", topic=topic, payload=payload, expires_in_ms=expires_in_ms)


def new(limits: Limits | None = None) -> Session:
    return Session("id:main", limits or Limits(), jitter=lambda: 1.0)


def online(limits: Limits | None = None, terms: Terms | None = None) -> Session:
    """A session whose first connection was accepted at 0 s."""
    made = new(limits)
    made.step(0, Tick())
    made.step(0, Online(1, terms or Terms(protocol=V5)))
    assert made.phase is Phase.ONLINE
    return made


def refusals(actions: list[Action]) -> dict[int, Refused]:
    return {action.n: action for action in actions if isinstance(action, Refused)}


def published(actions: list[Action]) -> list[int]:
    return [action.offer.n for action in actions if isinstance(action, Publish)]


# -- after a suspend ------------------------------------------------------------------------------------------------------


def test_a_connection_from_before_a_suspend_is_given_up_with_what_was_open() -> None:
    """It looks alive for half a minute, or four where nothing is sent; core hears at once that its offers are uncertain."""
    lane = online()
    lane.step(0, offer(1))
    actions = lane.step(10, Woke())
    assert actions[0] == Hangup(1)
    assert refusals(actions)[1] == Refused(n=1, why="the device was suspended", again=True, maybe_sent=True)
    assert lane.next_due_s() == 10 + Limits().backoff_base_s
    assert lane.step(11, Tick()) == [Connect(2, V5)]


def test_a_lane_that_was_waiting_for_another_attempt_makes_it_soon_after_a_suspend() -> None:
    """It may have been five minutes off, in another network."""
    lane = online()
    lane.step(0, Lost(1, "gone", code=0x87))
    assert (lane.next_due_s() or 0) > 10 + Limits().backoff_base_s
    assert lane.step(10, Woke()) == []
    assert lane.next_due_s() == 10 + Limits().backoff_base_s


def test_a_lane_that_was_ended_stays_so_after_a_suspend() -> None:
    """Nothing comes of it."""
    lane = online()
    lane.step(0, Stop())
    assert lane.step(10, Woke()) == []
    assert lane.phase is Phase.STOPPED


# -- one event at a time ------------------------------------------------------------------------------------------------


def test_a_puback_is_the_only_way_to_an_ack() -> None:
    """Publishing says nothing to core; the broker's answer does."""
    lane = online()
    assert lane.step(0, offer(1)) == [Publish(1, offer(1), 0)]
    assert lane.step(1, PubAck(1, 1, 0)) == [Ack(n=1)]
    assert lane.step(1, PubAck(1, 1, 0)) == []


def test_no_subscriber_is_success_and_told() -> None:
    """0x10 frees the record; core can count that nobody listened."""
    lane = online()
    lane.step(0, offer(1))
    assert lane.step(0, PubAck(1, 1, 0x10)) == [Ack(n=1, consumers=False)]


def test_nothing_is_held_while_offline() -> None:
    """An offer before or after the connection comes straight back."""
    lane = new()
    assert lane.step(0, offer(1)) == [Refused(n=1, why="offline", again=True)]
    lane.step(0, Tick())
    assert lane.step(0, offer(1)) == [Refused(n=1, why="offline", again=True)]


def test_what_a_lost_connection_leaves_is_refused_not_sent() -> None:
    """Written or waiting, all of it goes back; the written ones are marked as perhaps sent."""
    lane = online(terms=Terms(protocol=V5, receive_max=2))
    for n in (1, 2, 3):
        lane.step(0, offer(n))
    seen = refusals(lane.step(1, Lost(1, "gone")))
    assert {n: (one.again, one.maybe_sent) for n, one in seen.items()} == {1: (True, True), 2: (True, True), 3: (True, False)}
    assert lane.step(1, PubAck(1, 1, 0)) == []


def test_the_window_follows_the_broker() -> None:
    """Receive Maximum bounds what is in flight; the rest follows as answers come, oldest first."""
    lane = online(terms=Terms(protocol=V5, receive_max=2))
    assert [published(lane.step(0, offer(n))) for n in (1, 2, 3, 4)] == [[1], [2], [], []]
    assert published(lane.step(0, PubAck(1, 2, 0))) == [3]


def test_the_window_ends_at_twenty() -> None:
    """The 21st open offer is refused, whatever the broker would take."""
    lane = online()
    for n in range(20):
        assert published(lane.step(0, offer(n))) == [n]
    assert refusals(lane.step(0, offer(20)))[20].again


def test_an_offer_that_is_still_open_is_a_broken_promise() -> None:
    """The same number twice would make its answer ambiguous."""
    lane = online()
    lane.step(0, offer(1))
    with pytest.raises(ValueError, match="still open"):
        lane.step(0, offer(1))


def test_too_large_for_the_broker_is_refused_for_good() -> None:
    """Maximum Packet Size counts the whole packet."""
    size = publish_bytes(offer(1, payload=bytes(100)), V5)
    lane = online(terms=Terms(protocol=V5, packet_bytes_max=size))
    assert published(lane.step(0, offer(1, payload=bytes(100)))) == [1]
    assert not refusals(lane.step(0, offer(2, payload=bytes(101))))[2].again


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "/".join("abcdefghi"), "x" * 65_536])
def test_a_topic_that_no_publish_may_carry_is_refused(topic: str) -> None:
    """It never reaches the MQTT client."""
    assert not valid_topic(topic)
    assert not refusals(online().step(0, offer(1, topic)))[1].again


def test_not_authorised_holds_its_service_and_no_other() -> None:
    """0x87: the offer and its waiting neighbours come back with a long hold; other services go on."""
    lane = online(terms=Terms(protocol=V5, receive_max=1))
    for n, topic in ((1, TOPIC), (2, "m/v1/abc/svc/other"), (3, "m/v1/abc/else/stream")):
        lane.step(0, offer(n, topic))
    actions = lane.step(0, PubAck(1, 1, 0x87))
    assert {n: (one.again, one.hold_ms) for n, one in refusals(actions).items()} == {1: (True, 3_600_000), 2: (True, 3_600_000)}
    assert published(actions) == [3]
    assert refusals(lane.step(1000, offer(4)))[4].hold_ms == 2_600_000
    assert published(lane.step(1000, PubAck(1, 3, 0)) + lane.step(3601, offer(5))) == [5]


@pytest.mark.parametrize(
    ("code", "again", "hold_ms"), [(0x97, True, 60_000), (0x80, True, 60_000), (0x90, False, 0), (0x99, False, 0), (0x91, True, 0)]
)
def test_what_a_reason_code_means(code: int, again: bool, hold_ms: int) -> None:
    """Every failure is a refusal; whether trying again can help stands in the table."""
    lane = online()
    lane.step(0, offer(1))
    seen = refusals(lane.step(0, PubAck(1, 1, code)))[1]
    assert (seen.again, seen.hold_ms) == (again, hold_ms)


def test_an_overdue_puback_ends_the_connection() -> None:
    """Paho never sends again inside a connection, so that only a new one helps."""
    lane = online()
    lane.step(0, offer(1))
    lane.step(10, offer(2))
    assert lane.next_due_s() == 30
    assert lane.step(29, Tick()) == []
    actions = lane.step(30, Tick())
    assert actions[0] == Hangup(1)
    assert set(refusals(actions)) == {1, 2}


def test_no_answer_to_connect_ends_the_attempt() -> None:
    """A stopped broker accepts TCP and says nothing."""
    lane = new()
    assert lane.step(0, Tick()) == [Connect(1, V5)]
    assert lane.step(30, Tick())[0] == Hangup(1)


def test_taking_back_what_waits_needs_no_hangup() -> None:
    """What was not written is dropped, and the rest goes on."""
    lane = online(terms=Terms(protocol=V5, receive_max=1))
    for n in (1, 2, 3):
        lane.step(0, offer(n))
    assert lane.step(0, TakeBack(ns=(2,))) == [TakenBack(ns=(2,))]
    assert published(lane.step(0, PubAck(1, 1, 0))) == [3]


def confirmed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_take_back", lambda self, now_s, ns: [TakenBack(ns=ns)])


@pytest.mark.req("R29", "R30", control=confirmed_first)
def test_taking_back_what_was_written_hangs_up_first() -> None:
    """The connection ends before the confirmation; its other offers come back; it is tried again soon."""
    lane = online()
    for n in (1, 2):
        lane.step(0, offer(n))
    actions = lane.step(5, TakeBack(ns=(1, 99)))
    assert actions[:2] == [Hangup(1), TakenBack(ns=(1, 99), maybe_sent=(1,))]
    assert set(refusals(actions)) == {2}
    assert lane.step(5, PubAck(1, 1, 0)) == []
    assert lane.step(6, Tick()) == [Connect(2, V5)]


def test_life_goes_on_while_waiting() -> None:
    """A waiting offer is published with what is left of its life, or not at all."""
    lane = online(terms=Terms(protocol=V5, receive_max=1))
    for n, life_ms in ((1, 0), (2, 5000), (3, 60_000)):
        lane.step(0, offer(n, expires_in_ms=life_ms))
    actions = lane.step(10, PubAck(1, 1, 0))
    assert not refusals(actions)[2].again
    assert [action.expires_in_ms for action in actions if isinstance(action, Publish)] == [50_000]


# -- when to connect ----------------------------------------------------------------------------------------------------


def waits(lane: Session, code: int | None, times: int) -> list[float]:
    """The pauses before each of the next attempts, each lost at once with `code`."""
    pauses, now_s = [], 0.0
    for _ in range(times):
        lane.step(now_s, Tick())
        lane.step(now_s, Lost(lane.generation, "", code))
        due_s = lane.next_due_s()
        assert due_s is not None
        pauses.append(due_s - now_s)
        now_s = due_s
    return pauses


def test_the_pause_doubles_up_to_its_cap() -> None:
    """Full jitter over 1, 2, 4 ... 300 s (here always the longest)."""
    assert waits(new(), None, 11) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_the_pause_is_jittered_from_zero() -> None:
    """A fleet that lost its broker together does not come back together."""
    lane = Session("id:main", jitter=lambda: 0.25)
    assert waits(lane, None, 3) == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(("code", "least_s"), [(0x8B, 30), (0x88, 30), (0x87, 64), (0x8E, 64)])
def test_some_endings_ask_for_patience(code: int, least_s: float) -> None:
    """A broker that goes away, or refuses us for who we are, is not asked again at once."""
    assert waits(new(), code, 1) == [least_s]


@pytest.mark.parametrize(("stayed_s", "pause_s"), [(59, 8), (60, 1)])
def test_only_a_stable_connection_makes_the_pause_short_again(stayed_s: float, pause_s: float) -> None:
    """A connection that flaps keeps its pauses."""
    lane = new()
    waits(lane, None, 3)
    lane.step(100, Tick())
    lane.step(100, Online(lane.generation, Terms(protocol=V5)))
    lane.step(100 + stayed_s, Lost(lane.generation, ""))
    assert lane.next_due_s() == 100 + stayed_s + pause_s


def test_a_broker_without_mqtt_5_is_asked_for_3_1_1_at_once() -> None:
    """0x84 is an answer, not a fault."""
    lane = new()
    lane.step(0, Tick())
    lane.step(0, Lost(1, "", 0x84, reached=True))
    assert lane.step(0, Tick()) == [Connect(2, V311)]
    lane.step(0, Online(2, Terms(protocol=V311)))
    lane.step(90, Lost(2, "gone"))
    assert lane.step(91, Tick()) == [Connect(3, V311)]


def test_a_broker_that_refuses_both_is_not_asked_in_a_loop() -> None:
    """Each round of both protocols has its pause."""
    lane, asked = new(), []
    for _ in range(6):
        due_s = lane.next_due_s()
        assert due_s is not None
        asked.append(due_s)
        lane.step(due_s, Tick())
        lane.step(due_s, Lost(lane.generation, "", 0x84, reached=True))
    assert asked[-1] >= 2 + 8


def test_a_broker_that_closes_without_a_word_is_asked_for_the_other() -> None:
    """Some 3.1.1 brokers only hang up; without a connection at all nothing is learnt."""
    lane = new()
    assert lane.step(0, Tick()) == [Connect(1, V5)]
    lane.step(0, Lost(1, "no route"))
    assert lane.step(2, Tick()) == [Connect(2, V5)]
    lane.step(2, Lost(2, "closed", reached=True))
    assert lane.step(9, Tick()) == [Connect(3, V311)]


def test_stopping_says_goodbye_and_is_for_good() -> None:
    """Open offers go back, and no attempt follows."""
    lane = online()
    lane.step(0, offer(1))
    actions = lane.step(0, Stop())
    assert actions[0] == Hangup(1, politely=True)
    assert set(refusals(actions)) == {1}
    assert lane.next_due_s() is None
    assert lane.step(1000, Tick()) == []
    assert refusals(lane.step(1000, offer(2)))[2].again


def test_state_is_told_at_each_change() -> None:
    """Core hears when it may offer, and why it may not."""
    lane = new()
    lane.step(0, Tick())
    assert lane.step(0, Online(1, Terms(protocol=V311))) == [State(lane="id:main", online=True, why="", protocol=4)]
    assert lane.step(0, Lost(1, "cut")) == [State(lane="id:main", online=False, why="cut", protocol=0)]
