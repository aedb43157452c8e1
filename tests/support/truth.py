"""What the simulated car and its receiver said: values as the bus and the sentences can carry them, from the drive alone.

Reads the vehicle file and its DBC by itself (tomllib and two patterns), so that an error in the agent's own reading of
them shows. Frames are not replayed: `said` gives every value that a frame of a window of time may have carried.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from hw.bench.messages import ALWAYS_AWAKE, CONTENT, CONTENT_IN_TURN
from hw.bench.receiver import LATENCY_NS
from hw.bench.sentences import Reported, reported
from hw.bench.truth import CarState, Drive

NS = 1_000_000_000
STEP_NS = 50_000_000
VEHICLE = Path(__file__).parents[2] / "config" / "vehicles" / "bench"
_MESSAGE = re.compile(r"^BO_ (\d+) (\w+):", re.MULTILINE)
_SIGNAL = re.compile(r"^ SG_ (\w+) (?:m\d+ |M )?: \d+\|\d+@[01][+-] \(([-\d.]+),([-\d.]+)\)", re.MULTILINE)
_CYCLE = re.compile(r'^BA_ "GenMsgCycleTime" BO_ (\d+) (\d+);', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a signal stands. `cycle_ns`: the longest time between two frames that carry it."""

    message: str
    signal: str
    factor: Fraction
    offset: Fraction
    cycle_ns: int
    values: dict[str, Any] | None

    def carried(self, physical: float) -> Any:
        """What arrives of a physical value: the nearest raw number, read back."""
        raw = round((physical - float(self.offset)) / float(self.factor))
        if self.values is not None:
            return self.values.get(str(raw))
        value = raw * self.factor + self.offset
        return int(value) if value.denominator == 1 else float(value)


@dataclass(frozen=True, slots=True)
class Heard:
    """Values that may stand. `certain` None: whether there is one at all cannot be told; empty and certain: there is none."""

    values: list[Any] = field(default_factory=list)
    certain: bool = True


class Truth:
    """A drive whose moment zero is `start_ns`."""

    def __init__(self, drive: Drive, start_ns: int, vehicle: Path = VEHICLE) -> None:
        self.drive, self.start_ns = drive, start_ns
        self.sources = dict(_sources(vehicle))
        self._states: dict[int, CarState] = {}
        self._values: dict[tuple[str, int], Any] = {}

    def state(self, t_ns: int) -> CarState:
        """The car at a moment; before the drive it stands as it will start."""
        if t_ns not in self._states:
            self._states[t_ns] = self.drive.state((t_ns - self.start_ns) / NS)
        return self._states[t_ns]

    def distance_m(self, t_ns: int) -> float:
        """Metres since the start of the drive."""
        return self.drive.distance_m((t_ns - self.start_ns) / NS)

    def at(self, signal: str, t_ns: int) -> Any:
        """The value of a frame sent at this moment; None while its sender sleeps."""
        if (signal, t_ns) not in self._values:
            source, state = self.sources[signal], self.state(t_ns)
            awake = state.ignition != "OFF" or source.message in ALWAYS_AWAKE
            self._values[signal, t_ns] = source.carried(_content(source.message, state)[source.signal]) if awake else None
        return self._values[signal, t_ns]

    def said(self, signal: str, lo_ns: int, hi_ns: int, timeout_ns: int) -> Heard:
        """What may have been said last at `hi_ns`, when the newest frame is not older than `lo_ns`."""
        moments = [*range(lo_ns - lo_ns % STEP_NS, hi_ns, STEP_NS), hi_ns]
        values = [value for t_ns in moments if (value := self.at(signal, t_ns)) is not None]
        if values:
            return Heard(_distinct(values), lo_ns >= self.start_ns and len(values) == len(moments))
        asleep_ns = next((t_ns for t_ns in range(lo_ns, self.start_ns, -STEP_NS) if self.at(signal, t_ns) is not None), None)
        if asleep_ns is None or hi_ns - asleep_ns > timeout_ns + NS:
            return Heard()
        return Heard([self.at(signal, asleep_ns)], hi_ns - asleep_ns < timeout_ns - NS)

    def fixes(self, lo_ns: int, hi_ns: int) -> list[Reported]:
        """What the receiver's epochs said that arrived after `lo_ns` and by `hi_ns`, oldest first; none before the drive."""
        step_ns = NS // self.drive.scenario.receiver_hz
        first = -(-max(lo_ns - LATENCY_NS + 1, self.start_ns) // step_ns)
        states = [self.state(index * step_ns) for index in range(first, (hi_ns - LATENCY_NS) // step_ns + 1)]
        return [reported(state) if state.gnss_plugged else Reported(None, None, None, None) for state in states]


def _content(message: str, state: CarState) -> dict[str, float]:
    if message in CONTENT:
        return CONTENT[message](state)
    return {name: value for k in range(8) for name, value in CONTENT_IN_TURN[message](state, k).items()}


def _sources(vehicle: Path) -> Iterator[tuple[str, Source]]:
    file = tomllib.loads((vehicle / "vehicle.toml").read_text(encoding="utf-8"))
    dbc = (vehicle / "bench.dbc").read_text(encoding="utf-8")
    cycles_ms = {number: int(ms) for number, ms in _CYCLE.findall(dbc)}
    heads = list(_MESSAGE.finditer(dbc))
    scaled: dict[str, tuple[Fraction, Fraction, int]] = {}
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        block = dbc[head.end() : after.start() if after else len(dbc)]
        turns = 4 if head[2] == "TYRES" else 1
        for name, factor, offset in _SIGNAL.findall(block):
            scaled[f"{head[2]}.{name}"] = (Fraction(factor), Fraction(offset), cycles_ms[head[1]] * 1_000_000 * turns)
    for signal, entry in file["signals"].items():
        factor, offset, cycle_ns = scaled[entry["from"]]
        message, _, name = entry["from"].partition(".")
        yield signal, Source(message, name, factor, offset, cycle_ns, entry.get("values"))


def _distinct(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]
