"""What a run is, when its triggers spoke, and what arrived: the oracle's nouns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.rules import LOCATION, SHIPPED, Book, Place, condition
from tests.support.truth import NS, STEP_NS, Truth

ODOMETER = "Vehicle.TraveledDistance"
DAY_S = 86_400
TAIL_NS = 15 * NS
"""A live run's core may speak this long after the last frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The facts of a run.

    `granted`: what the one called `driver` had granted before; None: every item. `said`: (when, "grant" or "withdraw", item) on the
    way, by whoever drove. `withdrawn`: item -> (command begun, returned). `asked`: stream -> when somebody asked for it. `started`:
    first and last moment at which the agent may have started. `slack_ns`: what real time needs, 0 on a virtual clock. `cell_of`: the
    secret grid of each driver.
    """

    truth: Truth
    seconds: float
    package: str | None
    cell_of: Callable[[str], Callable[[Place], Hashable]]
    started: tuple[int, int]
    catalogue: Path = SHIPPED
    granted: frozenset[str] | None = None
    accepted: bool = True
    withdrawn: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    asked: Mapping[str, list[int]] = field(default_factory=dict)
    said: Sequence[tuple[int, str, str]] = ()
    slack_ns: int = 0

    def driver(self, t_ns: int) -> str:
        """Who sits behind the wheel."""
        return str(self.truth.state(t_ns).driver)

    @property
    def begin_ns(self) -> int:
        return self.truth.start_ns

    @property
    def end_ns(self) -> int:
        return self.begin_ns + int(self.seconds * NS)


@dataclass(frozen=True, slots=True)
class Moment:
    """A trigger between two times. `kind`: the event's name."""

    lo_ns: int
    hi_ns: int
    kind: str = ""
    certain: bool = True


@dataclass(slots=True)
class Item:
    """A received sample; latitude and longitude are one. `t_ns`: as received, in whole milliseconds."""

    stream: str
    signal: str
    t_ns: int
    value: Any = field(repr=False)
    met: bool = False


def multiples(run: Run, every_s: float) -> Iterator[Moment]:
    """`periodic`. A multiple of a day or more on which the agent starts is not owed."""
    every_ns = int(every_s * NS)
    first = run.begin_ns // every_ns + 1 if every_s >= DAY_S else -(-run.begin_ns // every_ns)
    tail_ns = TAIL_NS if run.slack_ns else 0
    for t_ns in range(first * every_ns, run.end_ns + tail_ns + 1, every_ns):
        yield Moment(t_ns, t_ns, certain=t_ns <= run.end_ns - run.slack_ns)


def distances(run: Run, every_km: float) -> Iterator[Moment]:
    """The first frame whose odometer, as it is carried, has reached a multiple."""
    source = run.truth.sources[ODOMETER]
    start_km = run.truth.state(run.begin_ns).odometer_km
    mark_km = source.carried(start_km) // every_km * every_km
    while True:
        mark_km += every_km
        t_s = run.truth.drive.time_of_distance_s((mark_km - float(source.factor) / 2 - start_km) * 1000)
        if t_s >= run.seconds:
            return
        t_ns = run.begin_ns + int(t_s * NS)
        yield Moment(t_ns, t_ns + source.cycle_ns + run.slack_ns)


def fired(run: Run, book: Book, name: str) -> Iterator[Moment]:
    """Rising edges that hold `recent` and keep `min_gap_s`."""
    event = book.events[name]
    holds, signals = condition(event["when"])
    if not all(signal in run.truth.sources for signal in signals):
        return
    lately = event.get("recent", {"when": "True", "within_s": 0})
    recent, _ = condition(lately["when"])
    within_ns = int(lately["within_s"] * NS)
    late_ns = max(run.truth.sources[signal].cycle_ns for signal in signals) + run.slack_ns
    was, fired_ns, recent_ns = False, -DAY_S * NS, -DAY_S * NS
    for t_ns in range(run.begin_ns, run.end_ns, STEP_NS):
        said = partial(run.truth.at, t_ns=t_ns)
        recent_ns = t_ns if recent(said) else recent_ns
        now = holds(said)
        rises, was = now and not was, now
        if rises and t_ns - recent_ns <= within_ns and t_ns - fired_ns >= event["min_gap_s"] * NS:
            fired_ns = t_ns
            yield Moment(max(t_ns - STEP_NS, run.begin_ns), t_ns + late_ns, name, t_ns + late_ns <= run.end_ns)


def around(event: Moment, stream: Mapping[str, Any]) -> Iterator[Moment]:
    """The multiples within `before_s` of an event, and within `after_s`; for which it lies in either depends on its very moment."""
    before_ns, after_ns = (int(stream.get(key, 0) * NS) for key in ("before_s", "after_s"))
    every_ns = int(stream.get("every_s", 0) * NS)
    if not before_ns and not after_ns:
        return
    for t_ns in range(-(-(event.lo_ns - before_ns) // every_ns) * every_ns, event.hi_ns + after_ns + 1, every_ns):
        inside = event.hi_ns - before_ns <= t_ns < event.lo_ns or event.hi_ns < t_ns <= event.lo_ns + after_ns
        yield Moment(t_ns, t_ns, certain=inside)


def items_of(lines: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Received lines in the order of time, each position one item."""
    found: list[Item] = []
    halves: dict[tuple[str, int, int], float] = {}
    for line in sorted(lines, key=lambda line: (line["t"], str(line["signal"]))):
        name, signal, t_ns = f"{line['service']}.{line['stream']}", str(line["signal"]), round(line["t"] * 1000) * 1_000_000
        place, _, part = signal.rpartition(".")
        if part == "Latitude":
            halves[name, t_ns, line["seq"]] = line["value"]
        elif part == "Longitude":
            found.append(Item(name, place, t_ns, (halves.pop((name, t_ns, line["seq"]), None), line["value"])))
        else:
            found.append(Item(name, signal, t_ns, line["value"]))
    return found + [Item(name, f"{LOCATION}.Latitude alone", t_ns, None) for name, t_ns, _ in halves]
