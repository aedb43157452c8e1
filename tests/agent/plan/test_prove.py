"""agent.plan.prove: the enumeration finds nothing in the compiler as it is, and whatever is wrong in one that is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.catalogue.check import check_catalogue
from agent.model import Demand, Plan
from agent.plan import compile as compiler
from agent.plan import promise
from agent.plan.prove import BROKEN_MAX, Proof, Stage, compare_whole, prove
from agent.toml import Report
from tests.agent.plan.build import shipped
from tests.agent.plan.stage import small


def anybody(candidate: Any, inputs: Any) -> Any:
    """Sabotage: whatever was granted by whomever counts."""
    return (
        None
        if any(grant.state == "YES" for grant in inputs.grants.values()) or candidate.stream.basis != "consent"
        else ("no_consent", True)
    )


def all_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "CHECKS", tuple(anybody if check.__name__ == "basis_stands" else check for check in compiler.CHECKS))


@pytest.mark.req("R01", "R07", "R08", "R22", "R23", "R33", "T02", "T03", "T08", "T26", control=all_may)
def test_shipped_catalogue_keeps_every_promise() -> None:
    """Package x item x driver x policy x switch x recipient x clock x fitment x order, stream by stream, is what the words say."""
    told, broken = prove(shipped())
    assert broken == []
    print(told)
    assert int(told.split()[1]) > 300_000


def test_small_catalogue_keeps_every_promise() -> None:
    """The one that the mutants are shown: it has every basis, identity and kind of need, and passes the check."""
    report = Report()
    check_catalogue(small(), report)
    assert report.errors == []
    assert prove(small())[1] == []


def test_catalogue_without_policies_counts_as_accepted() -> None:
    """As a catalogue of --catalogue may be: the promise and the plan agree on it, too."""
    assert prove(msgspec.structs.replace(small(), policies={}))[1] == []


def test_every_word_is_enumerated() -> None:
    """Each word of each fact occurs with each word of the facts that can meet it: nothing is left out of the product."""
    stream = next(stream for stream in shipped().services["real_time_traffic"].streams if stream.id == "probe")
    cases = list(Stage(shipped(), "real_time_traffic", stream).cases())
    assert len(set(cases)) > 10_000
    facts: dict[str, tuple[Any, ...]] = {
        "package": (None, *shipped().packages),
        "on": (True, False),
        "said": promise.SAID,
        "driver": promise.DRIVERS,
        "recipient": promise.RECIPIENTS,
        "clock": (True, False),
        "car": (*promise.CARS, f"no {promise.SPEED}", f"no {promise.GEAR}"),
    }
    for name, words in facts.items():
        assert {getattr(case, name) for case in cases} >= set(words), name
    pairs = {(case.said, case.driver, case.clock) for case in cases if case.package == "navigation_plus" and case.on}
    assert pairs >= set(itertools.product(promise.SAID, promise.DRIVERS, (True, False)))
    assert {(case.said, case.policy) for case in cases} >= set(
        itertools.product(promise.SAID, Stage(shipped(), "real_time_traffic", stream).stories)
    )


# -- a compiler that is wrong is found --------------------------------------------------------------------------------

Wrong = Callable[[Plan, Any], Plan]


def forgets_a_refusal(plan: Plan, _: Any) -> Plan:
    return replace(plan, refused=plan.refused[1:])


def says_it_twice(plan: Plan, _: Any) -> Plan:
    return replace(plan, rules=plan.rules + plan.rules[:1])


def listens_to_more(plan: Plan, _: Any) -> Plan:
    return replace(plan, wanted=plan.wanted | {"Vehicle.Chassis.SteeringWheel.Angle": Demand(throttle_ns=0, timeout_ns=1)})


def leaves_out_a_step(plan: Plan, _: Any) -> Plan:
    return replace(plan, rules=tuple(replace(rule, transforms=()) for rule in plan.rules))


def keeps_longer(plan: Plan, _: Any) -> Plan:
    return replace(plan, rules=tuple(replace(rule, keep_s=rule.keep_s + 1) for rule in plan.rules))


def sends_to_another(plan: Plan, _: Any) -> Plan:
    return replace(plan, rules=tuple(replace(rule, recipient="somebody") for rule in plan.rules))


def gives_a_wrong_reason(plan: Plan, _: Any) -> Plan:
    return replace(plan, refused=tuple(replace(no, reason="policy") for no in plan.refused))


def minds_its_neighbour(plan: Plan, inputs: Any) -> Plan:
    return replace(plan, rules=plan.rules[1:]) if len(inputs.catalogue.services) > 1 else plan


def never_ends(plan: Plan, inputs: Any) -> Plan:
    return replace(plan, valid_until_ms=None) if len(inputs.catalogue.services) > 1 else plan


@pytest.mark.parametrize(
    "wrong",
    [
        forgets_a_refusal,
        says_it_twice,
        listens_to_more,
        leaves_out_a_step,
        keeps_longer,
        sends_to_another,
        gives_a_wrong_reason,
    ],
)
def test_a_plan_that_is_not_as_promised_is_found(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong in a plan: the proof names stream and case, and stops soon."""
    right = compiler.compile_plan
    monkeypatch.setattr(compiler, "compile_plan", lambda inputs: wrong(right(inputs), inputs))
    broken = prove(small())[1]
    assert 0 < len(broken) <= BROKEN_MAX + 3
    assert all(":" in line for line in broken)


@pytest.mark.parametrize("wrong", [minds_its_neighbour, never_ends])
def test_a_plan_that_is_not_the_sum_of_its_streams_is_found(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream alone is as promised, together they are not: the comparison of the whole catalogue says so."""
    right = compiler.compile_plan
    monkeypatch.setattr(compiler, "compile_plan", lambda inputs: wrong(right(inputs), inputs))
    proof = Proof()
    compare_whole(small(), proof)
    assert proof.enough
    assert all("not the sum" in line for line in proof.broken)


def test_the_promise_follows_the_catalogue() -> None:
    """Marking a signal sensitive changes promise and plan alike; it is read from the files and nowhere fixed."""
    door = msgspec.structs.replace(small().signals["Vehicle.Door"], sensitive=True)
    assert prove(msgspec.structs.replace(small(), signals=small().signals | {"Vehicle.Door": door}))[1] == []
