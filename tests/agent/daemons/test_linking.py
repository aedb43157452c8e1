"""Core's end of the link: who gets in, and that nothing ends the accepting."""

from __future__ import annotations

import errno
import os
import queue
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from agent.core.loop import Linked
from agent.daemons import linking as module
from agent.daemons.linking import Linking
from agent.link import Link, LinkDown, Listener, State, connect, listen
from agent.notify import Watched
from tests.support.wait import until


def test_a_link_of_another_user_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is neither root, nor us, nor of the socket's group never gets into the loop."""
    heard = list[object]()
    monkeypatch.setattr(Link, "peer", lambda self: (0, os.geteuid() + 1, os.getegid() + 1))
    linking = Linking(listen(tmp_path / "link"), heard.append)
    linking.start()
    with pytest.raises(LinkDown), connect(tmp_path / "link", 5) as stranger:
        stranger.receive(10)
    assert heard == []
    linking.close()


def test_a_member_of_the_socket_s_group_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that hands on its group (setgid) says who the uplink is, without core being in that group."""
    listener, heard = listen(tmp_path / "link"), queue.SimpleQueue[Any]()
    listener.group = os.getegid() + 1
    monkeypatch.setattr(Link, "peer", lambda self: (0, os.geteuid() + 1, os.getegid() + 1))
    linking = Linking(listener, heard.put)
    linking.start()
    with connect(tmp_path / "link", 5):
        assert heard.get(timeout=5) == Linked(ANY)
    linking.close()


def test_a_link_that_cannot_be_accepted_does_not_end_the_accepting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor left, no thread left: a pause, and the next uplink is heard."""
    failures: list[Exception] = [LinkDown("the link ended", "Too many open files", ""), OSError(errno.EMFILE, "no socket option")]
    accept, start = Listener.accept, Watched.start

    def accepted(self: Listener, timeout_s: float | None) -> Link | None:
        if failures:
            raise failures.pop()
        return accept(self, timeout_s)

    def no_thread(_: Watched) -> None:
        monkeypatch.setattr(Watched, "start", start)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Listener, "accept", accepted)
    monkeypatch.setattr(module, "ACCEPT_PAUSE_S", 0)
    heard = queue.SimpleQueue[Any]()
    linking = Linking(listen(tmp_path / "link"), heard.put)
    linking.start()
    monkeypatch.setattr(Watched, "start", no_thread)
    with connect(tmp_path / "link", 5):
        assert heard.get(timeout=5) == Linked(ANY)
        ended = heard.get(timeout=5)
        assert (ended.link, ended.ended is not None) == (None, True)
    with connect(tmp_path / "link", 5) as uplink:
        assert heard.get(timeout=5) == Linked(ANY)
        uplink.send(State(lane="id:main", online=True, why="", protocol=5))
        assert heard.get(timeout=5) == State(lane="id:main", online=True, why="", protocol=5)
    linking.close()


def test_a_reader_votes_as_long_as_its_link(tmp_path: Path) -> None:
    """A link that has ended takes its thread with it, which is no fault."""
    heard = queue.SimpleQueue[Any]()
    linking = Linking(listen(tmp_path / "link"), heard.put)
    linking.start()
    assert list(linking.voters()) == ["link"]
    with connect(tmp_path / "link", 5):
        until(lambda: list(linking.voters()) == ["link", "link reader"], "the reader's vote")
    until(lambda: list(linking.voters()) == ["link"], "the reader's end")
    linking.close()


def test_the_accepting_ends_with_its_listener(tmp_path: Path) -> None:
    """Closed means closed: no pause and no further attempt."""
    linking = Linking(listen(tmp_path / "link"), lambda _: None)
    linking.close()
    linking._accept(lambda: None)
