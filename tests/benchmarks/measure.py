"""How the benchmarks measure: processes by wall clock, CPU and peak memory; functions by CPU time of their thread.

Peak memory is VmHWM from /proc, read until the process ends: ru_maxrss would be that of whoever started it, when that was larger.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that ended with status 0."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    said: str


def run(*arguments: str) -> Ran:
    """Runs `python ...` alone. Raises RuntimeError when it fails, with what it said."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=subprocess.STDOUT)
        peak_kib = 0
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak_kib = max(peak_kib, memory_kib(process.pid, "status", "VmHWM"))
            time.sleep(POLL_S)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}: {said[-2000:]}")
    return Ran(wall_s, used.ru_utime + used.ru_stime, peak_kib / 1024, said)


def memory_kib(pid: int, file: str, field: str) -> int:
    """A line of /proc/PID/status or smaps_rollup; 0 once the process has no memory any more."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a running process has used so far: CPU seconds, and how often one of its threads went to sleep."""

    at_s: float
    cpu_s: float
    sleeps: int

    @classmethod
    def of(cls, pid: int) -> Pulse:
        """Now."""
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        sleeps = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            lines = (task / "status").read_text(encoding="ascii").splitlines()
            sleeps += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
        return cls(time.monotonic(), (int(fields[11]) + int(fields[12])) / TICKS, sleeps)

    def since(self, before: Pulse) -> tuple[float, float]:
        """(percent of one core, wake-ups a second)"""
        span_s = self.at_s - before.at_s
        return 100 * (self.cpu_s - before.cpu_s) / span_s, (self.sleeps - before.sleeps) / span_s


def us_each(work: Callable[[], object], calls: int, repeats: int = 5) -> float:
    """Microseconds of thread CPU for one of the `calls` that `work` makes: the median of a few repetitions."""
    spans = []
    for _ in range(repeats):
        began = time.thread_time_ns()
        work()
        spans.append((time.thread_time_ns() - began) / 1000 / calls)
    return statistics.median(spans)


def ratios_us(ours: Callable[[], object], theirs: Callable[[], object], calls: int, repeats: int = 5) -> tuple[float, float]:
    """Both, turn by turn, so that a machine that slows down meanwhile slows down both."""
    spans = [(us_each(ours, calls, 1), us_each(theirs, calls, 1)) for _ in range(repeats)]
    return statistics.median(one for one, _ in spans), statistics.median(other for _, other in spans)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table, the first column to the left."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    print(f"\n{title}")
    for row in (heads, *rows):
        print("  " + row[0].ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
    sys.stdout.flush()


def times(ours: float, theirs: float) -> str:
    """How many times ours the peer is, as text."""
    return f"{theirs / ours:.2f} x" if ours else "-"
