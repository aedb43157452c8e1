"""modicum-uplink's loop around what its lanes do: its end, which nothing holds up, a suspend, and its vote."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import link, notify
from agent.daemons import uplink as daemon
from agent.errors import DeviceError


def test_connections_end_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a second where its broker does not answer, which is as long as the end may take in all; the link is closed at last."""
    near, far = link.pair()
    nobody: Any = None
    uplink, released, reached = daemon.Uplink(near, nobody), threading.Event(), threading.Barrier(5)
    lane: Any = SimpleNamespace(stop=lambda _: (reached.wait(5), released.wait(30)))
    uplink._lanes = {f"lane {number}": lane for number in range(4)}
    monkeypatch.setattr(daemon, "END_S", 0.1)
    uplink.stop()
    ending = threading.Thread(target=uplink.run, daemon=True)
    ending.start()
    reached.wait(5)  # all four wait at the same time
    ending.join(5)
    assert not ending.is_alive()
    with pytest.raises(link.LinkDown):
        far.receive(5)
    released.set()


def test_a_suspend_is_noticed_when_the_loop_looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lane hears of it once, before time passes for it: within WATCH_S of the device's waking, whatever the sockets say."""
    near, _far = link.pair()
    nobody: Any = None
    uplink, heard, slept = daemon.Uplink(near, nobody), list[str](), [True]
    told = {"woke": lambda _: heard.append("woke"), "tick": lambda _: heard.append("tick")}
    lane: Any = SimpleNamespace(**told, next_due_s=lambda: 0.0, at_work=None)
    uplink._lanes = {"id:main": lane}
    monkeypatch.setattr(type(uplink._sleep), "over", lambda _: bool(slept) and slept.pop())
    assert uplink._serve()
    assert uplink._serve()
    assert heard == ["woke", "tick", "tick"]


def test_what_waits_in_the_inbox_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand events in front of the end: none of them is taken any more."""
    near, _far = link.pair()
    nobody: Any = None
    uplink, taken = daemon.Uplink(near, nobody), list[object]()
    monkeypatch.setattr(uplink, "_take", taken.append)
    for _ in range(daemon.INBOX_MAX):
        uplink._inbox.put(link.Close(lane="id:main"))
    uplink.stop()
    uplink.run()
    assert taken == []


def test_it_is_ready_once_however_often_core_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent, then there for a moment, then there when the program is stopped; what it does at the moment is told each time."""
    handlers: dict[int, Callable[[int, object], None]] = {}
    told, tries = list[str](), list[Path]()
    access_of: Any = None

    def connect(path: Path) -> link.Link:
        tries.append(path)
        if len(tries) == 1:
            raise link.LinkDown("core does not answer", str(path), "start modicum-core")
        near, far = link.pair()
        far.close()
        if len(tries) == 3:
            handlers[signal.SIGTERM](signal.SIGTERM, None)
        return near

    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    monkeypatch.setattr(link, "connect", connect)
    monkeypatch.setattr(daemon, "AGAIN_S", 0)
    for module in (notify, daemon):
        monkeypatch.setattr(module, "tell", told.append)
    daemon.serve(Path("link"), access_of)
    waits, linked = "STATUS=waits for core", "STATUS=linked to core"
    assert told == [f"READY=1\n{waits}\nWATCHDOG=1", linked, waits, "STOPPING=1"]


def test_the_threads_of_the_link_at_work_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended ends the program, and the link with it."""
    near, far = link.pair()
    access_of: Any = None
    ended: Any = SimpleNamespace(alive=lambda: False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(link, "connect", lambda _: near)
    monkeypatch.setattr(daemon.Uplink, "voters", lambda _: {"link": ended})
    monkeypatch.setattr(daemon, "WATCH_S", 0.01)
    monkeypatch.setattr(notify, "PERIOD_S", 0.0)
    with pytest.raises(DeviceError, match="a thread has ended: link"):
        daemon.serve(Path("link"), access_of)
    with pytest.raises(link.LinkDown):
        far.receive(5)
