"""agent.ecall.centre: one connection, kept up; at once where there is a call."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from agent.ecall.centre import ATTEMPTS_MAX, CALM_S, JITTER, SILENT_S, UNHEARD_S, URGENT_S, Centre
from agent.mqtt.connection import Access, Arrived, Connection, Event, PubAcked, access
from agent.mqtt.terms import V5, V311, Connect, Lost, Online, Terms
from tests.support.fake_broker import FakeBroker
from tests.support.mosquitto import Mosquitto
from tests.support.wait import until

TO = Access(host="localhost", port=8883, tls=True, ca=Path("ca"))
TOPIC = "modicum/v1/0123/down"


@dataclass
class Fake:
    """A connection that only remembers."""

    order: Connect
    published: list[tuple[str, bytes]] = field(default_factory=list)
    started: bool = False
    polite: bool | None = None
    outcome: Lost | None = None
    deaf: bool = False

    def start(self) -> None:
        self.started = True

    def publish(self, topic: str, payload: bytes) -> int | None:
        self.published.append((topic, payload))
        return len(self.published)

    def hang_up(self, *, politely: bool) -> None:
        self.polite = politely


@dataclass
class World:
    """A centre and every connection that it opened."""

    made: list[Fake] = field(default_factory=list)
    centre: Centre = field(init=False)

    def __post_init__(self) -> None:
        def opened(_to: Access, order: Connect, client_id: str, topics: tuple[str, ...], _post: object) -> Connection:
            assert (client_id, topics) == (f"me{order.generation:02d}", (TOPIC,))
            self.made.append(Fake(order))
            return cast("Connection", self.made[-1])

        self.centre = Centre(TO, "me", TOPIC, lambda _: None, opened)

    def send(self, now_s: float = 0.0) -> bool:
        return self.centre.send(now_s, "t", b"p")

    def called(self, until_s: float) -> World:
        """A call on a first connection: sent at 0 and each second, nothing heard."""
        self.online(0.0)
        for second in range(round(until_s) + 1):
            self.send(float(second))
            self.centre.tick(float(second), urgent=True)
        return self

    def online(self, now_s: float) -> World:
        self.centre.tick(now_s, urgent=False)
        self.centre.feed(now_s, Online(len(self.made), Terms(protocol=V5)))
        return self

    def lost(self, now_s: float, *, reached: bool = False, generation: int | None = None) -> None:
        self.centre.feed(now_s, Lost(generation or len(self.made), "gone", reached=reached))


def arrived(topic: str, told: list[str]) -> Arrived:
    return Arrived(1, topic, b"word", lambda: told.append(topic))


def test_it_connects_at_once_and_says_why_it_is_not_online() -> None:
    """Before anything happened."""
    world = World()
    assert not world.centre.online
    assert world.centre.why
    world.centre.tick(0.0, urgent=False)
    assert [one.started for one in world.made] == [True]


def test_what_is_sent_while_it_is_not_online_is_not_taken() -> None:
    """It would wait somewhere where nobody sees it."""
    world = World()
    world.centre.tick(0.0, urgent=True)
    assert not world.send()
    world.online(0.1)
    assert world.send()
    assert world.made[-1].published == [("t", b"p")]


def test_without_a_call_pauses_grow() -> None:
    """Up to a minute, and never all cars at once."""
    world, now_s = World(), 0.0
    for pause_s in (*CALM_S, CALM_S[-1]):
        world.centre.tick(now_s, urgent=False)
        tries = len(world.made)
        world.lost(now_s)
        world.centre.tick(now_s + pause_s * (1 - JITTER) - 0.01, urgent=False)
        assert len(world.made) == tries
        now_s += pause_s * (1 + JITTER) + 0.01
    world.centre.tick(now_s, urgent=False)
    assert len(world.made) == len(CALM_S) + 2


def test_with_a_call_another_attempt_begins_each_second() -> None:
    """However long the pause was, and whatever became of those before."""
    world, now_s = World(), 0.0
    for _ in range(20):
        world.centre.tick(now_s, urgent=True)
        world.lost(now_s + 0.01)
        now_s += URGENT_S
    assert len(world.made) == 20


def test_attempts_that_hang_go_on_beside_the_newer_ones_and_the_first_is_taken() -> None:
    """A network that needs three seconds to answer; the others are given up."""
    world = World()
    for second in range(3):
        world.centre.tick(float(second), urgent=True)
    assert [one.polite for one in world.made] == [None] * 3
    world.centre.feed(3.0, Online(1, Terms(protocol=V5)))
    until(lambda: [one.polite for one in world.made] == [None, False, False], "the others to be given up")
    assert world.send()
    assert world.made[0].published == [("t", b"p")]


def test_no_more_than_a_few_attempts_are_under_way() -> None:
    """The oldest is given up."""
    world = World()
    for second in range(ATTEMPTS_MAX + 2):
        world.centre.tick(float(second), urgent=True)
    until(lambda: [one.polite for one in world.made].count(False) == 2, "two to be given up")
    assert [one.polite for one in world.made[:2]] == [False, False]


def test_without_a_call_an_attempt_that_hangs_is_given_its_time() -> None:
    """A name service that answers nobody; then it is given up for the next."""
    world = World()
    world.centre.tick(0.0, urgent=False)
    world.centre.tick(SILENT_S - 0.1, urgent=False)
    assert len(world.made) == 1
    world.centre.tick(SILENT_S, urgent=False)
    until(lambda: world.made[0].polite is False, "the first to be given up")
    assert len(world.made) == 2


def test_what_an_attempt_says_that_was_given_up_changes_nothing() -> None:
    """It may say so late."""
    world = World()
    world.centre.tick(0.0, urgent=True)
    world.centre.tick(1.0, urgent=True)
    world.online(1.1)
    world.lost(1.2, generation=1)
    world.centre.feed(1.3, Online(1, Terms(protocol=V5)))
    assert world.centre.online
    assert world.send()
    assert world.made[1].published == [("t", b"p")]


# -- a broker that lets it in and allows it nothing ----------------------------------------------------------------------


def spoken(port: int, protocol: int, events: tuple[type[Event], ...]) -> Centre:
    """A centre at that broker, once it has heard of each of those, each time having sent a message at once."""
    heard = queue.SimpleQueue[Event]()
    centre = Centre(access(f"mqtt://127.0.0.1:{port}", protocol=protocol), "me", TOPIC, heard.put)
    centre.tick(0.0, urgent=False)
    for kind in events:
        while True:
            event = heard.get(timeout=10)
            centre.feed(0.0, event)
            if isinstance(event, kind):
                break
        assert centre.send(0.0, "modicum/v1/0123/ecall/msd", b"p")
    return centre


@pytest.mark.parametrize(("protocol", "expected"), [(V5, "write PREFIX/v1/+/ecall/msd"), (V311, "")])
def test_a_message_that_the_brokers_acl_refuses_is_told_where_mqtt_says_so(protocol: int, expected: str, tmp_path: Path) -> None:
    """A real broker's; 3.1.1 acknowledges what it throws away. What is sent afterwards is handed over all the same."""
    with Mosquitto(tmp_path, acl="topic read modicum/v1/0123/down\n") as broker:
        centre = spoken(broker.port, protocol, (Online, PubAcked, PubAcked))
        assert (centre.online, centre.refused) == (True, expected)
        centre.close()


