"""agent.ecall.record: core gets to know of a call that is over, as soon as it is there."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from agent.ecall.outputs import Ended
from agent.ecall.record import ROUTE, WAITING_MAX, Recorder
from agent.errors import AgentAbsent

ENDED = Ended("0123456789abcdef", "automatic", acknowledged=True, voice=False, messages=2, lasted_s=61.5)


def test_it_is_told_until_core_has_it_and_then_no_more() -> None:
    """Absent twice, then there: three times asked, with nothing but what may be told."""
    asked: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    left = [AgentAbsent("absent"), AgentAbsent("absent")]

    def ask(route: str, **args: object) -> None:
        asked.put((route, args))
        if left:
            raise left.pop()

    recorder = Recorder(ask, again_s=0.01)
    recorder.start()
    recorder(ENDED)
    told = [asked.get(timeout=5) for _ in range(3)]
    recorder.close()
    said = {"session": "0123456789abcdef", "kind": "automatic", "acknowledged": True, "voice": False, "messages": 2, "lasted_s": 61.5}
    assert told == [(ROUTE, said)] * 3
    assert asked.empty()


def test_the_call_never_waits_for_it() -> None:
    """More than can wait is refused, which the loop takes as a problem."""
    recorder = Recorder(lambda *_, **__: None)
    for _ in range(WAITING_MAX):
        recorder(ENDED)
    with pytest.raises(queue.Full):
        recorder(ENDED)
