"""The kernel's gate as the reader meets it. Whether the kernel keeps the contract is shown by tests/contract, in a guest."""

from __future__ import annotations

import socket
from typing import Any

import can
import pytest

from hw.can.engine import BusCounters, Line
from hw.can.kernel import KernelEngine
from hw.errors import DeviceLost
from hw.ports import Frame, Mux, Silence, Subscription
from tests.support.fake_bcm import Kernel

S = 10**9


class Raw:
    """The raw socket beside it; `say` lets it hand out a frame."""

    state = can.BusState.ACTIVE

    def __init__(self) -> None:
        self.end, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.queue: list[can.Message] = []
        self.filters: list[Any] = []

    def say(self, message: can.Message) -> None:
        self.queue.append(message)
        self.end.send(b"!")

    def recv(self, timeout: float) -> can.Message | None:
        if not self.queue:
            return None
        self.ours.recv(1)
        return self.queue.pop(0)

    def set_filters(self, filters: list[Any]) -> None:
        self.filters = [one["can_id"] for one in filters]

    def fileno(self) -> int:
        return self.ours.fileno()


class Stage:
    """An engine whose clock the test sets."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.raw, self.now_ns = kernel, Raw(), 0
        self.counters = BusCounters()
        settings = {"interface": "socketcan", "channel": "can0"}
        line = Line("pt", "here", settings, self._opened, lambda _: self.now_ns, lambda: self.now_ns, None, True, self.counters)
        self.engine = KernelEngine(line)

    def _opened(self, **_: object) -> Any:
        return self.raw

    def opened(self, *wanted: Subscription) -> Stage:
        self.engine.swap(wanted, self.now_ns)
        self.engine.open()
        self.engine.set_up()
        self.kernel.orders()
        return self

    def read(self) -> list[tuple[str, int]]:
        self.engine.wait(0)
        return [(type(item).__name__, item.can_id) for item in self.engine.read()]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(Kernel(monkeypatch))


def wish(can_id: int = 0x10, timeout_ns: int = 0, throttle_ns: int = 0, mux: Mux | None = None) -> Subscription:
    return Subscription("pt", can_id, 0xFF, throttle_ns, timeout_ns, mux)


MUX = Mux(0x0F, {1: 0xFF00})


def test_what_was_queued_of_a_withdrawn_identifier_is_gone_when_the_swap_returns(stage: Stage) -> None:
    """Also where it is wanted again later; what is still wanted comes out of the swap itself."""
    stage.opened(wish(0x10), wish(0x11))
    for can_id in (0x10, 0x11):
        stage.kernel.changed(can_id, b"\x01")
    queued = stage.engine.swap([wish(0x11)], 0)
    assert [item.can_id for item in queued] == [0x11]
    stage.engine.swap([wish(0x10), wish(0x11)], 0)
    assert stage.read() == []


def test_what_was_queued_in_the_raw_socket_is_judged_by_the_same_rule(stage: Stage) -> None:
    """By both halves at once, as if they were one."""
    raw = [wish(can_id, timeout_ns=S, throttle_ns=S) for can_id in (0x20, 0x21)]
    stage.opened(wish(0x10), *raw)
    for can_id in (0x20, 0x21):
        stage.raw.say(can.Message(arbitration_id=can_id, data=b"\x01", is_extended_id=False))
    stage.kernel.changed(0x10, b"\x01")
    assert [item.can_id for item in stage.engine.swap([wish(0x10), raw[1]], 0)] == [0x21, 0x10]
    stage.engine.swap([wish(0x10), *raw], 0)
    assert stage.read() == []


def test_an_unchanged_subscription_is_not_set_up_again(stage: Stage) -> None:
    """Its frame would come once more. What is new is set up before what is old is removed."""
    stage.opened(wish(0x10), wish(0x11))
    stage.engine.swap([wish(0x11), wish(0x12)], 0)
    assert [(order.opcode, order.can_id) for order in stage.kernel.orders()] == [(5, 0x12), (6, 0x10)]


def test_a_case_that_is_not_wanted_any_more_does_not_come_out(stage: Stage) -> None:
    """It was queued before its plan was narrowed."""
    stage.opened(wish(mux=Mux(0x0F, {1: 0xFF00, 2: 0xFF00})))
    stage.kernel.changed(0x10, b"\x02\x05")
    stage.kernel.changed(0x10, b"\x01\x05")
    assert [item.data for item in stage.engine.swap([wish(mux=MUX)], 0) if isinstance(item, Frame)] == [b"\x01\x05"]


def test_a_time_out_of_the_old_plan_is_none_of_the_new(stage: Stage) -> None:
    """A changed subscription begins anew, so it cannot have been silent yet."""
    stage.opened(wish(timeout_ns=S))
    stage.kernel.timed_out(0x10)
    assert stage.engine.swap([wish(timeout_ns=2 * S)], 0) == []


def test_silence_is_told_once_while_the_bus_is_gone_and_after_it(stage: Stage) -> None:
    """By our own clock from the loss on; the kernel's time-out of the same silence is nothing new; what is heard ends it."""
    heard(stage.opened(wish(timeout_ns=5 * S)))
    stage.engine.close(10 * S)
    assert (stage.engine.next_due_ns(), stage.engine.due(15 * S - 1)) == (15 * S, [])
    assert stage.engine.due(15 * S) == [Silence("pt", 0x10, 15 * S)]
    stage.opened(wish(timeout_ns=5 * S))
    stage.kernel.timed_out(0x10)
    assert stage.read() == []
    heard(stage)
    stage.kernel.timed_out(0x10)
    assert stage.read() == [("Silence", 0x10)]


