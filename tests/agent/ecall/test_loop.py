"""agent.ecall.loop and routes: what the world says becomes what is done, and one thing that fails costs no other."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.clock import boot_ns
from agent.ecall import wire
from agent.ecall.addresses import Addresses
from agent.ecall.centre import Centre
from agent.ecall.happenings import Acknowledged, ClearedDown
from agent.ecall.loop import Item, Loop
from agent.ecall.machine import Machine
from agent.ecall.msd import decode
from agent.ecall.outputs import Text
from agent.ecall.routes import submit_to
from agent.ecall.selftest import SelfTest
from agent.ecall.store import Store
from agent.ecall.switch import Switch
from agent.ecall.table import State
from agent.envelope import sender_for
from agent.mqtt.connection import Arrived
from agent.mqtt.terms import Lost, Online, Terms
from hw.modem.health import Health
from hw.modem.voice import Voice
from hw.ports import Fix
from tests.agent.ecall.build import VIN
from tests.agent.ecall.rig import FACTS, LAT_DEG, LON_DEG
from tests.agent.ecall.test_crash import crash, new

PRIVATE = X25519PrivateKey.generate()
SENDER = sender_for(lambda info: (info * 32)[:32], "emergency")
NUMBER, TEST_NUMBER, SMS_NUMBER = "+8610000001", "+8610000002", "+8610000003"
TOPIC = wire.answers_to("modicum", SENDER.id.hex())


@dataclass
class Fakes:
    """A loop with a centre, a modem and a store that only remember, in one list. `breaks`: what raises instead."""

    did: list[tuple[str, Any]] = field(default_factory=list)
    breaks: set[str] = field(default_factory=set)
    link: int = 1
    why: str = ""
    refused: str = ""
    problem: str = ""
    health: Health = field(default_factory=Health)
    switch: Switch = field(default_factory=lambda: Switch(Path("/nonexistent"), "third_party"))
    loop: Loop = field(init=False)

    def __post_init__(self) -> None:
        machine, centre, store, voice = Machine(FACTS), cast("Centre", self), cast("Store", self), cast("Voice", self)
        selftest = SelfTest(
            machine=machine, centre=centre, store=store, switch=self.switch, utc_s=lambda: 1_795_000_000, voice=voice, watched=1
        )
        self.loop = Loop(
            machine=machine,
            trigger=new(),
            centre=centre,
            store=store,
            switch=self.switch,
            selftest=selftest,
            addresses=Addresses(
                sender=SENDER,
                recipient_key=PRIVATE.public_key().public_bytes_raw(),
                prefix="modicum",
                number=NUMBER,
                test_number=TEST_NUMBER,
                sms=SMS_NUMBER,
                vin=VIN,
            ),
            inbox=queue.SimpleQueue[Item](),
            voice=voice,
            ended=lambda told: self._do("ended", told),
        )
        self.loop.machine.link_up = True

    def _do(self, name: str, what: Any = None) -> bool:
        if name in self.breaks:
            raise OSError(f"{name} is broken")
        self.did.append((name, what))
        return True

    @property
    def online(self) -> bool:
        return self.link != 0

    def send(self, _now_s: float, topic: str, payload: bytes) -> bool:
        return self._do("send", (topic, payload))

    def feed(self, _now_s: float, event: object) -> bytes | None:
        match event:
            case Online(generation):
                self.link = generation
            case Lost():
                self.link = 0
            case Arrived(topic=topic, payload=payload):
                return payload if topic == TOPIC else None
        return None

    def woke(self, _now_s: float) -> None:
        self._do("woke")
        self.link = 0

    def write(self, document: bytes | None) -> None:
        self._do("write", document)

    def dial(self, number: str) -> None:
        self._do("dial", number)

    def answer(self) -> None:
        self._do("answer")

    def hang_up(self) -> None:
        self._do("hang_up")

    def close(self) -> None:
        self._do("close")

    def tick(self, _now_s: float, *, urgent: bool) -> None:
        assert urgent == (self.loop.machine.standing.session is not None)

    def next_due_s(self, *, urgent: bool) -> float:
        return 0.0 if urgent else float("inf")

    def arm(self) -> None:
        """Past its beginning."""

    def disarm(self) -> None:
        """A crash was told."""

    def alive(self) -> bool:
        return True

    def look(self) -> None:
        self._do("look")

    def forget(self) -> None:
        self._do("forget")

    def locate(self) -> None:
        self._do("locate")

    def text(self, number: str, octets: bytes) -> None:
        self._do("text", (number, octets))

    def takes(self, *items: Item) -> Fakes:
        for item in items:
            self.loop._take(item)
        return self

    def names(self) -> list[str]:
        return [name for name, _ in self.did]

    def sent(self) -> list[wire.Call]:
        return [wire.opened(what[1], PRIVATE.private_bytes_raw()) for name, what in self.did if name == "send"]

    def hears(self, word: wire.Word, key: bytes) -> Fakes:
        return self.takes(Arrived(1, TOPIC, wire.said(word, key), lambda: None))


def fix(t_ns: int | None = None, source: str = "core") -> Fix:
    now_ns = boot_ns() if t_ns is None else t_ns
    return Fix(now_ns, 3, LAT_DEG, LON_DEG, speed_mps=14.0, course_deg=90.0, hdop=1.0, source=source)


def crashed(*breaks: str) -> Fakes:
    return Fakes(breaks=set(breaks)).takes(crash(0, 3), crash(100, 4))


def asked(fakes: Fakes, route: str) -> Any:
    future = submit_to(fakes.loop)(route, {})
    fakes.takes(fakes.loop.inbox.get_nowait())
    return future.result(0)


def test_how_long_a_crash_took_to_be_told_is_measured_once() -> None:
    """From its last frame to the octets, the connection and the centre's word, in this order; a repetition changes nothing."""
    fakes = crashed()
    (call,) = fakes.sent()
    assert list(fakes.loop.latency.steps) == ["made", "sent"]
    fakes.hears(Acknowledged(call.session, 1), call.reply_key)
    told = dict(fakes.loop.latency.steps)
    assert list(told) == ["made", "sent", "acknowledged"]
    assert told["made"] <= told["sent"] <= told["acknowledged"]
    fakes.hears(Acknowledged(call.session, 1), call.reply_key)
    assert fakes.loop.latency.steps == told


