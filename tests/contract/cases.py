"""The gate's contract as courses of one identifier each: what is sent when, and what any engine has to deliver of it.

Times are milliseconds, and everything that matters is at least 50 ms from the next: the guest's clock ticks at 100 Hz.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hw.can.gate import Gate
from hw.ports import EXTENDED_ID, Frame, Mux, Silence, Subscription

MS = 1_000_000
BUS = "pt"
SILENT = "silent"
MARGIN_MS = 50
END_MS = 4_000
"""All courses are over by then, but for silences."""


@dataclass(frozen=True, order=True)
class Step:
    at_ms: int
    data: bytes
    fd: bool = False
    remote: bool = False
    error: int = 0


@dataclass(frozen=True)
class Course:
    name: str
    wish: Subscription
    steps: Sequence[Step]
    delivered: Sequence[str]
    """Payloads in hexadecimal, and SILENT, in order."""
    kernel: Sequence[str] | None = None
    """What the kernel delivers where the contract tolerates that it is something else."""
    at_once: int = 0
    """So many of the last are held for one moment, and come in any order."""


def wish(can_id: int, mask: int = 0xFF, throttle_ms: int = 0, timeout_ms: int = 0, mux: Mux | None = None) -> Subscription:
    return Subscription(BUS, can_id, mask, throttle_ms * MS, timeout_ms * MS, mux)


def sent(*steps: tuple[int, str], fd: bool = False) -> list[Step]:
    return [Step(at_ms, bytes.fromhex(data), fd) for at_ms, data in steps]


def long(length: int, **at: int) -> str:
    """A payload in hexadecimal with bytes at `_N`."""
    return bytes(at.get(f"_{n}", 0) for n in range(length)).hex()


TWO_CASES = Mux(0x0F, {1: 0xFF00, 2: 0xFF00})
FORMATS = [Step(0, b"\x01"), Step(100, b"\x01", fd=True), Step(200, b"\x01"), Step(300, b"\x02", fd=True)]
NAMED = [
    Course("first, unchanged, changed", wish(0x100), sent((0, "01"), (100, "01"), (200, "02"), (300, "02")), ["01", "02"]),
    Course("beyond the mask", wish(0x101, 0xF0), sent((0, "0000"), (100, "0fff"), (200, "1f07")), ["0000", "1f07"]),
    Course("nothing wanted of it", wish(0x102, 0), sent((0, "01"), (100, "02")), ["01"]),
    Course(
        "newest at the end of the throttle",
        wish(0x103, throttle_ms=400),
        sent((0, "01"), (100, "02"), (200, "03"), (600, "04"), (1500, "05")),
        ["01", "03", "04", "05"],
    ),
    Course("changed and back", wish(0x104, throttle_ms=400), sent((0, "01"), (100, "02"), (200, "01"), (700, "01")), ["01", "01"]),
    Course(
        "silent and back",
        wish(0x105, timeout_ms=400),
        sent((0, "01"), (200, "01"), (800, "01")),
        ["01", SILENT, "01", SILENT],
    ),
    Course("never there", wish(0x106, timeout_ms=400), [], [SILENT]),
    Course("held, then silent", wish(0x107, throttle_ms=200, timeout_ms=400), sent((0, "01"), (100, "02")), ["01", "02", SILENT]),
    Course(
        "short",
        wish(0x108, 0xFFFF),
        sent((0, "0102"), (100, "01"), (200, "0100"), (300, ""), (400, "00")),
        ["0102", "01", "00"],
    ),
    Course("another length alone", wish(0x109), sent((0, "01"), (100, "010203"), (200, "01")), ["01"]),
    Course(
        "multiplexed",
        wish(0x10A, 0, mux=TWO_CASES),
        sent((0, "0109"), (100, "0209"), (200, "0355"), (300, "0109"), (400, "0108"), (500, "0209")),
        ["0109", "0209", "0108"],
    ),
    Course(
        "multiplexed and held",
        wish(0x10B, 0, 400, mux=TWO_CASES),
        sent((0, "0101"), (100, "0201"), (200, "0102")),
        ["0101", "0201", "0102"],
        at_once=2,
    ),
    Course(
        "a case that is not wanted is heard",
        wish(0x10C, 0, 0, 400, TWO_CASES),
        sent((0, "0101"), (200, "0301"), (400, "0301"), (600, "0101")),
        ["0101", SILENT],
    ),
    Course(
        "CAN FD",
        wish(0x10D, 0xFF << 160),
        sent((0, long(24, _20=1)), (100, long(24, _20=1, _1=7)), (200, long(24, _20=2)), (300, long(16)), fd=True)
        + sent((400, long(24)), fd=True),
        [long(24, _20=1), long(24, _20=2), long(24)],
    ),
    Course(
        "CAN FD, multiplexed",
        wish(0x10E, 0, mux=Mux(0x0F, {1: 0xFF << 160, 2: 0xFF00})),
        sent((0, long(24, _0=1, _20=1)), (100, long(24, _0=2, _20=9)), (200, long(24, _0=1, _20=2)), (300, long(24, _0=2, _20=8)), fd=True),
        [long(24, _0=1, _20=1), long(24, _0=2, _20=9), long(24, _0=1, _20=2)],
    ),
    Course("either format is compared within itself", wish(0x10F), FORMATS, ["01", "02"], kernel=["01", "01", "02"]),
    Course("extended", wish(EXTENDED_ID | 0x110), sent((0, "01"), (100, "01"), (200, "02")), ["01", "02"]),
    Course("its standard neighbour", wish(0x110), sent((50, "0a"), (150, "0b")), ["0a", "0b"]),
    Course(
        "remote frames are no sign of life",
        wish(0x111, timeout_ms=400),
        [*sent((0, "01")), Step(200, b"", remote=True)],
        ["01", SILENT],
    ),
    Course(
        "error frames are none of its", wish(0x004), [*sent((0, "01")), Step(100, bytes([0, 0x40, 0, 0, 0, 0, 0, 0]), error=0x004)], ["01"]
    ),
    Course(
        "two signals merged", wish(0x112, 0xFF0F), sent((0, "0000"), (100, "f000"), (200, "f100"), (300, "f107")), ["0000", "f100", "f107"]
    ),
    Course("time-out inside the throttle", wish(0x113, 0xFF, 700, 400), sent((0, "01"), (100, "02")), ["01", SILENT, "02"]),
]
"""Sent at once, each with an identifier of its own."""


def random_courses(seed: int, count: int) -> list[Course]:
    """What the gate makes of them in virtual time is what both engines have to."""
    rng = random.Random(seed)
    return [_random_course(rng, can_id) for can_id in (0x200 + n | (EXTENDED_ID if n % 3 == 0 else 0) for n in range(count))]


def _random_course(rng: random.Random, can_id: int) -> Course:
    mux = rng.choice([None, None, Mux(0x03, {1: 0xFF00, 2: 0x0F00})])
    # One case at a time: those held for one moment have no order.
    throttle_ms = 0 if mux else rng.choice([0, 210, 350, 490])
    one = wish(can_id, 0 if mux else rng.choice([0x01, 0xFF, 0xFF00, 0x0FF0]), throttle_ms, rng.choice([0, 700, 930]), mux)
    gate, now_ms, steps, delivered = Gate(), 0, list[Step](), list[str]()
    gate.swap([one], 0)
    while now_ms < END_MS:
        now_ms += rng.choice([60, 110, 170, 260, 400, 1100])
        if now_ms > END_MS or not _clear(gate, now_ms):
            continue
        delivered += [_said(item) for item in gate.due(now_ms * MS)]
        data = bytes(rng.choice([0, 1, 2, 0x10]) for _ in range(rng.choice([1, 2, 2, 2, 3, 8])))
        steps.append(Step(now_ms, data, fd=False))
        passed = gate.feed(Frame(BUS, can_id, data, now_ms * MS))
        delivered += [] if passed is None else [_said(passed)]
    delivered += [_said(item) for item in gate.due((now_ms + 5_000) * MS)]
    return Course(f"random {can_id:#x}", one, steps, delivered)


def _clear(gate: Gate, now_ms: int) -> bool:
    """Whether nothing else of the only identifier is about to happen, or has just happened."""
    (watch,) = gate._watches.values()
    borders_ns = [watch.told_ns + watch.wanted.throttle_ns] if watch.told_ns is not None and watch.wanted.throttle_ns else []
    # The throttle that follows one at whose end something was told.
    borders_ns += [end_ns + watch.wanted.throttle_ns for end_ns in borders_ns]
    borders_ns += [watch.heard_ns + watch.wanted.timeout_ns] if watch.heard_ns is not None and watch.wanted.timeout_ns else []
    return all(abs(now_ms * MS - border_ns) >= MARGIN_MS * MS for border_ns in borders_ns)


def _said(item: Frame | Silence) -> str:
    return item.data.hex() if isinstance(item, Frame) else SILENT
