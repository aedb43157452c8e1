"""Whether a technician may see the VIN and the place for now: for so many minutes, until the ignition changes or the program ends.

RAM alone: what is unlocked does not survive a restart. It must be entered in the audit log before it counts (`agent.control.technician`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import NS, boot_ns

MINUTES_MAX = 60


@dataclass(slots=True)
class Unlocking:
    """`reason`: who unlocked said so. `now_ns` never stands still and cannot be set: CLOCK_BOOTTIME."""

    reason: str = ""
    now_ns: Callable[[], int] = boot_ns
    _until_ns: int = 0

    def unlock(self, minutes: int, reason: str) -> None:
        """From now on, for `minutes`, whatever stood before."""
        self.reason, self._until_ns = reason, self.now_ns() + minutes * 60 * NS

    def lock(self) -> None:
        """Ends it at once."""
        self.reason, self._until_ns = "", 0

    def left_s(self) -> int:
        """How long it still counts, rounded up; 0: it is locked."""
        left_s = max(0, -((self.now_ns() - self._until_ns) // NS))
        if not left_s:
            self.lock()
        return left_s
