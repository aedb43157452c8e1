"""Unit conversions against factors that are exact by definition."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import units
from agent.units import ALIASES, conversion

NAMES = sorted({*units._TABLE, *ALIASES})


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (36, "km/h", "m/s", Fraction(10)),
        (1, "mph", "km/h", Fraction(1609344, 1000000)),
        (1, "mi", "m", Fraction(1609344, 1000)),
        (1, "km", "m", Fraction(1000)),
        (25, "celsius", "K", Fraction(29815, 100)),
        (32, "degF", "degC", Fraction(0)),
        (212, "fahrenheit", "celsius", Fraction(100)),
        (-40, "degF", "degC", Fraction(-40)),
        (1, "bar", "kPa", Fraction(100)),
        (1, "psi", "Pa", Fraction(6894757293168, 10**9)),
        (12500, "mV", "V", Fraction(25, 2)),
        (90, "min", "h", Fraction(3, 2)),
        (2, "day", "h", Fraction(48)),
        (50, "percent", "ratio", Fraction(1, 2)),
        (500, "ml", "l", Fraction(1, 2)),
    ],
)
def test_known_conversions_are_exact(value: int, source: str, target: str, expected: Fraction) -> None:
    """Factors of the SI and of the international mile, inch and pound, without rounding."""
    found = conversion(source, target)
    assert found is not None
    scale, offset = found
    assert value * scale + offset == expected


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.fractions(-(10**6), 10**6))
def test_there_and_back_is_the_same_value(source: str, target: str, value: Fraction) -> None:
    """A conversion and its opposite cancel exactly; where one exists, so does the other."""
    there, back = conversion(source, target), conversion(target, source)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert (value * there[0] + there[1]) * back[0] + back[1] == value


@given(st.text(max_size=20))
def test_any_unit_converts_to_itself(unit: str) -> None:
    """A name that is in no table is still the same as itself."""
    assert conversion(unit, unit) == (Fraction(1), Fraction(0))


@pytest.mark.parametrize(
    ("source", "target"), [("km/h", "km"), ("V", "kPa"), ("degC", "percent"), ("", "km"), ("furlong", "m"), ("rpm", "1/min")]
)
def test_what_is_not_the_same_thing_does_not_convert(source: str, target: str) -> None:
    """Different or unknown dimensions give None and never a number."""
    assert conversion(source, target) is None


def test_every_alias_means_itself_or_a_table_entry() -> None:
    """No alias leads to another alias, so one look is enough."""
    assert not set(ALIASES.values()) & set(ALIASES)
