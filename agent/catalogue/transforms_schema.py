"""What each step of minimisation takes as its argument: one line here per line of `agent.collect.transforms`.

The catalogue is checked without importing what runs it. A test compares the two tables, so a step that exists in only
one of them cannot be shipped. `datum:NAME` is the hook for an approved conversion; its argument is its own business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from agent.limits import EPSILON_MAX

BUCKETS_MAX = 10
"""Classes of one randomised question: more would say more than a statistic needs (docs/attack-model.md)."""
METRES_MAX = 1_000_000
AGGREGATES = frozenset({"mean_s", "min_s", "max_s", "count_s"})
"""At most one in a chain."""
DATUM_PREFIX = "datum:"

Complaint = str | None
"""What is wrong with an argument, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentRule:
    """`check` gives the complaint; `schema` is the JSON Schema of the same; `on` is what the step can be applied to."""

    check: Callable[[object], Complaint]
    schema: dict[str, Any]
    on: Literal["number", "position", "any"] = "number"
    says: str


def is_number(value: object) -> bool:
    """Whether TOML wrote an integer or a float; true and false are neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _above_zero(value: object) -> Complaint:
    return None if isinstance(value, int | float) and is_number(value) and value > 0 else "takes a number above 0"


def _metres(value: object) -> Complaint:
    good = isinstance(value, int | float) and is_number(value) and 0 < value <= METRES_MAX
    return None if good else f"takes metres above 0, at most {METRES_MAX}"


def _degrees(value: object) -> Complaint:
    good = isinstance(value, int | float) and is_number(value) and 0 < value <= 360
    return None if good else "takes degrees above 0, at most 360"


def _bounds(value: object) -> Complaint:
    if isinstance(value, list | tuple) and len(value) == 2 and all(is_number(item) for item in value) and value[0] <= value[1]:
        return None
    return "takes [lowest, highest]"


def _edges(value: object) -> Complaint:
    good = isinstance(value, list | tuple) and bool(value) and all(is_number(item) for item in value)
    if good and isinstance(value, list | tuple) and all(low < high for low, high in pairwise(value)):
        return None
    return "takes a list of rising numbers"


def _yes(value: object) -> Complaint:
    return None if value is True else "takes true"


def _randomised(value: object) -> Complaint:
    if not isinstance(value, dict) or value.keys() != {"k", "epsilon"}:
        return "takes { k = N, epsilon = E }"
    k, epsilon = value["k"], value["epsilon"]
    if isinstance(k, bool) or not isinstance(k, int) or not 2 <= k <= BUCKETS_MAX:
        return f"takes k from 2 to {BUCKETS_MAX}"
    return None if is_number(epsilon) and 0 < epsilon <= EPSILON_MAX else f"takes epsilon above 0, at most {EPSILON_MAX}"


_POSITIVE: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}
_NUMBERS: dict[str, Any] = {"type": "array", "items": {"type": "number"}}
_K = {"type": "integer", "minimum": 2, "maximum": BUCKETS_MAX}
_RESPOND: dict[str, Any] = {
    "type": "object",
    "properties": {"k": _K, "epsilon": {**_POSITIVE, "maximum": EPSILON_MAX}},
    "required": ["k", "epsilon"],
    "additionalProperties": False,
}


def _window(says: str) -> ArgumentRule:
    return ArgumentRule(check=_above_zero, schema=_POSITIVE, says=f"{says} over aligned windows of N seconds")


ARGUMENTS: dict[str, ArgumentRule] = {
    "round_to": ArgumentRule(check=_above_zero, schema=_POSITIVE, says="nearest multiple of N"),
    "clamp": ArgumentRule(check=_bounds, schema={**_NUMBERS, "minItems": 2, "maxItems": 2}, says="not below, not above"),
    "sector_deg": ArgumentRule(check=_degrees, schema={**_POSITIVE, "maximum": 360}, says="start of the sector of N degrees"),
    "bucket": ArgumentRule(check=_edges, schema={**_NUMBERS, "minItems": 1}, says="how many of the edges are reached"),
    "grid_m": ArgumentRule(check=_metres, schema={**_POSITIVE, "maximum": METRES_MAX}, on="position", says="centre of a cell of N metres"),
    "trim_trip_m": ArgumentRule(
        check=_metres,
        schema={**_POSITIVE, "maximum": METRES_MAX},
        on="position",
        says="silent for the first N metres, and where earlier trips ended",
    ),
    "last": ArgumentRule(check=_yes, schema={"const": True}, on="any", says="only the newest value of a record"),
    "mean_s": _window("mean"),
    "min_s": _window("least value"),
    "max_s": _window("greatest value"),
    "count_s": _window("number of changes"),
    "respond_k": ArgumentRule(check=_randomised, schema=_RESPOND, says="randomised answer among k classes"),
}


def complaint(name: str, argument: object) -> Complaint:
    """What is wrong with this step as the catalogue wrote it, or None."""
    if name.startswith(DATUM_PREFIX) and len(name) > len(DATUM_PREFIX):
        return None
    rule = ARGUMENTS.get(name)
    if rule is None:
        return f"is no transform; there are {', '.join(ARGUMENTS)} and {DATUM_PREFIX}NAME"
    return rule.check(argument)
