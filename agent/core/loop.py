"""The loop thread of core: the only one that touches it. Everything else puts into its inbox.

Ticks: drain the inbox in order, let time pass, offer what waits. The inbox is bounded; what does not fit is counted by
whoever brought it. Frames are given SETTLE_S to arrive before a moment counts as past, so that a sample at a
multiple of its period sees the frame that came just before it. A leap of the axis (a first belief, a suspend) is told to
core before the next item and the next pass, so that no gap is lived through that nobody watched.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.clock import LEAP_NS, SystemClock
from agent.collect.request import Request
from agent.core.core import Core
from agent.core.uplinked import Uplinked
from agent.errors import DeviceError, ModicumError, UsageError
from agent.link import Link, Message
from agent.model import Finding
from agent.notify import tell
from hw.ports import Fix, Frame, Silence

INBOX_MAX = 20_000
TICK_S = 0.05
SETTLE_NS = 200_000_000
CLOCK_POLL_S = 1.0
CLOCK_SAVE_S = 60.0
AUDIT_S = 3600.0
"""How often the audit log is asked whether a day is over or a month old."""
LIVE_S = 0.8
"""A clean stop takes at most 2 s. By this much of it, what was in the inbox when it began is lived through."""
DRAIN_S = 1.3
"""By this much, what waits is sent."""
SETTLED_S = 1.6
"""By this much, what was acknowledged is entered, in SETTLE_FLUSHES of the disk at most."""
SETTLE_FLUSHES = 3
LEAP_QUIET_S = 1.0
"""So long after a leap of the axis what a device had stamped before it heard of it may still come in."""
CONFIRM_S = 1.8
"""A withdrawal is answered within 2 s: confirmed by the uplink by then, or else by closing the link to it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the control socket."""

    route: str
    args: dict[str, Any]
    answer: Future[object]


class Answering(Protocol):
    """A route, as the loop sees it."""

    @property
    def run(self) -> Callable[[Core, Mapping[str, Any]], object]:
        """Gives the answer."""
        ...

    @property
    def settles(self) -> bool:
        """Whether the answer waits for what was taken back."""
        ...


@dataclass(frozen=True, slots=True)
class Linked:
    """The uplink connected; None: the one of `ended` went away, which matters only while no newer one has come."""

    link: Link | None
    ended: Link | None = None


Item = Frame | Fix | Silence | Asked | Linked | Message


@dataclass(slots=True)
class Loop:
    """Runs a core until `stop`. `save_clock` stores the time that was reached; `vote` raises DeviceError where a thread does not work.

    The time is stored each minute, when the axis was moved, and at the end.
    """

    core: Core
    clock: SystemClock
    routes: Mapping[str, Answering]
    save_clock: Callable[[int], None]
    vote: Callable[[], None] = lambda: None
    uplinked: Uplinked = field(init=False)
    inbox: queue.Queue[Item] = field(default_factory=lambda: queue.Queue(INBOX_MAX))
    stopping: bool = False
    trouble: Finding | None = None
    beat_s: float = field(default_factory=time.monotonic)
    fixes: int = 0
    _polled_s: float = 0.0
    _saved_s: float = 0.0
    _audited_s: float = field(default_factory=time.monotonic)
    _leapt_s: float = field(default=-LEAP_QUIET_S)
    _offset_ns: int = 0
    _settling: list[tuple[Asked, object, frozenset[int], float]] = field(default_factory=list)
    _waiting: list[tuple[Asked, Request]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.uplinked = Uplinked(self.core.delivery)
        self._offset_ns = self.clock.offset_ns

    def submit(self, route: str, args: dict[str, Any]) -> Future[object]:
        """From any thread: asks a route; the answer comes in the future. Raises DeviceError where the inbox is full."""
        answer: Future[object] = Future()
        try:
            self.inbox.put(Asked(route, args, answer), timeout=1.0)
        except queue.Full as error:
            raise DeviceError("the agent is busy", route, "try again") from error
        return answer

    def run(self) -> None:
        """Until `stopping`, until the device may go, or until the vote is lost; then everything collected so far is made durable.

        Raises DeviceError where a thread does not work. A fault of the loop's own ends it at once: what it would keep is in doubt.
        """
        try:
            while not self.stopping:
                self.turn(TICK_S)
        except DeviceError:  # of the vote alone: the rest of a turn is guarded
            self._end()
            raise
        self._end()

    def _end(self) -> None:
        tell("STOPPING=1")
        began_s = time.monotonic()
        self._live_through(began_s + LIVE_S)
        self.core.pipeline.flush()
        flush_s = max(self._took_s(self.core.keep), self._took_s(lambda: self.save_clock(self.clock.now_ns())))
        self._guarded(self._drain, began_s + DRAIN_S, began_s + SETTLED_S - SETTLE_FLUSHES * flush_s)

    def _took_s(self, write: Callable[[], None]) -> float:
        """Does it, and says how slow the disk is."""
        began_s = time.monotonic()
        self._guarded(write)
        return time.monotonic() - began_s

    def _live_through(self, deadline_s: float) -> None:
        """What is in the inbox by now, as long as there is time; of a flood the rest is lost, as it would be if it came a moment later."""
        for _ in range(self.inbox.qsize()):
            if time.monotonic() >= deadline_s:
                break
            self._guarded(self.take, self.inbox.get_nowait())

    def _drain(self, deadline_s: float, settle_by_s: float) -> None:
        """What can still be sent before the process ends is sent; all of it is durable already.

        An acknowledgement after `settle_by_s` counts as one that did not come: the next run sends that record again.
        """
        self.uplinked.take_back()
        self._send_on(settle_by_s)
        while self.core.delivery.open and (left_s := deadline_s - time.monotonic()) > 0:
            try:
                item = self.inbox.get(timeout=left_s)
            except queue.Empty:
                return
            if not isinstance(item, Frame | Fix | Silence):
                self.take(item)
            self._send_on(settle_by_s)

    def _send_on(self, settle_by_s: float) -> None:
        if time.monotonic() <= settle_by_s:
            self.uplinked.settle(self.clock.now_ns())
        self.uplinked.offer(self.clock.now_ns())

    def turn(self, wait_s: float) -> None:
        """One tick."""
        deadline = time.monotonic() + wait_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                item = self.inbox.get(timeout=left_s)
            except queue.Empty:
                break
            self._guarded(self.take, item)
        self.vote()
        self._guarded(self._pass)

    def _guarded(self, act: Callable[..., None], *arguments: object) -> bool:
        """A disk that takes nothing costs what it has to, is found, and ends nothing else: the next turn tries again."""
        try:
            act(*arguments)
        except DeviceError as error:
            self.trouble = Finding(code="storage-trouble", severity="error", text=error.what, hint=error.hint)
            return False
        return True

    def take(self, item: Item) -> None:
        """One item of the inbox; those of the axis before a leap are dropped: every gate tells its next frame anew."""
        self._guarded(self._look)  # whatever comes of it, this item is taken
        if self._outdated(item):
            return
        match item:
            case Frame():
                self.core.frame(item)
            case Fix():
                self._fix(item)
            case Silence():
                self.core.silence(item)
            case Asked():
                self._answer(item)
            case Linked(link=None) if item.ended is not self.uplinked.link:
                pass
            case Linked():
                self.uplinked.attach(item.link)
            case _:
                self.uplinked.hear(item, self.clock.now_ns())

    def _fix(self, fix: Fix) -> None:
        self.fixes += 1
        if fix.utc_ns is not None and fix.mode >= 2 and fix.time_trusted:
            self.clock.observe_gnss(fix.utc_ns, fix.satellites or 0)
            self._look()
        if not self._outdated(fix):
            self.core.fix(fix)

    def _look(self) -> None:
        """Core hears of a leap of the axis before anything else happens; an offset that changed is saved."""
        leap = self.clock.leapt()
        if leap is not None:
            try:
                self.core.leap(*leap)
            finally:  # it may take a while to write; only now every gate has been told
                self._clear_inbox()
                self._leapt_s = time.monotonic()
        if self._offset_ns != self.clock.offset_ns:
            self.save_clock(self.clock.now_ns())
            self._offset_ns = self.clock.offset_ns

    def _clear_inbox(self) -> None:
        """What devices said on the axis before goes; what others said stays, in its order."""
        waiting: list[Item] = []
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self.inbox.get_nowait())
        for item in waiting:
            if not isinstance(item, Frame | Fix | Silence):
                self.inbox.put_nowait(item)

    def _outdated(self, item: Item) -> bool:
        """Just after a leap: a silence, which is its echo, or what was stamped on the axis before it."""
        if not isinstance(item, Frame | Fix | Silence) or time.monotonic() - self._leapt_s >= LEAP_QUIET_S:
            return False
        return isinstance(item, Silence) or abs(item.t_ns - self.clock.now_ns()) > LEAP_NS

    def _pass(self) -> None:
        now_s = time.monotonic()
        self.beat_s = now_s
        if now_s - self._polled_s >= CLOCK_POLL_S:
            self._polled_s = now_s
            self.clock.poll()
        self._look()
        if now_s - self._saved_s >= CLOCK_SAVE_S:
            self._saved_s = now_s
            self.save_clock(self.clock.now_ns())
        if now_s - self._audited_s >= AUDIT_S and self.core.delivery.may_send:  # a broken log is written no more
            self._audited_s = now_s
            self.core.parts.audit.close_days()
            self.core.parts.audit.compact()
        done = [
            self._guarded(self.core.step, SETTLE_NS),
            self._guarded(self.uplinked.pump, self.clock.now_ns()),
            self._guarded(self._settle, now_s),
        ]
        self._answer_requests()
        if all(done):
            self.trouble = None
        self.stopping = self.stopping or self.core.may_go()

    def _answer(self, asked: Asked) -> None:
        route = self.routes[asked.route]
        try:
            result = route.run(self.core, asked.args)
        except ModicumError as error:
            self.uplinked.take_back()  # of what could not be done to its end, as much as can be
            asked.answer.set_exception(error)
            return
        except (KeyError, TypeError, ValueError) as error:
            asked.answer.set_exception(UsageError(f"arguments that do not fit: {type(error).__name__}", asked.route, "see modicum --help"))
            return
        if isinstance(result, Request):
            self._waiting.append((asked, result))
            self._answer_requests()
            return
        if not route.settles:
            asked.answer.set_result(result)
            return
        self.uplinked.take_back()
        self._settling.append((asked, result, self.uplinked.unconfirmed(), time.monotonic() + CONFIRM_S))
        self._settle(time.monotonic())

    def _answer_requests(self) -> None:
        """Answers those whose readings have come, or for which they will not come any more."""
        waiting, self._waiting = self._waiting, []
        for asked, request in waiting:
            if request.answered:
                asked.answer.set_result(request.told())
            else:
                self._waiting.append((asked, request))

    def _settle(self, now_s: float) -> None:
        """Answers the withdrawals whose offers are confirmed; closes the link when the confirmation does not come."""
        waiting, self._settling = self._settling, []
        for asked, result, ns, deadline_s in waiting:
            if not ns & self.uplinked.unconfirmed():
                asked.answer.set_result(result)
            elif now_s >= deadline_s:
                self.uplinked.cut()
                asked.answer.set_result(result)
            else:
                self._settling.append((asked, result, ns, deadline_s))
