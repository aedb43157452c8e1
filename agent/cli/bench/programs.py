"""The bench's processes: started, watched, stopped by their own ids, in an order that loses nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from agent.errors import DeviceError

READY_S = 20.0
STOP_S = 6.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Meanwhile Ctrl-C, SIGTERM and a terminal that is closed end the run: everything in it is put back and stopped.

    The first of them counts; another, of whatever kind, does not interrupt what it began.
    """

    def end(number: int, _: FrameType | None) -> None:
        for one in ENDING:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    with _handled(end):
        yield


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Such a signal counts afterwards: a program that was begun is known by then, and can be stopped."""
    came: list[int] = []
    with _handled(lambda number, _: came.append(number)):
        yield
    for number in came[:1]:
        signal.raise_signal(number)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Those signals go to `handler` meanwhile. Python lets nobody but the main thread say so; no other is interrupted by them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in ENDING}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)


@dataclass(slots=True)
class Programs:
    """The running processes by name. Their stderr goes to `logs`/<name>.log; nothing outlives `stop_all`."""

    logs: Path
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _files: list[IO[str]] = field(default_factory=list)

    def start(self, name: str, *arguments: str, ready: bool = False, listens: bool = False) -> str:
        """Starts `python -m ...`; with `ready` waits for its first line and returns it; with `listens` it can be told something."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = (self.logs / f"{name}.log").open("a", encoding="utf-8")
        self._files.append(log)
        with _undisturbed():
            process = self.running[name] = subprocess.Popen(  # noqa: S603  our own modules
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
                stdout=subprocess.PIPE if ready else subprocess.DEVNULL,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        return self._first_line(name, process) if ready else ""

    def check(self) -> None:
        """Raises DeviceError when a program has ended by itself."""
        for name, process in self.running.items():
            status = process.poll()
            if status is not None:
                raise DeviceError(f"{name} ended with {status}", str(self.logs / f"{name}.log"), self._last_words(name))

    def tell(self, name: str, line: str) -> None:
        """One line on the stdin of a program that listens. Whether it still does is for `check` to find out."""
        process = self.running.get(name)
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                os.write(process.stdin.fileno(), f"{line}\n".encode())

    def stop(self, name: str) -> None:
        """Asks it to end, and makes it end when it does not."""
        process = self.running.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def stop_all(self) -> None:
        """Everything that is still running, the last started first."""
        for name in reversed(list(self.running)):
            self.stop(name)
        for file in self._files:
            file.close()

    def _first_line(self, name: str, process: subprocess.Popen[str]) -> str:
        found: list[str] = []

        def read() -> None:
            assert process.stdout is not None
            with contextlib.suppress(ValueError):
                found.append(process.stdout.readline())
                process.stdout.read()

        threading.Thread(target=read, daemon=True, name=f"{name} output").start()
        for _ in range(int(READY_S * 50)):
            if found or process.poll() is not None:
                break
            threading.Event().wait(0.02)
        line = found[0].strip() if found else ""
        if not line:
            raise DeviceError(f"{name} did not start", str(self.logs / f"{name}.log"), self._last_words(name))
        return line

    def _last_words(self, name: str) -> str:
        with contextlib.suppress(OSError):
            lines = (self.logs / f"{name}.log").read_text(encoding="utf-8").strip().splitlines()
            return lines[-1][:300] if lines else "it said nothing"
        return "it said nothing"
