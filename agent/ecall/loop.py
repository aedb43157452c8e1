"""The emergency call at work: takes what the world says from one queue, steps the machine, does what comes out.

Owns the order of things: one thread steps, in it what is to be kept is kept before anything is sent. Nothing that fails in doing one
thing keeps another from being done: it is a problem that `status` tells. Waits for nobody: devices and connections have their own threads.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Literal

from agent.clock import Sleep, boot_ns
from agent.ecall import happenings as world
from agent.ecall import wire
from agent.ecall.addresses import Addresses
from agent.ecall.centre import Centre
from agent.ecall.crash import Trigger
from agent.ecall.happenings import Happening
from agent.ecall.latency import Latency
from agent.ecall.machine import Machine, Now
from agent.ecall.outputs import Answer, Dial, Ended, HangUp, Look, Output, Save, Send, Text
from agent.ecall.positions import place_of
from agent.ecall.selftest import SelfTest
from agent.ecall.sources import Sources
from agent.ecall.store import Store
from agent.ecall.switch import Switch
from agent.ecall.timers import NS
from agent.mqtt.connection import Event
from agent.notify import tell
from hw.modem.voice import Said, Voice
from hw.ports import Fix, Frame

WAIT_S_MAX = 1.0
FAILED_S = 0.02
"""A pause after a turn in which something failed."""
TEST_NS = 10 * NS
"""From one self-test to the next."""
Held = Literal["held"]
"""The SOS button was, long enough."""
SAYS: dict[Said | Held, Happening] = {"held": world.SosHeld(), "up": world.CallUp(), "over": world.CallOver(), "ringing": world.Ringing()}
log = logging.getLogger("modicum.ecall")


@dataclass(slots=True)
class Ask:
    """A question or an order from the command line; `answer` runs in the loop's thread."""

    answer: Callable[[Loop], object]
    future: Future[object] = field(default_factory=Future)


Item = Frame | Event | Said | Held | Fix | Ask | None
"""What the queue holds; None is the end."""


