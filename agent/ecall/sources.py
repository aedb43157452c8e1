"""Whether core still tells where the car is, or the call has to ask its own modem."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.ecall.timers import NS

CORE = "core"
"""What a fix of core's names as its source."""
SILENT_NS = 5 * NS
"""A receiver speaks each second."""
ASK_NS, ASK_CALM_NS = NS, 5 * NS
"""Between two questions while a call is on, and otherwise."""


@dataclass(slots=True)
class Sources:
    """`heard_ns`: source -> when it last gave a position (CLOCK_BOOTTIME); absent: never."""

    heard_ns: dict[str, int] = field(default_factory=dict)
    _asked_ns: int = -ASK_CALM_NS

    def ask_due(self, t_ns: int, *, urgent: bool) -> bool:
        """Whether the own modem is to be asked now; counts as asked then."""
        silent = t_ns - self.heard_ns.get(CORE, -SILENT_NS) >= SILENT_NS
        due = silent and t_ns - self._asked_ns >= (ASK_NS if urgent else ASK_CALM_NS)
        if due:
            self._asked_ns = t_ns
        return due
