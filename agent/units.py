"""Units: conversions between a vehicle file's unit and the catalogue's, each linear (value * scale + offset).

A name that is not in the table converts only to itself. Factors are exact by definition (SI brochure; the
international mile and inch; the standard pound-force for psi), but for pi, which is that of a double.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from fractions import Fraction

ALIASES = {
    "kmh": "km/h",
    "kph": "km/h",
    "mps": "m/s",
    "celsius": "degc",
    "°c": "degc",
    "c": "degc",
    "fahrenheit": "degf",
    "degree celsius": "degc",
    "°f": "degf",
    "kelvin": "k",
    "deg": "degrees",
    "degree": "degrees",
    "°": "degrees",
    "%": "percent",
    "volt": "v",
    "days": "day",
    "d": "day",
    "hours": "h",
    "minutes": "min",
    "seconds": "s",
    "liter": "l",
    "litre": "l",
    "miles": "mi",
    "mile": "mi",
    "rad": "radians",
}
SENT_AS = {"bucket": "class", "respond_k": "class", "count_s": "count"}
"""What is left after such a step of minimisation is a number of another kind; every other step keeps the unit."""
_MILE = Fraction(1609344, 1000000)
# unit -> (dimension, scale, offset) onto the dimension's base unit
_TABLE: dict[str, tuple[str, Fraction, Fraction]] = {
    "m/s": ("speed", Fraction(1), Fraction(0)),
    "km/h": ("speed", Fraction(5, 18), Fraction(0)),
    "mph": ("speed", _MILE * 1000 / 3600, Fraction(0)),
    "m": ("length", Fraction(1), Fraction(0)),
    "km": ("length", Fraction(1000), Fraction(0)),
    "cm": ("length", Fraction(1, 100), Fraction(0)),
    "mm": ("length", Fraction(1, 1000), Fraction(0)),
    "mi": ("length", _MILE * 1000, Fraction(0)),
    "degc": ("temperature", Fraction(1), Fraction(0)),
    "k": ("temperature", Fraction(1), Fraction(-27315, 100)),
    "degf": ("temperature", Fraction(5, 9), Fraction(-160, 9)),
    "v": ("voltage", Fraction(1), Fraction(0)),
    "mv": ("voltage", Fraction(1, 1000), Fraction(0)),
    "kpa": ("pressure", Fraction(1), Fraction(0)),
    "pa": ("pressure", Fraction(1, 1000), Fraction(0)),
    "bar": ("pressure", Fraction(100), Fraction(0)),
    "psi": ("pressure", Fraction(6894757293168, 10**12), Fraction(0)),
    "s": ("time", Fraction(1), Fraction(0)),
    "ms": ("time", Fraction(1, 1000), Fraction(0)),
    "min": ("time", Fraction(60), Fraction(0)),
    "h": ("time", Fraction(3600), Fraction(0)),
    "day": ("time", Fraction(86400), Fraction(0)),
    "percent": ("ratio", Fraction(1, 100), Fraction(0)),
    "ratio": ("ratio", Fraction(1), Fraction(0)),
    "l": ("volume", Fraction(1), Fraction(0)),
    "ml": ("volume", Fraction(1, 1000), Fraction(0)),
    "degrees": ("angle", Fraction(1), Fraction(0)),
    "radians": ("angle", 180 / Fraction(math.pi), Fraction(0)),
}
PAIRS_MAX = 256
"""Pairs of units that are remembered: a car has few, and asks for them at every reading."""


def plain(unit: str) -> str:
    """The table's name of a unit as people write it."""
    lower = unit.strip().lower()
    return ALIASES.get(lower, lower)


@functools.lru_cache(maxsize=PAIRS_MAX)
def conversion(source: str, target: str) -> tuple[Fraction, Fraction] | None:
    """(scale, offset) from `source` to `target`, or None when the two are not known to measure the same thing."""
    one, other = plain(source), plain(target)
    if one == other:
        return Fraction(1), Fraction(0)
    have, want = _TABLE.get(one), _TABLE.get(other)
    if have is None or want is None or have[0] != want[0]:
        return None
    return have[1] / want[1], (have[2] - want[2]) / want[1]


def whole(scale: Fraction, offset: Fraction) -> tuple[int, int, int]:
    """`scale` and `offset` as (a, b, d): value * scale + offset = (value * a + b) / d, in which whole numbers stay exact."""
    d = math.lcm(scale.denominator, offset.denominator)
    return int(scale * d), int(offset * d), d


def converted(value: float, source: str, target: str) -> float | None:
    """`value` in the unit `target`; None when that is another kind of unit. An unchanged whole number stays one."""
    factor = conversion(source, target)
    if factor is None:
        return None
    a, b, d = whole(*factor)
    scaled = value * a + b
    return scaled if d == 1 else scaled / d


def sent_unit(unit: str, steps: Iterable[str]) -> str:
    """The unit of what is sent of a value in `unit`, after steps of these names in this order."""
    for step in steps:
        unit = SENT_AS.get(step, unit)
    return unit
