"""What every live receiver of positions is, however it is read: a supervised port that delivers fixes.

Promises that `deliver` gets each Fix, void ones too, on the axis `now_ns`; that a full inbox is a counted loss; and that
positions never reach a log or an error text. Give it a stable path (udev), not /dev/ttyUSB0.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from typing import ClassVar

import serial

from hw.gnss.nmea import Epochs
from hw.ports import Fix
from hw.supervision import Supervised


class FixSource(Supervised):
    """Reads the device at `port`; `start` begins, `close` ends.

    `deliver` must not block; `queue.Full` from it is counted as a loss. `baud` None: the usual one of the kind. `open_port` is
    `serial.Serial` unless a test puts another in its place.
    """

    BAUD: ClassVar[int]
    """Bits per second, where nobody says another."""

    def __init__(  # noqa: PLR0913  # what a device is called, whom it tells, what time it is, and two for tests and adapters
        self,
        port: str,
        *,
        deliver: Callable[[Fix], object],
        now_ns: Callable[[], int],
        baud: int | None = None,
        epochs: Epochs | None = None,
        open_port: Callable[..., serial.Serial] = serial.Serial,
    ) -> None:
        super().__init__(f"receiver {port}")
        self.port = port
        self.lost = 0
        """Fixes that the inbox had no room for."""
        self.epochs = Epochs() if epochs is None else epochs
        self._baud = self.BAUD if baud is None else baud
        self._deliver, self._now_ns, self._open_port = deliver, now_ns, open_port

    def _give(self, fixes: Iterable[Fix]) -> None:
        for fix in fixes:
            try:
                self._deliver(fix)
            except queue.Full:
                self.lost += 1
