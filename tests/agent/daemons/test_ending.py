"""agent.daemons.ending, and how long core takes to end in real time."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from agent.daemons.ending import close_all
from agent.link import Lane, Offer, State, connect
from tests.agent.cli.conftest import Agent

STOP_S_MAX = 3 * 2.0
"""Two seconds are promised; factor 3 in real time."""


def test_everything_is_closed_at_the_same_time() -> None:
    """Each waits until all others are being closed."""
    met, closed = threading.Barrier(4), list[int]()

    def close(number: int) -> None:
        met.wait(5)
        closed.append(number)

    close_all([lambda number=number: close(number) for number in range(4)], 10.0)  # type: ignore[misc]  # bound at once
    assert sorted(closed) == [0, 1, 2, 3]


def test_what_does_not_close_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """A device that hangs, and one that fails, cost the others nothing."""
    never, closed = threading.Event(), list[str]()

    def broken() -> None:
        raise OSError("not now")

    began_s = time.monotonic()
    close_all([lambda: never.wait(60), broken, lambda: closed.append("good")], 0.2)
    assert time.monotonic() - began_s < 30
    assert closed == ["good"]
    assert caplog.messages == ["could not be closed: OSError"]
    never.set()


@pytest.mark.live
def test_a_core_whose_uplink_says_nothing_ends_in_time(agent: Agent) -> None:
    """Offers are out, no answer ever comes, and the bus goes on telling. No database is written back: flushes that a slow disk feels."""
    agent.ask("policy.accept")
    agent.stop()
    agent.run()  # it tells that it has started
    with connect(agent.folder / "link.sock", 5) as uplink:
        while not isinstance(message := uplink.receive(10), Offer):
            if isinstance(message, Lane):
                uplink.send(State(lane=message.lane, online=True, why="", protocol=5))
        assert agent.process is not None
        began_s = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(30) == 0
        assert time.monotonic() - began_s < STOP_S_MAX
    assert "Traceback" not in agent.log()
    assert (agent.folder / "state" / "ledger.db-wal").stat().st_size > 0
