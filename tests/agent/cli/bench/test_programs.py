"""agent.cli.bench.programs: children that start, fail or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from agent.cli.bench.programs import ENDING, Programs, orderly
from agent.errors import DeviceError
from tests.support.wait import until


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    (tmp_path / "child_program.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "child_program"


def test_ready_waits_for_the_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a program may use it afterwards."""
    programs = Programs(tmp_path / "logs")
    name = module(tmp_path, monkeypatch, "import time\nprint('ready 7', flush=True)\ntime.sleep(60)\n")
    assert programs.start("child", name, ready=True) == "ready 7"
    programs.stop_all()


def test_program_that_ends_at_once_is_an_error_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own complaint is what helps."""
    programs = Programs(tmp_path / "logs")
    name = module(tmp_path, monkeypatch, "import sys\nsys.exit('no port is free')\n")
    with pytest.raises(DeviceError, match="no port is free"):
        programs.start("child", name, ready=True)


def test_program_that_ends_later_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with a dead part says nothing about the whole."""
    programs = Programs(tmp_path / "logs")
    programs.start("child", module(tmp_path, monkeypatch, "raise SystemExit(3)\n"))
    deadline = time.monotonic() + 20
    with pytest.raises(DeviceError, match="child ended with 3"):
        while time.monotonic() < deadline:
            programs.check()
            time.sleep(0.02)


def test_program_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outlives the bench."""
    monkeypatch.setattr("agent.cli.bench.programs.STOP_S", 0.3)
    programs = Programs(tmp_path / "logs")
    text = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    pid = int(programs.start("child", module(tmp_path, monkeypatch, text), ready=True))
    programs.stop_all()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_listens_is_told_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and only whoever listens; one that is gone is no error here."""
    programs, heard = Programs(tmp_path / "logs"), tmp_path / "heard"
    text = f"import sys\nprint('ready', flush=True)\nopen({str(heard)!r}, 'w').write(sys.stdin.readline() + '.')\n"
    name = module(tmp_path, monkeypatch, text)
    programs.start("ears", name, ready=True, listens=True)
    programs.start("none", name, ready=True)
    programs.tell("ears", "crash 63.25")
    programs.tell("none", "crash 63.25")
    until(lambda: programs.running["ears"].poll() == 0, within_s=20)
    assert heard.read_text() == "crash 63.25\n."
    programs.tell("ears", "crash 63.25")
    programs.tell("nobody", "crash 63.25")
    programs.stop_all()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_stops_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: signal.Signals, second: signal.Signals
) -> None:
    """Each reaches the clean-up, another of any kind does not interrupt it, and afterwards signals mean what they meant."""
    before = [signal.getsignal(number) for number in ENDING]
    programs = Programs(tmp_path / "logs")
    name = module(tmp_path, monkeypatch, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    pid = 0
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended, orderly():
        try:
            pid = int(programs.start("child", name, ready=True))
            os.kill(os.getpid(), first)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), second)
            programs.stop_all()
    assert ended.type is (KeyboardInterrupt if first == signal.SIGINT else SystemExit)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert [signal.getsignal(number) for number in ENDING] == before


def test_a_program_that_is_being_started_is_stopped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal in the midst of it counts once the program is known."""
    popen, programs = subprocess.Popen, Programs(tmp_path / "logs")

    def interrupted(*arguments: Any, **how: Any) -> subprocess.Popen[str]:
        process = popen(*arguments, **how)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(SystemExit, match="143"), orderly():
        programs.start("child", module(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n"))
    assert list(programs.running) == ["child"]
    programs.stop_all()
