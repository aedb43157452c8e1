"""The gatekeeper against its own mutants: each condition of the compiler, turned round or taken away, is noticed (T28).

A mutant is noticed by the proof on a small catalogue, or, where it concerns only what `modicum check` lets nobody load, by what
test_properties.py demands of plans of catalogues of every kind.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import random
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from agent.catalogue.types import Catalogue, Stream, StreamSignal
from agent.model import Plan
from agent.plan import compile as compiler
from agent.plan import prove as proof
from agent.plan.inputs import PlanInputs
from agent.plan.promise import Case
from agent.plan.prove import Stage
from tests.agent.plan import test_properties as properties
from tests.agent.plan.build import CATALOGUES, DRIVER, NOW_MS, TRIP, all_on, granted, inputs_of, without
from tests.agent.plan.stage import small

GATES = (
    "candidates",
    "entitled",
    "switched_on",
    "basis_stands",
    "_grant_stands",
    "_same_policy",
    "_in_time",
    "in_policy",
    "reachable",
    "on_vehicle",
    "_category",
    "_sensitive",
    "_keep_s",
    "_ends_ms",
)
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Lt: ast.LtE,
    ast.Gt: ast.GtE,
}
DECLARED = "a rule's purpose is always declared: in_policy has seen to it"
EQUIVALENT = {
    "entitled: always `inputs.package is not None`": "no package is called None",
    "_grant_stands: without `item is None`": "an item that is None is in no catalogue either",
    "_keep_s: always `purpose is not None`": DECLARED,
    "_ends_ms: without `grant.until_ms is None`": "a grant without end and trip is spoken against as expired",
}
"""Mutants that decide as the compiler does, each with the reason."""


def parts(tree: ast.AST) -> Iterator[tuple[ast.AST, str, Any]]:
    """(parent, field, index or None) of every expression."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if isinstance(value, ast.expr):
                yield parent, name, None
            elif isinstance(value, list):
                yield from ((parent, name, index) for index, one in enumerate(value) if isinstance(one, ast.expr))


def variants(node: ast.expr, parent: ast.AST, name: str) -> Iterator[tuple[str, ast.expr]]:
    """What a mutation puts in the place of an expression, and how it is told."""
    text = ast.unparse(node)
    if isinstance(parent, ast.If | ast.IfExp) and name == "test":
        yield f"always `{text}`", ast.Constant(value=True)
        yield f"never `{text}`", ast.Constant(value=False)
    if isinstance(node, ast.BoolOp):
        for index, value in enumerate(node.values):
            if isinstance(value, ast.Constant):
                continue  # `or ""` is for the type only
            rest = node.values[:index] + node.values[index + 1 :]
            yield f"without `{ast.unparse(value)}`", rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPPOSITE:
        turned = OPPOSITE[type(node.ops[0])]()
        yield f"turned `{text}`", ast.Compare(left=node.left, ops=[turned], comparators=node.comparators)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"without the not of `{text}`", node.operand
    if isinstance(node, ast.Constant) and node.value in compiler.REASONS:
        yield f"another reason than {node.value}", ast.Constant(value="policy" if node.value != "policy" else "region")


def mutants() -> Iterator[tuple[str, ast.Module]]:
    """Every mutant of the compiler's gates: what was done to it, and its source as a tree."""
    tree = ast.parse(inspect.getsource(compiler))
    gates = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in GATES]
    assert {gate.name for gate in gates} == set(GATES)
    for gate in gates:
        for parent, name, index in parts(gate):
            node = getattr(parent, name) if index is None else getattr(parent, name)[index]
            for told, other in variants(node, parent, name):
                _put(parent, name, index, other)
                yield f"{gate.name}: {told}", ast.fix_missing_locations(copy.deepcopy(tree))
                _put(parent, name, index, node)


def _put(parent: ast.AST, name: str, index: int | None, node: ast.expr) -> None:
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def module_of(tree: ast.Module) -> types.ModuleType:
    module = types.ModuleType(compiler.__name__)
    exec(compile(tree, "mutant", "exec"), module.__dict__)
    return module


INVARIANTS: tuple[Callable[..., Any], ...] = (
    properties.test_every_candidate_is_decided_exactly_once,
    properties.test_no_rule_without_a_declared_purpose_and_signal,
    properties.test_nothing_is_for_marketing,
    properties.test_what_is_sensitive_rests_on_a_grant_of_its_own,
    properties.test_no_rule_comes_from_the_emergency_call,
    properties.test_a_position_lives_seven_days_at_most,
    properties.test_valid_until_is_when_the_plan_changes_by_itself,
)


