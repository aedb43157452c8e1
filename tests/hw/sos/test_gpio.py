"""The SOS line's thread, on a line without a chip: what it tells, when it wakes, how it comes back. A real kernel: tests/guest."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NoReturn

import pytest

from hw.sos.gpio import SosLine
from hw.sos.held import BOUNCE_NS, HELD_NS, NS, STUCK_NS
from hw.sos.line import Edge, Line, Wiring
from hw.supervision import TICK_S
from tests.support.wait import until

WIRING = Wiring(chip="chip", line="SOS")
MS = 1_000_000
GONE = OSError(errno.ENODEV, "No such device")

BROKE_OFF = "the SOS line broke off (chip line SOS): No such device; opened again by itself"


class Button:
    """Stands for the kernel: `put` are edges that wait, `plugged` is whether the chip is there."""

    def __init__(self) -> None:
        self.found = False
        self.waits_s: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.opened = 0
        self.closed = 0
        self.read_most = 64
        self.trouble: OSError | None = None
        self._waiting: list[Edge] = []
        self._changed = threading.Condition()

    def put(self, *edges: Edge) -> None:
        with self._changed:
            self._waiting += edges
            self._changed.notify()

    def open(self, wiring: Wiring) -> Line:
        if self.trouble is not None:
            raise self.trouble
        self.opened += 1
        return self

    def active(self) -> bool:
        if self.trouble is not None:
            raise self.trouble
        return self.found

    def edges(self, wait_s: float) -> Sequence[Edge]:
        self.waits_s.put(wait_s)
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, wait_s)
            come, self._waiting = self._waiting[: self.read_most], self._waiting[self.read_most :]
        if not come:
            self.active()
        return come

    def close(self) -> None:
        self.closed += 1


class Call:
    """A button, its line, and what was told when."""

    def __init__(self) -> None:
        self.button = Button()
        self.told: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.line = SosLine(WIRING, tell=lambda: self.told.put(time.monotonic_ns()), open_line=self.button.open)

    def start(self) -> Call:
        self.line.start()
        until(lambda: self.button.opened == 1 and not self.line.problem, "the line to be read")
        return self

    def silent(self, for_s: float = 3 * TICK_S) -> bool:
        time.sleep(for_s)
        return self.told.empty()


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call()
    yield made
    made.line.close()
    assert not made.line.alive()


def edges(ago_ns: int, *lasts_ns: int) -> list[Edge]:
    """Down so long ago, and then up, down, up after each of the pieces."""
    began_ns = time.monotonic_ns() - ago_ns
    return [Edge(active=n % 2 == 0, t_ns=began_ns + t_ns) for n, t_ns in enumerate(accumulate((0, *lasts_ns)))]


def test_a_hold_is_told_at_its_end_and_once(call: Call) -> None:
    """The thread wakes for that moment by itself; a finger that stays says no more."""
    (press,) = edges(HELD_NS - 500 * MS)
    call.start().button.put(press)
    late_ns = call.told.get(timeout=30) - (press.t_ns + HELD_NS)
    assert 0 <= late_ns < 3 * NS
    assert call.silent()


def test_it_sleeps_as_long_as_it_may(call: Call) -> None:
    """Between looks at the chip, and then exactly until the hold is over: nothing polls."""
    call.start()
    call.button.put(*edges(HELD_NS - 300 * MS))
    call.told.get(timeout=30)
    waits_s = [call.button.waits_s.get() for _ in range(call.button.waits_s.qsize())]
    assert max(waits_s) <= TICK_S
    assert sum(wait_s == TICK_S for wait_s in waits_s) == len(waits_s) - 1  # all but the last piece of the hold


def test_a_release_just_before_the_end_is_no_hold(call: Call) -> None:
    """Even where both edges are read together, long afterwards."""
    call.start().button.put(*edges(10 * NS, HELD_NS - 1))
    assert call.silent()


def test_a_hold_that_is_over_when_it_is_read_is_told(call: Call) -> None:
    """A thread that was held up is late, not deaf."""
    call.start().button.put(*edges(10 * NS, HELD_NS))
    call.told.get(timeout=30)
    assert call.silent()


def test_edges_that_are_still_to_be_read_are_waited_for(call: Call) -> None:
    """Those read so far look like a hold; a second read has the release that it was not."""
    call.button.read_most = 1
    call.start().button.put(*edges(10 * NS, 1 * NS))
    assert call.silent()


def test_a_bounce_that_is_still_to_be_read_is_one(call: Call) -> None:
    """The release of a few milliseconds was long ago when it is read, its end comes with the next read: the hold goes on."""
    call.button.read_most = 1
    call.start().button.put(*edges(10 * NS, 1 * NS, BOUNCE_NS // 2, HELD_NS - 1 * NS))
    call.told.get(timeout=30)
    assert call.silent()


def test_a_button_that_was_down_before_is_told_as_stuck_and_calls_nobody(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has been down for longer than anybody presses; let go, it is not stuck any more."""
    monkeypatch.setattr("hw.sos.held.STUCK_NS", STUCK_NS // 60)
    call.button.found = True
    call.start()
    assert not call.line.stuck
    until(lambda: call.line.stuck, "the button to be found stuck")
    assert call.told.empty()
    call.button.put(Edge(active=False, t_ns=time.monotonic_ns()))
    until(lambda: not call.line.stuck, "the button to be found well")


def test_a_chip_that_is_away_is_no_stuck_button(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was last seen says nothing any more: the problem does."""
    monkeypatch.setattr("hw.sos.held.STUCK_NS", 0)
    call.button.found = True
    call.start()
    until(lambda: call.line.stuck, "the button to be found stuck")
    call.button.trouble = GONE
    until(lambda: call.line.losses, "the loss")
    assert not call.line.stuck


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (OSError(errno.ENOENT, "the chip has no such line"), "the chip has no such line"),
        (OSError(errno.EBUSY, "busy"), "another program or driver has it"),
        (OSError(errno.EACCES, "denied"), "the service may not open the chip's device"),
        (OSError(errno.EPERM, "denied"), "the service may not open the chip's device"),
        (OSError(errno.ENXIO, "none"), "the chip tells no edges, it has no interrupt"),
        (OSError(), "Success"),
    ],
)
def test_a_line_that_does_not_open_says_why(call: Call, trouble: OSError, cause: str) -> None:
    """In words for the person with the laptop in the car; it is tried again."""
    call.button.trouble = trouble
    call.line.start()
    until(lambda: call.line.losses == 2, "it to be tried twice")
    assert call.line.problem == f"the SOS line does not open (chip line SOS): {cause}; tried again by itself"


def test_a_chip_that_goes_is_told_and_comes_back_by_itself(call: Call) -> None:
    """Seen although no edge comes; closed, opened again, and a button like before."""
    call.start().button.trouble = GONE
    until(lambda: call.line.problem == BROKE_OFF, "the loss to be told")
    assert call.button.closed == 1
    until(lambda: call.line.losses >= 3, "some attempts to fail")
    call.button.trouble = None
    until(lambda: not call.line.problem, "the line to be read again", within_s=3 * 3.0)
    call.button.put(*edges(HELD_NS))
    call.told.get(timeout=30)


def test_a_press_that_lasts_over_a_loss_does_not_count(call: Call) -> None:
    """Nobody knows whether it was one press."""
    call.start().button.put(*edges(0))
    call.button.found, call.button.trouble = True, GONE
    until(lambda: call.line.losses >= 1, "the loss")
    call.button.trouble = None
    until(lambda: not call.line.problem, "the line to be read again")
    assert call.silent(HELD_NS / NS + TICK_S)


@pytest.mark.parametrize(
    ("chip", "cause"),
    [("/dev/gpiochip-none", "No such file or directory"), ("none", "no chip that can be read has this name or label")],
)
def test_a_chip_that_does_not_exist_is_a_problem_in_words(chip: str, cause: str) -> None:
    """By path and by label, asked of this computer's own kernel."""
    line = SosLine(Wiring(chip=chip, line=17), tell=_never)
    line.start()
    until(lambda: line.losses, "it to be tried")
    line.close()
    assert line.problem == f"the SOS line does not open ({chip} line 17): {cause}; tried again by itself"


def _never() -> NoReturn:
    raise AssertionError("nobody held anything")
