"""Told by test_gates.py, in the guest: one sender, and beside each other a reader with the kernel's gate and one with the software's.

python -m tests.contract.stories NAME FOLDER    leaves FOLDER/NAME.json
"""

from __future__ import annotations

import contextlib
import functools
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import can

from hw.can import bcm
from hw.can.bus import BusReader
from hw.ports import EXTENDED_ID, Frame, Mux, Silence, Subscription
from tests.contract.cases import BUS, END_MS, MARGIN_MS, MS, NAMED, Course, Step, random_courses, wish
from tests.support.wait import until

Item = Frame | Silence
ENGINES = ("kernel", "software")
SEEDS, RANDOM_IDS = (1, 2), 12
QUIET_MS = 1_300
"""After the last step: the longest time-out, and some."""
APART_MS = 20
"""Between the beginnings of courses with a time-out; between others three times that. The guest takes about 10 ms for a frame."""
TRIES = 3
NOBODYS = 0x7F0


class Side:
    """A reader with an engine of its own, and what it delivered."""

    def __init__(self, engine: str) -> None:
        found, bcm_available = engine, bcm.available
        bcm.available = lambda: found == "kernel"
        try:
            clock: dict[str, Any] = {"to_axis": lambda s: round(s * 1e9), "now_ns": time.time_ns}
            self.reader = BusReader(BUS, "socketcan", "vcan0", deliver=self._deliver, extra={"fd": True}, **clock)
        finally:
            bcm.available = bcm_available
        assert self.reader.engine == engine
        self.items: list[Item] = []
        self.era = 0
        self.eras: list[int] = []
        """Of each item."""
        self.full = 0
        """So many of the next are refused, as a full inbox does."""

    def _deliver(self, item: Item) -> None:
        if self.full:
            self.full -= 1
            raise queue.Full
        self.eras.append(self.era)
        self.items.append(item)

    def of(self, can_id: int) -> list[Item]:
        return [item for item in self.items if item.can_id == can_id]


@contextlib.contextmanager
def both(wanted: list[Subscription]) -> Iterator[tuple[dict[str, Side], can.BusABC]]:
    """Both readers at work, and a sender."""
    sides = {engine: Side(engine) for engine in ENGINES}
    with can.Bus(interface="socketcan", channel="vcan0", fd=True) as sender:
        for side in sides.values():
            side.reader.start()
        until(lambda: not any(side.reader.problem for side in sides.values()), "both read")
        for side in sides.values():
            side.reader.subscribe(wanted)
        try:
            yield sides, sender
        finally:
            for side in sides.values():
                side.reader.close()


def message(can_id: int, data: bytes, **how: Any) -> can.Message:
    return can.Message(arbitration_id=can_id & ~EXTENDED_ID, is_extended_id=bool(can_id & EXTENDED_ID), data=data, **how)


def of_step(course: Course, step: Step) -> can.Message:
    if step.error:
        return message(step.error, step.data, is_error_frame=True)
    return message(course.wish.can_id, step.data, is_fd=step.fd, is_remote_frame=step.remote)


def courses() -> dict[str, Any]:
    """Every course at once; the random ones with their seeds after the named ones."""
    return {"named": played(NAMED), **{f"seed {seed}": played(random_courses(seed, RANDOM_IDS)) for seed in SEEDS}}


def played(all_of: list[Course]) -> dict[str, Any]:
    """Again where the guest was too late for its margins."""
    for _ in range(TRIES):
        found = played_once(all_of)
        if found["late_ms"] < MARGIN_MS:
            break
    return found


def played_once(all_of: list[Course]) -> dict[str, Any]:
    all_of = sorted(all_of, key=lambda course: not course.wish.timeout_ns)  # before they are silent
    starts_ms = [n * APART_MS if course.wish.timeout_ns else n * 3 * APART_MS for n, course in enumerate(all_of)]
    steps = sorted((step.at_ms + starts_ms[n], n, step) for n, course in enumerate(all_of) for step in course.steps)
    late_ms = 0.0
    with both([course.wish for course in all_of]) as (sides, sender):
        sender.send(message(NOBODYS, b"", is_remote_frame=True))  # the first one takes its time
        began_ns = time.time_ns()
        for at_ms, n, step in steps:
            time.sleep(max(0.0, (began_ns + at_ms * MS - time.time_ns()) / 1e9))
            late_ms = max(late_ms, (time.time_ns() - began_ns) / MS - at_ms)
            sender.send(of_step(all_of[n], step))
        time.sleep(max(0.0, (began_ns + (END_MS + QUIET_MS) * MS - time.time_ns()) / 1e9))
    told = {
        engine: {
            course.name: [(said(item), round((item.t_ns - began_ns) / MS)) for item in side.of(course.wish.can_id)] for course in all_of
        }
        for engine, side in sides.items()
    }
    counts = {
        engine: {"read": side.reader.counters.read, "errors": dict(side.reader.counters.errors), "short": side.reader.gate.short}
        for engine, side in sides.items()
    }
    return {"late_ms": late_ms, "told": told, "counts": counts}


