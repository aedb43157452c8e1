"""The live view in a real terminal, as somebody sees it who watches a bench and presses its keys."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.live import alone
from tests.support.wait import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LEAVES = "\x1b[?1049l"


@dataclass(slots=True)
class Bench:
    """A bench in a terminal of 80x24. `written`: everything that it wrote so far."""

    process: subprocess.Popen[bytes]
    master: int
    slave: int
    written: str = ""

    def read(self, for_s: float) -> None:
        end_s = time.monotonic() + for_s
        while (left_s := end_s - time.monotonic()) > 0:
            if select.select([self.master], [], [], left_s)[0]:
                self.written += os.read(self.master, 65_536).decode("utf-8", "replace")

    def sees(self, text: str, within_s: float = 30.0) -> None:
        """Returns once the text stands on the screen that is drawn from now on."""
        begin = len(self.written)

        def seen() -> bool:
            self.read(0.1)
            return text in STYLE.sub("", self.written[begin:])

        until(seen, text, within_s)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> tuple[int, str]:
        """The exit status, and what stands below the view on the normal screen."""

        def over() -> bool:
            self.read(0.1)
            return self.process.poll() is not None

        until(over, "the end", 60)
        self.read(0.3)
        return self.process.returncode, self.written.rpartition(LEAVES)[2].replace("\r\n", "\n")


@contextmanager
def bench(folder: Path, *arguments: str) -> Iterator[Bench]:
    """`modicum bench` in the foreground of a terminal of its own, whose files lie in `folder`."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    environ |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "agent.cli.main", "bench", *arguments]
    with alone():
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True)
        try:
            yield Bench(process, master, slave)
        finally:
            process.terminate()
            process.wait(30)
            os.close(master)
            os.close(slave)


def running(folder: Path) -> list[int]:
    """Processes of a bench whose files lie in `folder`: each inherits where temporary files go."""
    mine = f"TMPDIR={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [int(path.parent.name)] if mine in path.read_bytes().split(b"\0") else []
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
    return found


def test_a_drive_is_watched_and_changed_by_keys(tmp_path: Path) -> None:
    """Withdraw and grant, cut and restore, crash, end: seen on the screen, told in the end report, and nothing is left behind."""
    with bench(tmp_path, "--seconds", "90") as shown:
        before = termios.tcgetattr(shown.slave)
        shown.sees("WHAT LEFT THE CAR")
        shown.sees("Counters of the telematics unit")
        shown.press("\t\t\t\tw")
        shown.sees("withdraw traffic.position: done")
        shown.sees("withdrawn during the run:")
        shown.sees("traffic.position: not granted")
        shown.press("g")
        shown.sees("grant traffic.position: done")
        shown.sees("traffic.position: granted for this trip")
        shown.press("l")
        shown.sees("link: CUT")
        assert len(running(tmp_path)) > 5
        shown.press("l")
        shown.sees("link: up", 60)
        shown.press("c")
        shown.sees("crash the car: done")
        shown.press("q")
        shown.sees("The drive is over")
        status, report = shown.ended()
        assert status == 0
        assert termios.tcgetattr(shown.slave) == before
    did = ("withdraw traffic.position", "grant traffic.position", "cut the link", "restore the link", "crash the car", "end the drive")
    told = re.findall(r"^  at [0-9.]+ s: (.+): done$", report, re.MULTILINE)
    assert told == list(did)
    assert "WHAT WAS WITHHELD, AND WHY" in report
    assert shown.written.count(LEAVES) == 1
    assert running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_bench_that_is_told_to_end_leaves_the_terminal_and_nothing_running(tmp_path: Path) -> None:
    """By SIGTERM in the middle of the drive."""
    with bench(tmp_path, "--seconds", "60") as shown:
        before = termios.tcgetattr(shown.slave)
        shown.sees("WHAT LEFT THE CAR")
        assert termios.tcgetattr(shown.slave) != before
        shown.process.send_signal(signal.SIGTERM)
        assert shown.ended()[0] == 128 + signal.SIGTERM
        assert termios.tcgetattr(shown.slave) == before
    assert shown.written.rstrip().endswith("\x1b[?25h")
    assert running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_plain_lines_in_a_terminal_too(tmp_path: Path) -> None:
    """With --plain there is no other screen, and the lines are those of a pipe."""
    with bench(tmp_path, "--seconds", "5", "--plain") as shown:
        status, _ = shown.ended()
    assert status == 0
    assert "\x1b[" not in shown.written
    assert re.search(r"^ +\d+/5 s  frames +[\d,]+ -> ", shown.written.replace("\r\n", "\n"), re.MULTILINE)
