"""The grammar of conditions: what is printed is read back the same, undecidable stays undecidable, nothing is run."""

from __future__ import annotations

import builtins
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.expression import DEPTH_MAX, LENGTH_MAX, Expression, parse
from agent.model import Position, Value

# A tree of the test's own: ("cmp", name, op, literal) | ("not", tree) | ("and"|"or", [trees])
Tree = tuple[Any, ...]
NAMES = ("Vehicle.Speed", "A", "_b.c1", "notable", "order.android")
NUMBERS: tuple[Value | None, ...] = (None, -1, 0, 1.5, 2)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
comparisons = st.tuples(st.just("cmp"), st.sampled_from(NAMES[:3]), st.sampled_from(sorted(COMPARE)), st.sampled_from([-1, 0, 1.5, 2]))
trees: st.SearchStrategy[Tree] = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


def printed(tree: Tree, *, bare: bool = False) -> str:
    """The tree as text; `bare` leaves out the parentheses that precedence makes needless around comparisons."""
    match tree:
        case ("cmp", name, op, literal):
            return f"{name} {op} {literal}"
        case ("not", inner):
            return f"not {wrapped(inner, bare=bare)}"
        case (word, parts):
            return f" {word} ".join(wrapped(part, bare=bare) for part in parts)
    raise AssertionError(tree)


def wrapped(tree: Tree, *, bare: bool) -> str:
    return printed(tree, bare=bare) if bare and tree[0] == "cmp" else f"({printed(tree, bare=bare)})"


def truth(tree: Tree, have: Mapping[str, Any]) -> bool | None:
    """Kleene's three-valued logic, written from its definition: false < undecidable < true."""
    rank = {False: 0, None: 1, True: 2}
    match tree:
        case ("cmp", name, op, literal):
            return None if have[name] is None else bool(COMPARE[op](have[name], literal))
        case ("not", inner):
            value = truth(inner, have)
            return None if value is None else not value
        case (word, parts):
            values: Iterable[bool | None] = [truth(part, have) for part in parts]
            return (min if word == "and" else max)(values, key=lambda value: rank[value])
    raise AssertionError(tree)


def names_in(tree: Tree) -> set[str]:
    match tree:
        case ("cmp", name, _, _):
            return {name}
        case ("not", inner):
            return names_in(inner)
        case (_, parts):
            return set().union(*(names_in(part) for part in parts))
    raise AssertionError(tree)


@given(trees, st.booleans())
@settings(max_examples=150)
def test_a_printed_tree_has_the_same_truth_table_when_it_is_read(tree: Tree, bare: bool) -> None:
    """For every combination of values, missing ones among them."""
    text = printed(tree, bare=bare)
    assume(len(text) <= LENGTH_MAX)
    read = parse(text)
    names = sorted(names_in(tree))
    assert read.signals == frozenset(names)
    for values in itertools.product(NUMBERS, repeat=len(names)):
        have = dict(zip(names, values, strict=True))
        assert read.value(have.get) is truth(tree, have)


def test_and_binds_closer_than_or_and_not_closer_than_both() -> None:
    """Without parentheses the usual precedence holds."""
    have: dict[str, Value] = {"a": 1, "b": 0, "c": 0}
    assert parse("a == 1 or b == 1 and c == 1").value(have.get) is True
    assert parse("(a == 1 or b == 1) and c == 1").value(have.get) is False
    assert parse("not b == 1 and a == 1").value(have.get) is True
    assert parse("not (b == 0 and a == 1)").value(have.get) is False


