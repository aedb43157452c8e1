"""The end of the loop, on a clock that only waiting and working move: 2 s at most, whatever is slow, and durable first."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import pytest
from sqlite_utils import Database

from agent import audit
from agent.buffer import store
from agent.core import loop as module
from agent.core.loop import DRAIN_S, INBOX_MAX, LIVE_S, Item
from agent.daemons.core import CLOSE_S
from agent.errors import DeviceError
from agent.link import Ack
from agent.storage import memory
from hw.ports import Frame
from tests.agent.core.stage import Stage, vehicle

STOP_S = 2.0
"""What is promised, from being told to the end of the process."""


class Seconds:
    """In the place of `time`."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Inbox:
    """In the place of the queue: each item takes `item_s`, waiting in vain takes as long as it says."""

    def __init__(self, seconds: Seconds, items: list[Item], item_s: float) -> None:
        self.seconds, self.items, self.item_s = seconds, deque(items), item_s

    def qsize(self) -> int:
        return len(self.items)

    def get_nowait(self) -> Item:
        if not self.items:
            raise queue.Empty
        self.seconds.now_s += self.item_s
        return self.items.popleft()

    def get(self, timeout: float) -> Item:
        if not self.items:
            self.seconds.now_s += timeout
        return self.get_nowait()


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    made = Seconds()
    monkeypatch.setattr(module, "time", made)
    return made


def ended(stage: Stage, seconds: Seconds, *items: Item, item_s: float = 0.0) -> tuple[float, Inbox]:
    """The loop is told to stop: how long it then takes, and what is left in the inbox."""
    inbox = Inbox(seconds, list(items), item_s)
    replaced: Any = inbox
    stage.loop.inbox = replaced
    stage.loop.stopping = True
    began_s = seconds.now_s
    stage.loop.run()
    return seconds.now_s - began_s, inbox


def waits_for_the_broker(stage: Stage) -> None:
    """Offers are out, and nobody answers."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.connect()
    assert stage.pump()


def frames(stage: Stage, count: int) -> list[Item]:
    """Speed, and an ignition that is on, turn by turn."""
    made: list[Item] = []
    for name in ("Vehicle.Speed", "Vehicle.LowVoltageSystemState"):
        message = vehicle().sources[name].message
        values = {signal.name: 2 if signal.name == "KL" else 0 for signal in message.signals}
        data = message.encode(values, scaling=True, strict=False)
        made.append(Frame("pt", message.frame_id, data, stage.clock.now_ns()))
    return (made * count)[:count]


def test_the_parts_of_the_end_fit_into_what_is_promised() -> None:
    """One turn that has begun, sending, closing, and room for the last writes and the interpreter's own end."""
    assert LIVE_S < DRAIN_S
    assert module.TICK_S + DRAIN_S + CLOSE_S <= STOP_S - 0.3


def test_a_broker_that_does_not_answer_is_not_waited_for(stage: Stage, seconds: Seconds) -> None:
    """For exactly so long."""
    waits_for_the_broker(stage)
    lasted_s, _ = ended(stage, seconds)
    assert lasted_s == pytest.approx(DRAIN_S)


def test_with_nothing_to_send_the_end_waits_for_nobody(stage: Stage, seconds: Seconds) -> None:
    """Not a moment."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    assert ended(stage, seconds)[0] == 0
    assert stage.stored()["a.minute"] == 1


def test_a_lost_vote_costs_nothing_that_was_collected(stage: Stage, seconds: Seconds) -> None:
    """A thread has ended: core ends as it does when it is told to, in the same time, and then says why."""
    waits_for_the_broker(stage)

    def lost() -> None:
        raise DeviceError("a thread has ended: link")

    stage.loop.vote = lost
    stage.loop.inbox = cast("Any", Inbox(seconds, frames(stage, 10), 0.001))
    began_s = seconds.now_s
    with pytest.raises(DeviceError, match="a thread has ended"):
        stage.loop.run()
    assert seconds.now_s - began_s <= module.TICK_S + DRAIN_S + 0.002
    assert stage.stored()["a.minute"] == 1


def test_a_fault_of_the_loop_s_own_ends_it_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept that may have been collected in doubt."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)

    def broken(_: object) -> None:
        raise RuntimeError("of ours")

    monkeypatch.setattr(type(stage.core), "may_go", broken)
    with pytest.raises(RuntimeError, match="of ours"):
        stage.loop.run()
    assert "a.minute" not in stage.stored()


def test_what_waits_in_the_inbox_is_lived_through(stage: Stage, seconds: Seconds) -> None:
    """A full one, at the pace of a device five times slower than this test's: nothing of it is lost."""
    stage.trip_of("anna", "x.speed")
    lasted_s, inbox = ended(stage, seconds, *frames(stage, INBOX_MAX), item_s=LIVE_S / INBOX_MAX / 2)
    assert lasted_s == pytest.approx(LIVE_S / 2)
    assert not inbox.items


