"""One rule that a test changes as it needs, and samples and drafts made from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.clock import NS, RELEASE_NS
from agent.model import Draft, Rule, Sample, Value

T_NS = RELEASE_NS
PLAN = b"p" * 32
BOOT = b"b" * 16
RULE = Rule(
    id="r1",
    service="tests",
    stream="plain",
    purpose="service",
    category="status",
    sensitive=False,
    basis="contract",
    basis_ref="contract",
    signal="Vehicle.Speed",
    every_s=1,
    window_s=0,
    before_s=0,
    after_s=0,
    time_floor_s=0,
    while_="any",
    triggers=("periodic",),
    transforms=(),
    trim_m=None,
    fresh_s=None,
    identity="pairwise",
    recipient="teleservices",
    priority=5,
    keep_s=86_400,
    policy="2026-11",
    profile="",
    because="a test",
)


def sample(value: Value, t_s: float = 0, **changes: Any) -> Sample:
    """A sample `t_s` seconds after the release, of a rule that differs from RULE by `changes`."""
    return Sample(replace(RULE, **changes), value, T_NS + int(t_s * NS))


def draft(*values: Value, t_s: float = 0, **changes: Any) -> Draft:
    """A draft with one sample a value, all at the same time."""
    return Draft(tuple(sample(value, t_s, **changes) for value in values), PLAN, BOOT, trusted=True)
