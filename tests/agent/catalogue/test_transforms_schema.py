"""The table of arguments: the same steps as the code that runs them, and each argument's limits."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.transforms_schema import ARGUMENTS, BUCKETS_MAX, DATUM_PREFIX, complaint
from agent.collect import aggregates, transforms
from agent.limits import EPSILON_MAX


def test_catalogue_knows_exactly_the_steps_that_run() -> None:
    """Every step and aggregate of the minimiser has its argument described, and nothing else is."""
    assert ARGUMENTS.keys() == transforms.TRANSFORMS.keys() | aggregates.KINDS.keys()


GOOD: list[tuple[str, Any]] = [
    ("round_to", 0.1),
    ("clamp", [-5, 5]),
    ("clamp", [0, 0]),
    ("sector_deg", 45),
    ("sector_deg", 360),
    ("bucket", [1]),
    ("bucket", [1, 2.5, 9]),
    ("grid_m", 200),
    ("trim_trip_m", 500),
    ("last", True),
    ("mean_s", 60),
    ("respond_k", {"k": BUCKETS_MAX, "epsilon": EPSILON_MAX}),
]
BAD: list[tuple[str, Any]] = [
    ("round_to", 0),
    ("round_to", True),
    ("round_to", "1"),
    ("clamp", [5]),
    ("clamp", [1, 2, 3]),
    ("sector_deg", 361),
    ("bucket", []),
    ("bucket", [1, "2"]),
    ("grid_m", -200),
    ("grid_m", 1_000_001),
    ("last", False),
    ("last", 1),
    ("max_s", 0),
    ("respond_k", 5),
    ("respond_k", {"k": 5}),
    ("respond_k", {"k": 1, "epsilon": 1.0}),
    ("respond_k", {"k": True, "epsilon": 1.0}),
    ("respond_k", {"k": BUCKETS_MAX + 1, "epsilon": 1.0}),
    ("respond_k", {"k": 5, "epsilon": 1.1}),
    ("respond_k", {"k": 5, "epsilon": 0}),
    ("respond_k", {"k": 5, "epsilon": 1.0, "seed": 1}),
]


@pytest.mark.parametrize(("name", "argument"), GOOD)
def test_good_argument_passes(name: str, argument: object) -> None:
    """What the interface allows is not refused."""
    assert complaint(name, argument) is None


@pytest.mark.parametrize(("name", "argument"), [*BAD, ("clamp", [5, -5]), ("bucket", [2, 1]), ("bucket", [1, 1])])
def test_bad_argument_has_a_complaint(name: str, argument: object) -> None:
    """What would never work, or would work otherwise than it reads, is refused."""
    assert complaint(name, argument)


@pytest.mark.parametrize("name", ["blur", "", DATUM_PREFIX])
def test_unknown_step_has_a_complaint(name: str) -> None:
    """A name that nobody runs is refused; a datum plug-in has to have a name."""
    assert "no transform" in str(complaint(name, 1))


def test_datum_plug_in_is_left_to_itself() -> None:
    """The hook for an approved conversion may take any argument."""
    assert complaint("datum:approved", {"any": "thing"}) is None


@given(
    name=st.sampled_from(sorted(ARGUMENTS)),
    argument=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["k", "epsilon", "x"]), inner),
        max_leaves=5,
    ),
)
def test_any_argument_is_judged_without_an_error(name: str, argument: object) -> None:
    """Whatever TOML can write is accepted or complained about, never raised at."""
    assert complaint(name, argument) is None or len(str(complaint(name, argument))) > 5


@pytest.mark.parametrize(("name", "argument", "good"), [(*case, True) for case in GOOD] + [(*case, False) for case in BAD])
def test_json_schema_judges_alike(name: str, argument: object, good: bool) -> None:
    """The schema that editors use agrees with the check."""
    assert jsonschema.Draft202012Validator(ARGUMENTS[name].schema).is_valid(argument) is good
