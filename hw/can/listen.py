"""Listens to a bus for some seconds and says which identifiers were on it, how often and how long. For the technician.

Promises that no payload is kept: from the kernel's own interfaces only the first HEADER_BYTES of a frame are asked for, where its
identifier and length stand, and the kernel throws the rest away (packet(7): a datagram that is longer than the buffer is cut); from
other interfaces python-can brings whole frames, of which identifier and length alone are read and nothing outlives the next one.
A socket of its own: what the agent reads and filters is not touched. There is no send path here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import can

from hw.can.errorframe import classes_of
from hw.can.interface import KERNEL_INTERFACES
from hw.errors import DeviceLost
from hw.ports import EXTENDED_ID

SHARED_INTERFACES = KERNEL_INTERFACES | {"udp_multicast"}
"""Those whose frames a second listener takes from nobody. Another adapter's may go to one program alone, or opening resets it."""
CAN_RAW_ERR_FILTER = 2
"""linux/can/raw.h; the socket module has no name for it."""
HEADER_BYTES = 8
"""Of struct can_frame and canfd_frame (linux/can.h): identifier and flags, length; the payload begins behind."""
TICK_S = 0.2
IDS_MAX = 4096
"""A bus has some hundred identifiers; what floods it with more is only counted."""
ERROR_FRAME = 0x2000_0000
ERROR_CLASSES = 0x1FFF_FFFF
BITS_STANDARD, BITS_EXTENDED = 47, 67
"""Of a classic frame without payload, with its interframe space and without stuff bits (ISO 11898-1)."""
STUFFING = 1.1
"""Stuff bits depend on the content, which is not read: between 0 and 24 %, usually near a tenth."""
_HEADER = struct.Struct("=IBxxx")


class Seen(NamedTuple):
    """One frame without its payload. `can_id` carries EXTENDED_ID; `classes` of an error frame, else 0."""

    can_id: int
    length: int
    classes: int = 0


@dataclass(slots=True)
class Count:
    """Of one identifier: frames, and the longest payload in bytes."""

    frames: int = 0
    length: int = 0


@dataclass(slots=True)
class Heard:
    """What was on a bus in `seconds`. `more`: frames of identifiers beyond IDS_MAX; `bits`: an estimate of what they took."""

    seconds: float = 0.0
    ids: dict[int, Count] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    """Class of error -> error frames that told of it."""
    frames: int = 0
    error_frames: int = 0
    more: int = 0
    bits: float = 0.0

    def take(self, seen: Seen) -> None:
        """Counts one."""
        if seen.classes:
            self.error_frames += 1
            for name in classes_of(seen.classes):
                self.errors[name] = self.errors.get(name, 0) + 1
            return
        self.frames += 1
        self.bits += ((BITS_EXTENDED if seen.can_id & EXTENDED_ID else BITS_STANDARD) + 8 * seen.length) * STUFFING
        if seen.can_id not in self.ids and len(self.ids) >= IDS_MAX:
            self.more += 1
            return
        count = self.ids.setdefault(seen.can_id, Count())
        count.frames += 1
        count.length = max(count.length, seen.length)

    def load(self, bit_rate: int | None) -> float | None:
        """The share of the bus that was taken, 0 to 1; None where the bit rate is not known. Of CAN FD it is too high."""
        return self.bits / self.seconds / bit_rate if bit_rate and self.seconds else None


def listen(interface: str, channel: str, seconds: float, options: Mapping[str, object] | None = None) -> Heard:
    """What is on the bus in the next `seconds`. Raises DeviceLost where it cannot be heard."""
    where = f"{interface}:{channel}"
    try:
        with (
            kernel_frames(channel) if interface in KERNEL_INTERFACES else bus_frames(interface, channel, options or {}) as next_frame,
        ):
            return heard_from(next_frame, seconds)
    except Exception as error:  # adapters' drivers raise kinds of their own, all of which mean: not now
        raise DeviceLost("the bus cannot be heard", where, f"{error}; see the interface") from error


def heard_from(next_frame: Callable[[], Seen | None], seconds: float) -> Heard:
    """Counts what `next_frame` gives, which waits for it at most about TICK_S."""
    heard, began_s = Heard(), time.monotonic()
    while (now_s := time.monotonic()) < began_s + seconds:
        seen = next_frame()
        if seen is not None:
            heard.take(seen)
    heard.seconds = now_s - began_s
    return heard


@contextlib.contextmanager
def kernel_frames(channel: str) -> Iterator[Callable[[], Seen | None]]:
    """From a raw socket, headers alone. Raises OSError."""
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
        raw.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_ERR_FILTER, ERROR_CLASSES)
        raw.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        raw.bind((channel,))
        raw.settimeout(TICK_S)
        yield header_reader(raw)


def header_reader(raw: socket.socket) -> Callable[[], Seen | None]:
    """Reads the head of each datagram of a socket."""
    head = bytearray(HEADER_BYTES)

    def next_frame() -> Seen | None:
        try:
            raw.recv_into(head, HEADER_BYTES)
        except TimeoutError:
            return None
        can_id, length = _HEADER.unpack(head)
        return Seen(0, 0, can_id & ERROR_CLASSES or ERROR_CLASSES) if can_id & ERROR_FRAME else Seen(_named(can_id), length)

    return next_frame


def _named(can_id: int) -> int:
    """The identifier without the flag of a remote frame."""
    return can_id & (EXTENDED_ID | 0x1FFF_FFFF if can_id & EXTENDED_ID else 0x7FF)


@contextlib.contextmanager
def bus_frames(
    interface: str, channel: str, options: Mapping[str, object], open_bus: Callable[..., can.BusABC] = can.Bus
) -> Iterator[Callable[[], Seen | None]]:
    """From python-can, as configured; each message is dropped before the next one is read."""
    bus = open_bus(interface=interface, channel=channel, **options)

    def next_frame() -> Seen | None:
        message = bus.recv(TICK_S)
        if message is None:
            return None
        if message.is_error_frame:
            return Seen(0, 0, message.arbitration_id or ERROR_CLASSES)
        can_id = message.arbitration_id | EXTENDED_ID if message.is_extended_id else message.arbitration_id
        return Seen(can_id, message.dlc)

    try:
        yield next_frame
    finally:
        with contextlib.suppress(Exception):  # a lost adapter may also fail to close
            bus.shutdown()
