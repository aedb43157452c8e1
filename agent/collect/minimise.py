"""The one place where a reading becomes a sample, or nothing.

Promises: a Sample is made here and nowhere else (held by a test); it carries what the rule's steps left of the
value, at a time no finer than the stream's floor. With the ignition off no position passes but one that somebody in the
car asked for, with the ignition unknown nothing sensitive. Whatever cannot be decided gives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.clock import NS
from agent.collect.transforms import Context, step_named
from agent.model import Position, Reading, Rule, Sample, Transform, Value
from agent.vss import LOCATION


def reduced(value: Value, steps: Sequence[Transform], context: Context) -> Value | None:
    """The value after all steps in the order written, or None as soon as one of them gives nothing."""
    left: Value | None = value
    for step in steps:
        apply = step_named(step.name)
        if apply is None or left is None:
            return None
        left = apply(left, step.argument, context)
    return left


def minimise(reading: Reading, rule: Rule, steps: Sequence[Transform], context: Context) -> Sample | None:
    """The sample that `rule` lets remain of `reading` at the moment `context.t_ns`, or None."""
    ignition = context.trip.ignition
    if (_tells_place(reading, rule) and not ignition and not context.asked) or _too_sensitive(rule, ignition):
        return None
    value = reduced(reading.value, steps, context)
    if value is None:
        return None
    floor_ns = int(rule.time_floor_s * NS)
    t_ns = context.t_ns - context.t_ns % floor_ns if floor_ns else context.t_ns
    return Sample(rule, value, t_ns)


def _tells_place(reading: Reading, rule: Rule) -> bool:
    return rule.category == "position" or reading.signal.startswith(LOCATION) or isinstance(reading.value, Position)


def _too_sensitive(rule: Rule, ignition: bool | None) -> bool:
    """Sensitive streams are off while nobody knows whether the car is in use."""
    return rule.sensitive and ignition is None