def test_what_was_refused_is_told_until_a_message_is_taken() -> None:
    """Also on another connection, which does not know of it yet."""
    world = World().online(0.0)
    world.send()
    world.centre.feed(0.1, PubAcked(1, 1, 0x87))
    world.lost(1.0)
    world.online(10.0)
    assert world.centre.refused == "write PREFIX/v1/+/ecall/msd"
    assert world.send()
    world.centre.feed(10.1, PubAcked(2, 1, 0))
    assert world.centre.refused == ""


@pytest.mark.parametrize("protocol", [V5, V311])
@pytest.mark.parametrize(("code", "expected"), [(0x80, "read PREFIX/v1/+/down"), (1, "")])
def test_a_broker_that_gives_it_no_answers_is_told(protocol: int, code: int, expected: str) -> None:
    """It refused the subscription: what the centre says would reach nobody."""
    with FakeBroker(suback=code) as broker:
        centre = spoken(broker.port, protocol, (Online, PubAcked))
        assert centre.refused == expected
        centre.close()


# -- a connection that swallows what is sent ------------------------------------------------------------------------------


def test_a_connection_that_is_silent_during_a_call_gets_another_each_second_beside_it() -> None:
    """From UNHEARD_S after the first that is not answered; what is sent meanwhile goes on it all the same."""
    world = World().online(0.0)
    assert world.centre.next_due_s(urgent=True) == float("inf")
    world.send(10.0)
    assert world.centre.next_due_s(urgent=False) == float("inf")
    for tenth in range(20 * 10):
        world.centre.tick(10.0 + tenth / 10, urgent=True)
        assert len(world.made) == 1 + max(0, tenth // 10 - 4)
        assert world.centre.next_due_s(urgent=True) == max(10.0 + UNHEARD_S, 10.0 + tenth // 10 + URGENT_S)
    assert world.send(30.0)
    assert len(world.made[0].published) == 2
    until(lambda: [one.polite for one in world.made[1:]].count(False) == len(world.made) - 1 - ATTEMPTS_MAX, "the oldest to be given up")
    assert world.made[0].polite is None


def test_the_first_that_is_accepted_takes_its_place() -> None:
    """It is another link, which carries what is sent from then on and owes nothing yet; the others are given up."""
    world = World().called(UNHEARD_S + 2)
    assert (len(world.made), world.centre.link) == (4, 1)
    world.centre.feed(7.5, Online(3, Terms(protocol=V5)))
    assert (world.centre.link, world.centre.next_due_s(urgent=True)) == (3, float("inf"))
    until(lambda: [one.polite for one in world.made] == [False, False, None, False], "the others to be given up")
    world.send(8.0)
    assert len(world.made[2].published) == 1
    world.lost(8.1, generation=1)
    assert world.centre.online
    assert world.centre.next_due_s(urgent=True) == 8.0 + UNHEARD_S


@pytest.mark.parametrize("heard", [PubAcked(1, 1, 0), Arrived(1, TOPIC, b"word", lambda: None)], ids=["the broker", "the centre"])
def test_whatever_is_heard_on_it_ends_the_doubt(heard: Event) -> None:
    """The attempts are given up, also where one is accepted just then; what is still owed is waited for anew."""
    world = World().called(UNHEARD_S)
    assert len(world.made) == 2
    world.centre.feed(5.5, heard)
    until(lambda: world.made[1].polite is False, "the attempt to be given up")
    world.centre.feed(5.6, Online(2, Terms(protocol=V5)))
    assert (world.centre.link, world.centre.next_due_s(urgent=True)) == (1, 5.5 + UNHEARD_S)


def test_a_broker_that_answers_is_not_in_doubt_for_a_centre_that_does_not() -> None:
    """Another connection would not make the centre answer."""
    world = World().online(0.0)
    for second in range(60):
        world.send(float(second))
        world.centre.tick(float(second), urgent=True)
        world.centre.feed(second + 0.5, PubAcked(1, second + 1, 0))
    assert (len(world.made), world.centre.next_due_s(urgent=True)) == (1, float("inf"))


def test_what_an_earlier_connection_says_does_not_speak_for_the_one_in_use() -> None:
    """Its last words may lie in the queue."""
    world = World().called(UNHEARD_S)
    world.centre.feed(5.5, Online(2, Terms(protocol=V5)))
    world.send(6.0)
    for late in (PubAcked(1, 1, 0), Arrived(1, TOPIC, b"word", lambda: None)):
        world.centre.feed(10.0, late)
    assert world.centre.next_due_s(urgent=True) == 6.0 + UNHEARD_S


def test_attempts_beside_a_silent_connection_that_fail_change_nothing() -> None:
    """It is still the one there is; the protocol stays the one that was accepted last."""
    world = World()
    for _ in range(2):
        world.centre.tick(world.centre.next_due_s(urgent=True), urgent=True)
    world.lost(1.5, generation=1, reached=True)
    world.centre.feed(1.6, Online(2, Terms(protocol=V5)))
    world.send(2.0)
    for now_s in (7.0, 8.0):
        world.centre.tick(now_s, urgent=True)
        world.lost(now_s + 0.1, reached=True)
    assert (world.centre.link, [one.order.protocol for one in world.made]) == (2, [V5] * 4)


def test_a_broker_that_hears_and_refuses_is_tried_with_the_other_protocol() -> None:
    """3.1.1 where it does not know 5; a broker that cannot be reached says nothing of protocols."""
    world = World()
    for reached in (False, True, False):
        world.centre.tick(world.centre.next_due_s(urgent=False), urgent=False)
        world.lost(world.centre.next_due_s(urgent=False), reached=reached)
    world.centre.tick(world.centre.next_due_s(urgent=False), urgent=False)
    assert [one.order.protocol for one in world.made] == [V5, V5, V311, V311]


@pytest.mark.parametrize(("topic", "expected"), [(TOPIC, b"word"), ("modicum/v1/other/down", None)])
def test_what_comes_on_its_topic_is_handed_on_and_all_is_accepted(topic: str, expected: Any) -> None:
    """The broker need not keep it."""
    told = list[str]()
    assert World().online(0.0).centre.feed(1.0, arrived(topic, told)) == expected
    assert told == [topic]


@pytest.mark.parametrize("protocol", [V5, V311])
def test_nothing_of_an_attempt_stays_at_the_broker(protocol: int) -> None:
    """A hundred names would each have their copy of every answer: the session begins clean, in MQTT 5 with no time to live."""
    with FakeBroker() as broker:
        to = access(f"mqtt://127.0.0.1:{broker.port}", protocol=protocol)
        centre = Centre(to, "me", TOPIC, lambda _: None)
        centre.tick(0.0, urgent=False)
        until(lambda: broker.heard, "CONNECT")
        centre.close()
        body = broker.heard[0].body
        assert (body[6], body[7]) == (protocol, 0b10)
        assert (b"\x11" + (0).to_bytes(4, "big") in body) == (protocol == V5)


def test_it_ends_politely() -> None:
    """So that nobody takes it for lost."""
    world = World().online(0.0)
    world.centre.close()
    assert world.made[-1].polite
    World().centre.close()


def test_its_end_waits_for_no_attempt() -> None:
    """With a call there may be six of them, each held by a network that does not answer."""
    world = World().called(9.0)
    released = threading.Event()
    others = [one for one in world.made if one.order.generation != world.centre.link]
    assert len(others) > 1
    for one in others:
        one.hang_up = lambda *, politely: released.wait(30) and None  # type: ignore[method-assign, assignment]
    world.centre.close()
    assert not world.centre.online
    released.set()


@pytest.mark.parametrize("called", [True, False])
def test_after_a_suspend_it_connects_anew_at_once(called: bool) -> None:
    """Whatever it was doing: the connection of before looks alive here for minutes, and the next attempt may have been far off."""
    world = World().online(0.0) if called else World()
    if not called:
        world.centre.tick(0.0, urgent=False)
    before = len(world.made)
    world.centre.woke(1.0)
    assert (world.centre.online, world.centre.next_due_s(urgent=False)) == (False, 1.0)
    world.centre.tick(1.0, urgent=False)
    assert len(world.made) == before + 1
    until(lambda: all(one.polite is False for one in world.made[:before]), "the end of what was before")
