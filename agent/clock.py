"""Time: one axis, and whether it may be believed.

Order, windows and schedules run on the axis `now_ns` = monotonic (CLOCK_BOOTTIME, so that suspend counts) plus an
offset to Unix time. Until a source is believed the offset is the one of an earlier run in the same boot, else it comes
from the last committed time (`saved_ns`) or the release date, whichever is later: time then goes on, and nothing is
deleted or granted because of a date that nobody vouches for. The first belief of a run sets the axis, also back: a saved
time is a floor only until then, so a false one does not outlive it. After that the axis never runs backwards in this run.
Sources: `ntp` (the kernel says it is synchronised), `gnss` (a fix that agrees with itself), `system` (the integrator
attests the host's clock; chosen in agent.toml only).
"""

from __future__ import annotations

import ctypes
import errno
import os
import pathlib
import time
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

NS = 1_000_000_000
RELEASE_NS = 1_793_491_200 * NS
"""2026-11-01T00:00:00Z: a clock or receiver that says less is wrong."""
STEP_NS = 500_000_000
"""A trusted source may move the axis by more than this only as a step, which is reported as one."""
LEAP_NS = 5 * NS
"""More than this of suspended or moved time between two looks was watched by nobody: the axis leapt."""
BACK_NS = NS
"""So far back the axis may go unnoticed."""
STALL_NS = 30 * NS
"""A process that did not run for so long has lost frames too; for less, they wait where they were received, rightly stamped."""
DISAGREE_NS = 2 * NS
"""An axis that is farther than this from what its own source says is not trusted."""
GNSS_MOVE_MAX_NS = 300 * NS
"""All that GNSS may move an axis that was believed, in sum, until another source sets it."""
GNSS_AGREEING_FIXES = 3
ADJTIMEX_ERROR = 5
TIMESYNCD = pathlib.Path("/run/systemd/timesync/synchronized")
BOOT_VARIABLE = "MODICUM_BOOT_ID"
AGE_NS_MAX = 2 * NS
"""An older time stamp, or one from the future, is not of this clock."""


def boot_ns() -> int:
    """CLOCK_BOOTTIME: goes on while the device is suspended and across a restart of the program; every process has the same."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def suspended_ns() -> int:
    """How long the device has been suspended since its start: CLOCK_MONOTONIC stands still then."""
    awake_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)  # first: the other goes on meanwhile
    return boot_ns() - awake_ns


@dataclass(slots=True)
class Sleep:
    """For who keeps connections up: none of them has lived through a suspend, and no timer of a socket says so."""

    _suspended_ns: int = field(default_factory=suspended_ns)

    def over(self) -> bool:
        """Whether the device was suspended, for more than LEAP_NS, since this was last asked."""
        before_ns, self._suspended_ns = self._suspended_ns, suspended_ns()
        return self._suspended_ns - before_ns > LEAP_NS


def plausible_ns(age_ns: int) -> int:
    """The age; 0 where it is that of another clock, as the future and what is long ago are."""
    return age_ns if 0 <= age_ns <= AGE_NS_MAX else 0


def age_ns(stamp_s: float) -> int:
    """How old a time stamp in seconds since 1970 is; 0 where it is of another clock than the host's: not every adapter stamps by that."""
    return plausible_ns(time.time_ns() - int(stamp_s * 1e9))


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
    """Whether adjtimex(2) says that the system clock is disciplined (state other than TIME_ERROR).

    A sandbox that keeps the clock from being set (ProtectClock of systemd.exec(5)) refuses the question too; systemd-timesyncd's word
    is taken then, that it has set the clock since the device started.
    """
    buffer = ctypes.create_string_buffer(512)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        state = int(libc.adjtimex(buffer))
    except (OSError, AttributeError):
        return False
    if state < 0 and ctypes.get_errno() == errno.EPERM:
        return TIMESYNCD.exists()
    return 0 <= state < ADJTIMEX_ERROR


def boot_id() -> str:
    """Of this start of the device, 32 hex digits: as the unit says, whose sandbox hides the kernel's own file, else from there."""
    told = os.environ.get(BOOT_VARIABLE) or pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return told.strip().replace("-", "")


@dataclass(frozen=True, slots=True)
class Saved:
    """What a run leaves to the next one: the time it reached, its boot, and the axis' offset to CLOCK_BOOTTIME."""

    now_ns: int = 0
    boot_id: str = ""
    offset_ns: int = 0

    def encoded(self) -> bytes:
        """As one value."""
        return f"{self.now_ns} {self.boot_id} {self.offset_ns}".encode()

    @classmethod
    def decoded(cls, stored: bytes | None) -> Saved:
        """From `encoded`, or from the plain number of an earlier version; nothing from what is neither."""
        parts = (stored or b"0").decode(errors="replace").split(" ")
        try:
            return cls(int(parts[0]), parts[1], int(parts[2])) if len(parts) == 3 else cls(int(parts[0]))
        except ValueError:
            return cls()


