"""Listening without payloads: what the kernel hands over, what of a python-can message stays, and what is counted."""

from __future__ import annotations

import gc
import socket
import struct
import weakref
from collections.abc import Iterator
from typing import Any

import can
import pytest

from hw.can.listen import HEADER_BYTES, IDS_MAX, Heard, Seen, bus_frames, header_reader, heard_from, listen
from hw.errors import DeviceLost
from hw.ports import EXTENDED_ID

SECRET = bytes.fromhex("5EC7E70FCA7B10AD")


def can_frame(can_id: int, data: bytes = SECRET) -> bytes:
    """struct can_frame, or canfd_frame where it is longer."""
    return struct.pack("=IBxxx", can_id, len(data)) + data.ljust(8 if len(data) <= 8 else 64, b"\x00")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A datagram socket as the kernel's raw CAN socket is one."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(0.05)
    with near, far:
        yield near, far


class Watched:
    """A socket that notes everything that was taken from the kernel."""

    def __init__(self, real: socket.socket) -> None:
        self.real, self.taken = real, b""

    def recv_into(self, buffer: bytearray, size: int) -> int:
        got = self.real.recv_into(buffer, size)
        self.taken += bytes(buffer)
        return got


def test_no_byte_of_a_payload_leaves_the_kernel(pair: tuple[socket.socket, socket.socket]) -> None:
    """The identifier and the length are taken, the rest of each datagram is gone; the next one begins at its head."""
    watched = Watched(pair[0])
    next_frame = header_reader(watched)  # type: ignore[arg-type]  # what of a socket is used
    for can_id in (0x123, EXTENDED_ID | 0x18DAF110):
        pair[1].send(can_frame(can_id))
    assert [next_frame(), next_frame(), next_frame()] == [Seen(0x123, 8), Seen(EXTENDED_ID | 0x18DAF110, 8), None]
    assert len(watched.taken) == 2 * HEADER_BYTES
    assert not any(SECRET[at : at + 2] in watched.taken for at in range(7))


def test_remote_frames_and_can_fd_count_by_their_identifier(pair: tuple[socket.socket, socket.socket]) -> None:
    """Flags of the kernel are no part of it."""
    next_frame = header_reader(pair[0])
    pair[1].send(can_frame(0x4000_0000 | 0x123, b""))
    pair[1].send(can_frame(0x456, bytes(48)))
    assert [next_frame(), next_frame()] == [Seen(0x123, 0), Seen(0x456, 48)]


def test_an_error_frame_tells_its_classes(pair: tuple[socket.socket, socket.socket]) -> None:
    """As linux/can/error.h numbers them."""
    heard, next_frame = Heard(), header_reader(pair[0])
    pair[1].send(can_frame(0x2000_0000 | 0x88))
    seen = next_frame()
    assert seen is not None
    heard.take(seen)
    assert (heard.frames, heard.error_frames, heard.errors, heard.ids) == (0, 1, {"protocol": 1, "bus-error": 1}, {})


class Talking:
    """A python-can bus whose messages are watched: whether any lives on when the next one is asked for."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.shut, self.kept = settings, False, 0
        self._last: weakref.ref[can.Message] | None = None

    def recv(self, _: float) -> can.Message:
        gc.collect()
        self.kept += self._last is not None and self._last() is not None
        message = can.Message(arbitration_id=0x123, data=SECRET, is_extended_id=False)
        self._last = weakref.ref(message)
        return message

    def shutdown(self) -> None:
        self.shut = True


def test_a_message_of_python_can_is_gone_before_the_next_one() -> None:
    """Identifier and length alone are read of it; nothing that was counted has its payload."""
    made: list[Talking] = []

    def open_bus(**settings: Any) -> Any:
        made.append(Talking(**settings))
        return made[0]

    with bus_frames("slcan", "/dev/x", {"bitrate": 500_000}, open_bus) as next_frame:
        heard = heard_from(next_frame, 0.05)
    assert (made[0].kept, made[0].shut) == (0, True)
    assert made[0].settings == {"interface": "slcan", "channel": "/dev/x", "bitrate": 500_000}
    assert list(heard.ids) == [0x123]
    assert SECRET.hex() not in repr(heard)
    assert repr(SECRET) not in repr(heard)


def test_rates_and_load_are_those_of_the_time_that_was_listened() -> None:
    """A standard frame of 8 bytes takes 111 bits and some stuffing."""
    heard = Heard()
    for _ in range(1000):
        heard.take(Seen(0x123, 8))
    heard.seconds = 1.0
    assert heard.load(500_000) == pytest.approx(1000 * 111 * 1.1 / 500_000)
    assert heard.load(None) is None
    assert (heard.ids[0x123].frames, heard.ids[0x123].length) == (1000, 8)


def test_a_flood_of_identifiers_takes_no_more_memory() -> None:
    """They are counted together."""
    heard = Heard()
    for can_id in range(IDS_MAX + 10):
        heard.take(Seen(EXTENDED_ID | can_id, 0))
    assert (len(heard.ids), heard.more, heard.frames) == (IDS_MAX, 10, IDS_MAX + 10)


def test_a_bus_that_cannot_be_heard_is_said() -> None:
    """Whatever its driver raises."""
    with pytest.raises(DeviceLost, match="cannot be heard"):
        listen("slcan", "/dev/none", 0.1)
    with pytest.raises(DeviceLost, match="cannot be heard"):
        listen("socketcan", "no-such-if", 0.1)
