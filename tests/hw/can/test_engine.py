"""The software gate behind a bus whose queue drops frames, or which refuses what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import can
import pytest
from can.interfaces.socketcan import SocketcanBus

from hw.can.engine import DROPS_EVERY, BusCounters, BusOff, Line, SoftwareEngine
from hw.ports import Frame, Silence, Subscription


def wish(can_id: int) -> Subscription:
    return Subscription("pt", can_id, 0xFF, 0, 0)


def frame(can_id: int) -> can.Message:
    return can.Message(arbitration_id=can_id, data=b"\x01", is_extended_id=False)


def ids(items: list[Frame | Silence]) -> list[int]:
    return [item.can_id for item in items]


class Bus(SocketcanBus):
    """python-can's own, but without a socket: `come` is what it receives, one and the same frame for ever unless told otherwise."""

    def __init__(self) -> None:
        self._is_shutdown = True
        self.socket = None  # type: ignore[assignment]  # asked by `drops` alone, which the test answers
        self.refuses = False
        self.come: Iterator[bool | can.Message] = iter(lambda: True, False)

    def recv(self, timeout: float | None = None) -> can.Message | None:
        come = next(self.come)
        return come if isinstance(come, can.Message) else frame(0x10) if come else None

    def set_filters(self, filters: Any = None) -> None:
        if self.refuses:
            raise OSError(100, "Network is down")


class Stage:
    def __init__(self) -> None:
        self.bus, self.counters = Bus(), BusCounters()
        settings = {"interface": "socketcan", "channel": "can0"}
        line = Line("pt", "here", settings, lambda **_: self.bus, lambda _: 0, lambda: 0, None, True, self.counters)
        self.engine = SoftwareEngine(line)
        self.engine.swap([wish(0x10)], 0)
        self.open()

    def open(self) -> None:
        self.engine.open()
        self.engine.set_up()

    def read(self) -> list[Frame | Silence]:
        self.engine.wait(0)
        return self.engine.read()


def dropped(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("hw.can.engine.drops", lambda _: number)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    dropped(monkeypatch, 0)
    return Stage()


def test_a_full_bus_tells_what_was_dropped_while_it_is_full(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in DROPS_EVERY frames; then what says nothing new is told again, once."""
    dropped(monkeypatch, 3)
    told = [n for n in range(1, 2 * DROPS_EVERY) if stage.read()]
    assert told == [1, DROPS_EVERY + 1]
    assert stage.counters.lost == 3


def test_a_new_bus_has_dropped_nothing_yet(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts by socket: what the last one dropped is neither taken back nor told again."""
    stage.bus.come = iter([False, True, False, True])
    dropped(monkeypatch, 3)
    assert (stage.read(), len(stage.read())) == ([], 1)
    stage.engine.close(0)
    stage.open()
    dropped(monkeypatch, 0)
    assert (stage.read(), stage.read(), stage.counters.lost) == ([], [], 3)


def test_a_bus_that_refuses_a_swap_is_no_fault_of_the_plan(stage: Stage) -> None:
    """The plan stands, and the bus, which will fail in `wait` as well, is set up by it when it is opened anew."""
    stage.bus.refuses = True
    assert stage.engine.swap([], 0) == []
    assert stage.read() == []


def test_what_came_before_it_was_wanted_never_comes_out(stage: Stage) -> None:
    """Of a new identifier, nor of one that was withdrawn and is wanted again; what stays wanted comes out of the swap."""
    stage.engine.swap([wish(0x10), wish(0x11)], 0)
    stage.bus.come = iter([frame(0x10), frame(0x11), frame(0x12), False, False, False, frame(0x10), frame(0x11), frame(0x12)])
    assert ids(stage.engine.swap([wish(0x11)], 0)) == [0x11]
    assert stage.engine.swap([wish(0x10), wish(0x11), wish(0x12)], 0) == []
    assert stage.read() == []
    assert [ids(stage.read()) for _ in range(3)] == [[0x10], [], [0x12]]


@pytest.mark.parametrize("inside", [True, False])
def test_a_frame_that_is_just_being_received_was_there_before_the_swap(stage: Stage, *, inside: bool) -> None:
    """Whether the reader's thread is still inside of the driver or has not got round to reading what it brought."""
    holds, goes_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[can.Message | bool]:
        holds.set()
        goes_on.wait(10.0)
        yield frame(0x10)
        while True:
            yield False

    stage.bus.come = slowly()
    waiting = threading.Thread(target=stage.engine.wait, args=(10.0,))
    waiting.start()
    holds.wait(10.0)
    threading.Timer(0.3 if inside else 0.0, goes_on.set).start()
    if not inside:
        waiting.join()
    for plan in ([], [wish(0x10)]):
        assert stage.engine.swap(plan, 0) == []
    waiting.join()
    assert (stage.engine.read(), stage.counters.read) == ([], 1)


def test_fault_a_bus_off_that_a_swap_meets_is_told_by_the_next_reading(stage: Stage) -> None:
    """Whoever changes the plan cannot do anything about it."""
    stage.bus.come = iter([can.Message(arbitration_id=0x40, data=bytes(8), is_error_frame=True), frame(0x10), False, False])
    assert ids(stage.engine.swap([wish(0x10), wish(0x11)], 0)) == [0x10]
    with pytest.raises(BusOff):
        stage.read()


def test_fault_two_subscriptions_of_one_identifier_change_nothing(stage: Stage) -> None:
    """Not even where what is queued would have been judged first."""
    with pytest.raises(ValueError, match="merge them"):
        stage.engine.swap([wish(0x11), wish(0x11)], 0)
    assert ids(stage.read()) == [0x10]
