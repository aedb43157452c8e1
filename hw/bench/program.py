"""What every program of the bench's devices has in common: arguments of a drive, one line out, one complaint, orders on the way."""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
from collections.abc import Callable

from hw.bench.pace import Pace
from hw.bench.truth import Drive

NS = 1_000_000_000
ORDERS = "--orders"
READ_MAX = 4096
FOREVER_S = 365 * 86_400


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """Which drive, from when, how long."""
    parser.add_argument("--scenario", default="drive", help="a name in config/bench or a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-ns", type=int, help="moment zero of the drive, nanoseconds since the epoch; default: now")
    parser.add_argument("--seconds", type=float, help="how long; default: until told to stop")
    parser.add_argument(ORDERS, action="store_true", help="be told on standard input how the drive goes on; its end ends the program")


def pace_of(options: argparse.Namespace) -> Pace:
    """Real time for a program: signals end it, and with --orders whoever started it says how the drive goes on."""
    pace = Pace()
    pace.stop_on_signals()
    if options.orders:
        pace.hear = Orders(sys.stdin.fileno(), pace.stop.set).carry_out
    return pace


def stop_time_ns(start_ns: int, seconds: float | None) -> int:
    """When a device stops by itself; far away where nobody said."""
    return start_ns + int((FOREVER_S if seconds is None else seconds) * NS)


class Orders:
    """What whoever started a program tells it while it runs, a line each: `crash SECONDS`, since the drive began.

    `at_end` is called when nobody can tell it anything any more: whoever started it is gone.
    """

    def __init__(self, source: int, at_end: Callable[[], None]) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(source, at_end), name="orders", daemon=True).start()

    def carry_out(self, drive: Drive) -> None:
        """Does what was ordered since the last time; complains of what it does not understand."""
        while not self._lines.empty():
            line = self._lines.get()
            word, _, number = line.partition(" ")
            try:
                at_s = float(number) if word == "crash" else None
            except ValueError:
                at_s = None
            if at_s is None:
                complain(f"no such order: {line!r}; say crash SECONDS")
            else:
                drive.crash(at_s)

    def _read(self, source: int, at_end: Callable[[], None]) -> None:
        """Past Python's own buffer, whose lock a thread that waits would hold while the program ends."""
        rest = b""
        while data := os.read(source, READ_MAX):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._lines.put(line.decode(errors="replace").strip())
        at_end()


def say(line: str) -> None:
    """One line to whoever started the program, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"modicum bench: {line}\n")
