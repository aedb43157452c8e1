"""What a stream needs besides its own signals, and how often the bus has to tell: triggers, `while`, trimming."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

from agent.catalogue.transforms_schema import AGGREGATES
from agent.catalogue.types import Catalogue, Stream
from agent.clock import NS
from agent.errors import ConfigError
from agent.expression import parse
from agent.limits import SILENT_S_MIN
from agent.model import Demand
from agent.vss import GEAR, LOCATION, ODOMETER, SPEED

TIMEOUT_NS = int(SILENT_S_MIN * NS)
STATE_THROTTLE_NS = NS // 5
"""Speed for `while`, trimming and "lately" need not come more often than this."""
EACH = Demand(throttle_ns=0, timeout_ns=TIMEOUT_NS)
STATE = Demand(throttle_ns=STATE_THROTTLE_NS, timeout_ns=TIMEOUT_NS)
GUARD = Demand(throttle_ns=NS, timeout_ns=TIMEOUT_NS)
"""The battery's voltage, where the device goes before it is empty."""
UNDECIDABLE = frozenset({""})
CONDITIONS_MAX = 256
"""Parsed conditions that are remembered: a plan asks for the same few again and again."""
TIMEOUT_MAX_S = 366 * 86_400
"""Longer silences are not news; also the bound of a period that somebody wrote as `inf`."""


def trim_m(stream: Stream) -> float | None:
    """How far from its start a trip has to be before the stream speaks: the longest that any of its signals asks for, or None."""
    asked = [step["trim_trip_m"] for signal in stream.signals for step in signal.transforms if "trim_trip_m" in step]
    return max((float(metres) for metres in asked if isinstance(metres, int | float)), default=math.inf if asked else None)


def required(stream: Stream, catalogue: Catalogue) -> dict[str, Demand]:
    """Inputs without which the stream cannot be decided. Ignition is asked for apart (it may be known otherwise)."""
    needs: dict[str, Demand] = {}
    for trigger in stream.triggers:
        kind, _, name = trigger.partition(":")
        if kind == "distance":
            needs[ODOMETER] = EACH
        elif kind == "event":
            event = catalogue.events.get(name)
            for signal in _names(event.when if event else None):
                needs[signal] = EACH
            for signal in _names(event.recent.when) if event and event.recent else ():
                needs.setdefault(signal, STATE)
    return needs


@functools.lru_cache(maxsize=CONDITIONS_MAX)
def _names(condition: str | None) -> frozenset[str]:
    """The signals of a condition; one that no vehicle has where there is no condition that could be read."""
    try:
        return parse(condition).signals if condition is not None else UNDECIDABLE
    except ConfigError:
        return UNDECIDABLE


def helpful(stream: Stream) -> dict[str, Demand]:
    """Inputs that are used where the vehicle has them: speed (else from GNSS) and gear; the place, where a trip is trimmed."""
    trimmed = trim_m(stream) is not None
    needs = {SPEED: STATE, GEAR: EACH} if stream.while_ == "driving" or trimmed else {}
    return needs | ({LOCATION: STATE} if trimmed else {})


def demand_of(stream: Stream, steps: Iterable[dict[str, object]]) -> Demand:
    """How the signal of a rule is wanted: throttled to a tenth of the period, unless an aggregate sees every change."""
    each = any(AGGREGATES & step.keys() for step in steps)
    throttle_ns = 0 if each else int(min(stream.every_s / 10, 1.0) * NS)
    return Demand(throttle_ns=throttle_ns, timeout_ns=int(min(max(3 * stream.every_s, SILENT_S_MIN), TIMEOUT_MAX_S) * NS))


def merged(one: Demand | None, other: Demand) -> Demand:
    """The demand that serves both."""
    if one is None:
        return other
    return Demand(throttle_ns=min(one.throttle_ns, other.throttle_ns), timeout_ns=min(one.timeout_ns, other.timeout_ns))
