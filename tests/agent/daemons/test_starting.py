"""agent.daemons.starting: settings in, one line and the exit status of an error out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.daemons.starting import started
from agent.errors import DeviceError
from agent.settings import Settings

PR_GET_DUMPABLE = 3
ASK = f"""
import ctypes, os, resource
from agent.daemons.starting import keep_private
keep_private()
print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), os.umask(0) == 0o077)
"""
PLACE = "31.234567"
FAIL = f"""
import logging, sys, threading
from agent.daemons import {{daemon}} as program

class Dropped:
    def __del__(self):
        raise ValueError({PLACE!r})

def fail(*_):
    raise ValueError({PLACE!r})

def run(*_):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Dropped()
    logging.getLogger("x").warning("%d", {PLACE!r})
    try:
        fail()
    except ValueError as error:
        raise LookupError({PLACE!r}) from error

program.{{loop}} = run
sys.exit(program.main())
"""
CONFIG = '[vehicle]\nplatform = "bench"\n[regions]\nallowed = ["CN"]\n'


def start(monkeypatch: pytest.MonkeyPatch, folder: Path, error: DeviceError | None = None) -> tuple[int, list[Settings]]:
    monkeypatch.setattr("sys.argv", ["modicum-x", "--config", str(folder / "agent.toml")])
    monkeypatch.setattr("agent.daemons.starting.keep_private", lambda: None)
    got = list[Settings]()

    def run(settings: Settings, file: Path) -> None:
        assert file == folder / "agent.toml"
        got.append(settings)
        if error is not None:
            raise error

    return started("modicum-x", "Does x.", run), got


def test_it_runs_with_the_settings_of_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Until it ends."""
    (tmp_path / "agent.toml").write_text(CONFIG)
    status, got = start(monkeypatch, tmp_path)
    assert (status, [settings.vehicle.platform for settings in got]) == (0, ["bench"])


def test_an_error_is_one_line_and_its_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A device's, and that of a file that is not there."""
    (tmp_path / "agent.toml").write_text(CONFIG)
    assert start(monkeypatch, tmp_path, DeviceError("no", "there", "try"))[0] == 5
    (tmp_path / "agent.toml").unlink()
    assert start(monkeypatch, tmp_path)[0] == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_what_it_knows_stays_in_it() -> None:
    """No dump of its memory, no tracing by its own user, no file for others: in a process of its own, as the kernel says."""
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout
    assert said == "0 (0, 0) True\n"


@pytest.mark.parametrize(("daemon", "loop"), [("core", "run"), ("ecall", "run"), ("uplink", "run")])
def test_a_fault_that_nobody_foresaw_is_told_without_its_values(tmp_path: Path, daemon: str, loop: str) -> None:
    """Of a thread, of an object that goes, of a log line and of the loop itself: kind and way, and no message, for it may say a place."""
    (tmp_path / "agent.toml").write_text(CONFIG)
    line = [sys.executable, "-c", FAIL.format(daemon=daemon, loop=loop), "--config", str(tmp_path / "agent.toml")]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert PLACE not in ended.stderr + ended.stdout
    told = [re.sub(r"\(.* > |\(", "", said, count=1) for said in ended.stderr.splitlines()]
    assert told == [
        "modicum: a fault of ours: ValueError __main__.fail:10): report it",
        "modicum: a fault of ours: ValueError __main__.Dropped.__del__:7): report it",
        "modicum: a fault of ours: LookupError __main__.run:21): report it",
    ]
    assert ended.returncode == 1
