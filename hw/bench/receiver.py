"""The simulated receiver: NMEA of the drive, in virtual time or on a pty in real time.

Promises one epoch at every whole second of UTC (or as often as the scenario says), written `LATENCY_NS` later as a real
receiver needs it, and that writing never blocks: where nobody reads, old sentences are thrown away so that a late
reader gets the present and not a minute of the past. It is unplugged, late by weeks, or has foreign bytes between its sentences as
the scenario says.

    python -m hw.bench.receiver --scenario drive --seed 1 --start-ns T [--link PATH]
"""

from __future__ import annotations

import argparse
import array
import contextlib
import fcntl
import os
import pathlib
import random
import sys
import termios
import tty
from collections.abc import Iterator

from hw.bench.pace import NS, Pace
from hw.bench.program import add_drive_arguments, complain, pace_of, say, stop_time_ns
from hw.bench.scenario import ScenarioError
from hw.bench.sentences import epoch_sentences
from hw.bench.truth import Drive

LATENCY_NS = 80_000_000
WEEK_NS = 7 * 86_400 * NS
UNREAD_BYTES_MAX = 1_500
"""About four epochs: more than this unread means that nobody reads."""


class Receiver:
    """The sentences of a drive whose moment zero is `start_ns` on the axis."""

    def __init__(self, drive: Drive, start_ns: int, latency_ns: int = LATENCY_NS) -> None:
        self.drive, self.start_ns, self.latency_ns = drive, start_ns, latency_ns
        self.interval_ns = NS // drive.scenario.receiver_hz

    def epochs(self, start_ns: int, stop_ns: int) -> Iterator[int]:
        """The UTC moments of the epochs that are written within start_ns <= t < stop_ns; none before the drive begins."""
        first_ns = max(start_ns - self.latency_ns, self.start_ns)
        epoch_ns = -(-first_ns // self.interval_ns) * self.interval_ns
        while epoch_ns + self.latency_ns < stop_ns:
            yield epoch_ns
            epoch_ns += self.interval_ns

    def sentences(self, start_ns: int, stop_ns: int) -> Iterator[tuple[int, bytes]]:
        """(moment of writing, what it says of the epoch) within the window."""
        for epoch_ns in self.epochs(start_ns, stop_ns):
            yield epoch_ns + self.latency_ns, self.said(epoch_ns)

    def said(self, epoch_ns: int) -> bytes:
        """All sentences of one epoch; nothing while it is unplugged."""
        state = self.drive.state((epoch_ns - self.start_ns) / NS)
        said = epoch_sentences(state, epoch_ns - state.gnss_weeks_back * WEEK_NS) if state.gnss_plugged else b""
        if said and state.gnss_garbage:
            said = _littered(said, random.Random(f"{self.drive.seed} garbage {epoch_ns - self.start_ns}"))  # noqa: S311  no secret
        return said


def _littered(sentences: bytes, rng: random.Random) -> bytes:
    """Foreign lines between the sentences: bytes of another protocol, and a sentence that was hurt on its way."""
    lines = sentences.splitlines(keepends=True)
    hurt = bytearray(rng.choice(lines))
    hurt[rng.randrange(6, len(hurt) - 5)] ^= 1  # between the address and the checksum, which no longer fits
    foreign = b"\xb5\x62" + bytes(byte for byte in rng.randbytes(30) if byte not in b"$\r\n") + b"\r\n"
    for litter in (bytes(hurt), foreign):
        lines.insert(rng.randrange(len(lines)), litter)
    return b"".join(lines)


class Line:
    """A pty as a serial line. `path` is what the agent opens; `link`, where given, points at it as long as it is plugged in."""

    def __init__(self, link: pathlib.Path | None = None) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self.dropped = 0
        self._link = link
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)

    def write(self, data: bytes) -> None:
        """Writes at once or not at all."""
        if self._unread() + len(data) > UNREAD_BYTES_MAX:
            # Our own open slave end keeps the line alive without a reader, and lets us throw away what nobody took.
            termios.tcflush(self._slave, termios.TCIFLUSH)
            self.dropped += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)

    def close(self) -> None:
        """Unplugs: a reader gets an end of file."""
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)

    def _unread(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self._slave, termios.FIONREAD, count)
        return count[0]


def write_paced(receiver: Receiver, link: pathlib.Path | None, pace: Pace, stop_ns: int) -> int:
    """Writes in real time until `stop_ns` or until the pace is stopped; says `ready PATH` whenever it is plugged in. Epochs written."""
    line: Line | None = _plugged_in(link)
    written = 0
    try:
        for epoch_ns in receiver.epochs(max(receiver.start_ns, pace.now_ns()), stop_ns):
            t_ns = epoch_ns + receiver.latency_ns
            if pace.now_ns() - t_ns > receiver.interval_ns:
                continue
            if not pace.wait_until(t_ns):
                break
            pace.hear(receiver.drive)
            data = receiver.said(epoch_ns)
            if data and line is None:
                line = _plugged_in(link)
            elif not data and line is not None:
                line.close()
                line = None
            if line is not None:
                line.write(data)
                written += 1
        pace.wait_until(stop_ns)
    finally:
        if line is not None:
            line.close()
    return written


def _plugged_in(link: pathlib.Path | None) -> Line:
    line = Line(link)
    say(f"ready {line.path}")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Opens a pty, prints `ready PATH` and writes a drive's sentences to it; exit 2 for a scenario that is no good."""
    parser = argparse.ArgumentParser(prog="hw.bench.receiver", description="The simulated receiver of the bench.")
    parser.add_argument("--link", type=pathlib.Path, help="a path that shall point at the pty")
    add_drive_arguments(parser)
    options = parser.parse_args(arguments)
    pace = pace_of(options)
    start_ns = options.start_ns if options.start_ns is not None else pace.now_ns()
    try:
        receiver = Receiver(Drive.load(options.scenario, options.seed), start_ns)
    except ScenarioError as error:
        complain(f"{error}")
        return 2
    write_paced(receiver, options.link, pace, stop_time_ns(start_ns, options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
