"""agent.plan.compile: what holds for every input, on the shipped catalogue and on small ones of every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.catalogue.check_streams import MARKETING
from agent.catalogue.types import Purpose, Stream
from agent.consent.state import Grant
from agent.model import Plan, Refusal, Rule
from agent.plan import compile as compiler
from agent.plan.compile import REASONS, compile_plan
from agent.plan.inputs import PlanInputs
from agent.plan.needs import EACH, trim_m
from agent.vss import IGNITION, LOCATION
from tests.agent.plan.build import CATALOGUES, NOW_MS, all_on, decision, grant, inputs_of, instead, live, shipped, without

ANY = st.one_of(inputs_of(), CATALOGUES.flatmap(inputs_of))
SMALL = CATALOGUES.flatmap(inputs_of)
SOME, MANY = settings(max_examples=50, derandomize=True), settings(max_examples=120, derandomize=True)
"""The same examples at each run: a control that needs luck is none."""


def candidates(inputs: PlanInputs) -> list[tuple[str, str, str]]:
    return [
        (file.service.id, stream.id, signal.id)
        for name, file in inputs.catalogue.services.items()
        for stream in file.streams
        for signal in stream.signals
        if stream.basis != "vital" and "ecall" not in (name, file.service.id)
    ]


def stream_of(inputs: PlanInputs, one: Rule | Refusal) -> Stream:
    return next(stream for stream in inputs.catalogue.services[one.service].streams if stream.id == one.stream)


# -- each candidate, once, whatever comes -----------------------------------------------------------------------------


@SOME
@given(ANY)
def test_every_candidate_is_decided_exactly_once(inputs: PlanInputs) -> None:
    """Never an exception; each signal of each stream is a rule or has exactly one of the nine reasons."""
    plan = compile_plan(inputs)
    decided = [(rule.service, rule.stream, rule.signal) for rule in plan.rules] + [
        (no.service, no.stream, no.signal) for no in plan.refused
    ]
    assert Counter(decided) == Counter(candidates(inputs))
    assert {no.reason for no in plan.refused} <= set(REASONS)
    assert len(set(REASONS)) == 9


@SOME
@given(ANY)
def test_same_inputs_same_plan(inputs: PlanInputs) -> None:
    """The same facts in another order, asked twice, give the same plan."""
    turned = replace(
        inputs,
        catalogue=msgspec.structs.replace(inputs.catalogue, services=dict(reversed(inputs.catalogue.services.items()))),
        grants=dict(reversed(list(inputs.grants.items()))),
        recipients=dict(reversed(list(inputs.recipients.items()))),
    )
    assert compile_plan(inputs) == compile_plan(inputs) == compile_plan(turned)


PRINT_PLAN = """
import msgspec
from agent.plan.compile import compile_plan
from tests.agent.plan.build import all_on
plan = compile_plan(all_on())
print(plan.id.hex(), msgspec.json.encode([plan.rules, plan.refused, sorted(plan.wanted.items())]).hex())
"""


def test_another_process_makes_the_same_plan() -> None:
    """Nothing depends on the order of a set or on where something lies in memory."""
    said = {
        subprocess.run(
            [sys.executable, "-c", PRINT_PLAN],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


@SOME
@given(ANY, st.data())
def test_plan_ids_differ_exactly_when_decisions_differ(inputs: PlanInputs, data: st.DataObject) -> None:
    """Same id: same rules, refusals and subscriptions. Another id: something is different."""
    other = data.draw(st.one_of(inputs_of(inputs.catalogue), st.sampled_from([narrow for _, narrow in narrowed(inputs)])))
    one, two = compile_plan(inputs), compile_plan(other)
    assert (one.id == two.id) == (decision(one) == decision(two))


# -- turning off and widening -----------------------------------------------------------------------------------------


def narrowed(inputs: PlanInputs) -> Iterator[tuple[str, PlanInputs]]:
    """The inputs with one thing turned off, each in turn."""
    yield "package", replace(inputs, package=None)
    yield "policy", replace(inputs, acknowledged=None)
    yield "clock", replace(inputs, trusted=False)
    yield "VIN", replace(inputs, vin_known=False)
    yield "ignition", replace(inputs, trip=replace(inputs.trip, ignition_known=False))
    yield "guardian", replace(inputs, trip=replace(inputs.trip, guardian=False))
    yield "guest", replace(inputs, trip=replace(inputs.trip, kind="guest"))
    yield "regions", replace(inputs, regions=frozenset())
    yield "orders", replace(inputs, orders=frozenset())
    for service in inputs.catalogue.services:
        yield f"service {service}", replace(inputs, services_off=inputs.services_off | {service})
    for name in inputs.recipients:
        yield f"recipient {name}", replace(inputs, recipients={key: region for key, region in inputs.recipients.items() if key != name})
    for signal in inputs.mapped:
        yield f"signal {signal}", replace(inputs, mapped=inputs.mapped - {signal})
    for key, one in inputs.grants.items():
        for told, less in _less(one):
            yield f"{key} {told}", replace(inputs, grants={**inputs.grants, key: less})
        yield f"{key} gone", replace(inputs, grants={name: grant for name, grant in inputs.grants.items() if name != key})


def _less(one: Grant) -> Iterator[tuple[str, Grant]]:
    yield "no", replace(one, state="NO")
    yield "in vehicle", replace(one, state="IN_VEHICLE")
    yield "withdrawn", replace(one, state="NOT_SET", until_ms=None, trip=None, policy="")
    yield "ended", replace(one, until_ms=NOW_MS, trip=None)
    yield "another trip", replace(one, trip="long ago")


def refuses_backwards(candidate: Any, inputs: PlanInputs) -> Any:
    """A package that takes away what nobody bought."""
    return None if inputs.package is None else ("no_package", True)


def less_is_less(inputs: PlanInputs) -> None:
    wide = compile_plan(inputs)
    for told, fewer in narrowed(inputs):
        narrow = compile_plan(fewer)
        assert live(narrow) <= live(wide), told
        assert {rule.id for rule in narrow.rules} <= {rule.id for rule in wide.rules} or told == "policy"
        for name, demand in narrow.wanted.items():
            assert wide.wanted[name].throttle_ns <= demand.throttle_ns, told
            assert wide.wanted[name].timeout_ns <= demand.timeout_ns, told


@SOME
@given(SMALL)
def test_turning_anything_off_never_adds_a_rule(inputs: PlanInputs) -> None:
    """Package, switch, grant, policy, recipient, region, fitment, clock, guardian: without any one of them the rules are some of
    those with it, word for word (but for the policy's name), and no signal is asked for sooner than with it."""
    less_is_less(inputs)


@pytest.mark.req("R08", "T03", control=instead("CHECKS", (refuses_backwards, *compiler.CHECKS[1:])))
def test_turning_anything_of_the_shipped_catalogue_off_never_adds_a_rule() -> None:
    """The same, from everything being on."""
    less_is_less(all_on())


def apart(plan: Plan, concerned: Callable[[str, str], bool]) -> tuple[object, object]:
    """Rules and refusals of the streams that are not concerned."""
    return (
        [rule for rule in plan.rules if not concerned(rule.service, rule.stream)],
        [no for no in plan.refused if not concerned(no.service, no.stream)],
    )


def one_for_all(candidate: Any, inputs: PlanInputs) -> Any:
    """All items or none."""
    return None if len(inputs.grants) == len(inputs.catalogue.items) else ("no_consent", True)


@pytest.mark.req("R08", "T03", control=instead("CHECKS", (*compiler.CHECKS, one_for_all)))
@pytest.mark.parametrize("item", sorted(shipped().items))
def test_an_item_changes_only_its_own_streams(item: str) -> None:
    """Refusing one item refuses all streams that rest on it, and no rule, refusal or record of any other changes."""
    before = compile_plan(all_on())
    grants = all_on().grants
    after = compile_plan(all_on(grants={key: value for key, value in grants.items() if key[1] != item}))
    own = {(name, stream.id) for name, file in shipped().services.items() for stream in file.streams if stream.consent == item}
    assert own
    assert not {(rule.service, rule.stream) for rule in after.rules} & own
    assert {(rule.service, rule.stream) for rule in before.rules} >= own
    assert apart(before, lambda *name: name in own) == apart(after, lambda *name: name in own)


@pytest.mark.parametrize("service", sorted(shipped().services))
def test_a_switch_changes_only_its_own_service(service: str) -> None:
    """A service switched off has no rule; the others keep theirs, unchanged."""
    before, after = compile_plan(all_on()), compile_plan(all_on(services_off=frozenset({service})))
    assert service not in {rule.service for rule in after.rules}
    assert apart(before, lambda name, _: name == service) == apart(after, lambda name, _: name == service)


@SOME
@given(inputs_of(), inputs_of(), st.sampled_from(sorted(shipped().services)))
def test_nothing_else_matters_to_a_service(one: PlanInputs, other: PlanInputs, service: str) -> None:
    """Two sets of facts that agree on what a service's own streams name give it the same rules and the same refusals."""
    streams = shipped().services[service].streams
    items, recipients = {stream.consent for stream in streams}, {stream.recipient for stream in streams}
    mixed = replace(
        other,
        package=one.package,
        acknowledged=one.acknowledged,
        trip=one.trip,
        regions=one.regions,
        vin_known=one.vin_known,
        trusted=one.trusted,
        mapped=one.mapped,
        services_off=(other.services_off - {service}) | (one.services_off & {service}),
        grants={
            **{key: value for key, value in other.grants.items() if key[1] not in items},
            **{key: value for key, value in one.grants.items() if key[1] in items},
        },
        recipients={
            **{key: value for key, value in other.recipients.items() if key not in recipients},
            **{key: value for key, value in one.recipients.items() if key in recipients},
        },
        orders=frozenset({name for name in other.orders if not name.startswith(f"{service}.")})
        | {name for name in one.orders if name.startswith(f"{service}.")},
    )
    assert apart(compile_plan(one), lambda name, _: name != service) == apart(compile_plan(mixed), lambda name, _: name != service)


# -- what no plan ever has --------------------------------------------------------------------------------------------


@pytest.mark.req("R01", control=without("in_policy", "basis_stands"))
@MANY
@given(SMALL)
def test_no_rule_without_a_declared_purpose_and_signal(inputs: PlanInputs) -> None:
    """A purpose that purposes.toml does not have, or a signal that signals.toml does not have, is in no rule."""
    plan = compile_plan(inputs)
    for rule in plan.rules:
        assert rule.purpose in inputs.catalogue.purposes
        assert rule.signal in inputs.catalogue.signals
    for no in plan.refused:
        if stream_of(inputs, no).purpose not in inputs.catalogue.purposes:
            assert no.reason not in {"no_recipient", "region", "not_on_vehicle"}


def advertised() -> PlanInputs:
    """The shipped catalogue, but that a contract's stream serves advertising, in words that policy and purposes know."""
    file, (now,) = shipped().services["operations"], shipped().policies.values()
    changed = msgspec.structs.replace(
        file, streams=tuple(msgspec.structs.replace(stream, purpose="advertising") for stream in file.streams)
    )
    purposes = shipped().purposes | {"advertising": Purpose(title="", dpv="DirectMarketing", max_keep="30d")}
    policies = {now.version: msgspec.structs.replace(now, purposes=(*now.purposes, "advertising"))}
    services = shipped().services | {"operations": changed}
    return all_on(msgspec.structs.replace(shipped(), services=services, purposes=purposes, policies=policies))


@pytest.mark.req("R17", control=without("in_policy"))
@MANY
@given(SMALL)
@example(advertised())
def test_nothing_is_for_marketing(inputs: PlanInputs) -> None:
    """Whatever a catalogue says and whoever agrees, no rule serves marketing."""
    marketing = {name for name, purpose in inputs.catalogue.purposes.items() if purpose.dpv in MARKETING}
    assert {rule.purpose for rule in compile_plan(inputs).rules} & marketing == set()


@pytest.mark.req("R23", "T08", control=instead("_sensitive", lambda candidate, inputs: False))
@MANY
@given(SMALL)
def test_what_is_sensitive_rests_on_a_grant_of_its_own(inputs: PlanInputs) -> None:
    """A sensitive signal, and any position, leaves under a consent item only, and with the ignition known."""
    plan = compile_plan(inputs)
    for rule in plan.rules:
        if inputs.catalogue.signals[rule.signal].sensitive or rule.category == "position" or rule.signal == LOCATION:
            assert rule.basis == "consent"
            assert rule.basis_ref.startswith("ledger:")
            assert inputs.trip.ignition_known
        if trim_m(stream_of(inputs, rule)):
            assert inputs.trip.ignition_known
        assert rule.basis != "consent" or stream_of(inputs, rule).consent in inputs.catalogue.items
    for no in plan.refused:
        declared, stream = inputs.catalogue.signals.get(no.signal), stream_of(inputs, no)
        unfounded = stream.basis == "consent" and stream.consent not in inputs.catalogue.items
        if unfounded or (stream.basis != "consent" and (declared is None or declared.sensitive)):
            assert no.reason in {"no_package", "switched_off", "no_consent"}


@MANY
@given(SMALL)
def test_no_rule_comes_from_the_emergency_call(inputs: PlanInputs) -> None:
    """Neither its service nor the basis `vital` is decided here, whatever its file says: it depends on nothing of this."""
    plan = compile_plan(inputs)
    assert "ecall" not in {rule.service for rule in plan.rules} | {no.service for no in plan.refused}
    assert "vital" not in {rule.basis for rule in plan.rules}


def kept_long() -> PlanInputs:
    """The shipped catalogue, but that every stream may be kept for 30 days."""
    services = {
        name: msgspec.structs.replace(file, streams=tuple(msgspec.structs.replace(stream, keep="30d") for stream in file.streams))
        for name, file in shipped().services.items()
    }
    return all_on(msgspec.structs.replace(shipped(), services=services))


@pytest.mark.req("T15", control=instead("POSITION_KEEP_S_MAX", 8 * 86_400))
@SOME
@given(ANY)
@example(kept_long())
def test_a_position_lives_seven_days_at_most(inputs: PlanInputs) -> None:
    """Whatever the catalogue calls it or says of its keep."""
    for rule in compile_plan(inputs).rules:
        assert rule.signal != LOCATION or rule.category == "position"
        if rule.category == "position":
            assert rule.keep_s <= 7 * 86_400


@pytest.mark.req("R24", control=instead("demand_of", lambda stream, steps: EACH))
@SOME
@given(inputs_of())
def test_no_rule_says_more_than_its_stream(inputs: PlanInputs) -> None:
    """Transforms, period, floor, window, identity and recipient are those of the catalogue; the bus is not asked for more than a
    tenth of the period gives, where nobody else needs it sooner."""
    plan = compile_plan(inputs)
    for rule in plan.rules:
        stream = next(one for one in inputs.catalogue.services[rule.service].streams if one.id == rule.stream)
        signal = next(one for one in stream.signals if one.id == rule.signal)
        assert [{step.name: step.argument} for step in rule.transforms] == list(signal.transforms)
        assert (rule.every_s, rule.time_floor_s, rule.window_s) == (stream.every_s, stream.time_floor_s, stream.window_s)
        assert (rule.identity, rule.recipient, rule.triggers) == (stream.identity, stream.recipient, stream.triggers)
    weekly = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"
    if weekly in plan.wanted:
        assert plan.wanted[weekly].throttle_ns == 1_000_000_000


@pytest.mark.req("R25", control=instead("IGNITION", "Vehicle.Speed"))
@SOME
@given(ANY)
def test_nothing_is_wanted_without_a_rule(inputs: PlanInputs) -> None:
    """Only the ignition, which the agent needs for itself, and only signals that the vehicle has."""
    plan = compile_plan(inputs)
    assert all(inputs.has(name) for name in plan.wanted)
    assert (IGNITION in plan.wanted) >= (IGNITION in inputs.mapped)
    if not plan.rules:
        assert plan.wanted.keys() <= {IGNITION}


# -- time -------------------------------------------------------------------------------------------------------------


def never_again(candidate: Any, inputs: PlanInputs) -> list[int]:
    return []


@pytest.mark.req("T07", control=instead("_ends_ms", never_again))
@SOME
@given(ANY)
def test_valid_until_is_when_the_plan_changes_by_itself(inputs: PlanInputs) -> None:
    """Nothing is different until the millisecond before; at that moment it is. Without such a moment, never."""
    plan = compile_plan(inputs)
    until_ms = plan.valid_until_ms
    if until_ms is None:
        assert decision(compile_plan(replace(inputs, now_ms=NOW_MS + 10**15))) == decision(plan)
        return
    assert until_ms > inputs.now_ms
    assert compile_plan(replace(inputs, now_ms=until_ms - 1)) == plan
    after = compile_plan(replace(inputs, now_ms=until_ms))
    assert after.id != plan.id
    assert live(after) <= live(plan)
    assert after.valid_until_ms is None or after.valid_until_ms > until_ms


def test_an_end_that_changes_nothing_is_no_end() -> None:
    """A grant of somebody else, of a switched-off service or of this trip does not make the plan end; an untrusted clock neither."""
    item = "traffic.position"
    dated = {("driver", item): grant(item)}
    assert compile_plan(all_on(grants=dated)).valid_until_ms == grant(item).until_ms
    assert compile_plan(all_on(grants=dated, services_off=frozenset({"real_time_traffic"}))).valid_until_ms is None
    assert compile_plan(all_on(grants=dated, package="basic")).valid_until_ms is None
    assert compile_plan(all_on(grants=dated, trusted=False)).valid_until_ms is None
    assert compile_plan(all_on(grants={("other", item): grant(item, profile="other")})).valid_until_ms is None
    assert compile_plan(all_on(grants={("driver", item): grant(item, trip="trip", until_ms=None)})).valid_until_ms is None


def test_plan_can_be_written_as_json() -> None:
    """Everything in a rule is plain data."""
    assert json.loads(msgspec.json.encode(compile_plan(all_on()).rules))
