"""A guest with a kernel that has SocketCAN, on a computer whose own may have none: a lab's `guest` boots it for one command.

The lab is the folder of MODICUM_LAB, else ../shared/lab beside the project. Building its guest takes minutes and rights that a
test does not ask for, so where none is built the tests that need it are skipped.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.sources import ROOT

PYTHON = (3, 11)
"""The guest's own; it runs this environment's packages, some of which are compiled."""
NOT_RUN = {124: "it took too long", 125: "it did not boot, or died"}


def _cached() -> Path:
    """Where a lab keeps what it has built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("CAN_GUEST_DIR") or cache / "can-guest")


def boot_command() -> Path:
    """The lab's `guest`; skips the test where it cannot be run."""
    lab = Path(os.environ.get("MODICUM_LAB") or ROOT.parent / "shared" / "lab")
    if not (lab / "guest").is_file():
        pytest.skip("no guest with SocketCAN: neither MODICUM_LAB nor ../shared/lab is a lab")
    if not all((_cached() / part).is_file() for part in ("linux.uml", "base.img")):
        pytest.skip("the guest with SocketCAN is not built: run the lab's build, once")
    if sys.version_info[:2] != PYTHON:
        pytest.skip(f"the guest with SocketCAN has Python {'.'.join(map(str, PYTHON))}, this environment another")
    if not _boots(lab / "guest"):
        pytest.skip("the guest with SocketCAN does not boot on this computer: its kernel may not know this processor")
    return lab / "guest"


@functools.cache
def _boots(guest: Path) -> bool:
    """Whether it comes as far as a command that does nothing; what fails later is no matter of the computer."""
    return subprocess.run([guest, "--timeout", "60", "--", "true"], capture_output=True, check=False).returncode == 0


def kernel_mentions(word: str) -> bool:
    """Whether the guest's kernel has a text; one that it has not, it cannot do. Asked before a boot for nothing."""
    return word.encode() in (_cached() / "linux.uml").read_bytes()


def run_in_guest(script: str, scratch: Path, seconds: float) -> None:
    """Runs a bash script of the project in it, as root, in the project's folder; $1 is the folder of the environment's packages.

    What it writes to $SCRATCH stands in `scratch`. Nothing else of it outlives the run.
    """
    boot = [str(boot_command()), "--timeout", str(seconds), "--share", str(ROOT), "--scratch", str(scratch), "--"]
    line = [*boot, "bash", "-eu", script, sysconfig.get_path("platlib")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as guest:
        try:
            said, _ = guest.communicate(timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            os.killpg(guest.pid, signal.SIGKILL)  # its own children, the machine among them
            raise
    why = NOT_RUN.get(guest.returncode, "a step of it failed")
    assert guest.returncode == 0, f"{script} in the guest ended with {guest.returncode} ({why}): {said}"
