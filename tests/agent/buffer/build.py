"""Rules, samples and drafts for tests of what lies under them."""

from __future__ import annotations

from dataclasses import replace

from agent.clock import NS, RELEASE_NS
from agent.model import Draft, Rule, Sample, Value

T_NS = RELEASE_NS
UNITS = {"Vehicle.Speed": "km/h", "Vehicle.CurrentLocation": "degrees", "Test.Text": "", "Test.Any": "unit"}
CREDENTIAL = b"a credential of the tests, 32 B."
PLAN = b"p" * 32
BOOT = b"b" * 16

RULE = Rule(
    id="r1",
    service="tests",
    stream="plain",
    purpose="service",
    category="status",
    basis="contract",
    basis_ref="contract",
    signal="Vehicle.Speed",
    every_s=1,
    window_s=0,
    time_floor_s=0,
    while_="any",
    triggers=("periodic",),
    transforms=(),
    fresh_s=None,
    identity="pairwise",
    recipient="teleservices",
    priority=5,
    keep_s=86_400,
    policy="2026-11",
    profile="",
    because="a test",
)


def sample(value: Value, t_s: float = 0, **changes: object) -> Sample:
    """A sample `t_s` seconds after the release, of a rule that differs from RULE by `changes`."""
    return Sample(replace(RULE, **changes), value, T_NS + int(t_s * NS))  # type: ignore[arg-type]  # the test knows the fields


def draft(*values: Value, t_s: float = 0, **changes: object) -> Draft:
    """A draft with one sample a value, all at the same time."""
    return Draft(tuple(sample(value, t_s, **changes) for value in values), PLAN, BOOT, trusted=True)
