"""A live receiver on a serial port: read by one thread, opened again when it is unplugged.

Promises: a fix is delivered when its moment is over (the receiver pauses, or speaks of the next), never from a partial or
corrupt line; an unplugged receiver is a counted loss and is read again within 3 s of its return. It must never write to
the port.
"""

from __future__ import annotations

import contextlib

import serial

from hw.errors import DeviceLost
from hw.gnss.lines import LineAssembler
from hw.gnss.source import FixSource
from hw.supervision import TICK_S

WRITE_TIMEOUT_S = 1.0
"""Nothing is written; but a port without this limit blocks for ever where something is by mistake."""


class Receiver(FixSource):
    """The fixes of a receiver that speaks NMEA by itself, each stamped with the arrival of its first sentence."""

    BAUD = 9600

    def _session(self) -> None:
        port = self._opened()
        assembler = LineAssembler()
        try:
            while not self._stopping():
                data = self._received(port)
                self._well()
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
