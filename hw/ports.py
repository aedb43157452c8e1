"""The ports between devices and the agent: plain types, nothing else.

Everything in `hw` speaks in these types and imports nothing from `agent`. `t_ns` is always nanoseconds since the
epoch on the agent's one time axis (see docs/time.md): log time in a replay, the agent's clock when live.
Values that came from the car have a redacting repr, so that no log line, traceback or debugger dump can carry them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

EXTENDED_ID = 0x8000_0000
"""Set in `can_id` for a 29-bit identifier, as SocketCAN's CAN_EFF_FLAG does, so that one integer names a message."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One data frame of a bus. `can_id` carries EXTENDED_ID for 29-bit identifiers."""

    bus: str
    can_id: int
    data: bytes = field(repr=False)
    t_ns: int


@dataclass(frozen=True, slots=True)
class Silence:
    """No frame of this identifier arrived for its subscription's time-out. `t_ns` is when the time-out ran off."""

    bus: str
    can_id: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class Fix:
    """One epoch of a receiver. WGS-84, never another datum.

    `mode` 0 (no position: lat/lon are None), 2 or 3 dimensions. `utc_ns` is None when the receiver said no full date.
    `time_trusted` is false for a date before the release or one rolled over by 1,024 weeks; the position stays.
    """

    t_ns: int
    mode: int = 0
    lat_deg: float | None = field(default=None, repr=False)
    lon_deg: float | None = field(default=None, repr=False)
    alt_m: float | None = field(default=None, repr=False)
    speed_mps: float | None = field(default=None, repr=False)
    course_deg: float | None = field(default=None, repr=False)
    hdop: float | None = None
    satellites: int | None = None
    utc_ns: int | None = None
    time_trusted: bool = False
    talker: str = ""
    source: str = "nmea"


@dataclass(frozen=True, slots=True)
class Mux:
    """Content masks of a multiplexed message: `selector_mask` picks the multiplexer's bits out of the payload."""

    selector_mask: int
    cases: Mapping[int, int]
    """Payload & selector_mask -> content mask wanted under that selector; an absent selector is not wanted."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What of one identifier the plan wants to be told: the bits, how often, and when silence is news.

    `mask` is over the payload read as one little-endian integer (byte 0 is the lowest). A frame is delivered when
    it is the first, or when a bit under the mask differs from the last delivered one; not more often than
    `throttle_ns` (the newest pending one at its end); `timeout_ns` without any frame gives one Silence.
    """

    bus: str
    can_id: int
    mask: int
    throttle_ns: int
    timeout_ns: int
    mux: Mux | None = None


class FrameSource(Protocol):
    """A bus that can be read: the gate is applied by whoever calls it."""

    def frames(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...