def test_two_crash_frames_are_kept_dialled_and_sent_in_this_order() -> None:
    """To the centre's number and topic, sealed to its key."""
    fakes = crashed()
    assert fakes.names() == ["write", "dial", "send"]
    assert dict(fakes.did)["dial"] == NUMBER
    assert dict(fakes.did)["send"][0] == f"modicum/v1/{SENDER.id.hex()}/ecall/msd"
    (call,) = fakes.sent()
    assert (decode(call.octets).vin, decode(call.octets).automatic_activation) == (VIN, True)


@pytest.mark.parametrize("broken", ["write", "dial", "send"])
def test_one_thing_that_fails_costs_no_other(broken: str) -> None:
    """A full disk, a modem that is gone, a broken connection; what it was is told."""
    fakes = crashed(broken)
    assert fakes.names() == [name for name in ("write", "dial", "send") if name != broken]
    assert [text for text in fakes.loop.problems.values() if f"{broken} is broken" in text]
    assert fakes.loop.machine.state is State.SENDING


def test_without_a_modem_the_message_goes_all_the_same() -> None:
    """And the call is a problem."""
    fakes = Fakes()
    fakes.loop.voice = None
    fakes.takes(crash(0, 3), crash(100, 4))
    assert fakes.names() == ["write", "send"]
    assert "no modem" in fakes.loop.problems["Dial"]


def test_the_centres_word_is_heard_and_nobody_elses() -> None:
    """Signed with the key that lay in the message."""
    fakes = crashed()
    (call,) = fakes.sent()
    fakes.hears(Acknowledged(call.session, 1), bytes(32))
    assert (fakes.loop.counts["unheard"], asked(fakes, "ecall.status")["session"]["acknowledged"]) == (1, False)
    fakes.hears(Acknowledged(call.session, 1), call.reply_key)
    assert asked(fakes, "ecall.status")["session"]["acknowledged"]
    fakes.hears(ClearedDown(call.session), call.reply_key)
    assert fakes.names()[-3:] == ["hang_up", "forget", "ended"]
    told = fakes.did[-1][1]
    assert (told.kind, told.told, told.voice, told.messages) == ("automatic", True, False, 1)


def test_a_link_that_comes_back_carries_the_message_at_once() -> None:
    """Lost and online, as the connection says."""
    fakes = crashed()
    fakes.takes(Lost(1, "gone"), Online(2, Terms(protocol=5)))
    assert fakes.names().count("send") == 2
    assert len({call.session for call in fakes.sent()}) == 1


def test_a_connection_that_takes_the_place_of_another_carries_the_message_at_once() -> None:
    """Nothing was lost before: the old one swallowed it."""
    assert crashed().takes(Online(2, Terms(protocol=5))).names().count("send") == 2


