"""agent.ecall.record: core gets to know of a call that is over, as soon as it is there."""

from __future__ import annotations

import queue
from dataclasses import replace
from typing import Any

import pytest

from agent.ecall.outputs import Ended
from agent.ecall.record import ROUTE, WAITING_MAX, Recorder
from agent.errors import AgentAbsent, UsageError

ENDED = Ended("0123456789abcdef", "automatic", told=True, voice=False, messages=2, lasted_s=61.5)


def test_it_is_told_until_core_has_it_and_then_no_more() -> None:
    """Absent twice, then there: three times asked, with nothing but what may be told."""
    asked: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    left: list[Exception] = [AgentAbsent("absent"), OSError("no descriptor")]

    def ask(route: str, **args: object) -> None:
        asked.put((route, args))
        if left:
            raise left.pop()

    recorder = Recorder(ask, again_s=0.01)
    recorder.start()
    recorder(ENDED)
    told = [asked.get(timeout=5) for _ in range(3)]
    recorder.close()
    said = {"session": "0123456789abcdef", "kind": "automatic", "told": True, "voice": False, "messages": 2, "lasted_s": 61.5}
    assert told == [(ROUTE, said)] * 3
    assert asked.empty()


def test_the_call_never_waits_for_it() -> None:
    """More than can wait is refused, which the loop takes as a problem."""
    recorder = Recorder(lambda *_, **__: None)
    for _ in range(WAITING_MAX):
        recorder(ENDED)
    with pytest.raises(queue.Full):
        recorder(ENDED)


def test_a_record_that_core_refuses_for_good_does_not_hold_up_the_next() -> None:
    """The same words would be refused again."""
    asked: queue.SimpleQueue[object] = queue.SimpleQueue()

    def ask(_: str, **args: object) -> None:
        asked.put(args["session"])
        if args["session"] == ENDED.session:
            raise UsageError("not the record")

    recorder = Recorder(ask, again_s=30)
    recorder.start()
    recorder(ENDED)
    recorder(replace(ENDED, session="f" * 16))
    assert [asked.get(timeout=5) for _ in range(2)] == [ENDED.session, "f" * 16]
