"""What is wrong with a scenario file, in words a person can act on.

Promises the place as somebody finds it in the file (the third `[[change]]`, and its moment), what stands there, and what may
stand there instead, taken from the types themselves. Must never decide what is wrong: msgspec and `hw.bench.scenario` do.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

import msgspec
from msgspec import inspect

SHOWN_MAX = 40
"""Characters of a value that a message repeats."""
_SAID = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_MISSING = re.compile(r"missing required field `(.+)`")
_UNKNOWN = re.compile(r"unknown field `(.+)`")


def entry(kind: str, index: int, at_s: object = None) -> str:
    """An entry of a list as a person counts: `change 3 (at 12 s)`."""
    return f"{kind} {index + 1}" + (f" (at {at_s:g} s)" if isinstance(at_s, (int, float)) else "")


def in_words(error: msgspec.ValidationError, form: type, written: Mapping[str, object], place: str = "") -> str:
    """What msgspec refused in `written`, which was to be a `form`; `place`: where in the file that stands."""
    said = _SAID.fullmatch(str(error))
    what, path = (said["what"], said["path"] or "") if said else (str(error), "")
    places, name = [place] if place else [], ""
    kind: inspect.Type = inspect.type_info(form)
    value: object = written
    for key, index in _STEP.findall(path):
        if isinstance(value, Mapping):
            places += [name] if name else []
            name, kind, value = key, _fields(kind)[key].type, value[key]
        elif isinstance(value, list) and isinstance(kind, inspect.VarTupleType):
            kind, value = kind.item_type, value[int(index)]
            if isinstance(value, Mapping):
                places, name = [*places, entry(name, int(index), value.get("at_s"))], ""
    return ": ".join([*places, _wrong(what, name, kind, value)])


def allowed(kind: inspect.Type) -> str:
    """What may be written where the types want this."""
    match kind:
        case inspect.UnionType(types=kinds):
            return allowed(next(one for one in kinds if not isinstance(one, inspect.NoneType)))
        case inspect.FloatType() | inspect.IntType():
            return ("a whole number" if isinstance(kind, inspect.IntType) else "a number") + _range(kind)
        case inspect.VarTupleType(item_type=item):
            return "one or more tables in double brackets" if isinstance(item, inspect.StructType) else f"a list, each {allowed(item)}"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.StrType():
            return f"a text{_extent(kind)}"
    return {inspect.BoolType: "true or false", inspect.DateTimeType: "a moment with its zone, as 2026-11-25T23:58:40Z"}.get(
        type(kind), "a table"
    )


def _extent(text: inspect.StrType) -> str:
    if text.pattern:
        return f" of the form {text.pattern}"
    return f" of {text.min_length} to {text.max_length} characters" if text.max_length else ""


def _fields(kind: inspect.Type) -> dict[str, inspect.Field]:
    """Those of a table, by the key that the file writes."""
    fields = kind.fields if isinstance(kind, (inspect.StructType, inspect.DataclassType)) else ()
    return {field.encode_name: field for field in fields}


def _range(number: inspect.FloatType | inspect.IntType) -> str:
    if number.gt is not None:
        return f" above {number.gt:g}, up to {number.le:g}"
    if number.lt is not None:
        return f" from {number.ge:g} to less than {number.lt:g}"
    return f" from {number.ge:.10g} to {number.le:.10g}"


def _wrong(what: str, name: str, kind: inspect.Type, value: object) -> str:
    if missing := _MISSING.search(what):
        return f"{name + ': ' if name else ''}{missing[1]} is missing; write {allowed(_fields(kind)[missing[1]].type)}"
    if unknown := _UNKNOWN.search(what):
        return f"{name + ': ' if name else ''}there is no key {unknown[1]}; there are {', '.join(sorted(_fields(kind)))}"
    return f"{name} is {_shown(value)}; write {allowed(kind)}"


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case dt.datetime():
            return value.isoformat()
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