def test_a_bus_that_goes_on_does_not_hold_the_end_up(stage: Stage, seconds: Seconds) -> None:
    """What comes later is not waited for: each frame brings another one."""
    stage.trip_of("anna", "x.speed")
    frame, *_ = frames(stage, 1)

    class Going(Inbox):
        def get_nowait(self) -> Item:
            self.items.append(frame)
            return super().get_nowait()

    replaced: Any = Going(seconds, [frame] * 10, 0.001)
    stage.loop.inbox = replaced
    began_s, stage.loop.stopping = seconds.now_s, True
    stage.loop.run()
    assert seconds.now_s - began_s == pytest.approx(0.01)


def test_a_flood_does_not_hold_the_end_up(stage: Stage, seconds: Seconds) -> None:
    """20,000 frames of a millisecond each, and a broker that does not answer."""
    waits_for_the_broker(stage)
    lasted_s, inbox = ended(stage, seconds, *frames(stage, INBOX_MAX), item_s=0.001)
    assert lasted_s == pytest.approx(DRAIN_S, abs=0.002)
    assert inbox.items
    assert stage.stored()["a.minute"] == 1


def test_everything_is_durable_before_anything_is_sent(stage: Stage, seconds: Seconds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of open windows, and the time that was reached."""
    waits_for_the_broker(stage)
    done: list[object] = []
    stage.loop.save_clock = lambda _: done.append("clock")
    monkeypatch.setattr(type(stage.loop.uplinked), "offer", lambda *_: done.append(stage.stored().get("a.minute")))
    ended(stage, seconds)
    assert done[:2] == ["clock", 1]


@pytest.mark.parametrize("commit_s", [0.1, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("acknowledges", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_a_slow_disk_does_not_hold_the_end_up(
    stage: Stage, seconds: Seconds, monkeypatch: pytest.MonkeyPatch, commit_s: float, acknowledges: bool, full: bool
) -> None:
    """Each transaction takes so long, the inbox is full or not, and the broker has acknowledged all offers or does not answer."""
    slow(monkeypatch, seconds, commit_s)
    waits_for_the_broker(stage)
    stage.drive(3)
    stage.loop.save_clock = lambda _: stage.core.parts.memory.set("clock", b"")
    acks = [Ack(n=n) for n in stage.core.delivery.open] if acknowledges else []
    lasted_s, _ = ended(stage, seconds, *acks, *frames(stage, INBOX_MAX if full else 0), item_s=0.0001)
    assert lasted_s <= STOP_S - CLOSE_S + 1e-6
    assert stage.stored()["a.minute"] >= 1


@pytest.mark.parametrize(("commit_s", "settled"), [(0.0, True), (0.2, True), (0.3, False)])
def test_what_a_slow_disk_has_no_time_to_enter_is_sent_again(
    stage: Stage, seconds: Seconds, monkeypatch: pytest.MonkeyPatch, commit_s: float, settled: bool
) -> None:
    """An acknowledgement with which the 2 s would not hold counts as one that did not come: the record stays."""
    waits_for_the_broker(stage)
    offered = set(stage.core.delivery.open)
    stage.loop.save_clock = lambda _: stage.core.parts.memory.set("clock", b"")
    slow(monkeypatch, seconds, commit_s)
    ended(stage, seconds, *[Ack(n=n) for n in offered], *frames(stage, 500), item_s=0.001)
    assert bool(offered & set(stage.core.delivery.open)) != settled


def slow(monkeypatch: pytest.MonkeyPatch, seconds: Seconds, commit_s: float) -> None:
    """Every transaction takes its time."""
    for one in (store, audit, memory):
        real = one.transaction

        @contextlib.contextmanager
        def slowly(db: Database, real: Any = real) -> Iterator[None]:
            with real(db):
                yield
            seconds.now_s += commit_s

        monkeypatch.setattr(one, "transaction", slowly)
