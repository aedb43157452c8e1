"""hw.bench.pace: a wait ends at its moment, or when it is told to, by whomever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from hw.bench.pace import NS, Pace, Stop

STORM = """
import signal, sys
from hw.bench.pace import Stop
for n in range({rounds}):
    stop = Stop()
    signal.signal(signal.SIGALRM, lambda *_: stop.set())
    signal.setitimer(signal.ITIMER_REAL, 1e-5 + n % 50 * 1e-6)
    while not stop.is_set():
        stop.wait(1e-6)
print("ended")
"""
"""Each alarm comes at another point of a wait."""


def test_a_wait_ends_at_its_moment() -> None:
    """Not before it, and whether the clock was set in between or not."""
    pace = Pace()
    until_ns = pace.now_ns() + NS // 20
    assert pace.wait_until(until_ns)
    assert until_ns <= pace.now_ns() < until_ns + NS
    assert pace.wait_until(0)


def test_a_wait_ends_when_it_is_told_to() -> None:
    """And so does every later one, at once."""
    pace = Pace()
    threading.Timer(0.1, pace.stop.set).start()
    began_s = time.monotonic()
    assert not pace.wait_until(pace.now_ns() + 3600 * NS)
    assert not pace.wait_until(pace.now_ns() + 3600 * NS)
    assert time.monotonic() - began_s < 5


def test_a_signal_in_the_middle_of_a_wait_ends_it() -> None:
    """Wherever in the wait it comes: an Event, whose lock does not nest, would wait for itself for ever."""
    run = subprocess.run([sys.executable, "-c", STORM.format(rounds=20_000)], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "ended\n"


def test_it_can_be_told_more_often_than_anybody_hears() -> None:
    """It never blocks whoever tells it."""
    stop = Stop()
    for _ in range(200_000):
        stop.set()
    assert stop.is_set()
