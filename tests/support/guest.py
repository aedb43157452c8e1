"""The guest: a computer with SocketCAN and systemd, on one whose own kernel may have neither (tests/guest/machine).

Its tests run where GUEST=1 says so: `make test-guest`. Making the guest takes a minute, root and packages that no test asks for by
itself; where it was asked for and cannot be had, the tests fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.guest.machine.boot import guest_folder, is_built
from tests.sources import ROOT

PYTHON = (3, 11)
"""The guest's own; it runs this environment's packages, some of which are compiled."""
NOT_RUN = {124: "it took too long", 125: "it did not boot, or died"}


def needs_guest() -> None:
    """Skips the test where the guest was not asked for; fails where it was and is not there."""
    if os.environ.get("GUEST") != "1":
        pytest.skip("the guest with SocketCAN and systemd was not asked for: make test-guest")
    if sys.version_info[:2] != PYTHON:
        pytest.skip(f"the guest has Python {'.'.join(map(str, PYTHON))}, this environment another")
    assert is_built(), f"no guest in {guest_folder()}: run tests/guest/machine/build once, as root"


def kernel_mentions(word: str) -> bool:
    """Whether the guest's kernel has a text; one that it has not, it cannot do. Asked before a boot for nothing."""
    return word.encode() in (guest_folder() / "linux.uml").read_bytes()


def guest_line(*options: str) -> list[str]:
    """The command that boots it, each worker's on a processor of its own; what the guest is to do comes after `--`."""
    processors = sorted(os.sched_getaffinity(0))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processor = str(processors[worker % len(processors)])
    return [sys.executable, str(ROOT / "tests/guest/machine/boot.py"), "--cpu", processor, *options]


def run_in_guest(script: str, scratch: Path, seconds: float, *options: str, ends: int = 0) -> str:
    """Runs a bash script of the project in it, as root, in the project's folder; $1 is the folder of the environment's packages.

    What it writes to $SCRATCH stands in `scratch`. Nothing else of it outlives the run, but for a disk that `options` keep.
    Returns what it said. `ends`: the exit status that it has to have (CUT: where `options` cut its power).
    """
    boot = guest_line("--timeout", str(seconds), "--share", str(ROOT), "--scratch", str(scratch), *options, "--")
    line = [*boot, "bash", "-eu", script, sysconfig.get_path("platlib")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as guest:
        try:
            said, _ = guest.communicate(timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            os.killpg(guest.pid, signal.SIGKILL)  # its own children, the machine among them
            raise
    why = NOT_RUN.get(guest.returncode, "a step of it failed")
    assert guest.returncode == ends, f"{script} in the guest ended with {guest.returncode} ({why}): {said}"
    return said
