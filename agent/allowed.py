"""What a key of a file may hold, in words: from its type, for whoever wrote something else there.

Promises: no notation of a schema, of a program or of Python's, and never what stands there: a file may hold a VIN.
"""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path", dict: "a table", list: "an array"}
KINDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "an array", "object": "a table"}
"""By msgspec's names."""
REASONS = (
    (r"Expected `\w+` matching regex ", "not of the form that is wanted here"),
    (r"Expected `\w+` >= (\S+?)(?:\.0)?$", "less than {}"),
    (r"Expected `\w+` > (\S+?)(?:\.0)?$", "not more than {}"),
    (r"Expected `\w+` <= (\S+?)(?:\.0)?$", "more than {}"),
    (r"Expected `\w+` < (\S+?)(?:\.0)?$", "not less than {}"),
    (r"Expected `\w+` of length >= 1$", "empty"),
    (r"Expected `\w+` of length >= (\d+)", "shorter than {}"),
    (r"Expected `\w+` of length <= (\d+)", "longer than {}"),
    (r"Expected `\w+` of length (\d+)", "not of the length {}"),
    (r"\w+ value out of range|Number out of range", "a number that nothing could hold"),
    (r"Invalid enum value ", "none of the values that are known here"),
)
"""What msgspec says, and what a person is told."""


def complaint(reason: str) -> str:
    """What is wrong with a value, by msgspec's reason against it."""
    for pattern, words in REASONS:
        if said := re.match(pattern, reason):
            return words.format(*said.groups())
    kinds = re.match(r"Expected `([^`]+)`, got `([^`]+)`", reason)
    if kinds is None:
        return reason.replace("`", "")
    wanted = [KINDS.get(kind, kind) for kind in kinds[1].split(" | ") if kind != "null"]
    return f"{' or '.join(wanted)} expected, this is {KINDS.get(kinds[2], kinds[2])}"


def allowed(wanted: Any) -> str:  # noqa: ANN401  any type of a field
    """What may stand where a value of type `wanted` does."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Annotated:
        return _limited(allowed(arguments[0]), [meta for meta in arguments[1:] if isinstance(meta, msgspec.Meta)])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(allowed(one) for one in arguments if one is not types.NoneType)
    if origin is typing.Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in arguments)
    if origin in (tuple, list, frozenset):
        return f"[...], of which each is {allowed(arguments[0])}"
    return WORDS.get(origin or wanted, "")


def _limited(base: str, metas: list[msgspec.Meta]) -> str:
    """`base` within the limits that stand beside its type. A form is told by its description: nobody reads a pattern."""
    for meta in metas:
        if meta.pattern is not None:
            return meta.description or base
        base += _between(meta.ge, meta.gt, meta.le, meta.lt)
        if meta.min_length is not None or meta.max_length is not None:
            most = f" to {meta.max_length}" if meta.max_length is not None else " or more"
            base += f" of {meta.min_length or 0}{most} characters"
    return base


def _between(ge: float | None, gt: float | None, le: float | None, lt: float | None) -> str:
    limits = {"from": ge, "above": gt, "to" if ge is not None or gt is not None else "up to": le, "below": lt}
    return "".join(f" {word} {limit}" for word, limit in limits.items() if limit is not None)


def hint_for(wanted: Any) -> str:  # noqa: ANN401  any type of a field
    """What to do about a value that `wanted` refuses: what may stand there, and what it means."""
    may, means = allowed(wanted), _description(wanted)
    return f"write {may}" + (f": {means}" if means and means != may else "") if may else "correct the value"


def _description(wanted: Any) -> str:  # noqa: ANN401  any type of a field
    """The outermost description that the type carries."""
    for part in (*reversed(getattr(wanted, "__metadata__", ())), *typing.get_args(wanted)):
        said = part.description if isinstance(part, msgspec.Meta) else _description(part)
        if said:
            return said
    return ""
