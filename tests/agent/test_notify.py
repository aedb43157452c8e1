"""What systemd is told, and that a thread which has ended or hangs keeps the watchdog from being fed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.notify import Vote, Watched, tell, watchdog_s
from hw.supervision import Supervised
from tests.support.wait import until


@dataclass
class Thread:
    """One that does as the test says."""

    beat_s: float = 0.0
    patience_s: float = 30.0
    lives: bool = True

    def alive(self) -> bool:
        return self.lives


class Time:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Its end of the socket, and a watchdog of 15 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "15000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield heard


def said(heard: socket.socket) -> list[str]:
    """What came, in lines."""
    try:
        return heard.recv(4096).decode().splitlines()
    except BlockingIOError:
        return []


def test_it_is_ready_once_and_then_fed_in_time(systemd: socket.socket) -> None:
    """Three times in the time that the watchdog gives, however often the loop turns."""
    now = Time()
    vote = Vote("program", lambda: {"one": Thread(now())}, "at work", now)
    vote.take()
    assert said(systemd) == ["READY=1", "STATUS=at work", "WATCHDOG=1"]
    fed = []
    for tick in range(1, 151):
        now.now_s = tick / 10
        vote.take()
        fed += [now.now_s] * ("WATCHDOG=1" in said(systemd))
    assert fed == [5.0, 10.0, 15.0]


@pytest.mark.parametrize(
    ("thread", "why"), [(Thread(100.0, lives=False), "has ended: two"), (Thread(69.9), "hangs: two has not looked up for 30 s")]
)
def test_one_thread_that_does_not_work_ends_it(systemd: socket.socket, thread: Thread, why: str) -> None:
    """Dead or late: it is named, and the watchdog gets nothing."""
    now = Time()
    threads = {"one": Thread(100.0), "two": Thread(100.0)}
    vote = Vote("program", lambda: threads, now_s=now)
    now.now_s = 100.0
    threads["two"] = thread
    with pytest.raises(DeviceError, match=why):
        vote.take()
    assert said(systemd) == [f"STATUS=a thread {why}"]


def test_one_that_ended_as_it_should_is_no_fault(systemd: socket.socket) -> None:
    """It was still listed when the vote began, and no more when it was found to have ended."""
    lists = iter([{"one": Thread(lives=False)}, dict[str, Thread]()])
    Vote("program", lambda: next(lists)).take()
    assert "WATCHDOG=1" in said(systemd)


def test_late_is_later_than_its_own_patience(systemd: socket.socket) -> None:
    """A thread that may be held for long has more of it."""
    now = Time()
    now.now_s = 100.0
    Vote("program", lambda: {"one": Thread(0.0, 180.0), "two": Thread(70.0)}, now_s=now).take()
    assert "WATCHDOG=1" in said(systemd)


def test_a_watched_thread_beats_until_it_hangs() -> None:
    """A real one: its beat stands still where it waits for something that does not come, and it lives all the while."""
    turn, stuck = threading.Event(), threading.Event()

    def works(beat: object) -> None:
        assert callable(beat)
        while not turn.is_set():
            beat()
            time.sleep(0.001)
        stuck.wait(20)

    thread = Watched(works, "works")
    thread.start()
    first_s = thread.beat_s
    until(lambda: thread.beat_s > first_s, "a beat")
    turn.set()
    time.sleep(0.05)
    last_s = thread.beat_s
    with pytest.raises(DeviceError, match="a thread hangs: works"):
        Vote("program", lambda: {"works": thread}, now_s=iter([0.0, last_s + thread.patience_s + 1]).__next__).take()
    assert (thread.alive(), thread.beat_s) == (True, last_s)
    stuck.set()


class Stuck(Supervised):
    """A device whose driver never returns."""

    def __init__(self) -> None:
        super().__init__("stuck")
        self.never, self.inside = threading.Event(), threading.Event()

    def _session(self) -> None:
        self._stopping()
        self.inside.set()
        self.never.wait(20)


def test_a_device_whose_driver_hangs_is_late() -> None:
    """Supervision notes each look-up of a session."""
    device = Stuck()
    device.start()
    assert device.inside.wait(5)
    with pytest.raises(DeviceError, match="a thread hangs: device"):
        Vote("program", lambda: {"device": device}, now_s=iter([0.0, device.beat_s + device.patience_s + 1]).__next__).take()
    assert device.alive()
    device.never.set()
    device.close()


def test_an_abstract_address_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd writes it, with @ before the name."""
    name = f"modicum-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        tell("STOPPING=1")
        assert said(heard) == ["STOPPING=1"]


@pytest.mark.parametrize("address", ["", "/absent/notify"])
def test_without_systemd_nothing_is_told_and_nothing_fails(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """As on a desk; a thread that has ended is found all the same."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    Vote("program", lambda: {"one": Thread(time.monotonic())}).take()
    ended = {"one": Thread(lives=False)}
    with pytest.raises(DeviceError, match="has ended"):
        Vote("program", lambda: ended).take()


@pytest.mark.parametrize(
    ("usec", "ours", "expected_s"),
    [("6000000", True, 6.0), ("6000000", False, 0.0), ("soon", True, 0.0), (None, True, 0.0)],
)
def test_the_watchdog_s_time_is_that_of_this_process(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, ours: bool, expected_s: float
) -> None:
    """A child of it has none, and what cannot be read is none."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if usec is not None:
        monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() if ours else 1))
    assert watchdog_s() == expected_s
