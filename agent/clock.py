"""Time: one axis that never runs backwards within a boot, and whether it may be believed.

Order, windows and schedules run on the axis `now_ns` = monotonic (CLOCK_BOOTTIME, so that suspend counts) plus an
offset to Unix time. Until a source can be believed the offset comes from the last committed time (`saved_ns`) or the
release date, whichever is later: time then goes on, and nothing is deleted or granted because of a date that nobody
vouches for. Sources: `ntp` (the kernel says it is synchronised), `gnss` (a fix that agrees with itself), `system`
(the integrator attests the host's clock; chosen in agent.toml only).
"""

from __future__ import annotations

import ctypes
import pathlib
import time
from dataclasses import dataclass, field
from typing import Protocol

NS = 1_000_000_000
RELEASE_NS = 1_793_491_200 * NS
"""2026-11-01T00:00:00Z: a clock or receiver that says less is wrong."""
STEP_NS = 500_000_000
"""A trusted source may move the axis by more than this only as a step, which is reported as one."""
GNSS_AGREEING_FIXES = 3
ADJTIMEX_ERROR = 5


class Clock(Protocol):
    """What the agent asks for the time."""

    boot_id: str

    def now_ns(self) -> int:
        """Nanoseconds on the axis."""
        ...

    def trusted(self) -> bool:
        """Whether a believed source stands behind the axis."""
        ...


@dataclass(slots=True)
class SetClock:
    """A clock that somebody sets: log time in a replay, the fake clock in tests. Never runs backwards."""

    t_ns: int = RELEASE_NS
    believed: bool = True
    boot_id: str = "0" * 32

    def now_ns(self) -> int:
        return self.t_ns

    def trusted(self) -> bool:
        return self.believed

    def set(self, t_ns: int) -> None:
        """Moves on to `t_ns`; an earlier time is ignored."""
        self.t_ns = max(self.t_ns, t_ns)


def kernel_synchronised() -> bool:
    """Whether adjtimex(2) says that the system clock is disciplined (state other than TIME_ERROR)."""
    buffer = ctypes.create_string_buffer(512)
    try:
        return 0 <= int(ctypes.CDLL(None).adjtimex(buffer)) < ADJTIMEX_ERROR
    except (OSError, AttributeError):
        return False


@dataclass(slots=True)
class SystemClock:
    """The clock of a running agent.

    `sources`: which of ntp, gnss, system may be believed. `saved_ns`: the last committed time of an earlier run.
    """

    sources: frozenset[str] = frozenset({"ntp", "gnss"})
    saved_ns: int = 0
    boot_id: str = field(default_factory=lambda: pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    source: str = "unsure"
    _offset_ns: int = 0
    _agreeing: int = 0
    _last_gnss_offset_ns: int = 0
    _told: bool = False

    def __post_init__(self) -> None:
        self._offset_ns = max(self.saved_ns, RELEASE_NS) - self._mono_ns()
        self.poll()
        self._told = True

    def now_ns(self) -> int:
        return self._mono_ns() + self._offset_ns

    def trusted(self) -> bool:
        return self.source != "unsure"

    def poll(self) -> None:
        """Looks at the system's own sources; call it about once a second."""
        if "system" in self.sources or ("ntp" in self.sources and kernel_synchronised()):
            self._believe("system" if "system" in self.sources else "ntp", time.time_ns() - self._mono_ns())

    def observe_gnss(self, utc_ns: int, satellites: int) -> None:
        """A fix's own time, at its arrival. Believed after three that agree, with four satellites, past the release."""
        if "gnss" not in self.sources or satellites < 4 or utc_ns < RELEASE_NS:
            return
        offset_ns = utc_ns - self._mono_ns()
        agrees = abs(offset_ns - self._last_gnss_offset_ns) < 2 * NS
        self._agreeing = self._agreeing + 1 if agrees else 1
        self._last_gnss_offset_ns = offset_ns
        if self._agreeing >= GNSS_AGREEING_FIXES and self.source in ("unsure", "gnss"):
            self._believe("gnss", offset_ns)

    def _believe(self, source: str, offset_ns: int) -> None:
        if source != self.source or abs(offset_ns - self._offset_ns) > STEP_NS:
            # Once a time was told the axis only goes on, also where the first source says less than it began with.
            self._offset_ns = max(offset_ns, self._offset_ns) if self._told else offset_ns
        self.source = source

    @staticmethod
    def _mono_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