def test_a_bus_that_comes_and_goes_without_a_frame_is_silent_all_the_same(stage: Stage) -> None:
    """Its time-out does not begin anew each time."""
    heard(stage.opened(wish(timeout_ns=5 * S)))
    stage.engine.close(10 * S)
    stage.opened(wish(timeout_ns=5 * S))
    stage.engine.close(14 * S)
    assert stage.engine.due(15 * S) == [Silence("pt", 0x10, 15 * S)]


def test_what_the_inbox_had_no_room_for_is_told_again(stage: Stage) -> None:
    """A frame by the kernel, which is asked without a touch of its timers; a silence a second later."""
    heard(stage.opened(wish(timeout_ns=5 * S)))
    stage.engine.forget(Frame("pt", 0x10, b"\x01", 1))
    assert [(order.opcode, order.flags & 0x3) for order in stage.kernel.orders()] == [(5, 0)]
    assert stage.engine.counts().delivered == 0
    stage.kernel.timed_out(0x10)
    assert stage.read() == [("Silence", 0x10)]
    stage.engine.forget(Silence("pt", 0x10, 7 * S))
    assert (stage.engine.due(8 * S - 1), stage.engine.due(8 * S)) == ([], [Silence("pt", 0x10, 8 * S)])


def test_what_the_kernel_had_no_room_for_is_told_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known what it was: everything, once, when the queue is empty again; a silence may have been among it."""
    heard(stage.opened(wish(0x10, timeout_ns=5 * S), wish(0x11)))
    monkeypatch.setattr("hw.can.kernel.drops", lambda _: 3)
    stage.now_ns = 20 * S
    assert (stage.read(), stage.read()) == ([], [])
    assert [(order.opcode, order.can_id, order.flags & 0x3) for order in stage.kernel.orders()] == [(5, 0x10, 0), (5, 0x11, 0)]
    assert stage.counters.lost == 3
    assert stage.engine.due(25 * S) == [Silence("pt", 0x10, 25 * S)]


def test_a_new_bus_has_dropped_nothing_yet(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts by socket: what the last one dropped is neither taken back nor told again."""
    stage.opened(wish(0x11))
    monkeypatch.setattr("hw.can.kernel.drops", lambda _: 3)
    stage.read()
    stage.engine.close(0)
    stage.opened(wish(0x11))
    monkeypatch.setattr("hw.can.kernel.drops", lambda _: 0)
    assert (stage.read(), stage.kernel.orders(), stage.counters.lost) == ([], [], 3)


