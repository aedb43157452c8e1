"""CAN_BCM as a python-can interface: what the kernel is told, and what of its answers python-can's users get."""

from __future__ import annotations

import struct
import time

import can
import pytest
from can.interfaces.socketcan import socketcan

from hw.can import bcm
from hw.can.bcm import BcmBus, TimedOut, fits
from hw.ports import EXTENDED_ID, Mux, Subscription
from tests.support.fake_bcm import Kernel, Order

MS = 1_000_000
DAY_NS = 86_400 * 10**9
TIMERS, RESUME, FD_FRAME = 0x3, 0x100, 0x800


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def wish(can_id: int = 0x10, mask: int = 0xFF, throttle_ns: int = 0, timeout_ns: int = 0, mux: Mux | None = None) -> Subscription:
    return Subscription("", can_id, mask, throttle_ns, timeout_ns, mux)


def test_the_head_and_the_frames_are_laid_out_as_python_can_lays_them_out() -> None:
    """Its sending side speaks the same ABI by structures of ctypes."""
    theirs = socketcan.build_bcm_header(5, 0x103, 0, 1, 2, 3, 4, EXTENDED_ID | 0x18FEF100, 1)
    assert bcm.HEAD.pack(5, 0x103, 0, 1, 2, 3, 4, EXTENDED_ID | 0x18FEF100, 1) == theirs
    classic = can.Message(arbitration_id=0x10, data=bytes(range(1, 9)), is_extended_id=False)
    frame = bytearray(socketcan.build_can_frame(classic))
    frame[7] = 0  # a raw length code above 8, which masks have not
    assert bcm.CLASSIC.pack(0x10, 8, bytes(range(1, 9))) == bytes(frame)
    fd = can.Message(arbitration_id=0x10, data=bytes(range(64)), is_extended_id=False, is_fd=True, bitrate_switch=True)
    frame = bytearray(socketcan.build_can_frame(fd))
    assert bcm.FD.pack(0x10, 64, frame[5], bytes(range(64))) == bytes(frame[:7] + b"\0" + frame[8:])


def test_python_can_knows_it_by_its_name(kernel: Kernel) -> None:
    """Installed beside python-can it is one of its interfaces, and time-outs come as what nobody takes for a frame."""
    with can.Bus(interface="socketcan_bcm", channel="can0") as bus:
        assert isinstance(bus, BcmBus)
        bus.set_up(wish(timeout_ns=1))
        kernel.timed_out(0x10)
        silent = bus.recv(1)
    assert isinstance(silent, TimedOut)
    assert (silent.arbitration_id, silent.is_error_frame, silent.dlc) == (0x10, True, 0)


def test_a_subscription_is_one_order_a_format(kernel: Kernel) -> None:
    """The newest content and, by timers, throttle and time-out; without `fd` nothing of CAN FD is asked for."""
    with BcmBus("can0") as bus:
        bus.set_up(wish())
        assert kernel.orders() == [Order(5, RESUME | TIMERS, 0, 0, 0x10, [0xFF])]


def test_what_is_wanted_beyond_eight_bytes_is_asked_of_can_fd(kernel: Kernel) -> None:
    """A classic frame has no such bytes. Times are never cut short."""
    with BcmBus("can0", fd=True) as bus:
        bus.set_up(wish(mask=0xFF << 64 | 0x0F, throttle_ns=1_500_000_001, timeout_ns=5 * 10**9))
        assert kernel.orders() == [
            Order(5, RESUME | TIMERS, 5_000_000, 1_500_001, 0x10, [0x0F]),
            Order(5, RESUME | TIMERS | FD_FRAME, 5_000_000, 1_500_001, 0x10, [0xFF << 64 | 0x0F]),
        ]


def test_a_multiplexed_message_has_room_for_every_case_from_the_beginning(kernel: Kernel) -> None:
    """First the multiplexer, then each wanted case under its value, the first once more for each value that is not wanted."""
    with BcmBus("can0") as bus:
        bus.set_up(wish(mask=0, mux=Mux(0x03, {1: 0xFF00, 2: 0xF0000})))
        bus.set_up(wish(mask=0, mux=Mux(0x03, {0: 0x100, 1: 0xFF00, 2: 0xF0000})))
        first, second = kernel.orders()
    assert first.contents == [0x03, 0xFF01, 0xF0002, 0xFF01, 0xFF01]
    assert second.contents == [0x03, 0x100, 0xFF01, 0xF0002, 0x100]


def test_one_that_has_no_room_is_removed_first(kernel: Kernel) -> None:
    """The kernel would refuse it."""
    with BcmBus("can0") as bus:
        bus.set_up(wish())
        bus.set_up(wish(mux=Mux(0x01, {1: 0xFF00})))
        assert [order.opcode for order in kernel.orders()] == [5, 6, 5]


def test_a_repetition_leaves_the_timers_alone(kernel: Kernel) -> None:
    """What got lost comes again, no sooner than the throttle lets it."""
    with BcmBus("can0") as bus:
        bus.set_up(wish(throttle_ns=MS))
        bus.repeat(wish(throttle_ns=MS))
        assert [order.flags for order in kernel.orders()] == [RESUME | TIMERS, RESUME]


def test_what_was_removed_is_told_once(kernel: Kernel) -> None:
    """In each format; what was never set up is no order."""
    with BcmBus("can0", fd=True) as bus:
        bus.set_up(wish())
        kernel.orders()
        bus.remove(0x10)
        bus.remove(0x10)
        assert [(order.opcode, order.flags) for order in kernel.orders()] == [(6, 0), (6, FD_FRAME)]


