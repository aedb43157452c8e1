"""A pipeline on a hand-made plan, driven along an axis that the test sets: what goes in, when; what comes out, as rows.

All times of a test are seconds after T_NS, which lies on a multiple of a day.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from agent.catalogue.types import Event
from agent.clock import NS
from agent.collect.pipeline import Pipeline
from agent.collect.respond import Responder
from agent.collect.transforms import Context
from agent.collect.trip import Trip
from agent.collect.zones import Zones
from agent.expression import parse
from agent.model import Draft, Plan, Position, Reading, Rule, Transform, Value
from agent.storage.memory import DictMemory, MemoryStore
from agent.vss import GEAR, IGNITION, LOCATION, ODOMETER, SPEED
from hw.ports import Fix
from tests.support.samples import RULE, T_NS

SECRET = b"the secret of one profile, 32 B."
INPUTS = frozenset({IGNITION, SPEED, GEAR, ODOMETER})
"""What the plan compiler subscribes for triggers, `while` and trimming."""
ELSEWHERE = Position(48.2, 11.5)


class Row(NamedTuple):
    """One sample as a recipient would see it."""

    stream: str
    signal: str
    value: Value
    t: float


def rule(signal: str = "Test.A", *steps: tuple[str, object], **changes: Any) -> Rule:
    """RULE with `changes` and the transforms `steps`, on change and at any rate where nothing else is said."""
    transforms = tuple(Transform(name=name, argument=argument) for name, argument in steps)
    trim = next((argument for name, argument in steps if name == "trim_trip_m"), None)
    usual: dict[str, Any] = {"id": "", "every_s": 0, "triggers": ("on_change",), "trim_m": trim}
    made = replace(RULE, signal=signal, transforms=transforms, **(usual | changes))
    return made if made.id else replace(made, id=f"{made.name}/{signal}/{transforms}/{made.basis_ref}")


def probe(**changes: Any) -> tuple[Rule, Rule, Rule]:
    """The shipped traffic stream: trimmed, grid 200 m, each 30 s, with speed and heading."""
    stream = {
        "stream": "probe",
        "identity": "none",
        "triggers": ("periodic",),
        "while_": "driving",
        "every_s": 30,
        "window_s": 10,
        "time_floor_s": 10,
        "trim_m": 500,
        **changes,
    }
    return (
        rule(LOCATION, ("trim_trip_m", 500), ("grid_m", 200), category="position", **stream),
        rule(SPEED, ("round_to", 10), category="movement", **stream),
        rule(f"{LOCATION}.Heading", ("sector_deg", 45), category="movement", **stream),
    )


def plan(rules: Iterable[Rule], more: Iterable[str] = (), plan_id: bytes = b"p" * 32) -> Plan:
    """A plan of exactly these rules."""
    rules = tuple(rules)
    wanted = {one.signal for one in rules} | INPUTS | set(more)
    asked: Any = dict.fromkeys(sorted(wanted))  # the pipeline reads the names only
    return Plan(id=plan_id, rules=rules, refused=(), wanted=asked, valid_until_ms=None)


def ns(t_s: float) -> int:
    """The axis's nanoseconds of a test's second."""
    return T_NS + round(t_s * NS)


@dataclass
class Rig:
    """A pipeline and what it has given so far."""

    rules: tuple[Rule, ...] = ()
    events: Mapping[str, Event] = field(default_factory=dict)
    memory: MemoryStore = field(default_factory=DictMemory)
    secret: bytes = SECRET
    start_s: float = 0
    units: Mapping[str, str] = field(default_factory=dict)
    speed_from_gnss: bool = False
    health: dict[str, Value] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        draw = random.Random(1)
        trip = Trip(Zones(self.secret, self.memory, "zones/test"), lambda: draw.randbytes(8).hex())
        self.pipeline = Pipeline(trip, self.memory, Responder(self.memory, random.Random(2)), self.events, lambda: self.health)
        self.pipeline.units, self.pipeline.speed_from_gnss = self.units, self.speed_from_gnss
        self.swap(self.rules, self.start_s)

    @property
    def trip(self) -> Trip:
        return self.pipeline.trip

    def swap(self, rules: Iterable[Rule], t_s: float) -> None:
        """A new decision."""
        named = {name for event in self.events.values() for name in parse(event.when).signals}
        named |= {name for event in self.events.values() if event.recent for name in parse(event.recent.when).signals}
        self.pipeline.swap(plan(rules, named | set(self.health)), ns(t_s))

    def put(self, signal: str, value: Value, t_s: float) -> Rig:
        """One reading of a frame."""
        self.pipeline.read([Reading(signal, value, ns(t_s))])
        return self._drain()

    def ignition(self, state: str, t_s: float) -> Rig:
        return self.put(IGNITION, state, t_s)

    def fix(self, place: Position, t_s: float, course: float | None = None, speed_kmh: float | None = None) -> Rig:
        """A valid epoch of the receiver."""
        speed = speed_kmh / 3.6 if speed_kmh is not None else None
        self.pipeline.fix(Fix(t_ns=ns(t_s), mode=3, lat_deg=place[0], lon_deg=place[1], course_deg=course, speed_mps=speed))
        return self._drain()

    def silence(self, signal: str, last_s: float, t_s: float) -> Rig:
        """The gate says that no frame has come since `last_s`."""
        self.pipeline.silence([signal], ns(last_s), ns(t_s))
        return self._drain()

    def advance(self, t_s: float) -> Rig:
        """Time passes."""
        self.pipeline.advance(ns(t_s))
        return self._drain()

    def start(self, t_s: float) -> Rig:
        self.pipeline.start(ns(t_s))
        return self._drain()

    def flush(self) -> Rig:
        """The run is over."""
        self.pipeline.flush()
        return self._drain()

    def of(self, signal: str) -> list[tuple[float, Value]]:
        """(time, value) of what has left of one signal."""
        return [(row.t, row.value) for row in self.rows if row.signal == signal]

    def _drain(self) -> Rig:
        for draft in self.pipeline.take(trusted=True):
            self.drafts.append(draft)
            self.rows += [Row(one.rule.name, one.rule.signal, one.value, (one.t_ns - T_NS) / NS) for one in draft.samples]
        return self


def context(one: Rule | None = None, rig: Rig | None = None, t_s: float = 0) -> Context:
    """What a transform is given besides the value."""
    rig = rig or Rig()
    return Context(one or rule(), rig.trip, rig.pipeline.responder, ns(t_s))
