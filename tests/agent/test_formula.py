"""Formulas: what they give, what they refuse, and that nothing in them is ever run as code."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.formula import DEPTH_MAX, LENGTH_MAX, parse_formula


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("floor((x*40)-100)", 3.3, 32),
        ("floor(abs(x/5))", -27.0, 5),
        ("floor(x+0.5)", -1.5, -1),
        ("x", 7, 7),
        ("2+3*x", 4, 14),
        ("(2+3)*x", 4, 20),
        ("-x^2", 3, -9.0),
        ("2^3^2", 0, 512.0),
        ("10-4-3", 0, 3),
        ("24/4/2", 0, 3.0),
        ("x % 3", 7, 1.0),
        ("min(x, 2) + max(1, 5)", 9, 7),
        ("pow(x, 2)", 5, 25.0),
        ("round(2.5)", 0, 3),
        ("1.5e1 + .5", 0, 15.5),
        ("+x - -x", 2, 4),
        ("PI", 0, math.pi),
    ],
)
def test_a_formula_means_what_it_says(text: str, x: float, expected: float) -> None:
    """Precedence, associativity, signs and functions."""
    assert parse_formula(text).value(x) == expected


@pytest.mark.parametrize(
    "text", ["", "x+", "(x", "x)", "2x", "y", "floor x", "floor(x, 1)", "__import__('os')", "x if x else x", "x;x", "x.real"]
)
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    """In one line that says at which character."""
    with pytest.raises(ConfigError, match="character"):
        parse_formula(text)


@pytest.mark.parametrize(("text", "x"), [("1/x", 0), ("sqrt(x)", -1), ("exp(x)", 1e6), ("x^x", 1e9), ("log(x)", 0), ("x % 0", 1)])
def test_what_has_no_finite_result_has_none(text: str, x: float) -> None:
    """No exception on the path of a frame."""
    assert parse_formula(text).value(x) is None


def test_the_limits_hold() -> None:
    """Length and depth, also of what nests without parentheses."""
    parse_formula("(" * (DEPTH_MAX - 1) + "x" + ")" * (DEPTH_MAX - 1))
    for text in ("(" * 60 + "x" + ")" * 60, "-" * 60 + "x", "2^" * 60 + "x", "x" + "+x" * LENGTH_MAX):
        with pytest.raises(ConfigError):
            parse_formula(text)


@given(st.text(alphabet="x0123456789.+-*/%^(),eE floorabsmin", max_size=40), st.floats(-1e9, 1e9))
def test_whatever_is_written_is_a_number_none_or_refused(text: str, x: float) -> None:
    """Never another exception."""
    try:
        value = parse_formula(text).value(x)
    except ConfigError:
        return
    assert value is None or math.isfinite(value)