def test_a_frame_is_what_python_can_makes_of_one(kernel: Kernel) -> None:
    """Identifier, format, flags, payload and the kernel's time."""
    with BcmBus("can0", fd=True) as bus:
        kernel.changed(EXTENDED_ID | 0x18FEF100, bytes(range(12)), fd=True, fd_flags=0x01)
        kernel.changed(0x123, b"\x05")
        long, short = bus.recv(1), bus.recv(1)
    assert long is not None
    assert short is not None
    assert (long.arbitration_id, long.is_extended_id, long.is_fd, long.bitrate_switch, bytes(long.data)) == (
        *(0x18FEF100, True, True, True),
        bytes(range(12)),
    )
    assert (short.arbitration_id, short.is_extended_id, short.is_fd, bytes(short.data), short.channel) == (
        *(0x123, False, False),
        *(b"\x05", "can0"),
    )
    assert abs(time.time() - short.timestamp) < 60


def test_an_identifier_is_silent_when_both_formats_are(kernel: Kernel) -> None:
    """A message that never comes as CAN FD is not silent for that; nor is one that was heard meanwhile, or is not set up."""
    with BcmBus("can0", fd=True) as bus:
        bus.set_up(wish(timeout_ns=1))
        kernel.timed_out(0x10, fd=True)
        assert bus.recv(0) is None
        kernel.timed_out(0x10)
        assert isinstance(bus.recv(0), TimedOut)
        kernel.changed(0x10, b"\x01")
        assert not isinstance(bus.recv(0), TimedOut)
        kernel.timed_out(0x10)
        assert isinstance(bus.recv(0), TimedOut)
        kernel.changed(0x10, b"\x02")
        assert not isinstance(bus.recv(0), TimedOut)
        kernel.timed_out(0x10, fd=True)
        assert bus.recv(0) is None
        bus.remove(0x10)
        kernel.timed_out(0x10, fd=True)
        kernel.timed_out(0x10)
        assert bus.recv(0) is None


def test_a_set_up_begins_both_formats_anew(kernel: Kernel) -> None:
    """What had timed out before it is no half of a silence after it."""
    with BcmBus("can0", fd=True) as bus:
        bus.set_up(wish(timeout_ns=1))
        kernel.timed_out(0x10, fd=True)
        assert bus.recv(0) is None
        bus.set_up(wish(timeout_ns=2))
        kernel.timed_out(0x10)
        assert bus.recv(0) is None
        kernel.timed_out(0x10, fd=True)
        assert isinstance(bus.recv(0), TimedOut)


def test_what_is_told_to_nobody_is_not_the_end_of_the_queue(kernel: Kernel) -> None:
    """Behind a time-out of one format alone a frame waits: reading without waiting finds it."""
    with BcmBus("can0", fd=True) as bus:
        bus.set_up(wish(timeout_ns=1))
        kernel.timed_out(0x10)
        kernel.changed(0x10, b"\x01")
        found = bus.recv(0)
        assert found is not None
        assert bytes(found.data) == b"\x01"


def test_it_never_sends(kernel: Kernel) -> None:
    """Neither once nor periodically: the kernel is told nothing."""
    message = can.Message(arbitration_id=0x10, data=b"\x01", is_extended_id=False)
    with BcmBus("can0") as bus:
        with pytest.raises(can.CanOperationError, match="only receives"):
            bus.send(message)
        with pytest.raises(can.CanOperationError, match="only receives"):
            bus.send_periodic(message, 0.01)
        time.sleep(0.05)
        assert kernel.orders() == []


def test_an_interface_that_is_not_there_and_a_kernel_without_it_are_told_apart(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """By python-can's own kinds of error."""
    with pytest.raises(can.CanInitializationError, match="none: No such device"):
        BcmBus("none")

    def none() -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(bcm, "_socket", none)
    assert not bcm.available()
    with pytest.raises(can.CanInterfaceNotImplementedError, match="Protocol not supported"):
        BcmBus("can0")


def test_a_32_bit_program_on_a_64_bit_kernel_is_not_understood(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some systems of a Raspberry Pi are: the kernel would read other times and identifiers than were meant."""
    assert bcm.available()
    monkeypatch.setattr(struct, "calcsize", lambda _: 4)
    monkeypatch.setattr("os.uname", lambda: type("", (), {"machine": "aarch64"}))
    assert not bcm.available()


@pytest.mark.parametrize(
    ("one", "can"),
    [
        (wish(throttle_ns=10**9, timeout_ns=5 * 10**9), True),
        (wish(throttle_ns=10**9, timeout_ns=10**9), False),
        (wish(throttle_ns=10**9), True),
        (wish(timeout_ns=400 * DAY_NS), True),
        (wish(timeout_ns=401 * DAY_NS), False),
        (wish(mux=Mux(0xFF, dict.fromkeys(range(256), 0xFF00))), True),
        (wish(mux=Mux(0x1FF, dict.fromkeys(range(257), 0xFF0000))), False),
        (wish(mux=Mux(0xFF, {})), False),
        (wish(mux=Mux(0xFF << 60, {1 << 60: 0xFF})), False),
    ],
)
def test_what_the_kernel_cannot_say_is_known(one: Subscription, can: bool) -> None:
    """It is left to the software gate."""
    assert fits(one) is can
