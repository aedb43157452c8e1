"""Randomised answers: one permanent answer per question and period, within a stated privacy budget.

k-ary randomised response gives the true bucket with probability e^eps / (e^eps + k - 1), else another one at random.
Answering the same question anew would average the noise away, so the answer is kept (as RAPPOR's permanent response)
and repeated. A period may spend at most EPSILON_MAX on one question and EPSILON_MONTH_MAX over any 30 days: a weekly
question at the full epsilon goes without an answer about every fifth week.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from agent.clock import NS
from agent.limits import EPSILON_MAX
from agent.model import Rule
from agent.storage.memory import MemoryStore

EPSILON_MONTH_MAX = 4.0
MONTH_S = 30 * 86400


@dataclass(slots=True)
class Responder:
    """Draws and remembers answers. `source` is the system's generator, or a seeded one in a replay."""

    memory: MemoryStore
    source: random.Random = field(default_factory=random.SystemRandom)

    def answer(self, rule: Rule, truth: int, k: int, epsilon: float, t_ns: int) -> int | None:
        """The answer for `truth` in 0..k-1, or None when it lies outside or the budget is spent."""
        if not 0 <= truth < k or epsilon > EPSILON_MAX or rule.every_s <= 0:
            return None
        period = int(t_ns // int(rule.every_s * NS))
        key = f"respond/{rule.name}/{rule.signal}/{period}"
        known = self.memory.get(key)
        if known is not None:
            return known[0]
        if not self._spend(rule, period, epsilon):
            return None
        honest = self.source.random() < math.exp(epsilon) / (math.exp(epsilon) + k - 1)
        said = truth if honest else self.source.choice([other for other in range(k) if other != truth])
        self.memory.set(key, bytes([said]))
        return said

    def _spend(self, rule: Rule, period: int, epsilon: float) -> bool:
        """Whether this period's epsilon still fits into the month; forgets answers older than that."""
        prefix = f"respond/{rule.name}/{rule.signal}/"
        oldest = period - math.ceil(MONTH_S / rule.every_s)
        live = []
        for key in self.memory.keys(prefix):
            if int(key.removeprefix(prefix)) <= oldest:
                self.memory.delete(key)
            else:
                live.append(key)
        return (len(live) + 1) * epsilon <= EPSILON_MONTH_MAX + 1e-9
