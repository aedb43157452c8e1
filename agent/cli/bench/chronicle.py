"""The plans of a run in their order and since when each was in force, and under which of their rules each signal left.

Promises that what left is told with a rule that was in force when it left, whatever came after: a withdrawal, another grant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.cli.streams import name_of
from agent.cli.words import whole

Document = Mapping[str, Any]
Stretch = tuple[float, float]
"""From and to a second of the drive."""
SETTLED_S = 2.0
"""What was not allowed for a shorter time waited for the first words of the bus, such as the VIN, or of the driver: nobody forbade it."""
PLANS_MAX = 100
"""Older plans are forgotten; which rules something left under is not."""


@dataclass(slots=True)
class Chronicle:
    """`left`: (service.stream, signal) -> the rules under which it left, first to last. `lived`: every rule that was ever live.

    `since_s`: for each of `plans` from which second of the drive it was in force.
    """

    plans: deque[Document] = field(default_factory=lambda: deque(maxlen=PLANS_MAX))
    since_s: deque[float] = field(default_factory=lambda: deque(maxlen=PLANS_MAX))
    left: dict[tuple[str, str], list[Document]] = field(default_factory=dict)
    lived: dict[tuple[str, str], Document] = field(default_factory=dict)
    _noted: int = 0

    @property
    def plan_id(self) -> str:
        """Of the plan in force; empty before there is one."""
        return str(self.plans[-1]["id"]) if self.plans else ""

    @property
    def plan(self) -> Document:
        """The plan in force."""
        return self.plans[-1]

    def note(self, lines: Sequence[Document], plan: Document | None = None, *, t_s: float = 0.0) -> None:
        """What has arrived so far, in the order of arrival; `plan`: the one in force now, if it is another than before.

        `t_s`: now, in seconds of the drive. The first plan counts from the start of the drive, whenever it is seen.

        What arrived since the last time left under the plan before, or else under the new one; or it was still on its way when
        its rule ended, and left under the latest that had one.
        """
        if plan is None and len(lines) == self._noted:
            return
        before = list(self.plans)[-1:]
        if plan is not None:
            self.since_s.append(t_s if self.plans else 0.0)
            self.plans.append(plan)
            self.lived |= {(name_of(rule), rule["signal"]): rule for rule in plan["rules"]}
        order = [*before, *reversed(self.plans)]
        for line in lines[self._noted :]:
            self._left(name_of(line), whole(line["signal"]), order)
        self._noted = len(lines)

    def _left(self, stream: str, signal: str, order: Sequence[Document]) -> None:
        rules = (rule for plan in order for rule in plan["rules"] if (name_of(rule), rule["signal"]) == (stream, signal))
        rule = next(rules, None)
        known = self.left.setdefault((stream, signal), [])
        if rule is not None and rule not in known:
            known.append(rule)

    def rules_of(self, stream: str) -> list[Document]:
        """All rules under which something of the stream left."""
        return [rule for (name, _), rules in self.left.items() if name == stream for rule in rules]

    def without(self, rule: Callable[[Document], bool], end_s: float) -> list[Stretch]:
        """When, up to `end_s`, no plan in force had such a rule. Of the time of plans that are forgotten it says nothing."""
        found: list[Stretch] = []
        begins = [*self.since_s, end_s]
        for plan, begin_s, until_s in zip(self.plans, begins, begins[1:], strict=False):
            if begin_s < until_s and not any(map(rule, plan["rules"])):
                goes_on = bool(found) and found[-1][1] == begin_s
                found.append((found.pop()[0] if goes_on else begin_s, until_s))
        return found
