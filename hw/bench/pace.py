"""Real time for the bench's devices: waits that do not add up an error.

Owns the way from the time axis of a drive (nanoseconds since the epoch) to this computer's monotonic clock. Waits
always aim at an absolute moment; a clock that is set in between changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import weakref
from collections.abc import Callable
from types import FrameType

from hw.bench.truth import Drive

NS = 1_000_000_000


class Stop:
    """As threading.Event, but whoever waits may be told by a signal handler of its own thread: an Event's lock does not nest."""

    def __init__(self) -> None:
        self._told = False
        self._hears, self._tells = os.pipe()
        os.set_blocking(self._tells, False)
        for end in (self._hears, self._tells):
            weakref.finalize(self, os.close, end)

    def set(self) -> None:
        """Ends every wait, those to come too."""
        self._told = True
        with contextlib.suppress(BlockingIOError):  # it is full: everybody has been told
            os.write(self._tells, b"\0")

    def is_set(self) -> bool:
        """Whether somebody has said so."""
        return self._told

    def wait(self, timeout_s: float) -> None:
        """Returns when it is set, or after the time."""
        select.select([self._hears], [], [], timeout_s)


class Pace:
    """The axis, tied once to the monotonic clock. `stop` ends every wait at once.

    A device calls `hear` with its drive before it tells anything new of it: whoever runs it may say how the drive goes on.
    """

    def __init__(self) -> None:
        self.stop = Stop()
        self.hear: Callable[[Drive], None] = lambda _: None
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """This moment on the axis."""
        return time.monotonic_ns() + self._offset_ns

    def wait_until(self, t_ns: int) -> bool:
        """Waits for `t_ns` of the axis; False when it was told to stop."""
        ahead_ns = t_ns - self.now_ns()
        if ahead_ns > 0:
            self.stop.wait(ahead_ns / NS)
        return not self.stop.is_set()

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT set `stop`. For the main thread of a device that is a program of its own."""

        def told(_number: int, _frame: FrameType | None) -> None:
            self.stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):
                signal.signal(number, told)
