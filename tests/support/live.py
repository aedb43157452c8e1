"""What live tests share: one at a time on this computer, the command line as a user has it, a stopped moment of a process."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.catalogue.load import load_catalogue
from agent.cli.bench.stage import BenchRequest
from tests.support.rules import SHIPPED
from tests.support.virtual import ALL, scenario_file

CLI_S = 30.0
SEED = 7


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other live test of this computer runs: two cores carry one car."""
    with (Path(tempfile.gettempdir()) / "modicum-live-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def outing_request(folder: Path, seconds: float, **more: Any) -> BenchRequest:
    """The tests' own outing with everything granted, on the usual bus with the embedded broker; `more` says what is otherwise."""
    usual: dict[str, Any] = {"scenario": scenario_file("outing"), "seed": SEED, "package": "navigation_plus", "choice": ALL, "bus": None}
    usual |= {"catalogue": load_catalogue(SHIPPED), "catalogue_dir": None, "broker_url": None}
    return BenchRequest(folder=folder, seconds=seconds, **(usual | more))


def modicum(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "agent.cli.main", *arguments], capture_output=True, text=True, timeout=CLI_S, check=False)


@contextmanager
def frozen(process: subprocess.Popen[str]) -> Iterator[None]:
    """The process does nothing meanwhile: what its files hold is what a power cut would leave."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
