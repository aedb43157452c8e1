"""What every program of the bench's devices has in common: arguments of a drive, one line out, one complaint."""

from __future__ import annotations

import argparse
import sys

NS = 1_000_000_000
FOREVER_S = 365 * 86_400


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """Which drive, from when, how long."""
    parser.add_argument("--scenario", default="drive", help="a name in config/bench or a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-ns", type=int, help="moment zero of the drive, nanoseconds since the epoch; default: now")
    parser.add_argument("--seconds", type=float, help="how long; default: until told to stop")


def stop_time_ns(start_ns: int, seconds: float | None) -> int:
    """When a device stops by itself; far away where nobody said."""
    return start_ns + int((FOREVER_S if seconds is None else seconds) * NS)


def say(line: str) -> None:
    """One line to whoever started the program, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"modicum bench: {line}\n")