@dataclass(slots=True, kw_only=True)
class Loop:
    """`voice` None: no modem, no call. `ended` is told of each session that is over."""

    machine: Machine
    trigger: Trigger
    centre: Centre
    store: Store
    addresses: Addresses
    switch: Switch
    selftest: SelfTest
    inbox: queue.SimpleQueue[Item]
    voice: Voice | None = None
    ended: Callable[[Ended], object] = lambda _: None
    vote: Callable[[], None] = lambda: None
    """Raises DeviceError where a thread does not work that may end the loop now."""
    problems: dict[str, str] = field(default_factory=dict)
    """What could not be done last, by what it was."""
    sources: Sources = field(default_factory=Sources)
    latency: Latency = field(default_factory=Latency)
    sleep: Sleep = field(default_factory=Sleep)
    counts: dict[str, int] = field(default_factory=lambda: {"frames": 0, "sent": 0, "acknowledged": 0, "unheard": 0})
    _tested_ns: int = 0
    _found: frozenset[str] = frozenset()

    def run(self) -> None:
        """Until None comes through the queue."""
        self.selftest.offline_ns = self._tested_ns = boot_ns()  # the parts get a moment before they are judged
        self._do_all(self.machine.resume())
        while True:
            try:
                item = self.inbox.get(timeout=self._wait_s())
                if item is None:
                    break
                self._guarded("what it was told", self._take, item)
            except queue.Empty:
                pass
            self._tick()
            self.vote()
        tell("STOPPING=1")
        self.centre.close()

    def step(self, happening: Happening | None = None) -> None:
        """Something happened, or time passed."""
        before = self.machine.state
        outputs = self.machine.step(self.now(), happening)
        if self.machine.state is not before:
            log.info("the call: %s, after %s", self.machine.state, before)
        if self._urgent:
            self.latency.reached("made", boot_ns())
        self._do_all(outputs)

    def turned(self) -> None:
        """The owner's switch is another than before. A call that stands goes on."""
        self.machine.enabled = self.switch.on

    def now(self) -> Now:
        """This moment."""
        return Now(boot_ns(), self.selftest.utc_s())

    @property
    def _urgent(self) -> bool:
        return self.machine.standing.session is not None

    def _wait_s(self) -> float:
        tries_s = self.centre.next_due_s(urgent=self._urgent)
        due_s = min((self.machine.next_ns() - boot_ns()) / NS, tries_s - time.monotonic())
        return min(max(due_s, 0.0), WAIT_S_MAX)

    def _tick(self) -> None:
        """Each by itself: what fails in one costs no other, and none the program."""
        done = [
            self._guarded("the connection", self._connect),
            self._guarded("the call", self.step),
            self._guarded("the devices", self._look_around),
        ]
        if not all(done):
            time.sleep(FAILED_S)  # what fails each time must not take the whole computer

    def _connect(self) -> None:
        now_s, before = time.monotonic(), self.centre.link
        if self.sleep.over():
            self.centre.woke(now_s)
        self._linked(before)
        self.centre.tick(now_s, urgent=self._urgent)

    def _linked(self, before: int) -> None:
        """The call hears of another connection than before, and of none."""
        if self.centre.link != before:
            self.selftest.offline_ns = None if self.centre.online else boot_ns()
            self.step(world.Link(self.centre.online))

    def _look_around(self) -> None:
        now_ns = boot_ns()
        if self.trigger.settled(now_ns):
            self.store.arm()
        if self.voice is not None and self.sources.ask_due(now_ns, urgent=self._urgent):
            self.voice.locate()
        if now_ns - self._tested_ns >= TEST_NS:
            self._tested_ns = now_ns
            self._test(now_ns)

    def _test(self, now_ns: int) -> None:
        """Says in the log what came and what went; a finding carries no place, no number and no VIN."""
        found = self.selftest.run(now_ns).values()
        standing = {finding.code: finding for finding in found if finding and finding.severity != "info"}
        for code in sorted(standing.keys() - self._found):
            log.warning("%s: %s: %s", code, standing[code].text, standing[code].hint)
        for code in sorted(self._found - standing.keys()):
            log.info("%s: no more", code)
        self._found = frozenset(standing)

    # -- in ---------------------------------------------------------------------------------------------------------

    def _take(self, item: Item) -> None:
        match item:
            case Frame():
                self.counts["frames"] += 1
                self.selftest.frame_ns = item.t_ns
                if self.trigger.feed(item):
                    self.latency.begins(item.t_ns)
                    self.step(world.Crashed())
                    self.store.disarm()  # after the call is kept: a kill in between tells the crash twice, and loses none
            case Fix():
                self._fix(item)
            case Ask():
                self._answer(item)
            case str():
                self.step(SAYS[item])
            case None:
                pass
            case _:
                self._connection(item)

    def _fix(self, fix: Fix) -> None:
        place = place_of(fix)
        if place is not None:
            place = replace(place, t_ns=min(place.t_ns, boot_ns()))  # none is of the future, whoever says so
            self.sources.heard_ns[fix.source] = place.t_ns
            if self.machine.ring.take(place):
                self.step(world.Fixed())

    def _connection(self, event: Event) -> None:
        before = self.centre.link
        heard = self.centre.feed(time.monotonic(), event)
        self._linked(before)
        if heard is None:
            return
        session = self.machine.standing.session
        word = None if session is None else wire.heard(heard, session.reply_key)
        if word is None:
            self.counts["unheard"] += 1
            return
        if isinstance(word, world.Acknowledged):
            self.counts["acknowledged"] += 1
            self.latency.reached("acknowledged", boot_ns())
        self.step(word)

    def _answer(self, ask: Ask) -> None:
        try:
            ask.future.set_result(ask.answer(self))
        except Exception as error:  # noqa: BLE001  whoever asked hears of it; the loop goes on
            ask.future.set_exception(error)

    # -- out --------------------------------------------------------------------------------------------------------

    def _do_all(self, outputs: tuple[Output, ...]) -> None:
        for output in outputs:
            self._guarded(type(output).__name__, self._do, output)

    def _guarded(self, name: str, act: Callable[..., object], *arguments: object) -> bool:
        """Whether it could be done."""
        try:
            act(*arguments)
            self.problems.pop(name, None)
        except Exception as error:  # noqa: BLE001  one thing that fails must not cost another
            told = f"{type(error).__name__}: {error}"
            if self.problems.get(name) != told:
                log.error("could not do %s: %s", name, type(error).__name__)  # noqa: TRY400  a trace of a call is no log's business
            self.problems[name] = told
            return False
        return True

    def _do(self, output: Output) -> None:
        match output:
            case Save(document):
                self.store.write(document)
            case Send():
                self._send(output)
            case Dial(test):
                self._call().dial(self.addresses.test_number if test else self.addresses.number)
            case Look():
                self._call().look()
            case Answer():
                self._call().answer()
            case HangUp():
                self._call().hang_up()
            case Ended():
                if self.voice is not None:
                    self.voice.forget()
                self.ended(output)
            case Text(octets):
                self._text(octets)

    def _send(self, send: Send) -> None:
        own = self.addresses
        if not own.recipient_key:
            raise LookupError("there is no key of the centre's to seal a message with")
        call = wire.Call(own.sender.id.hex(), send.session, send.octets, send.reply_key)
        payload = wire.sealed(own.sender, own.recipient_key, call, send.identifier, own.vin)
        if self.centre.send(time.monotonic(), own.topic, payload):
            self.counts["sent"] += 1
            self.latency.reached("sent", boot_ns())

    def _text(self, octets: bytes) -> None:
        if self.addresses.sms is None:
            raise LookupError("no number for texts is configured")
        self._call().text(self.addresses.sms, octets)

    def _call(self) -> Voice:
        if self.voice is None:
            raise LookupError("no modem is configured")
        return self.voice
