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
from dataclasses import dataclass, field

from agent.ecall import happenings as world
from agent.ecall import wire
from agent.ecall.centre import Centre
from agent.ecall.crash import Trigger
from agent.ecall.happenings import Happening
from agent.ecall.latency import Latency
from agent.ecall.machine import Machine, Now
from agent.ecall.outputs import Answer, Dial, Ended, HangUp, Look, Output, Save, Send, Text
from agent.ecall.positions import Place
from agent.ecall.store import Store
from agent.ecall.timers import NS
from agent.envelope import Sender
from agent.mqtt.connection import Event
from hw.modem.voice import Said, Voice
from hw.ports import Frame

WAIT_S_MAX = 1.0
SIGMA_PER_HDOP_M = 5.0
"""A standard deviation of a receiver under open sky, per unit of HDOP."""
HDOP_UNKNOWN = 5.0
SAYS: dict[Said, Happening] = {"up": world.CallUp(), "over": world.CallOver(), "ringing": world.Ringing()}
log = logging.getLogger("modicum.ecall")


@dataclass(slots=True)
class Ask:
    """A question or an order from the command line; `answer` runs in the loop's thread."""

    answer: Callable[[Loop], object]
    future: Future[object] = field(default_factory=Future)


Item = Frame | Event | Said | Place | Ask | None
"""What the queue holds; None is the end."""


@dataclass(slots=True, kw_only=True)
class Addresses:
    """Whom the program speaks to, and as whom."""

    sender: Sender
    recipient_key: bytes
    prefix: str
    number: str
    test_number: str
    vin: str | None = field(repr=False)

    @property
    def topic(self) -> str:
        """Where messages go."""
        return wire.topic_of(self.prefix, self.sender)


@dataclass(slots=True, kw_only=True)
class Loop:
    """`utc_s` gives UTC where the clock is trusted. `voice` None: no modem, no call. `ended` is told of each session that is over."""

    machine: Machine
    trigger: Trigger
    centre: Centre
    store: Store
    addresses: Addresses
    inbox: queue.SimpleQueue[Item]
    voice: Voice | None = None
    utc_s: Callable[[], int | None] = lambda: None
    ended: Callable[[Ended], object] = lambda _: None
    problems: dict[str, str] = field(default_factory=dict)
    """What could not be done last, by what it was."""
    latency: Latency = field(default_factory=Latency)
    counts: dict[str, int] = field(default_factory=lambda: {"frames": 0, "sent": 0, "acknowledged": 0, "unheard": 0})

    def run(self) -> None:
        """Until None comes through the queue."""
        self._do_all(self.machine.resume())
        while True:
            try:
                item = self.inbox.get(timeout=self._wait_s())
                if item is None:
                    break
                self._take(item)
            except queue.Empty:
                pass
            self._tick()
        self.centre.close()

    def step(self, happening: Happening | None = None) -> None:
        """Something happened, or time passed."""
        outputs = self.machine.step(self.now(), happening)
        if self._urgent:
            self.latency.reached("made", boot_ns())
        self._do_all(outputs)

    def now(self) -> Now:
        """This moment."""
        return Now(boot_ns(), self.utc_s())

    @property
    def _urgent(self) -> bool:
        return self.machine.standing.session is not None

    def _wait_s(self) -> float:
        tries_s = self.centre.next_due_s(urgent=self._urgent)
        due_s = min((self.machine.next_ns() - boot_ns()) / NS, tries_s - time.monotonic())
        return min(max(due_s, 0.0), WAIT_S_MAX)

    def _tick(self) -> None:
        self.centre.tick(time.monotonic(), urgent=self._urgent)
        self.step()
        if self.trigger.settled(boot_ns()):
            self.store.arm()

    # -- in ---------------------------------------------------------------------------------------------------------

    def _take(self, item: Item) -> None:
        match item:
            case Frame():
                self.counts["frames"] += 1
                if self.trigger.feed(item):
                    self.latency.begins(item.t_ns)
                    self.step(world.Crashed())
            case Place():
                if self.machine.ring.take(item):
                    self.step(world.Fixed())
            case Ask():
                self._answer(item)
            case str():
                self.step(SAYS[item])
            case None:
                pass
            case _:
                self._connection(item)

    def _connection(self, event: Event) -> None:
        before = self.centre.online
        heard = self.centre.feed(time.monotonic(), event)
        if self.centre.online != before:
            self.step(world.Link(self.centre.online))
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
            name = type(output).__name__
            try:
                self._do(output)
                self.problems.pop(name, None)
            except Exception as error:  # noqa: BLE001  one thing that fails must not cost another
                self.problems[name] = f"{type(error).__name__}: {error}"
                log.error("could not do %s: %s", name, type(error).__name__)  # noqa: TRY400  a trace of a call is no log's business

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
                self.ended(output)
            case Text():
                raise NotImplementedError

    def _send(self, send: Send) -> None:
        own = self.addresses
        call = wire.Call(own.sender.id.hex(), send.session, send.octets, send.reply_key)
        payload = wire.sealed(own.sender, own.recipient_key, call, send.identifier, own.vin)
        if self.centre.send(own.topic, payload):
            self.counts["sent"] += 1
            self.latency.reached("sent", boot_ns())

    def _call(self) -> Voice:
        if self.voice is None:
            raise LookupError("no modem is configured")
        return self.voice


def boot_ns() -> int:
    """CLOCK_BOOTTIME: goes on while the device is suspended and across a restart of the program."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
