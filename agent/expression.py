"""Conditions of events and crash frames: a small grammar, parsed and never evaluated as code.

    condition = any ; any = all {"or" all} ; all = not {"and" not} ; not = "not" not | "(" any ")" | comparison
    comparison = NAME (">" | ">=" | "<" | "<=" | "==" | "!=") (number | "text" | true | false)

Three-valued: a name without a value makes its comparison undecidable (None), and None is never an edge.
Limits: 500 characters, 16 levels.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import ConfigError
from agent.model import Value

LENGTH_MAX = 500
DEPTH_MAX = 16
TOKEN = re.compile(
    r'\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<text>"[^"]*")|(?P<op>>=|<=|==|!=|>|<)|(?P<paren>[()])|(?P<name>[A-Za-z_][\w.]*))'
)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
WORDS = frozenset({"and", "or", "not", "true", "false"})
Lookup = Callable[[str], Value | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`signal` against a literal."""

    signal: str
    op: str
    literal: bool | float | int | str

    def value(self, lookup: Lookup) -> bool | None:
        """True, False, or None when the signal has no value or its kind cannot be compared."""
        have = lookup(self.signal)
        if have is None or isinstance(have, tuple) or (isinstance(have, str) != isinstance(self.literal, str)):
            return None  # a list or a place is neither equal nor unequal to a number
        try:
            return bool(OPERATORS[self.op](have, self.literal))
        except TypeError:
            return None


@dataclass(frozen=True, slots=True)
class Joined:
    """`and` / `or` over parts, in three-valued (Kleene) logic."""

    word: Literal["and", "or"]
    parts: tuple[Node, ...]

    def value(self, lookup: Lookup) -> bool | None:
        """Decided by one part where that is enough; undecidable otherwise if any part is."""
        decisive = self.word == "or"
        values = [part.value(lookup) for part in self.parts]
        if decisive in values:
            return decisive
        return None if None in values else not decisive


@dataclass(frozen=True, slots=True)
class Negated:
    """`not`; undecidable stays undecidable."""

    part: Node

    def value(self, lookup: Lookup) -> bool | None:
        """The opposite of the part, or None."""
        inner = self.part.value(lookup)
        return None if inner is None else not inner


Node = Comparison | Joined | Negated


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed condition and the names that it needs."""

    text: str
    root: Node
    signals: frozenset[str]

    def value(self, lookup: Lookup) -> bool | None:
        """Whether the condition holds for the values that `lookup` gives; None when that cannot be decided."""
        return self.root.value(lookup)


def parse(text: str) -> Expression:
    """The condition in `text`. Raises ConfigError that says at which character it stops making sense."""
    if len(text) > LENGTH_MAX:
        raise ConfigError(f"a condition of {len(text)} characters", text[:40] + "...", f"use at most {LENGTH_MAX}")
    parser = _Parser(text)
    root = parser.any_of(0)
    if parser.peek() is not None:
        raise parser.error("more text after a complete condition")
    return Expression(text, root, frozenset(parser.names))


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        self.tokens = list(self._split(text))
        self.at = 0

    def _split(self, text: str) -> list[tuple[str, str, int]]:
        found, at = [], 0
        while text[at:].strip():
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                character = len(text) - len(text[at:].lstrip()) + 1
                raise ConfigError(
                    "a condition that cannot be read", f"{text!r}, character {character}", "use names, numbers, comparisons, and, or, not"
                )
            found.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return found

    def error(self, what: str) -> ConfigError:
        """The error at the token where the parser stands."""
        column = self.tokens[self.at][2] + 1 if self.at < len(self.tokens) else len(self.text) + 1
        return ConfigError(what, f"{self.text!r}, character {column}", "write for example: Vehicle.Speed > 30 and not Vehicle.X == 1")

    def peek(self) -> str | None:
        """The next token's text, or None at the end."""
        return self.tokens[self.at][1] if self.at < len(self.tokens) else None

    def take(self, kind: str, wanted: str) -> str:
        """The next token, which must be of `kind`."""
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != kind:
            raise self.error(f"{wanted} expected")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def any_of(self, depth: int) -> Node:
        """`all {or all}`."""
        if depth > DEPTH_MAX:
            raise self.error("a condition that is nested too deeply")
        return self._joined("or", lambda: self._joined("and", lambda: self.single(depth)))

    def _joined(self, word: Literal["and", "or"], part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self.peek() == word:
            self.at += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def single(self, depth: int) -> Node:
        """`not`, a parenthesis or a comparison."""
        if depth > DEPTH_MAX:
            raise self.error("a condition that is nested too deeply")
        if self.peek() == "not":
            self.at += 1
            return Negated(self.single(depth + 1))
        if self.peek() == "(":
            self.at += 1
            inner = self.any_of(depth + 1)
            if self.peek() != ")":
                raise self.error("a closing parenthesis expected")
            self.at += 1
            return inner
        return self.comparison()

    def comparison(self) -> Comparison:
        """`NAME op literal`."""
        name = self.take("name", "the name of a signal")
        if name in WORDS:
            self.at -= 1
            raise self.error("the name of a signal expected")
        self.names.add(name)
        op = self.take("op", "a comparison")
        return Comparison(name, op, self.literal())

    def literal(self) -> bool | float | int | str:
        """A number, a quoted text, true or false."""
        word = self.peek()
        if word in ("true", "false"):
            self.at += 1
            return word == "true"
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "text":
            return self.take("text", "a text")[1:-1]
        number = self.take("number", "a number")
        return float(number) if "." in number else int(number)
