"""Formulas of one variable, as KUKSA mapping files write them: parsed into plain functions, never evaluated as code.

    formula = sum ; sum = term {("+" | "-") term} ; term = sign {("*" | "/" | "%") sign} ; sign = ["-" | "+"] power
    power = atom ["^" sign] ; atom = NUMBER | "x" | "PI" | "E" | NAME "(" sum {"," sum} ")" | "(" sum ")"

A formula that has no finite result for a value gives None. Limits: 200 characters, 16 levels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.errors import ConfigError

LENGTH_MAX = 200
DEPTH_MAX = 16
TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[-+*/%^(),]))")
Number = float | int
Part = Callable[[Number], Number]
CONSTANTS: dict[str, Number] = {"PI": math.pi, "E": math.e}


def _half_up(value: Number) -> Number:
    return math.floor(value + 0.5)


FUNCTIONS: dict[str, tuple[int, Callable[..., Number]]] = {
    "abs": (1, abs),
    "ceil": (1, math.ceil),
    "floor": (1, math.floor),
    "round": (1, _half_up),
    "sqrt": (1, math.sqrt),
    "exp": (1, math.exp),
    "log": (1, math.log),
    "pow": (2, math.pow),
    "min": (2, min),
    "max": (2, max),
}
"""Name -> how many arguments, and what it is."""
OPERATORS: dict[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": math.fmod,
    "^": math.pow,
}


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula."""

    text: str
    _part: Part = field(repr=False)

    def value(self, x: Number) -> Number | None:
        """The result for `x`; None where there is no finite one."""
        try:
            result = self._part(x)
            return result if math.isfinite(result) else None
        except (ArithmeticError, ValueError):
            return None


def parse_formula(text: str) -> Formula:
    """The formula in `text`. Raises ConfigError that says at which character it stops making sense."""
    if len(text) > LENGTH_MAX:
        raise ConfigError(f"a formula of {len(text)} characters", text[:40] + "...", f"use at most {LENGTH_MAX}")
    parser = _Parser(text)
    part = parser.sum(0)
    parser.end()
    return Formula(text, part)


class _Parser:
    """Recursive descent; each method takes how deep it is and gives a function of x."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def sum(self, depth: int) -> Part:
        return self._chain(("+", "-"), self._term, depth)

    def end(self) -> None:
        if self.text[self.at :].strip():
            raise self._error("more text after a complete formula")

    def _term(self, depth: int) -> Part:
        return self._chain(("*", "/", "%"), self._sign, depth)

    def _sign(self, depth: int) -> Part:
        if depth > DEPTH_MAX:
            raise self._error(f"more than {DEPTH_MAX} levels")
        if self._take("-"):
            inner = self._sign(depth + 1)
            return lambda x: -inner(x)
        self._take("+")
        base = self._atom(depth)
        return _joined("^", base, self._sign(depth + 1)) if self._take("^") else base

    def _chain(self, marks: tuple[str, ...], part: Callable[[int], Part], depth: int) -> Part:
        left = part(depth)
        while (mark := self._take(*marks)) is not None:
            left = _joined(mark, left, part(depth))
        return left

    def _atom(self, depth: int) -> Part:
        if self._take("("):
            inner = self.sum(depth + 1)
            self._expect(")")
            return inner
        found = TOKEN.match(self.text, self.at)
        if found is None or found["mark"]:
            raise self._error("a number, x or a function is missing")
        self.at = found.end()
        if found["number"]:
            number = float(found["number"])
            exact = int(number) if number.is_integer() else number
            return lambda _: exact
        return self._named(found["name"], depth)

    def _named(self, name: str, depth: int) -> Part:
        if name == "x":
            return lambda x: x
        if name in CONSTANTS:
            return lambda _: CONSTANTS[name]
        if name not in FUNCTIONS:
            raise self._error(f"{name} is no function; there are {', '.join(FUNCTIONS)}")
        count, function = FUNCTIONS[name]
        self._expect("(")
        parts = [self.sum(depth + 1)]
        while self._take(","):
            parts.append(self.sum(depth + 1))
        self._expect(")")
        if len(parts) != count:
            raise self._error(f"{name} takes {count} argument{'s' if count > 1 else ''}")
        return lambda x: function(*(part(x) for part in parts))

    def _take(self, *marks: str) -> str | None:
        found = TOKEN.match(self.text, self.at)
        if found is None or found["mark"] not in marks:
            return None
        self.at = found.end()
        return found["mark"]

    def _expect(self, mark: str) -> None:
        if self._take(mark) is None:
            raise self._error(f"{mark} is missing")

    def _error(self, what: str) -> ConfigError:
        return ConfigError(f"not a formula: {what}", f"{self.text!r}, character {self.at + 1}", "see docs/adding.md")


def _joined(mark: str, left: Part, right: Part) -> Part:
    operator = OPERATORS[mark]
    return lambda x: operator(left(x), right(x))