def test_what_the_kernel_cannot_say_goes_through_a_raw_socket(stage: Stage) -> None:
    """Filtered by the exact identifier, gated in software: here a time-out inside the throttle."""
    stage.opened(wish(0x10, throttle_ns=S, timeout_ns=S), wish(0x11))
    assert stage.raw.filters == [0x10]
    for data in (b"\x01", b"\x01"):
        stage.raw.say(can.Message(arbitration_id=0x10, data=data, is_extended_id=False))
    assert (stage.read(), stage.read()) == ([("Frame", 0x10)], [])
    assert stage.engine.counts().wanted == 2


def test_what_went_through_the_raw_socket_and_was_lost_is_told_again(stage: Stage) -> None:
    """Its repetition, which says nothing new, is the first that says it."""
    stage.opened(wish(0x10, timeout_ns=401 * 86_400 * S))
    same = can.Message(arbitration_id=0x10, data=b"\x01", is_extended_id=False)
    stage.raw.say(same)
    assert stage.read() == [("Frame", 0x10)]
    stage.engine.forget(Frame("pt", 0x10, b"\x01", 0))
    stage.raw.say(same)
    assert stage.read() == [("Frame", 0x10)]


def test_what_the_kernel_cannot_say_is_silent_while_the_bus_is_gone(stage: Stage) -> None:
    """By the software gate's clock, which says when."""
    stage.opened(wish(0x10, throttle_ns=S, timeout_ns=S))
    stage.raw.say(can.Message(arbitration_id=0x10, data=b"\x01", is_extended_id=False))
    stage.read()
    stage.engine.close(0)
    assert (stage.engine.next_due_ns(), stage.engine.due(S)) == (S, [Silence("pt", 0x10, S)])


def test_error_frames_are_counted_and_bus_off_is_a_loss(stage: Stage) -> None:
    """They come by the raw socket, which is there also when it carries no identifier."""
    stage.opened(wish())
    stage.raw.say(can.Message(arbitration_id=0x88, data=bytes(8), is_error_frame=True))
    assert stage.read() == []
    stage.raw.say(can.Message(arbitration_id=0x40, data=bytes(8), is_error_frame=True))
    with pytest.raises(DeviceLost, match="bus off"):
        stage.read()
    assert (stage.counters.error, dict(stage.counters.errors)) == (2, {"protocol": 1, "bus-error": 1, "bus-off": 1})


def test_a_swap_that_the_bus_refuses_is_a_loss(stage: Stage) -> None:
    """The plan stands; the next reading tells it, and what is opened then, the raw socket too, is set up by it."""
    stage.opened(wish(0x10), wish(0x200, timeout_ns=S, throttle_ns=2 * S))
    assert stage.raw.filters == [0x200]
    stage.kernel.end.close()
    assert stage.engine.swap([wish(0x11)], 0) == []
    with pytest.raises(can.CanOperationError):
        stage.read()
    stage.engine.close(0)
    stage.engine.open()
    stage.engine.set_up()
    assert [(order.opcode, order.can_id) for order in stage.kernel.orders()] == [(5, 0x11)]
    assert 0x200 not in stage.raw.filters
    assert stage.read() == []


def test_a_repetition_that_the_bus_refuses_is_a_loss(stage: Stage) -> None:
    """What the inbox had no room for would else be told by nobody."""
    heard(stage.opened(wish()))
    stage.kernel.end.close()
    stage.engine.forget(Frame("pt", 0x10, b"\x01", 1))
    with pytest.raises(can.CanOperationError):
        stage.read()


def test_a_frame_that_ends_too_early_is_short_by_its_own_case(stage: Stage) -> None:
    """As in software, but among those alone that the kernel lets through."""
    stage.opened(wish(mux=Mux(0x0F, {1: 0xFF00, 2: 0xFF0000})))
    for data in (b"\x01\x09", b"\x02\x09"):
        stage.kernel.changed(0x10, data)
    stage.read()
    counts = stage.engine.counts()
    assert (counts.wanted, counts.delivered, counts.short) == (2, 2, 1)


def test_two_subscriptions_of_one_identifier_are_refused(stage: Stage) -> None:
    """The kernel would let the second replace the first in silence."""
    with pytest.raises(ValueError, match="merge"):
        stage.engine.swap([wish(), wish(throttle_ns=1)], 0)


def heard(stage: Stage) -> None:
    stage.kernel.changed(0x10, b"\x01")
    assert stage.read() == [("Frame", 0x10)]
