"""Keeps a device open: one thread, one session after the other, with a growing pause between failures.

A session opens the device, reads until told to stop, and raises DeviceLost when the device is gone. Anything else that
comes out of a session is a fault of ours: the thread ends, `alive` says so, and the watchdog does the rest.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from hw.errors import DeviceLost

PAUSE_S_FIRST = 0.1
PAUSE_S_MAX = 2.0
"""A device that is back is open again within 3 s: this, and what opening it takes."""
TICK_S = 0.2
"""How long a session or a pause may go on without looking up."""
JOIN_S_MAX = 5.0


class Supervised(ABC):
    """A device that a thread of its own keeps open from `start` to `close`, session after session."""

    patience_s = 60.0
    """How long the thread may go without looking up before it counts as hung: closing a serial port alone may take 30 s."""

    def __init__(self, name: str) -> None:
        self.beat_s = time.monotonic()
        """When the thread last looked up."""
        self.losses = 0
        """How often the device was lost or did not open."""
        self.problem = "not opened yet"
        """Why the device is not read at the moment; empty while it is."""
        self._pause_s = PAUSE_S_FIRST
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the session and its thread; returns when it has ended, at the latest after JOIN_S_MAX."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S_MAX)

    def alive(self) -> bool:
        """Whether the thread lives; false after `start` is a fault that the watchdog must see."""
        return self._thread.is_alive()

    @abstractmethod
    def _session(self) -> None:
        """Opens the device and reads it while not `_stopping`. Raises DeviceLost."""

    def _tick(self) -> None:  # noqa: B027  # most devices have nothing to do then
        """Called about every TICK_S between sessions."""

    def _stopping(self) -> bool:
        """Asked by a session each time that it looks up, which is its beat."""
        self.beat_s = time.monotonic()
        return self._stop.is_set()

    def _well(self) -> None:
        """The session says that the device has answered: the next pause is short again."""
        self.problem = ""
        self._pause_s = PAUSE_S_FIRST

    def _gone(self, why: str) -> None:
        """The device is lost, or was not there."""
        self.losses += 1
        self.problem = why

    def _run(self) -> None:
        while not self._stopping():
            try:
                self._session()
            except DeviceLost as lost:
                self._gone(str(lost))
                self._pause()

    def _pause(self) -> None:
        left_s, self._pause_s = self._pause_s, min(2 * self._pause_s, PAUSE_S_MAX)
        while left_s > 0 and not self._stop.wait(min(left_s, TICK_S)):
            self.beat_s = time.monotonic()
            left_s -= TICK_S
            self._tick()
