"""The bus reader: gated, exact at a withdrawal, and back after every loss."""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import can
import pytest

from hw.can.bus import BusReader
from hw.ports import EXTENDED_ID, Frame, Silence, Subscription
from tests.support.wait import until

WAIT_S = 10.0
SECOND_NS = 10**9


def wish(can_id: int, timeout_ns: int = 3600 * SECOND_NS) -> Subscription:
    return Subscription("pt", can_id, 0xFF, 0, timeout_ns)


def message(can_id: int, data: bytes = b"\x01", **more: Any) -> can.Message:
    return can.Message(arbitration_id=can_id, data=data, is_extended_id=False, timestamp=time.time(), **more)


class FakeBus:
    """An adapter whose faults the test chooses: `script` yields messages, None for a pause, or an exception to raise."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[can.Message | Exception] = queue.Queue()
        self.state = can.BusState.ACTIVE
        self.filters: list[Any] = []
        self.closed = 0
        self.sent = 0

    def recv(self, timeout: float) -> can.Message | None:
        try:
            item = self.inbox.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def set_filters(self, filters: Any) -> None:
        self.filters.append(filters)

    def send(self, *args: Any, **more: Any) -> None:
        self.sent += 1

    def shutdown(self) -> None:
        self.closed += 1


class Garage:
    """Opens fake buses; `broken` makes opening fail as a missing interface does."""

    def __init__(self) -> None:
        self.buses: list[FakeBus] = []
        self.tries: list[float] = []
        self.broken: Exception | None = None

    def open(self, **settings: Any) -> Any:
        self.tries.append(time.monotonic())
        if self.broken is not None:
            raise self.broken
        self.buses.append(FakeBus())
        return self.buses[-1]


@contextlib.contextmanager
def reading(
    open_bus: Callable[..., Any],
    deliver: Callable[[Frame | Silence], object],
    interface: str = "fake",
    channel: str = "x",
    **how: Any,
) -> Iterator[BusReader]:
    how |= {"deliver": deliver, "to_axis": lambda s: round(s * 1e9), "now_ns": time.time_ns, "open_bus": open_bus}
    reader = BusReader("pt", interface, channel, **how)
    reader.start()
    try:
        yield reader
    finally:
        reader.close()
        assert not reader.alive()


def test_a_real_python_can_bus_is_read_through_the_gate() -> None:
    """On python-can's virtual interface only wanted, changed frames arrive, with their own time; nothing else does."""
    got: queue.Queue[Frame | Silence] = queue.Queue()
    with can.Bus(interface="virtual", channel="bus-test") as car, reading(can.Bus, got.put_nowait, "virtual", "bus-test") as reader:
        reader.subscribe([wish(0x10), Subscription("body", 0x11, 0xFF, 0, 0)])
        until(lambda: not reader.problem)
        before = time.time_ns()
        car.send(message(0x11))
        car.send(message(0x10, b"\x01"))
        car.send(message(0x10, b"\x01"))
        car.send(message(0x10, b"\x02"))
        until(lambda: reader.counters.read == 4)
        frames = [got.get(timeout=WAIT_S), got.get(timeout=WAIT_S)]
        assert [one.data for one in frames if isinstance(one, Frame)] == [b"\x01", b"\x02"]
        assert all(before - SECOND_NS < one.t_ns < time.time_ns() + SECOND_NS for one in frames)
        assert got.empty()


def test_fault_interface_down_and_back() -> None:
    """`recv` raises OSError 100: the bus is closed, opened again, frames flow, and the gap is counted."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        garage.buses[0].inbox.put(OSError(100, "Network is down"))
        until(lambda: len(garage.buses) == 2)
        garage.buses[1].inbox.put(message(0x10))
        assert isinstance(got.get(timeout=WAIT_S), Frame)
        assert (reader.losses, garage.buses[0].closed, reader.problem) == (1, 1, "")


def test_fault_adapter_gone_and_back_within_three_seconds() -> None:
    """While the adapter is gone each try fails, with pauses that grow and stay under 3 s; then reading goes on."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    garage.broken = can.CanInitializationError("no such device")
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: reader.losses >= 4)
        assert "no such device" in reader.problem
        garage.broken = None
        until(lambda: garage.buses)
        garage.buses[0].inbox.put(message(0x10))
        assert isinstance(got.get(timeout=WAIT_S), Frame)
    pauses = [b - a for a, b in itertools.pairwise(garage.tries)]
    assert pauses[0] < 0.5
    assert max(pauses) < 3.5
    assert pauses[2] > pauses[0]


