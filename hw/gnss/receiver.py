"""A live receiver on a serial port: read by one thread, opened again when it is unplugged.

Promises: a fix is delivered when its moment is over (the receiver pauses, or speaks of the next), never from a partial or
corrupt line; an unplugged receiver is a counted loss and is read again within 3 s of its return. It must never write to
the port, and positions never reach a log or an error text. Give it a stable path (udev), not /dev/ttyUSB0.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable

import serial

from hw.errors import DeviceLost
from hw.gnss.lines import LineAssembler
from hw.gnss.nmea import Epochs
from hw.ports import Fix
from hw.supervision import TICK_S, Supervision

BAUD_DEFAULT = 9600
WRITE_TIMEOUT_S = 1.0
"""Nothing is written; but a port without this limit blocks for ever where something is by mistake."""


class Receiver:
    """Reads the receiver at `port`; `start` begins, `close` ends.

    `deliver` gets each Fix, void ones too, with `t_ns` = arrival of its first sentence on the axis `now_ns`, and must not
    block; `queue.Full` from it is counted as a loss. `open_port` is `serial.Serial` unless a test puts another in its place.
    """

    def __init__(  # noqa: PLR0913  # what a device is called, whom it tells, what time it is, and two for tests and adapters
        self,
        port: str,
        *,
        deliver: Callable[[Fix], object],
        now_ns: Callable[[], int],
        baud: int = BAUD_DEFAULT,
        epochs: Epochs | None = None,
        open_port: Callable[..., serial.Serial] = serial.Serial,
    ) -> None:
        self.port = port
        self.lost = 0
        """Fixes that the inbox had no room for."""
        self.epochs = Epochs() if epochs is None else epochs
        self._baud, self._deliver, self._now_ns, self._open_port = baud, deliver, now_ns, open_port
        self._supervision = Supervision(f"receiver {port}", self._read, lambda: None)

    @property
    def losses(self) -> int:
        """How often the receiver was unplugged or did not open."""
        return self._supervision.losses

    @property
    def problem(self) -> str:
        """Why the receiver is not read at the moment; empty while it is."""
        return self._supervision.problem

    def start(self) -> None:
        self._supervision.start()

    def close(self) -> None:
        self._supervision.close()

    def alive(self) -> bool:
        """Whether the reading thread lives; false after `start` is a fault that the watchdog must see."""
        return self._supervision.alive()

    def _read(self, supervision: Supervision) -> None:
        port = self._opened()
        assembler = LineAssembler()
        try:
            while not supervision.stopping():
                data = self._received(port)
                supervision.well()
                if not data:
                    self._give(self.epochs.flush())
                    continue
                t_ns = self._now_ns()
                for line in assembler.feed(data):
                    self._give(self.epochs.feed_line(line, t_ns))
        finally:
            self._give(self.epochs.interrupt())
            with contextlib.suppress(OSError):  # an unplugged port may also fail to close
                port.close()

    def _opened(self) -> serial.Serial:
        try:
            return self._open_port(self.port, self._baud, timeout=TICK_S, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError; ValueError: a rate the port does not know
            raise DeviceLost("the receiver does not open", self.port, "plug it in; tried again by itself") from error

    def _received(self, port: serial.Serial) -> bytes:
        """What has come; empty after a pause of TICK_S."""
        try:
            first = port.read(1)
            return first + port.read(port.in_waiting) if first else b""
        except (OSError, TypeError) as error:  # TypeError: pyserial's, when another thread closed the port
            raise DeviceLost("the receiver is unplugged", self.port, "opened again by itself") from error

    def _give(self, fixes: Iterable[Fix]) -> None:
        for fix in fixes:
            try:
                self._deliver(fix)
            except queue.Full:
                self.lost += 1