@pytest.mark.parametrize(
    ("text", "have", "expected"),
    [
        ('A == "OFF"', "OFF", True),
        ('A != "OFF"', "ON", True),
        ("A == true", True, True),
        ("A == false", True, False),
        ("A == 1", True, True),
        ("A == 9007199254740993", 9007199254740993, True),
        ("A == 9007199254740992", 9007199254740993, False),
        ("A >= -2.5", -2.5, True),
        ('A == "5"', 5, None),
        ("A == 5", "5", None),
        ("A > 1", ("P0171",), None),
        ("A == 1", ("P0171",), None),
        ("A != 1", ("P0171",), None),
        ('A != "x"', ("P0171",), None),
        ("A != 0", Position(1.0, 2.0), None),
    ],
)
def test_kinds_that_cannot_be_compared_are_undecidable(text: str, have: Value, expected: bool | None) -> None:
    """Text with text, numbers with numbers, exactly; a list or a place with nothing at all."""
    assert parse(text).value({"A": have}.get) is expected


@pytest.mark.parametrize("word", NAMES)
def test_names_may_contain_the_words_of_the_grammar(word: str) -> None:
    """`notable` is a name and not `not able`."""
    assert parse(f"{word} == 1").signals == {word}


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", 1),
        ("   ", 4),
        ("A", 2),
        ("A ==", 5),
        ("A == B", 6),
        ("A = 1", 3),
        ("A == 1 $", 8),
        ("A == 1\n\n  $", 11),
        ("A == 1 and", 11),
        ("A == 1 B == 2", 8),
        ("A == 1)", 7),
        ("(A == 1", 8),
        ("and == 1", 1),
        ("1 == A", 1),
        ('A == "x', 6),
        ("A == 5.", 7),
        ("A == 1 or or B == 1", 11),
        ("A == 0x10", 7),
        ("A < 1 < 2", 7),
    ],
)
def test_the_error_says_at_which_character_it_stops_making_sense(text: str, character: int) -> None:
    """Counted from one, whatever white space lies before it."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.where == f"{text!r}, character {character}"


def test_limit_of_length() -> None:
    """500 characters are read, 501 are refused without being read."""
    longest = "A == 1" + " " * (LENGTH_MAX - 6)
    assert parse(longest).value({"A": 1}.get) is True
    with pytest.raises(ConfigError, match="501 characters"):
        parse(longest + " ")


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("not ", ""), ("not (", ")")])
def test_limit_of_depth(opening: str, closing: str) -> None:
    """16 levels are read; more are refused, and never exhaust the stack."""
    levels = 2 if opening == "not (" else 1
    deep = DEPTH_MAX // levels
    assert isinstance(parse(opening * deep + "A == 1" + closing * deep), Expression)
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse(opening * (deep + 1) + "A == 1" + closing * (deep + 1))


def noting(name: str, tried: list[str]) -> Callable[..., Any]:
    real = getattr(builtins, name)

    def noted(*arguments: Any, **named: Any) -> Any:
        tried.append(name)
        return real(*arguments, **named)

    return noted


@pytest.fixture
def no_code(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every attempt to run, compile or import something while it lasts."""
    tried: list[str] = []
    for name in ("eval", "exec", "compile", "__import__"):
        monkeypatch.setattr(builtins, name, noting(name, tried))
    return tried


def test_conditions_are_never_run_as_code(no_code: list[str]) -> None:
    """Text that would be Python is refused or compared, and nothing is evaluated, compiled or imported for it."""
    hostile = [
        "__import__('os').system('x') == 1",
        "A.__class__ == 1",
        "print == 1",
        "A == exit()",
        'A == "__import__"',
        "eval == 1 or exec == 2",
    ]
    del no_code[:]
    for text in hostile:
        try:
            parse(text).value(lambda _: 1)
        except ConfigError:
            continue
    assert no_code == []


@given(st.one_of(st.text(max_size=60), st.text(alphabet='AB.()=!<>"0123 andortue-', max_size=60)))
@example("(" * 400)
@example("not " * 120)
@example('A == "' + "x" * 480)
@settings(max_examples=400)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but ConfigError comes out, and what was read decides without raising for any kind of value."""
    try:
        read = parse(text)
    except ConfigError:
        return
    kinds: list[Value | None] = [None, True, 0, 1.5, "x", ("x",), Position(0.0, 0.0)]
    for value in kinds:
        assert read.value(lambda _, value=value: value) in (True, False, None)  # type: ignore[misc]  # bound for this turn
