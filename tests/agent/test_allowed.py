"""agent.allowed: what is told about a value that a type refuses has words of a person's, and says what to write."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from agent.allowed import hint_for
from agent.sections import Sos, Vin
from agent.settings import Settings
from agent.toml import At, Report, _struct_in, decode

NOTATION = ("regex", "Expected", "`", "[A-", "^", ">=", "<=", "enum", "null", "Object")


def told(wanted: Any, raw: object) -> str:
    """The one line about `raw`, without its place."""
    report = Report()
    assert decode(raw, wanted, At("f"), report) is None
    (finding,) = report.findings
    return f"{finding.what}: {finding.hint}"


@pytest.mark.parametrize(
    ("wanted", "raw", "says"),
    [
        (Vin, "WMWTESTCARO000001", "not of the form that is wanted here: write 17 characters of the VIN alphabet (ISO 3779: no I, O, Q)"),
        (Annotated[float, Meta(ge=10, le=60, description="so long")], 1, "less than 10: write a number from 10 to 60: so long"),
        (Annotated[int, Meta(le=60)], 61, "more than 60: write a whole number up to 60"),
        (Annotated[float, Meta(gt=0)], 0, "not more than 0: write a number above 0"),
        (Annotated[float, Meta(gt=0, lt=2)], 2.5, "not less than 2: write a number above 0 below 2"),
        (Annotated[str, Meta(min_length=1)], "", "empty: write a text of 1 or more characters"),
        (Annotated[str, Meta(min_length=2, max_length=3)], "x", "shorter than 2: write a text of 2 to 3 characters"),
        (Annotated[str, Meta(max_length=3)], "abcd", "longer than 3: write a text of 0 to 3 characters"),
        (Literal["a", "b"], "c", 'none of the values that are known here: write one of "a", "b"'),
        (Literal[2, 3], 4, "none of the values that are known here: write one of 2, 3"),
        (Annotated[int, Meta(ge=1)] | None, "1", "a whole number expected, this is a text: write a whole number from 1"),
        (int | str, 1.5, "a whole number or a text expected, this is a number: write a whole number or a text"),
        (tuple[Literal["a", "b"], ...], ["c"], 'none of the values that are known here: write [...], of which each is one of "a", "b"'),
        (Path, 5, "a path expected, this is a whole number: write a path"),
        (dict[str, int], 5, "a table expected, this is a whole number: write a table"),
        (bool, 5, "true or false expected, this is a whole number: write true or false"),
    ],
)
def test_each_kind_of_limit_is_told_in_words(wanted: Any, raw: object, says: str) -> None:
    """What is wrong, and what may stand there with what it means."""
    assert told(wanted, raw) == says


def leaves(wanted: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    """Every key of a file below `wanted`, with its type."""
    for info in msgspec.structs.fields(wanted):
        inner = _struct_in(info.type) or next(filter(None, map(_struct_in, typing.get_args(info.type))), None)
        if inner:
            yield from ((f"{info.encode_name}.{key}", of) for key, of in leaves(inner))
        else:
            yield info.encode_name, info.type


@pytest.mark.parametrize(("key", "wanted"), list(leaves(Settings)))
def test_every_setting_says_what_it_may_hold(key: str, wanted: Any) -> None:
    """Whatever is wrong with it, and no notation is left in what is said of it."""
    assert hint_for(wanted).startswith("write "), key
    report = Report()
    some: tuple[object, ...] = ("?!\x00", "", -1, 1e300, True, [[]], {"a": 1})
    for raw in some:
        decode(raw, wanted, At("f"), report)
    assert [finding.what for finding in report.findings for word in NOTATION if word in finding.what] == []


def test_a_table_that_has_a_description_is_read_like_any() -> None:
    """A key that it does not know is named, with the one that is probably meant."""
    said = Report()
    button: Any = Annotated[Sos | None, Meta(description="a button")]
    decode({"chip": "c", "line": 1, "debounce": 1}, button, At("f"), said)
    assert [(one.where, one.hint) for one in said.findings] == [("f: debounce", "did you mean 'debounce_ms'?")]
