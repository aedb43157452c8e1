"""Recording: what was on the bus, in the log formats that tools for CAN read.

Owns the way from frames to python-can's writers. Promises that a recorded drive, read back with `hw.can.replay`, gives the
same frames: identifiers of both lengths, CAN FD, times to the microsecond (in ASC since the first frame). A channel is
named as its bus where the format has names, else numbered in the order of appearance. Nothing of a frame is in an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import can
from can.io.generic import MessageWriter
from can.util import len2dlc

from hw.errors import HwError
from hw.ports import EXTENDED_ID, Frame

CLASSIC_BYTES_MAX = 8
NAMED = ".log"
"""The one format whose channels have names."""


class UnwritableLog(HwError):
    """A recording that cannot be written; the person names another file or makes room."""


def to_message(frame: Frame) -> can.Message:
    """The frame as python-can sends it; more than eight bytes are CAN FD."""
    return can.Message(
        arbitration_id=frame.can_id & ~EXTENDED_ID,
        is_extended_id=bool(frame.can_id & EXTENDED_ID),
        is_fd=len(frame.data) > CLASSIC_BYTES_MAX,
        data=frame.data,
    )


class _TraceWriter(can.TRCWriter):
    """PEAK's trace with CAN FD in it: python-can's reader knows such lines, its writer leaves them out with a warning."""

    FORMAT_FD = can.TRCWriter.FORMAT_MESSAGE.replace(" DT ", " FD ")

    def on_message_received(self, msg: can.Message) -> None:
        if not msg.is_fd:
            super().on_message_received(msg)
            return
        if self.first_timestamp is None:
            self.first_timestamp = msg.timestamp
        line = self.FORMAT_FD.format(
            msgnr=self.msgnr,
            time=(msg.timestamp - self.first_timestamp) * 1000,
            channel=(msg.channel if isinstance(msg.channel, int) else 0) + 1,
            id=f"{msg.arbitration_id:0{7 if msg.is_extended_id else 4}X}",
            dir="Rx",
            dlc=len2dlc(len(msg.data)),
            data=msg.data.hex(" ").upper(),
        )
        self.msgnr += 1
        self.log_event(line, msg.timestamp)


WRITERS: dict[str, type[MessageWriter]] = {
    ".asc": can.ASCWriter,
    ".blf": can.BLFWriter,
    ".log": can.CanutilsLogWriter,
    ".trc": _TraceWriter,
}
"""The formats that keep everything of a frame."""


class Recording:
    """A log file that grows frame by frame; one that is there already is replaced. Raises UnwritableLog, at once or later."""

    def __init__(self, path: Path) -> None:
        self._path, self._suffix = path, path.suffix.lower()
        self._channels: dict[str, int | str] = {}
        writer = WRITERS.get(self._suffix)
        if writer is None:
            hint = f"name the file with one of {' '.join(WRITERS)}"
            raise UnwritableLog("no recording has such an ending", str(path), hint)
        with self._complaint():
            self._writer = writer(path)

    def add(self, frame: Frame) -> None:
        """Writes a frame, which is not older than the one before."""
        message = to_message(frame)
        message.timestamp = frame.t_ns / 1e9
        message.channel = self._channels.setdefault(frame.bus, frame.bus if self._suffix == NAMED else len(self._channels))
        with self._complaint():
            self._writer(message)

    def close(self) -> None:
        """Writes what is still in memory and the format's own end."""
        with self._complaint():
            self._writer.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _complaint(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = error.strerror or type(error).__name__
            raise UnwritableLog("the recording cannot be written", str(self._path), hint) from error


def recorded(frames: Iterable[Frame], path: Path) -> Iterator[Frame]:
    """The frames as they come, each written before it is passed on. Raises UnwritableLog, before the first or in the middle.

    The file is whole once the last frame is taken or the iterator is closed.
    """
    return _passed(frames, Recording(path))


def record(frames: Iterable[Frame], path: Path) -> int:
    """Writes the frames; how many they were. Raises UnwritableLog."""
    return sum(1 for _ in recorded(frames, path))


def _passed(frames: Iterable[Frame], recording: Recording) -> Iterator[Frame]:
    with recording:
        for frame in frames:
            recording.add(frame)
            yield frame