def test_what_the_modem_says_moves_the_call() -> None:
    """Up, over, ringing."""
    fakes = crashed().takes("up")
    assert fakes.loop.machine.state is State.VOICE
    fakes.hears(Acknowledged(fakes.sent()[0].session, 1), fakes.sent()[0].reply_key)
    fakes.takes("over", "ringing")
    assert fakes.names()[-1] == "answer"


def test_a_place_is_held_and_stands_in_the_message() -> None:
    """In memory; nothing is done with it before a trigger."""
    fakes = Fakes().takes(fix())
    assert fakes.did == []
    fakes.takes(crash(0, 3), crash(100, 4))
    assert decode(fakes.sent()[0].octets).latitude_mas == round(LAT_DEG * 3_600_000)


def test_the_own_modem_is_asked_while_core_is_silent() -> None:
    """At once where core never spoke, and not while it does; the modem's own fix is taken like core's."""
    fakes = Fakes()
    fakes.loop._tick()
    assert fakes.names() == ["locate"]
    fakes.takes(fix(source="at"))
    assert (len(list(fakes.loop.machine.ring)), fakes.loop.sources.ask_due(boot_ns() + 10**10, urgent=False)) == (1, True)
    spoken = Fakes().takes(fix())
    spoken.loop._tick()
    assert spoken.names() == []


def test_a_fix_without_a_place_is_no_word_of_core() -> None:
    """A receiver in a tunnel: the modem's may see more."""
    fakes = Fakes().takes(Fix(boot_ns(), source="core"))
    fakes.loop._tick()
    assert (fakes.names(), list(fakes.loop.machine.ring)) == (["locate"], [])


def test_the_sos_button_counts_down() -> None:
    """As the head unit's word does."""
    assert Fakes().takes("held").loop.machine.state is State.COUNTDOWN


def test_a_message_as_text_goes_to_its_own_number() -> None:
    """And a device without one says so, where the machine should ask for it all the same."""
    fakes = Fakes()
    fakes.loop._do_all((Text(b"octets"),))
    assert fakes.did == [("text", (SMS_NUMBER, b"octets"))]
    fakes.loop.addresses.sms = None
    fakes.loop._do_all((Text(b"octets"),))
    assert "Text" in fakes.loop.problems


def test_the_log_says_once_what_the_self_test_finds_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Here: the place, which is not known, and then is."""
    caplog.set_level("INFO", "modicum.ecall")
    fakes = Fakes()
    for _ in range(2):
        fakes.loop._test(boot_ns())
    fakes.takes(fix())
    fakes.loop._test(boot_ns())
    said = [record.getMessage() for record in caplog.records if "ecall-position" in record.getMessage()]
    assert len(said) == 2
    assert said[1] == "ecall-position: no more"


def test_the_loop_ends_when_it_is_told_to() -> None:
    """With its connection; what came before the end was done."""
    fakes = Fakes()
    for item in (crash(0, 3), crash(100, 4), None):
        fakes.loop.inbox.put(item)
    fakes.loop.run()
    assert fakes.names() == ["locate", "write", "dial", "send", "close"]


def test_what_fails_in_the_loop_itself_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread to be had for a connection, an item that nobody can read: told as problems, and the crash is told."""

    def no_thread(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    fakes = Fakes()
    monkeypatch.setattr(Fakes, "tick", no_thread)
    for item in (cast("Item", "no word of the modem's"), crash(0, 3), crash(100, 4), None):
        fakes.loop.inbox.put(item)
    fakes.loop.run()
    assert "send" in fakes.names()
    assert "the connection" in fakes.loop.problems


def test_a_place_of_the_future_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says so: it would bar those that come after it."""
    fakes, later_ns = Fakes().takes(fix(2**62)), boot_ns() + 10**10
    monkeypatch.setattr("agent.ecall.loop.boot_ns", lambda: later_ns)
    fakes.takes(fix(later_ns))
    assert len(list(fakes.loop.machine.ring)) == 2


def test_what_waits_to_be_texted_is_forgotten_with_the_call() -> None:
    """No message outlives the clear-down."""
    fakes = crashed()
    (call,) = fakes.sent()
    fakes.hears(ClearedDown(call.session), call.reply_key)
    assert "forget" in fakes.names()


def test_a_suspend_is_noticed_and_the_message_goes_over_the_next_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second after the device woke, at the latest; nothing has to fail first."""
    fakes = crashed()
    slept = [True]
    monkeypatch.setattr(type(fakes.loop.sleep), "over", lambda _: bool(slept) and slept.pop())
    fakes.loop._tick()
    assert ("woke", None) in fakes.did
    assert not fakes.loop.machine.link_up
    fakes.takes(Online(2, Terms(protocol=5)))
    assert fakes.names().count("send") == 2
    fakes.loop._tick()
    assert fakes.names().count("woke") == 1
