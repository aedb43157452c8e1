"""Positions from core to the emergency call: one datagram a fix, which nobody waits for.

Promises that core never waits: what the call's socket does not take at once, or nobody listens to, is dropped. That nothing lies
anywhere but in the kernel's queue of that socket (a few datagrams) and in the call's ring of three. Form: docs/formats.md section 7.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.ecall.sources import CORE
from agent.notify import LOOK_S, PATIENCE_S
from hw.ports import Fix

SOCKET = "fixes.sock"
"""In the call's folder in RAM."""
FORM = struct.Struct("!q5d")
"""CLOCK_BOOTTIME in nanoseconds, then latitude, longitude, HDOP, m/s, course; NaN where it is not known."""
PAUSE_S = 1.0


class FixTeller:
    """Core's end. Called with a fix and when it was (CLOCK_BOOTTIME); one without a position is not told."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / SOCKET)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def __call__(self, fix: Fix, t_ns: int) -> None:
        if fix.mode and fix.lat_deg is not None and fix.lon_deg is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(packed(fix, t_ns), self._path)


class FixHearer:
    """The call's end: `tell` gets each fix in this thread; its `t_ns` is on CLOCK_BOOTTIME. `problem`: why none can come."""

    def __init__(self, folder: Path, tell: Callable[[Fix], object]) -> None:
        self._path, self._tell = folder / SOCKET, tell
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._closed = threading.Event()
        self._socket.settimeout(LOOK_S)
        self.beat_s, self.patience_s = time.monotonic(), PATIENCE_S
        self._thread = threading.Thread(target=self._hear, name="fixes", daemon=True)
        self.problem = ""
        try:
            self._path.unlink(missing_ok=True)
            self._socket.bind(str(self._path))
            self._path.chmod(0o660)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}"
            self.patience_s = math.inf  # no thread looks up

    def start(self) -> None:
        if not self.problem:
            self._thread.start()

    def alive(self) -> bool:
        """Whether the thread lives, or has nothing to do because of `problem`."""
        return bool(self.problem) or self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread and removes the socket."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(PAUSE_S)
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _hear(self) -> None:
        while not self._closed.is_set():
            self.beat_s = time.monotonic()
            try:
                fix = unpacked(self._socket.recv(FORM.size + 1))
            except TimeoutError:
                continue
            except OSError:
                self._closed.wait(PAUSE_S)
                continue
            if fix is not None:
                self._tell(fix)


def packed(fix: Fix, t_ns: int) -> bytes:
    """A fix with a position as its datagram."""
    numbers = (fix.lat_deg, fix.lon_deg, fix.hdop, fix.speed_mps, fix.course_deg)
    return FORM.pack(t_ns, *(math.nan if number is None else number for number in numbers))


def unpacked(datagram: bytes) -> Fix | None:
    """What `packed` made; None for anything else."""
    if len(datagram) != FORM.size:
        return None
    t_ns, *numbers = FORM.unpack(datagram)
    lat_deg, lon_deg, hdop, speed_mps, course_deg = (number if math.isfinite(number) else None for number in numbers)
    if lat_deg is None or lon_deg is None:
        return None
    return Fix(t_ns, 2, lat_deg, lon_deg, speed_mps=speed_mps, course_deg=course_deg, hdop=hdop, source=CORE)