def test_fault_bus_off_opens_a_new_bus() -> None:
    """A controller that reports bus off gives nothing for ever: a new bus is opened."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    with reading(garage.open, got.put_nowait) as reader:
        until(lambda: garage.buses)
        garage.buses[0].state = can.BusState.ERROR
        until(lambda: len(garage.buses) >= 2)
        assert reader.losses >= 1


def error_frame(bits: int) -> can.Message:
    return can.Message(arbitration_id=bits, data=bytes(8), is_error_frame=True, timestamp=time.time())


def goes_off(garage: Garage, reader: BusReader) -> None:
    """Then two more error frames of the new bus: once the second is counted, what the first one changed has been seen."""
    opened, errors = len(garage.buses), reader.counters.error
    garage.buses[-1].inbox.put(error_frame(0x40))
    until(lambda: len(garage.buses) > opened)
    for _ in range(2):
        garage.buses[-1].inbox.put(error_frame(0x88))
    until(lambda: reader.counters.error == errors + 3)


@pytest.mark.parametrize("back", [message(0x10), message(0x7FF), error_frame(0x100), OSError(100, "Network is down")])
def test_fault_a_controller_that_is_bus_off_is_lost_until_it_answers(back: can.Message | Exception) -> None:
    """Any frame of another's, its own word that it was restarted, or a loss of another kind; not that the bus opens again."""
    garage = Garage()
    with reading(garage.open, lambda item: None) as reader:
        until(lambda: garage.buses)
        for _ in range(2):  # it may be told again
            goes_off(garage, reader)
            assert "bus off" in reader.problem
        (gap,) = reader.gaps
        assert gap.to_ns is None
        garage.buses[-1].inbox.put(back)
        until(lambda: not reader.problem and gap.to_ns)
        assert "bus off" in gap.why


@pytest.mark.parametrize("answer", [8, OSError(19, "No such device")])
def test_fault_an_interface_that_was_renamed_is_lost(monkeypatch: pytest.MonkeyPatch, answer: int | OSError) -> None:
    """Newer kernels rename one that is up, and a socket stays with it: the bus is that of the name, which another one has or none."""
    index = iter([7, answer])

    def index_of(name: str) -> int:
        found = next(index, 8)
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(socket, "if_nametoindex", index_of)
    garage = Garage()
    with reading(garage.open, lambda item: None, "socketcan", "can0", gated=False) as reader:
        until(lambda: len(garage.buses) == 2 and not reader.problem)
        assert [gap.why for gap in reader.gaps] == [
            "the interface has another name now (socketcan:can0): name it again, or correct [[bus]] channel"
        ]


def test_a_gap_is_recorded_from_the_loss_to_the_return() -> None:
    """One gap however often it was tried, with its first cause; open while it lasts, and only the last few are kept."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    with reading(garage.open, got.put_nowait) as reader:
        until(lambda: not reader.problem)
        assert not reader.gaps
        before_ns, garage.broken = time.time_ns(), OSError(19, "No such device")
        garage.buses[0].inbox.put(OSError(100, "Network is down"))
        until(lambda: reader.losses >= 3)
        (gap,) = reader.gaps
        assert (gap.to_ns, "Network is down" in gap.why) == (None, True)
        garage.broken = None
        until(lambda: not reader.problem)
        until(lambda: gap.to_ns)
    assert gap.to_ns is not None
    assert before_ns <= gap.from_ns < gap.to_ns <= time.time_ns()
    assert reader.gaps.maxlen == 8


def test_a_gated_socketcan_bus_has_the_kernels_gate_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself; not where every frame is needed, nor on another interface, and else the software's goes on."""
    clock: dict[str, Any] = {"deliver": print, "to_axis": int, "now_ns": time.time_ns}
    for available, engine in ((True, "kernel"), (False, "software")):
        monkeypatch.setattr("hw.can.bcm.available", lambda available=available: available)
        assert BusReader("pt", "socketcan", "can0", **clock).engine == engine
        assert BusReader("pt", "socketcan_bcm", "can0", **clock).engine == engine
        assert BusReader("pt", "socketcan", "can0", gated=False, **clock).engine == "software"
        assert BusReader("pt", "virtual", "can0", **clock).engine == "software"


def test_silence_is_told_while_the_bus_is_gone() -> None:
    """A time-out runs off and is told although nothing can be read."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    garage.broken = OSError(19, "No such device")
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10, timeout_ns=SECOND_NS // 10)])
        silence = got.get(timeout=WAIT_S)
        assert isinstance(silence, Silence)
        assert (silence.bus, silence.can_id) == ("pt", 0x10)


def withdraw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw.can.bus.BusReader.subscribe", lambda self, wishes: self._engine.swap(list(wishes), 0) if wishes else None)


@pytest.mark.req("R29", control=withdraw_nothing)
def test_after_a_withdrawal_returned_nothing_of_it_is_delivered() -> None:
    """Frames pour in; from the moment `subscribe` returns not one of the withdrawn identifier is delivered."""
    garage = Garage()
    withdrawn = threading.Event()
    late: list[Frame | Silence] = []
    got: list[Frame | Silence] = []

    def deliver(item: Frame | Silence) -> None:
        (late if withdrawn.is_set() else got).append(item)

    with reading(garage.open, deliver) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        for i in range(2000):
            garage.buses[0].inbox.put(message(0x10, bytes([i % 251])))
        until(lambda: len(got) > 100)
        reader.subscribe([])
        withdrawn.set()
        for i in range(100):  # also where all of those above were read before
            garage.buses[0].inbox.put(message(0x10, bytes([i])))
        until(lambda: reader.counters.read == 2100)
    assert got
    assert late == []


def test_error_and_remote_frames_are_counted_never_delivered() -> None:
    """An error frame and a remote frame of a wanted identifier are counted, and not delivered."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        garage.buses[0].inbox.put(can.Message(is_error_frame=True, timestamp=time.time()))
        garage.buses[0].inbox.put(can.Message(arbitration_id=0x10, is_extended_id=False, is_remote_frame=True, timestamp=time.time()))
        until(lambda: reader.counters.read == 2)
        assert (reader.counters.error, reader.counters.remote, got.empty()) == (1, 1, True)