CASES = 12_000
"""As many as it takes to notice all that can be noticed; the rest is for test_prove.py."""
Answer = tuple[Stage, Case, PlanInputs, dict[str, str]]


@pytest.fixture(scope="module")
def promises() -> list[Answer]:
    """Cases of the small catalogue, with and without policies, and what is promised; mixed, so that faults show soon."""
    cases: list[tuple[Stage, Case]] = []
    for catalogue in (small(), msgspec.structs.replace(small(), policies={})):
        for service, stream in proof.streams(catalogue):
            stage = Stage(catalogue, service, stream)
            cases += ((stage, case) for case in stage.cases())
    return [(stage, case, stage.inputs(case), stage.promised(case)) for stage, case in random.Random(1).sample(cases, CASES)]


@pytest.fixture(scope="module")
def odd() -> list[PlanInputs]:
    """Inputs of every kind for catalogues of every kind, the same at each run."""
    found: list[PlanInputs] = []

    @settings(max_examples=150, derandomize=True)
    @given(CATALOGUES.flatmap(inputs_of))
    def collect(inputs: PlanInputs) -> None:
        found.append(inputs)

    collect()
    return [*found, *by_hand()]


def by_hand() -> Iterator[PlanInputs]:
    """What chance finds too rarely: a grant of this trip that has a date as well, one of an item that nobody declared, a signal
    that nobody declared, a trimmed stream of nothing sensitive."""
    both = granted(small().items, policy="2026", trip=TRIP, until_ms=NOW_MS + 1)
    yield all_on(small(), grants=both)
    door, item = small().services["a"].streams
    lost = msgspec.structs.replace(item, consent="undeclared")
    yield all_on(alone(lost), grants=granted(["undeclared"], policy="2026"))
    unknown = msgspec.structs.replace(item, signals=(StreamSignal(id="Vehicle.Undeclared"),))
    yield all_on(msgspec.structs.replace(alone(unknown), policies={}))
    trimmed = msgspec.structs.replace(door.signals[0], transforms=({"trim_trip_m": 500},))
    yield all_on(alone(msgspec.structs.replace(door, signals=(trimmed,))), trip=replace(DRIVER, ignition_known=False))


def alone(stream: Stream) -> Catalogue:
    """The small catalogue with this stream only."""
    file = msgspec.structs.replace(small().services["a"], streams=(stream,))
    return msgspec.structs.replace(small(), services={"a": file})


def remembering(decide: Callable[[PlanInputs], Plan], odd: list[PlanInputs]) -> Callable[[PlanInputs], Plan]:
    """Decides once for each of the odd inputs, though several properties ask."""
    known = {id(inputs): functools.cache(functools.partial(decide, inputs)) for inputs in odd}
    return lambda inputs: known[id(inputs)]() if id(inputs) in known else decide(inputs)


def noticed(module: types.ModuleType, promises: list[Answer], odd: list[PlanInputs], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the proof or a property fails for this compiler."""
    monkeypatch.setattr(properties, "compile_plan", remembering(module.compile_plan, odd))
    try:
        if any(stage.differences(case, module.compile_plan(inputs), expected) for stage, case, inputs, expected in promises):
            return True
        for invariant in INVARIANTS:
            for inputs in odd:
                vars(invariant)["hypothesis"].inner_test(inputs)
    except Exception:  # noqa: BLE001  a mutant that raises is one that is noticed
        return True
    return False


@pytest.mark.timeout(300)  # some hundred compilers, each held against thousands of cases
@pytest.mark.req("T28", control=without("in_policy"))
def test_no_mutant_of_a_gate_lives(promises: list[Answer], odd: list[PlanInputs], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every condition, comparison, `not` and reason of every gate matters to the proof or to a property."""
    assert not noticed(compiler, promises, odd, monkeypatch)
    made = dict(mutants())
    alive = {told for told, tree in made.items() if not noticed(module_of(tree), promises, odd, monkeypatch)}
    print(f"{len(made)} mutants, {len(made) - len(alive)} noticed, {len(EQUIVALENT)} decide the same")
    assert alive == EQUIVALENT.keys()
