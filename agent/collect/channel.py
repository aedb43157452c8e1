"""One rule at work: its steps before and after an aggregate, and what it sent last."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.clock import NS
from agent.collect.aggregates import KINDS, Aggregate
from agent.collect.latest import Latest
from agent.collect.minimise import minimise, reduced
from agent.collect.transforms import Context, number
from agent.limits import SILENT_S_MIN
from agent.model import Reading, Rule, Sample, Transform, Value


def timeout_ns(rule: Rule) -> int:
    """How long the frame of this rule's signal may be missing."""
    return int(max(3 * rule.every_s, SILENT_S_MIN) * NS)


@dataclass(slots=True)
class Channel:
    """A rule with its state. `due_ns`: when a change that came inside `every_s` is looked at again."""

    rule: Rule
    aggregate: Aggregate | None = None
    before: tuple[Transform, ...] = ()
    after: tuple[Transform, ...] = ()
    own: Reading | None = None
    sent: Value | None = None
    sent_ns: int | None = None
    due_ns: int | None = field(default=None)

    @classmethod
    def of(cls, rule: Rule) -> Channel:
        """Splits the rule's steps at its aggregate."""
        for i, step in enumerate(rule.transforms):
            if step.name in KINDS:
                aggregate = Aggregate(step.name, float(number(step.argument) or 0), rule.signal)
                return cls(rule, aggregate, rule.transforms[:i], rule.transforms[i + 1 :])
        return cls(rule, after=rule.transforms)

    def feed(self, reading: Reading, context: Context) -> Reading | None:
        """A reading came. Gives back what the trigger may look at now: nothing while an aggregate is collecting."""
        if self.aggregate is None:
            return reading
        value = reduced(reading.value, self.before, context)
        if value is not None:
            self.aggregate.feed(Reading(reading.signal, value, reading.t_ns))
        return None

    def current(self, latest: Latest, t_ns: int) -> Reading | None:
        """The reading that a trigger at `t_ns` finds."""
        if self.aggregate is None:
            return latest.get(self.rule.signal, t_ns, timeout_ns(self.rule))
        if self.own is None or t_ns - self.own.t_ns >= max(self.aggregate.window_ns, int(self.rule.every_s * NS)):
            return None
        return self.own

    def sample(self, reading: Reading, context: Context) -> Sample | None:
        """The minimised value of `reading`, or None."""
        return minimise(reading, self.rule, self.after, context)

    def changed(self, reading: Reading, context: Context) -> Sample | None:
        """`on_change`: a sample if the minimised value differs from the last one sent and its time has come."""
        sample = self.sample(reading, context)
        self.due_ns = None
        if sample is None or (self.sent_ns is not None and sample.value == self.sent and type(sample.value) is type(self.sent)):
            return None
        free_ns = self.sent_ns + int(self.rule.every_s * NS) if self.sent_ns is not None else context.t_ns
        if context.t_ns < free_ns:
            self.due_ns = free_ns
            return None
        self.sent, self.sent_ns = sample.value, context.t_ns
        return sample