def test_fault_full_inbox_is_counted_and_does_not_stop_the_reader() -> None:
    """An inbox without room costs the frame and a count, not the thread."""
    garage, got = Garage(), queue.Queue[Frame | Silence](maxsize=1)
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        for i in range(5):
            garage.buses[0].inbox.put(message(0x10, bytes([i])))
        until(lambda: reader.counters.read == 5)
        assert reader.counters.lost == 4
        assert reader.alive()


def test_fault_a_frame_lost_in_a_full_inbox_comes_again_unchanged() -> None:
    """The ignition's OFF finds no room; its unchanged repetition is delivered once there is room again."""
    garage, got = Garage(), queue.Queue[Frame | Silence](maxsize=1)
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        for data in (b"\x01", b"\x00"):
            garage.buses[0].inbox.put(message(0x10, data))
        until(lambda: reader.counters.lost == 1)
        first = got.get(timeout=WAIT_S)
        garage.buses[0].inbox.put(message(0x10, b"\x00"))
        again = got.get(timeout=WAIT_S)
    assert [one.data for one in (first, again) if isinstance(one, Frame)] == [b"\x01", b"\x00"]


def test_the_kernel_is_asked_for_the_wanted_identifiers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """On socketcan the filter follows the subscriptions, at opening and at each change, and is never empty (= everything)."""
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: 7)
    garage = Garage()
    with reading(garage.open, lambda item: None, "socketcan", "can0", gated=False) as reader:
        until(lambda: garage.buses and garage.buses[0].filters)
        reader.subscribe([wish(0x10), wish(EXTENDED_ID | 0x18FEF100)])
        first, last = garage.buses[0].filters[0], garage.buses[0].filters[-1]
    assert len(first) == 1
    assert first[0]["can_id"] == 0x1FFF_FFFF
    assert last == [
        {"can_id": 0x10, "can_mask": 0x7FF, "extended": False},
        {"can_id": 0x18FEF100, "can_mask": 0x1FFF_FFFF, "extended": True},
    ]


@pytest.mark.parametrize(
    ("interface", "extra", "fd"),
    [("socketcan", {}, True), ("socketcan_bcm", {}, True), ("socketcan", {"fd": False}, False), ("fake", {}, None)],
)
def test_can_fd_is_asked_of_socketcan_by_itself(
    monkeypatch: pytest.MonkeyPatch, interface: str, extra: dict[str, Any], fd: bool | None
) -> None:
    """Unless the options say otherwise; another adapter has words of its own for it."""
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: 7)
    garage, asked = Garage(), queue.Queue[Any]()

    def open_bus(**settings: Any) -> Any:
        asked.put(settings.get("fd"))
        return garage.open()

    with reading(open_bus, lambda item: None, interface, "can0", gated=False, extra=extra):
        assert asked.get(timeout=WAIT_S) is fd


def test_nothing_is_ever_sent() -> None:
    """Through subscribing, reading, losing and reopening, the reader never sends."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    with reading(garage.open, got.put_nowait) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        garage.buses[0].inbox.put(message(0x10))
        garage.buses[0].inbox.put(OSError(100, "Network is down"))
        until(lambda: len(garage.buses) == 2)
    assert [bus.sent for bus in garage.buses] == [0, 0]


def test_a_reader_without_a_gate_delivers_every_frame_of_what_is_wanted() -> None:
    """Also one that says nothing new, which a second of two consecutive frames may be; nothing of another identifier."""
    garage, got = Garage(), queue.Queue[Frame | Silence]()
    with reading(garage.open, got.put_nowait, gated=False) as reader:
        reader.subscribe([wish(0x10)])
        until(lambda: garage.buses)
        for can_id in (0x10, 0x10, 0x11, 0x10):
            garage.buses[0].inbox.put(message(can_id))
        until(lambda: reader.counters.read == 4)
    found = [got.get_nowait() for _ in range(got.qsize())]
    assert [one.can_id for one in found] == [0x10] * 3
