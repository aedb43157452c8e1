"""The central types. Frozen and slotted; they carry decisions and data, no behaviour.

A Reading is raw and lives in RAM only: its repr is redacted and it is never written, logged, counted by value or
handed to another process. A Sample is what the rule allowed to remain; only `agent.collect.minimise` makes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Position(NamedTuple):
    """Degrees, WGS-84. The value of `Vehicle.CurrentLocation`; becomes two signals only when it is written out."""

    lat_deg: float
    lon_deg: float

    def __repr__(self) -> str:
        return "Position(redacted)"


Value = bool | int | float | str | tuple[str, ...] | Position


@dataclass(frozen=True, slots=True)
class Reading:
    """A decoded raw value of one signal at one moment."""

    signal: str
    value: Value = field(repr=False)
    t_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One step of minimisation as the catalogue wrote it: `name` of TRANSFORMS and its argument."""

    name: str
    argument: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A live permission: this signal may leave in this form, for this purpose, to this recipient, because of this.

    `trim_m`: the trim distance of its stream, also where this signal has no step of that name: a trimmed stream is silent as a
    whole. `sensitive`: not taken while the ignition is unknown. `before_s`, `after_s`: how long around an event it is taken each
    `every_s`, besides at the event itself.
    """

    id: str
    service: str
    stream: str
    purpose: str
    category: str
    sensitive: bool
    basis: str
    basis_ref: str
    signal: str
    every_s: float
    window_s: float
    before_s: float
    after_s: float
    time_floor_s: float
    while_: str
    triggers: tuple[str, ...]
    transforms: tuple[Transform, ...]
    trim_m: float | None
    fresh_s: float | None
    identity: str
    recipient: str
    priority: int
    keep_s: float
    policy: str
    profile: str
    because: str

    @property
    def name(self) -> str:
        """`service.stream`, the stream's full name."""
        return f"{self.service}.{self.stream}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A candidate that is not live, and the one reason.

    `lasting`: whoever's word it rests on, what was buffered of it must go too, unless another part of its stream lives.
    """

    service: str
    stream: str
    signal: str
    reason: str
    lasting: bool

    @property
    def name(self) -> str:
        """`service.stream`, the stream's full name."""
        return f"{self.service}.{self.stream}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A minimised value of `rule` at `t_ns` (after the stream's time floor). Made only by `collect.minimise`."""

    rule: Rule
    value: Value = field(repr=False)
    t_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a person should know or do. `code` is stable, `severity` info | warning | error.

    Every code stands in docs/findings.md; write it out where it is said, for a test compares the two.
    """

    code: str
    severity: str
    text: str
    hint: str


def error(code: str, text: str, hint: str) -> Finding:
    """Something does not work."""
    return Finding(code=code, severity="error", text=text, hint=hint)


def warning(code: str, text: str, hint: str) -> Finding:
    """Something works badly, or soon will not work."""
    return Finding(code=code, severity="warning", text=text, hint=hint)


def info(code: str, text: str, hint: str) -> Finding:
    """Somebody should know; nothing is wrong."""
    return Finding(code=code, severity="info", text=text, hint=hint)


@dataclass(frozen=True, slots=True)
class Draft:
    """Samples of one stream and one basis that become one record. Stream attributes stand in `samples[0].rule`."""

    samples: tuple[Sample, ...]
    plan_id: bytes
    boot: bytes
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How a signal is wanted of its bus: not more often than `throttle_ns`, silence known after `timeout_ns`."""

    throttle_ns: int
    timeout_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decision, as data. `id` is a hash of what is collected and withheld: `rules`, `refused`, `wanted`.

    `wanted` are the inputs of the live rules (their signals, and what triggers, `while` and trimming need).
    `ended` are streams of which nothing that is buffered may stay; `carried` says for each grant that stands, by its basis
    reference, of which streams it still carries what is buffered, and so for each policy version; `zoned` are the profiles whose
    trim zones are kept; `places` the streams of which nothing may stay once the ignition is off.
    `valid_until_ms` is when the decision changes by itself, or None.
    """

    id: bytes
    rules: tuple[Rule, ...]
    refused: tuple[Refusal, ...]
    wanted: dict[str, Demand]
    valid_until_ms: int | None
    ended: frozenset[str] = frozenset()
    carried: Mapping[str, frozenset[str]] = field(default_factory=dict)
    zoned: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