class Leap(NamedTuple):
    """How the axis moved between two looks, and how much time really passed (CLOCK_BOOTTIME) meanwhile."""

    from_ns: int
    to_ns: int
    passed_ns: int


class _Look(NamedTuple):
    """The clocks at one moment."""

    now_ns: int
    mono_ns: int
    suspended_ns: int


@dataclass(slots=True)
class SystemClock:
    """The clock of a running agent.

    `sources`: which of ntp, gnss, system may be believed. `saved_ns`: the last committed time of an earlier run, a floor
    while nothing is believed. `earlier`: what an earlier run left; in the same boot its axis goes on (`continued`).
    Promises: the first belief of a run sets the axis, in both directions; from then on it never runs backwards (it stands
    still while a source that is behind by no more than DISAGREE_NS catches up, and ignores one that is farther behind), GNSS
    moves it by no more than GNSS_MOVE_MAX_NS in sum, and it is trusted only while it is within DISAGREE_NS of what its
    source last said.
    """

    sources: frozenset[str] = frozenset({"ntp", "gnss"})
    saved_ns: int = 0
    boot_id: str = field(default_factory=boot_id)
    earlier: Saved = Saved()
    source: str = "unsure"
    continued: bool = False
    offset_ns: int = 0
    _said_ns: int = 0
    _anchor_ns: int = 0
    _floor_ns: int = 0
    _agreeing: int = 0
    _last_gnss_offset_ns: int = 0
    _looked: _Look = field(default=_Look(0, 0, 0))

    def __post_init__(self) -> None:
        self.continued = self.earlier.boot_id == self.boot_id
        floor_ns = max(self.saved_ns, self.earlier.now_ns, RELEASE_NS)
        self.offset_ns = self.earlier.offset_ns if self.continued else floor_ns - self._mono_ns()
        self.poll()
        self._looked = self._look()

    def now_ns(self) -> int:
        return max(self._mono_ns() + self.offset_ns, self._floor_ns)

    def trusted(self) -> bool:
        return self.source != "unsure" and abs(self._said_ns - self.offset_ns) <= DISAGREE_NS

    def state(self) -> bytes:
        """What the next run needs (`Saved`): store it at the start, when `offset_ns` has changed, and now and then."""
        return Saved(self.now_ns(), self.boot_id, self.offset_ns).encoded()

    def leapt(self) -> Leap | None:
        """Whether, since this was last asked, the axis was moved (LEAP_NS forward, BACK_NS back) or nobody watched it for long.

        Nobody watched while the device was suspended (LEAP_NS), or while this process did not run (STALL_NS).
        """
        before, self._looked = self._looked, self._look()
        passed_ns = self._looked.mono_ns - before.mono_ns
        moved_ns = self._looked.now_ns - before.now_ns - passed_ns
        suspended_ns = self._looked.suspended_ns - before.suspended_ns
        unnoticed = -BACK_NS <= moved_ns <= LEAP_NS and suspended_ns <= LEAP_NS and passed_ns <= STALL_NS
        return None if unnoticed else Leap(before.now_ns, self._looked.now_ns, passed_ns)

    def _look(self) -> _Look:
        mono_ns = self._mono_ns()
        return _Look(max(mono_ns + self.offset_ns, self._floor_ns), mono_ns, mono_ns - self._awake_ns())

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
        """`source` says so: the first belief is the axis, a later one moves it on where it may, or is a disagreement."""
        if self.source == "unsure":
            self.offset_ns = self._anchor_ns = offset_ns
        elif source != "gnss":
            if source != self.source or abs(offset_ns - self.offset_ns) > STEP_NS:
                self._move(offset_ns)
            self._anchor_ns = self.offset_ns
        elif abs(offset_ns - self.offset_ns) > STEP_NS and abs(offset_ns - self._anchor_ns) <= GNSS_MOVE_MAX_NS:
            self._move(offset_ns)
        self.source, self._said_ns = source, offset_ns

    def _move(self, offset_ns: int) -> None:
        """Forward at once; back by drift only, during which the axis stands still."""
        if self.offset_ns - offset_ns <= DISAGREE_NS:
            self._floor_ns = self.now_ns()
            self.offset_ns = offset_ns

    @staticmethod
    def _mono_ns() -> int:
        return boot_ns()

    @staticmethod
    def _awake_ns() -> int:
        """CLOCK_MONOTONIC stands still while the device is suspended."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
