"""The receive side of Linux CAN_BCM as a python-can interface: the kernel compares, throttles and waits, and wakes nobody for the rest.

    bus = can.Bus(interface="socketcan_bcm", channel="can0", fd=True)
    bus.set_up(Subscription("", 0x123, mask=0xFF00, throttle_ns=10**9, timeout_ns=5 * 10**9))
    for message in bus:
        print("silent" if isinstance(message, TimedOut) else message)

Owns the socket and its ABI (linux/can/bcm.h; net/can/bcm.c says what the kernel does). Promises: nothing is received but what was
set up, each identifier by its last set-up; a time-out is a `TimedOut`; time stamps are the kernel's. It never sends: there is no
opcode in here that could.

The kernel keeps frames of classic CAN and of CAN FD apart. With `fd` each identifier is set up for both, because a DBC does not
always say which will come, and only when both have been silent is it told. A message that comes in both is compared within each.
What the kernel cannot say at all, `fits` tells.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import NoReturn

import can

from hw.ports import EXTENDED_ID, Subscription

RX_SETUP, RX_DELETE, RX_TIMEOUT, RX_CHANGED = 5, 6, 11, 12
SETTIMER, STARTTIMER, RX_ANNOUNCE_RESUME, CAN_FD_FRAME = 0x0001, 0x0002, 0x0100, 0x0800
HEAD = struct.Struct("@3I4l2I0q")
"""struct bcm_msg_head: opcode, flags, count, two of (s, us), can_id, nframes; frames follow at a multiple of eight bytes."""
CLASSIC, FD = struct.Struct("=IB3x8s"), struct.Struct("=IBB2x64s")
"""struct can_frame and struct canfd_frame: identifier, length, for FD its flags, payload."""
FD_BRS, FD_ESI = 0x01, 0x02
CASES_MAX = 256
SELECTOR_BITS = 64
"""The kernel looks for the multiplexer in the first eight bytes."""
TIMER_NS_MAX = 400 * 86_400 * 10**9
"""Longer ones are EINVAL to newer kernels."""
_SO_TIMESTAMPNS, _SO_MEMINFO = 35, 55
_STAMP = struct.Struct("@2l")
_MEMINFO = struct.Struct("@9I")
_RECEIVE_BUFFER = 1 << 20
"""Asked for; the kernel gives what net.core.rmem_max allows."""


class TimedOut(can.Message):
    """No frame of `arbitration_id` came for its time-out; told once, and the next frame of it is received even if unchanged.

    It says to be an error frame, so that whoever does not know this class (a logger, a listener) does not take it for a frame.
    `timestamp` is when it was read.
    """

    __slots__ = ()


def available() -> bool:
    """Whether this kernel has a broadcast manager that this Python can speak to; asking loads its module where there is one."""
    if struct.calcsize("P") == 4 and os.uname().machine.endswith("64"):
        return False  # the head holds longs, and a 64-bit kernel reads a 32-bit program's as its own
    try:
        _socket().close()
    except OSError:
        return False
    return True


def fits(subscription: Subscription) -> bool:
    """Whether the kernel can keep the gate's contract for it; what it cannot needs a raw socket and the software gate.

    Not: more cases than it takes or none, a multiplexer beyond the eighth byte, a time-out that would run off inside
    the throttle (it forgets what the throttle holds) and times that its timers do not take.
    """
    mux, throttle_ns, timeout_ns = subscription.mux, subscription.throttle_ns, subscription.timeout_ns
    if mux is not None and not (0 < len(mux.cases) <= CASES_MAX and mux.selector_mask.bit_length() <= SELECTOR_BITS):
        return False
    return max(throttle_ns, timeout_ns) <= TIMER_NS_MAX and not 0 < timeout_ns <= throttle_ns


def drops(sock: socket.socket) -> int:
    """How many messages the kernel has dropped because nobody had read the earlier ones, since the socket was opened.

    The counter of SO_RXQ_OVFL, which the kernel tells with the next message only: where a changed frame was dropped there
    may be none for hours. So it is asked for.
    """
    return int(_MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[8])


class BcmBus(can.BusABC):
    """Receives what was `set_up` on the SocketCAN interface `channel`; nothing before that.

    `fd`: frames of CAN FD too. `can_filters` choose among what was set up, as everywhere in python-can.
    Raises CanInterfaceNotImplementedError where there is no broadcast manager, CanInitializationError where there is no such
    interface. An interface that is down is no error here; one that goes down is one of `recv`.
    """

    def __init__(self, channel: str, *, fd: bool = False, can_filters: can.typechecking.CanFilters | None = None, **kwargs: object) -> None:
        self.channel_info = f"socketcan_bcm channel '{channel}'"
        self._channel = channel
        self._can_protocol = can.CanProtocol.CAN_FD if fd else can.CanProtocol.CAN_20
        self._formats = (CLASSIC, FD) if fd else (CLASSIC,)
        self._ops: dict[tuple[int, struct.Struct], int] = {}
        """(identifier, format) -> how many frames the kernel has room for."""
        self._quiet: dict[int, set[struct.Struct]] = {}
        """In which formats an identifier has timed out."""
        try:
            self.socket = _socket()
        except OSError as error:
            raise can.CanInterfaceNotImplementedError(f"no broadcast manager: {error.strerror}") from error
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self.socket.connect((channel,))
        except OSError as error:
            self.socket.close()
            raise can.CanInitializationError(f"{channel}: {error.strerror}", error.errno) from error
        super().__init__(channel=channel, can_filters=can_filters, **kwargs)

    def set_up(self, subscription: Subscription) -> None:
        """Receives this identifier from now on, in place of what was set up for it before; its next frame comes in any case.

        Without a moment in between in which its frames would be missed. Raises CanOperationError.
        """
        self._quiet.pop(subscription.can_id, None)
        self._set_up(subscription, SETTIMER | STARTTIMER)

    def repeat(self, subscription: Subscription) -> None:
        """As `set_up`, for the one that is set up already: what was told of it got lost. Throttle and time-out run on."""
        self._set_up(subscription, 0)

    def remove(self, can_id: int) -> None:
        """Receives it no more; what is queued is still received. One that was not set up is none. Raises CanOperationError."""
        self._quiet.pop(can_id, None)
        for form in self._formats:
            if self._ops.pop((can_id, form), None) is not None:
                self._tell(HEAD.pack(RX_DELETE, _flag(form), 0, 0, 0, 0, 0, can_id, 0))

    def send(self, msg: can.Message, timeout: float | None = None) -> None:  # noqa: ARG002  # the signature of every interface
        """Always refused."""
        raise can.CanOperationError("socketcan_bcm only receives")

    def _send_periodic_internal(self, *_: object, **__: object) -> NoReturn:  # before it makes a thread
        raise can.CanOperationError("socketcan_bcm only receives")

    def fileno(self) -> int:
        return self.socket.fileno()

    def shutdown(self) -> None:
        super().shutdown()
        self.socket.close()

    def _set_up(self, subscription: Subscription, timers: int) -> None:
        can_id = subscription.can_id
        times = (*_timeval(subscription.timeout_ns), *_timeval(subscription.throttle_ns))
        for form in self._formats:
            contents = list(_contents(subscription))
            if len(contents) > self._ops.get((can_id, form), len(contents)):  # what has no room is E2BIG
                self.remove(can_id)
            head = HEAD.pack(RX_SETUP, RX_ANNOUNCE_RESUME | timers | _flag(form), 0, *times, can_id, len(contents))
            self._tell(head + b"".join(_frame(form, can_id, content) for content in contents))
            self._ops[can_id, form] = len(contents)

    def _tell(self, order: bytes) -> None:
        try:
            self.socket.send(order)
        except OSError as error:
            raise can.CanOperationError(f"{self._channel}: {error.strerror}", error.errno) from error

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            if timeout != 0 and not select.select([self.socket], [], [], timeout)[0]:
                return None, False
            while True:  # what the kernel tells and nobody is told is not yet the end of the queue
                order, extra, _, _ = self.socket.recvmsg(HEAD.size + FD.size, socket.CMSG_SPACE(_STAMP.size), socket.MSG_DONTWAIT)
                seconds, nanoseconds = next(_STAMP.unpack(data) for _, kind, data in extra if kind == _SO_TIMESTAMPNS)
                message = self._understood(order, seconds + nanoseconds * 1e-9)
                if message is not None:
                    return message, False
        except BlockingIOError:
            return None, False
        except OSError as error:
            raise can.CanOperationError(f"{self._channel}: {error.strerror}", error.errno) from error

    def _understood(self, order: bytes, timestamp: float) -> can.Message | None:
        opcode, flags, *_, can_id, _ = HEAD.unpack_from(order)
        form, heard = FD if flags & CAN_FD_FRAME else CLASSIC, self._quiet.setdefault(can_id, set())
        which = {"arbitration_id": can_id & ~EXTENDED_ID, "is_extended_id": bool(can_id & EXTENDED_ID)}
        if opcode == RX_TIMEOUT:
            heard.add(form)
            silent = len(heard) == len(self._formats) and (can_id, form) in self._ops
            return TimedOut(timestamp=timestamp, channel=self._channel, is_error_frame=True, **which) if silent else None
        if opcode != RX_CHANGED:
            return None
        heard.discard(form)
        _, length, *fd_flags, data = form.unpack_from(order, HEAD.size)
        bits = fd_flags[0] if fd_flags else 0
        how = {"is_fd": form is FD, "bitrate_switch": bool(bits & FD_BRS), "error_state_indicator": bool(bits & FD_ESI)}
        return can.Message(timestamp=timestamp, channel=self._channel, data=data[:length], dlc=length, **which, **how)


def _socket() -> socket.socket:
    return socket.socket(socket.PF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM)


def _flag(form: struct.Struct) -> int:
    return CAN_FD_FRAME if form is FD else 0


def _timeval(ns: int) -> tuple[int, int]:
    """Seconds and microseconds, never less than asked."""
    return divmod(-(-ns // 1000), 1_000_000)


def _contents(subscription: Subscription) -> Iterator[int]:
    """The masks that the kernel compares by; of a multiplexed message first the multiplexer's, then each case with its value in it.

    As many cases as the multiplexer has values, the first of them over again: a set-up in place gets no more room than the
    first one had, and a plan that wants one more case must not miss a frame. The kernel takes the first that matches.
    """
    mux = subscription.mux
    if mux is None:
        yield subscription.mask
        return
    yield mux.selector_mask
    cases = [value | (mask | subscription.mask) & ~mux.selector_mask for value, mask in mux.cases.items()]
    yield from cases
    for _ in range(len(cases), min(1 << mux.selector_mask.bit_count(), CASES_MAX)):
        yield cases[0]


def _frame(form: struct.Struct, can_id: int, content: int) -> bytes:
    size = 64 if form is FD else 8
    data = (content & (1 << 8 * size) - 1).to_bytes(size, "little")
    return form.pack(can_id, size, 0, data) if form is FD else form.pack(can_id, size, data)
