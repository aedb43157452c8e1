"""The steps of minimisation, as a table of small pure functions: one line in TRANSFORMS and it exists.

A step takes a value and the catalogue's argument and gives the reduced value, or None: nothing may leave. Steps that
need more than the value (where the trip stands, a persisted answer) get it in `Context`. Aggregates, which need many
readings, are in `agent.collect.aggregates`. A value of the wrong kind gives None, never an exception: undecidable
means that nothing is collected.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from decimal import Context as DecimalContext
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from agent.catalogue.transforms_schema import DATUM_PREFIX
from agent.collect.cells import EARTH_M_PER_DEG, cell_of, on_earth
from agent.model import Position, Rule, Value

if TYPE_CHECKING:
    from agent.collect.respond import Responder
    from agent.collect.trip import Trip

EXACT = DecimalContext(prec=800, rounding=ROUND_HALF_UP)
"""Wide enough for the largest double over the smallest, so that nothing is rounded twice and nothing overflows."""
GRID_DECIMALS = 7
"""Centres are rounded to about a centimetre, so that every device says the same number for the same cell."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a step may know besides the value. `asked`: in person, for this once."""

    rule: Rule
    trip: Trip
    responder: Responder
    t_ns: int
    asked: bool = False


Step = Callable[[Value, object, Context], Value | None]


def number(value: object) -> float | int | None:
    """The value as a number; None for booleans, texts, lists, positions and non-finite floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def round_to(value: Value, argument: object, _: Context) -> Value | None:
    """The nearest multiple, halves away from zero; in decimal, so that 12.25 to 0.1 is 12.3."""
    have, step = number(value), number(argument)
    if have is None or not step:
        return None
    exact = Decimal(repr(step))
    times = EXACT.divide(Decimal(repr(have)), exact).quantize(Decimal(1), context=EXACT)
    multiple = EXACT.multiply(times, exact)
    return int(multiple) if isinstance(step, int) else number(float(multiple) + 0.0)  # + 0.0: a negative zero tells the sign


def clamp(value: Value, argument: object, _: Context) -> Value | None:
    """The value, or the bound that it lies beyond. Argument [lo, hi]."""
    have = number(value)
    if have is None or not isinstance(argument, list | tuple):
        return None
    low, high = argument
    bounded: float | int = min(max(have, low), high)
    return bounded


def sector_deg(value: Value, argument: object, _: Context) -> Value | None:
    """The start of the sector that a heading lies in, 0 <= x < 360."""
    have, width = number(value), number(argument)
    if have is None or not width:
        return None
    turned = have % 360
    start = math.floor((0 if turned == 360 else turned) / width) * width
    return int(start) if isinstance(width, int) else start % 360


def bucket(value: Value, argument: object, _: Context) -> Value | None:
    """How many of the ascending edges the value has reached: 0 below the first."""
    have = number(value)
    if have is None or not isinstance(argument, list | tuple):
        return None
    return bisect_right(argument, have)


def grid_m(value: Value, argument: object, _: Context) -> Value | None:
    """The centre of the metric cell; its width in longitude follows the cosine of its row's latitude.

    Cells are fixed to the globe, so one place gives one answer however often it is asked (memoryless noise does not:
    the mean of 250 answers is 5 m off, docs/attack-model.md).
    """
    width_m = number(argument)
    if not isinstance(value, Position) or not width_m or not on_earth(value):
        return None
    row, column, per_deg = cell_of(value, width_m)
    lat = (row + 0.5) * width_m / EARTH_M_PER_DEG
    lon = (column + 0.5) * width_m / per_deg
    return Position(round(min(max(lat, -90.0), 90.0), GRID_DECIMALS), round(min(max(lon, -180.0), 180.0), GRID_DECIMALS))


def trim_trip_m(value: Value, argument: object, context: Context) -> Value | None:
    """The position, once the trip is far enough from its start and outside every place where trips ended."""
    if not isinstance(value, Position) or not on_earth(value):
        return None
    return value if context.trip.may_speak(value, float(number(argument) or 0)) else None


def last(value: Value, _: object, __: Context) -> Value | None:
    """As it is; the record keeps only the newest of its window (see `agent.collect.window`)."""
    return value


def respond_k(value: Value, argument: object, context: Context) -> Value | None:
    """k-ary randomised response (Kairouz et al. 2016), the answer fixed per question and period."""
    if isinstance(value, bool) or not isinstance(value, int) or not isinstance(argument, dict):
        return None
    return context.responder.answer(context.rule, value, int(argument["k"]), float(argument["epsilon"]), context.t_ns)


TRANSFORMS: dict[str, Step] = {
    "round_to": round_to,
    "clamp": clamp,
    "sector_deg": sector_deg,
    "bucket": bucket,
    "grid_m": grid_m,
    "trim_trip_m": trim_trip_m,
    "last": last,
    "respond_k": respond_k,
}
DATUM_GROUP = "modicum.datum"
"""Entry points of approved datum conversions: `NAME = module:function`, function(Position, argument) -> Position | None."""


def step_named(name: str) -> Step | None:
    """The step of the table, or the plug-in of `datum:NAME`; None where there is none, and then nothing may leave."""
    return _datum(name.removeprefix(DATUM_PREFIX)) if name.startswith(DATUM_PREFIX) else TRANSFORMS.get(name)


@cache
def _datum(name: str) -> Step | None:
    found = next(iter(entry_points(group=DATUM_GROUP, name=name)), None)
    if found is None:
        return None
    convert = found.load()

    def step(value: Value, argument: object, _: Context) -> Value | None:
        """A plug-in's answer counts only if it is a position."""
        moved = convert(value, argument) if isinstance(value, Position) else None
        return moved if isinstance(moved, Position) else None

    return step