def said(item: Item) -> str:
    return item.data.hex() if isinstance(item, Frame) else "silent"


# -- a plan that changes while the car talks -----------------------------------------------------------------------------

WITHDRAWN, UNCHANGED, NARROWED, NEW, CASES = 0x301, 0x302, 0x303, 0x304, 0x305
ONE_CASE, BOTH_CASES = Mux(0x0F, {1: 0xFFFF00}), Mux(0x0F, {1: 0xFFFF00, 2: 0xFFFF00})
PLANS = (
    [wish(WITHDRAWN, 0xFFFF), wish(UNCHANGED, 0xFFFF), wish(NARROWED, 0xFFFF), wish(CASES, 0, mux=ONE_CASE)],
    [wish(UNCHANGED, 0xFFFF), wish(NARROWED, 0x00FF), wish(NEW, 0xFFFF), wish(CASES, 0, mux=BOTH_CASES)],
)
SWAPS, ROUND_S, ROUNDS_EACH = 20, 0.01, 8
UNDER_WAY = -1
"""An era in which `subscribe` has not returned."""


class Talk(threading.Thread):
    """Sends a frame of each identifier each round; its payload is the number of the round, so every frame is a change."""

    def __init__(self, sender: can.BusABC) -> None:
        super().__init__(daemon=True)
        self.rounds = 0
        self._sender = sender
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(ROUND_S):
            number = (self.rounds + 1).to_bytes(2, "little")
            for can_id in (WITHDRAWN, UNCHANGED, NARROWED, NEW):
                self._sender.send(message(can_id, number))
            for case in (b"\x01", b"\x02"):
                self._sender.send(message(CASES, case + number))
            self.rounds += 1

    def end(self) -> None:
        self._over.set()
        self.join()


def reached(side: Side, number: int) -> bool:
    """That round was delivered, however long a busy machine took for it."""
    return int.from_bytes(side.of(UNCHANGED)[-1].data, "little") >= number  # type: ignore[union-attr]


def swaps() -> dict[str, Any]:
    """For each engine: the rounds sent when each plan was in force, and [era, identifier, payload] of all that was delivered."""
    found: dict[str, Any] = {}
    for engine in ENGINES:
        with both(PLANS[0]) as (sides, sender):
            side, talk, rounds = sides[engine], Talk(sender), [0]
            talk.start()
            until(functools.partial(side.of, UNCHANGED), "the first frames")
            for era in range(1, SWAPS + 1):
                side.era = UNDER_WAY
                side.reader.subscribe(PLANS[era % 2])
                side.era = era
                rounds.append(talk.rounds)
                until(functools.partial(reached, side, rounds[-1] + ROUNDS_EACH), "the rounds of this plan")
            talk.end()
            time.sleep(0.3)
            delivered = [(era, item.can_id, said(item)) for era, item in zip(side.eras, side.items, strict=True)]
            lost = {"lost": side.reader.counters.lost, "losses": side.reader.losses}
        found[engine] = {"rounds": rounds, "sent": talk.rounds, "delivered": delivered, **lost}
    return found


# -- what nobody had room for --------------------------------------------------------------------------------------------

FLOOD = 6_000
AFTER_ALL = 0x401


def losses() -> dict[str, Any]:
    """For each engine: what came after its queue had run over, and after its inbox had been full."""
    return {engine: {"queue": _overrun(engine), "inbox": _refused(engine)} for engine in ENGINES}


def _overrun(engine: str) -> dict[str, Any]:
    """While the reader stands still the last change finds no room; its unchanged repetition is all that comes after it."""
    with both([wish(AFTER_ALL, 0xFFFF)]) as (sides, sender):
        side = sides[engine]
        with side.reader._lock:
            for number in range(FLOOD):
                sender.send(message(AFTER_ALL, number.to_bytes(2, "little")))
        time.sleep(1.0)
        before = len(side.items)
        for _ in range(3):
            sender.send(message(AFTER_ALL, (FLOOD - 1).to_bytes(2, "little")))
            time.sleep(0.1)
        return {"before": before, "after": [said(item) for item in side.items[before:]], "lost": side.reader.counters.lost}


def _refused(engine: str) -> dict[str, Any]:
    """The inbox has no room for a change and for a silence."""
    with both([wish(AFTER_ALL, 0xFFFF, timeout_ms=500)]) as (sides, sender):
        side = sides[engine]
        sender.send(message(AFTER_ALL, b"\x01\x00"))
        until(lambda: side.items)
        side.full = 1
        for _ in range(3):
            sender.send(message(AFTER_ALL, b"\x02\x00"))
            time.sleep(0.1)
        side.full = 1
        time.sleep(1.6)
        return {"items": [said(item) for item in side.items], "lost": side.reader.counters.lost}


STORIES: dict[str, Callable[[], dict[str, Any]]] = {"courses": courses, "swaps": swaps, "losses": losses}

if __name__ == "__main__":
    Path(sys.argv[2], f"{sys.argv[1]}.json").write_text(json.dumps(STORIES[sys.argv[1]]()), encoding="utf-8")
