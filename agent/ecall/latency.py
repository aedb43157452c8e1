"""How long the last crash took to be told, from the frame that made it one: for `ecall status`, where a slow device shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Step = Literal["made", "sent", "acknowledged"]
NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Latency:
    """The `steps` that were reached, in milliseconds since the frame arrived at this computer.

    To the message's octets, to the connection's taking them, to the centre's own acknowledgement; each once for a crash.
    """

    steps: dict[str, float] = field(default_factory=dict)
    _begun_ns: int | None = None

    def begins(self, t_ns: int) -> None:
        """A crash, of whose last frame `t_ns` is the time stamp (CLOCK_BOOTTIME)."""
        self._begun_ns, self.steps = t_ns, {}

    def reached(self, step: Step, t_ns: int) -> None:
        """Now it is made, sent, acknowledged."""
        if self._begun_ns is not None:
            self.steps.setdefault(step, round((t_ns - self._begun_ns) / NS_PER_MS, 3))
