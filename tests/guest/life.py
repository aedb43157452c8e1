"""Told by test_bus.py: an interface that comes late, goes down, is renamed, deleted and comes back, read gated and not. In the guest.

What each step found stands in $SCRATCH/life.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import can

from hw.can.bus import BusReader
from hw.ports import Frame, Silence, Subscription
from tests.support.wait import until

NS = 10**9
AWAY_S = 3.5
"""By then the pauses between tries are as long as they get."""
STEP_S = 20.0
OURS = 0x123
LONG = bytes(range(16))
CLASSES = {0x088: bytes(8), 0x004: bytes([0, 0x10, 0, 0, 0, 0, 0, 0]), 0x020: bytes(8)}


def ip(*words: str) -> None:
    for word in words:
        subprocess.run(["ip", "link", *word.split()], check=True)


class Reading:
    """A reader that keeps what it delivered."""

    def __init__(self, *, gated: bool) -> None:
        self.items: list[Frame | Silence] = []
        clock: dict[str, Any] = {"to_axis": lambda s: round(s * NS), "now_ns": time.time_ns}
        self.reader = BusReader("pt", "socketcan", "vcan0", deliver=self.items.append, gated=gated, **clock)
        self.reader.subscribe([Subscription("pt", OURS, 0xFF, 0, 2 * NS if gated else 0)])
        self.reader.start()

    def frames(self) -> int:
        return sum(isinstance(item, Frame) for item in self.items)

    def last_length(self) -> int:
        return [len(item.data) for item in self.items if isinstance(item, Frame)][-1]

    def silences(self) -> int:
        return sum(isinstance(item, Silence) for item in self.items)


class Story:
    def __init__(self) -> None:
        self.readings = {"gated": Reading(gated=True), "every frame": Reading(gated=False)}
        self.found: dict[str, Any] = {}

    def run(self) -> None:
        self.away("late", lambda: None, lambda: ip("add vcan0 type vcan", "set vcan0 mtu 72 up"))
        self.away("down", lambda: ip("set vcan0 down"), lambda: ip("set vcan0 up"))
        self.away(
            "renamed",
            lambda: ip("set vcan0 down", "set vcan0 name other0", "set other0 up"),
            lambda: ip("set other0 down", "set other0 name vcan0", "set vcan0 up"),
        )
        self.away("deleted", lambda: ip("del vcan0"), lambda: ip("add dummy0 type vcan", "add vcan0 type vcan", "set vcan0 mtu 72 up"))
        self.away("bus off", lambda: self.say(0x040, bytes(8)), lambda: None)
        self.replaced()
        self.brought_up("classic", 16, b"\x01")
        self.brought_up("fd", 72, LONG)
        self.errors()
        for name, reading in self.readings.items():
            reader = reading.reader
            gaps = [asdict(gap) for gap in reader.gaps]
            self.found[name] = {"engine": reader.engine, "losses": reader.losses, "gaps": gaps, "lost": reader.counters.lost}
            reader.close()

    def away(self, step: str, go: Callable[[], None], come: Callable[[], None]) -> None:
        """Gone for a while: when that is told, and with which words; then when each reader delivers a frame again."""
        silences = self.readings["gated"].silences()
        go()
        gone_s = until(lambda: all(one.reader.problem and one.reader.losses for one in self.readings.values()))
        time.sleep(AWAY_S)
        problems = [one.reader.problem for one in self.readings.values()]
        told = self.readings["gated"].silences() - silences
        come()
        back_s = self.heard()
        self.found[step] = {"gone_s": gone_s, "problems": problems, "back_s": back_s, "silences": told}

    def heard(self, data: bytes = b"\x01") -> list[float]:
        """Seconds until each delivers a frame that is sent all the time and says nothing new; one of CAN FD where it is long."""
        before = {name: one.frames() for name, one in self.readings.items()}
        took_s: dict[str, float] = {}
        began_s = time.monotonic()
        fd = len(data) > 8
        with can.Bus(interface="socketcan", channel="vcan0", fd=fd) as car:
            while len(took_s) < len(self.readings):
                assert time.monotonic() < began_s + STEP_S, f"only {list(took_s)} came back"
                car.send(can.Message(arbitration_id=OURS, data=data, is_extended_id=False, is_fd=fd))
                time.sleep(0.05)
                for name, one in self.readings.items():
                    if one.frames() > before[name]:
                        took_s.setdefault(name, time.monotonic() - began_s)
        return list(took_s.values())

    def replaced(self) -> None:
        """Another interface gets the name within a moment."""
        losses = [one.reader.losses for one in self.readings.values()]
        ip("set vcan0 down", "set vcan0 name old0", "add vcan0 type vcan", "set vcan0 mtu 72 up", "set old0 up")
        back_s = self.heard()
        self.found["replaced"] = {
            "back_s": back_s,
            "losses": [one.reader.losses - n for n, one in zip(losses, self.readings.values(), strict=True)],
        }

    def brought_up(self, step: str, mtu: int, data: bytes) -> None:
        """Down, and up with or without CAN FD; how long the last frame was that each delivered then."""
        losses = [one.reader.losses for one in self.readings.values()]
        ip("set vcan0 down", f"set vcan0 mtu {mtu} up")
        until(lambda: all(one.reader.losses > n for one, n in zip(self.readings.values(), losses, strict=True)))
        back_s = self.heard(data)
        self.found[step] = {"back_s": back_s, "bytes": [one.last_length() for one in self.readings.values()]}

    def say(self, bits: int, data: bytes) -> None:
        """An error frame, as a controller's driver makes it."""
        with can.Bus(interface="socketcan", channel="vcan0") as car:
            car.send(can.Message(arbitration_id=bits, data=data, is_error_frame=True, is_extended_id=False))

    def errors(self) -> None:
        """Error frames of some classes; both go on reading after it."""
        before = self.readings["gated"].frames()
        for bits, data in CLASSES.items():
            for _ in range(3):
                self.say(bits, data)
        until(lambda: all(one.reader.counters.error == 10 for one in self.readings.values()))
        classes = [dict(one.reader.counters.errors) for one in self.readings.values()]
        delivered = self.readings["gated"].frames() - before
        self.found["errors"] = {"classes": classes, "delivered": delivered, "back_s": self.heard()}


if __name__ == "__main__":
    story = Story()
    try:
        story.run()
    finally:
        Path(os.environ["SCRATCH"], "life.json").write_text(json.dumps(story.found, indent=1))
