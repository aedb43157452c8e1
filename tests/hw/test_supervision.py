"""Supervision: sessions one after the other, a fault of ours ends the thread."""

from __future__ import annotations

import threading

import pytest

from hw.errors import DeviceLost
from hw.supervision import Supervised
from tests.support.wait import until


@pytest.mark.parametrize("pause_s", [1000.0, 0.2])
def test_close_ends_a_pause_at_once(pause_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is away does not hold up the end of the agent, however long the pause is and whoever looks up in it."""
    monkeypatch.setattr("hw.supervision.PAUSE_S_FIRST", 1000.0)
    monkeypatch.setattr("hw.supervision.TICK_S", pause_s)

    class Lost(Supervised):
        def _session(self) -> None:
            raise DeviceLost("gone", "here", "wait")

    supervision = Lost("t")
    supervision.start()
    until(lambda: supervision.losses == 1, "the first pause")
    supervision.close()
    assert not supervision.alive()  # close gives up after JOIN_S_MAX, long before the pause is over
    assert supervision.problem == "gone (here): wait"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_ends_the_thread_where_the_watchdog_sees_it() -> None:
    """What is not the device's fault is not tried again: the thread is not alive any more."""
    ended = threading.Event()

    class Wrong(Supervised):
        def _session(self) -> None:
            ended.set()
            raise AssertionError("a broken promise of ours")

    supervision = Wrong("t")
    supervision.start()
    assert ended.wait(5)
    supervision.close()
    assert not supervision.alive()
    assert supervision.losses == 0
