"""Transforms, conditions and the catalogue's own decision, written anew from the interfaces: the oracle's half of the rules."""

from __future__ import annotations

import bisect
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

LOCATION = "Vehicle.CurrentLocation"
HEADING = f"{LOCATION}.Heading"
GNSS_SPEED = f"{LOCATION}.Speed"
M_PER_DEG = math.radians(6_371_008.8)
"""One degree of latitude on the sphere of the mean radius (IUGG)."""
ANY = object()
"""Any value will do: a counter of the agent itself, a randomised answer."""
AGGREGATES = ("mean_s", "min_s", "max_s")
SHIPPED = Path(__file__).parents[2] / "config" / "catalogue"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"\b[A-Z]\w*(?:\.\w+)+")

Entry = dict[str, Any]
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One signal of one stream, as the files say it."""

    service: Entry
    stream: Entry
    signal: Entry

    @property
    def name(self) -> str:
        return f"{self.service['id']}.{self.stream['id']}"

    @property
    def steps(self) -> list[tuple[str, Any]]:
        return [pair for step in self.signal.get("transforms", []) for pair in step.items()]


class Book:
    """A catalogue folder as plain tables."""

    def __init__(self, folder: Path) -> None:
        self.signals = _toml(folder / "signals.toml")["signals"]
        self.items = _toml(folder / "consent.toml").get("items", {})
        self.packages = _toml(folder / "packages.toml")["packages"]
        self.events = _toml(folder / "events.toml").get("events", {}) if (folder / "events.toml").exists() else {}
        self.services = [_toml(path) for path in sorted((folder / "services").glob("*.toml"))]
        policies = (folder.parent if folder == SHIPPED else folder) / "policies"
        versions = sorted(policies.glob("*/policy.toml"))
        self.policy = _toml(versions[-1]) if versions else None

    def candidates(self) -> Iterator[Candidate]:
        """Every signal of every stream; the emergency call's service only describes."""
        for file in self.services:
            for stream in file["stream"]:
                if stream["basis"] != "vital":
                    yield from (Candidate(file["service"], stream, signal) for signal in stream.get("signal", []))

    def lives(self, one: Candidate, *, package: str | None, accepted: bool, granted: frozenset[str] | None, mapped: frozenset[str]) -> bool:
        """Whether this may leave; `granted` None: every item is. Orders for legal streams do not exist in these runs."""
        stream, name = one.stream, one.signal["id"]
        entitled = one.service.get("in_every_package", False) or (
            package is not None and one.service["id"] in self.packages[package]["services"]
        )
        based = {"contract": accepted, "consent": accepted and (granted is None or stream.get("consent") in granted), "legal": False}[
            stream["basis"]
        ]
        named = self.policy is None or (
            stream["purpose"] in self.policy["purposes"]
            and self.signals[name]["category"] in self.policy["categories"]
            and stream["recipient"] in self.policy["recipients"]
        )
        there = name in mapped or name in (LOCATION, HEADING, GNSS_SPEED) or self.signals[name].get("source") == "agent"
        return entitled and based and named and there


def _toml(path: Path) -> Entry:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def duration_s(text: str) -> int:
    """`30d`, `5m` ..."""
    return int(text[:-1]) * _UNITS_S[text[-1]]


def condition(text: str) -> tuple[Callable[[Callable[[str], Any]], bool], list[str]]:
    """A condition of events.toml as a function of the values, and the signals that it names. Unknown counts as false."""
    names = sorted(set(_NAME.findall(re.sub(r'"[^"]*"', "", text))))
    python = _NAME.sub(lambda found: f"v('{found[0]}')", text)
    code = compile(re.sub(r"\btrue\b", "True", re.sub(r"\bfalse\b", "False", python)), text, "eval")

    def holds(value_of: Callable[[str], Any]) -> bool:
        try:
            return bool(eval(code, {"__builtins__": {}, "v": value_of}))
        except TypeError:  # a comparison with what is not known
            return False

    return holds, names


def after(steps: list[tuple[str, Any]], value: Any) -> Any:
    """What the steps leave of a value; None: nothing. Aggregates, `last` and trimming act elsewhere."""
    for name, argument in steps:
        if value is None:
            return None
        value = STEPS[name](value, argument)
    return value


def round_to(value: float, step: float) -> float:
    """The nearest multiple, halves away from zero."""
    unit = Fraction(str(step))
    times = abs(Fraction(str(value))) / unit
    rounded = math.floor(times + Fraction(1, 2)) * unit * (-1 if value < 0 else 1)
    return int(rounded) if isinstance(step, int) else float(rounded)


def grid(place: Place, cell_m: float) -> Place:
    """The centre of the metric cell; its width follows the cosine of its row's latitude."""
    row = math.floor(place[0] * M_PER_DEG / cell_m)
    lat_deg = (row + 0.5) * cell_m / M_PER_DEG
    per_deg = M_PER_DEG * math.cos(math.radians(lat_deg))
    return lat_deg, (math.floor(place[1] * per_deg / cell_m) + 0.5) * cell_m / per_deg


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "round_to": round_to,
    "clamp": lambda value, bounds: min(max(value, bounds[0]), bounds[1]),
    "sector_deg": lambda value, width: value % 360 // width * width,
    "bucket": lambda value, edges: bisect.bisect_right(edges, value),
    "grid_m": grid,
    "trim_trip_m": lambda value, _: value,
    "last": lambda value, _: value,
    "respond_k": lambda *_: ANY,
}


def same(one: Any, other: Any) -> bool:
    """Equal as numbers (a millionth apart at most), places, texts, lists or yes and no."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-6)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
