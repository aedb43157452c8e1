"""The software gate behind a bus whose queue drops frames, or which refuses what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import can
import pytest
from can.interfaces.socketcan import SocketcanBus

from hw.can.engine import DROPS_EVERY, BusCounters, Line, SoftwareEngine
from hw.ports import Frame, Silence, Subscription

WISH = Subscription("pt", 0x10, 0xFF, 0, 0)


class Bus(SocketcanBus):
    """python-can's own, but without a socket: `come` is what it receives, one and the same frame for ever unless told otherwise."""

    def __init__(self) -> None:
        self._is_shutdown = True
        self.socket = None  # type: ignore[assignment]  # asked by `drops` alone, which the test answers
        self.refuses = False
        self.come: Iterator[bool] = iter(lambda: True, False)

    def recv(self, timeout: float | None = None) -> can.Message | None:
        return can.Message(arbitration_id=0x10, data=b"\x01", is_extended_id=False) if next(self.come) else None

    def set_filters(self, filters: Any = None) -> None:
        if self.refuses:
            raise OSError(100, "Network is down")


class Stage:
    def __init__(self) -> None:
        self.bus, self.counters = Bus(), BusCounters()
        settings = {"interface": "socketcan", "channel": "can0"}
        line = Line("pt", "here", settings, lambda **_: self.bus, lambda _: 0, lambda: 0, None, True, self.counters)
        self.engine = SoftwareEngine(line)
        self.engine.swap([WISH], 0)
        self.open()

    def open(self) -> None:
        self.engine.open()
        self.engine.set_up()

    def read(self) -> list[Frame | Silence]:
        self.engine.wait(0)
        return self.engine.read()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def dropped(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("hw.can.engine.drops", lambda _: number)


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
