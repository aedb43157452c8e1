"""The other end of a broadcast manager's socket: the test sees what the kernel is told, and says what the kernel would.

A pair of Unix sockets, which carry the same time stamps. What the kernel makes of it is shown in the guest alone (tests/contract).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import pytest

from hw.can import bcm

RX_CHANGED, RX_TIMEOUT, FD = 12, 11, 0x800


class _Stand(socket.socket):
    def connect(self, address: Any) -> None:
        if address == ("none",):
            raise OSError(19, "No such device")


@dataclass(frozen=True)
class Order:
    opcode: int
    flags: int
    timeout_us: int
    throttle_us: int
    can_id: int
    contents: list[int]

    @classmethod
    def of(cls, told: bytes) -> Order:
        opcode, flags, _, s1, us1, s2, us2, can_id, frames = bcm.HEAD.unpack_from(told)
        form = bcm.FD if flags & FD else bcm.CLASSIC
        rest = told[bcm.HEAD.size :]
        assert len(rest) == frames * form.size
        contents = [int.from_bytes(form.unpack_from(rest, n * form.size)[-1], "little") for n in range(frames)]
        return cls(opcode, flags, s1 * 1_000_000 + us1, s2 * 1_000_000 + us2, can_id, contents)


class Kernel:
    """What `BcmBus` speaks to while the test lasts; one socket at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.end = socket.socket()
        monkeypatch.setattr(bcm, "_socket", self._opened)

    def _opened(self) -> socket.socket:
        self.end, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        return _Stand(fileno=ours.detach())

    def orders(self) -> list[Order]:
        """What it was told since the last time."""
        found = []
        while True:
            try:
                found.append(Order.of(self.end.recv(1 << 16)))
            except BlockingIOError:
                return found

    def changed(self, can_id: int, data: bytes, *, fd: bool = False, fd_flags: int = 0) -> None:
        form = bcm.FD if fd else bcm.CLASSIC
        frame = form.pack(can_id, len(data), *([fd_flags] if fd else []), data)
        self.end.send(bcm.HEAD.pack(RX_CHANGED, FD if fd else 0, 0, 0, 0, 0, 0, can_id, 1) + frame)

    def timed_out(self, can_id: int, *, fd: bool = False) -> None:
        self.end.send(bcm.HEAD.pack(RX_TIMEOUT, FD if fd else 0, 0, 0, 0, 0, 0, can_id, 0))
