"""agent.plan.compile: what a package, a grant, a driver, a policy and a vehicle give, case by case, as the documents tell it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.catalogue.types import Catalogue, Policy
from agent.model import Demand, Refusal
from agent.plan.compile import compile_plan
from agent.plan.inputs import TripFacts
from agent.plan.needs import demand_of
from agent.vss import GEAR, IGNITION, LOCATION, ODOMETER, SPEED, VIN
from tests.agent.plan.build import DRIVER, NOW_MS, TRIP, all_on, grant, granted, instead, live_streams, shipped, stream_named, without

EVERY_CAR = {"service_process.case", "product_improvement.usage", "product_improvement.vehicle", "operations.health", "legal.recall"}
TELESERVICES = {f"teleservices.{name}" for name in ("service_report", "battery_guard", "breakdown", "breakdown_position")}
MEDIA = {"remote_assistance.vehicle_status", "remote_assistance.find_vehicle", "information_online.place"}
NAVIGATION = {"journey_consulting.call", "real_time_traffic.probe", "real_time_traffic.hazard"}
PACKAGES = {
    None: set[str](),
    "basic": TELESERVICES,
    "media_plus": TELESERVICES | MEDIA,
    "navigation_plus": TELESERVICES | MEDIA | NAVIGATION,
    "lost": set[str](),
}
PROBE = "real_time_traffic.probe"
TRAFFIC = {PROBE, "real_time_traffic.hazard"}
SENSITIVE = {"teleservices.breakdown_position", "remote_assistance.find_vehicle", "information_online.place"} | NAVIGATION


def reasons(stream: str, **changes: Any) -> set[str]:
    """Why the signals of a stream are withheld; "" for one that is sent."""
    plan = compile_plan(all_on(**changes))
    withheld = {no.reason for no in plan.refused if f"{no.service}.{no.stream}" == stream}
    return withheld | {"" for rule in plan.rules if rule.name == stream}


# -- packages ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("R04", "R05", "R06", "T02", control=without("entitled"))
def test_a_package_gives_its_streams() -> None:
    """With everything granted, what leaves is what the package contains and what every car has; the rest is `no_package`."""
    for package, streams in PACKAGES.items():
        plan = compile_plan(all_on(package=package))
        assert {rule.name for rule in plan.rules} == streams | EVERY_CAR
        assert {no.reason for no in plan.refused} <= {"no_package"}


@pytest.mark.req("R06", control=without("entitled"))
def test_a_downgrade_ends_four_services_for_good() -> None:
    """From navigation_plus to basic: the four services of the difference have no rule, and what is kept of them has to go."""
    lost = compile_plan(all_on(package="basic")).refused
    assert {no.service for no in lost} == {"remote_assistance", "information_online", "journey_consulting", "real_time_traffic"}
    assert {(no.reason, no.lasting) for no in lost} == {("no_package", True)}


@pytest.mark.req("R07", "T02", control=without("on_vehicle"))
@pytest.mark.req("R07", "T02", control=without("entitled"))
@pytest.mark.req("R07", control=without("basis_stands"))
def test_vehicle_package_and_grant_are_all_needed() -> None:
    """All eight combinations for the speed of the traffic probe: one of them sends."""
    for fitted, bought, said in itertools.product((True, False), repeat=3):
        mapped = all_on().mapped - (frozenset() if fitted else {SPEED})
        grants = granted(["traffic.position"]) if said else {}
        plan = compile_plan(all_on(mapped=mapped, package="navigation_plus" if bought else "media_plus", grants=grants))
        assert ((PROBE, SPEED) in {(rule.name, rule.signal) for rule in plan.rules}) == (fitted and bought and said)


# -- who said what ----------------------------------------------------------------------------------------------------


@pytest.mark.req("R23", "T08", control=without("basis_stands"))
def test_a_service_without_its_item_sends_nothing_sensitive() -> None:
    """With every service on and every contract standing, no item granted: no position, no heading, no stream of an item."""
    plan = compile_plan(all_on(grants={}))
    assert {rule.name for rule in plan.rules} == (TELESERVICES | MEDIA | EVERY_CAR) - SENSITIVE - {
        "service_process.case",
        "product_improvement.usage",
        "product_improvement.vehicle",
    }
    assert not any(shipped().signals[rule.signal].sensitive for rule in plan.rules)


@pytest.mark.req("R29", control=without("basis_stands"))
def test_only_yes_lets_it_leave() -> None:
    """The four values of VISS."""
    for state, reason in (("YES", ""), ("NO", "no_consent"), ("IN_VEHICLE", "no_consent"), ("NOT_SET", "no_consent")):
        assert reasons(PROBE, grants=granted(["traffic.position"], state=state)) == {reason}


def endless(grant: Any, inputs: Any) -> None:
    """A grant without an end."""


@pytest.mark.req("T07", control=instead("_in_time", endless))
def test_a_grant_ends() -> None:
    """At its moment, with its trip, and where nobody knows the time; one for this trip needs no clock."""

    def said(trusted: bool = True, **changes: Any) -> set[str]:
        return reasons(PROBE, grants=granted(["traffic.position"], **changes), trusted=trusted)

    assert said(until_ms=NOW_MS + 1) == {""}
    assert said(until_ms=NOW_MS) == {"expired"}
    assert said(until_ms=NOW_MS + 1, trusted=False) == {"expired"}
    assert said(until_ms=None) == {"expired"}
    assert said(until_ms=None, trip=TRIP, trusted=False) == {""}
    assert said(until_ms=None, trip="another") == {"expired"}


def test_without_a_trip_no_grant_of_a_trip_counts() -> None:
    """No trip is not the trip that it was given for."""
    parked = replace(DRIVER, id=None)
    assert reasons(PROBE, grants=granted(["traffic.position"], until_ms=None, trip=TRIP), trip=parked) == {"expired"}


@pytest.mark.req("R23", control=without("basis_stands"))
def test_a_grant_counts_for_the_one_who_gave_it() -> None:
    """Another driver, or nobody who was confirmed, sends nothing on it; contract streams go on."""
    other = compile_plan(all_on(trip=replace(DRIVER, profile="other")))
    guest = compile_plan(all_on(trip=TripFacts(id=TRIP, ignition_known=True)))
    for plan in (other, guest):
        assert not {rule.name for rule in plan.rules} & SENSITIVE
        assert {no.reason for no in plan.refused} == {"profile"}
        assert {rule.basis for rule in plan.rules} == {"contract", "legal"}


@pytest.mark.req("R33", "T26", control=instead("_sensitive", lambda candidate, inputs: False))
def test_a_minor_has_no_sensitive_stream_without_a_guardian() -> None:
    """Items that are not sensitive go on; with the guardian's reference all do."""
    minor = replace(DRIVER, kind="minor")
    everything = live_streams(all_on())
    assert live_streams(all_on(trip=minor)) == everything - SENSITIVE
    assert live_streams(all_on(trip=replace(minor, guardian=True))) == everything


@pytest.mark.req("T06", control=without("on_vehicle"))
def test_unknown_ignition_means_that_sensitive_streams_are_off() -> None:
    """So are those that have to know whether the car is driven or parked."""
    unknown = replace(DRIVER, ignition_known=False)
    stopped = {no.stream for no in compile_plan(all_on(trip=unknown)).refused}
    assert stopped == {name.split(".")[1] for name in SENSITIVE} | {"battery_guard"}


def test_legal_duty_needs_an_order_and_nothing_else_of_the_driver() -> None:
    """Without policy, package and grants only the listed signals of a stream with a valid order leave; without it, nothing."""
    nothing: dict[str, Any] = {"package": None, "grants": {}, "acknowledged": None}
    plan = compile_plan(all_on(**nothing, orders=frozenset({"legal.recall"})))
    listed = {signal.id for signal in stream_named(shipped(), "legal.recall").signals}
    assert {(rule.name, rule.signal) for rule in plan.rules} == {("legal.recall", signal) for signal in listed}
    assert {rule.basis_ref for rule in plan.rules} == {"order:legal.recall"}
    assert live_streams(all_on(**nothing, orders=frozenset({"other.recall"}))) == set()


# -- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("R22", "T01", control=without("in_policy", "basis_stands"))
def test_before_the_policy_is_accepted_nothing_leaves() -> None:
    """Whatever was granted and bought; legal duty has its own order."""
    assert live_streams(all_on(acknowledged=None)) == {"legal.recall"}
    assert compile_plan(all_on(acknowledged=None, orders=frozenset())).rules == ()
    assert live_streams(all_on(acknowledged="a version that the device does not have")) == {"legal.recall"}


def with_next(**changes: Any) -> Catalogue:
    """The shipped catalogue with one more policy version, `next`."""
    (now,) = shipped().policies.values()
    after: Policy = msgspec.structs.replace(now, version="next", effective="2030-01-01", **changes)
    return msgspec.structs.replace(shipped(), policies={now.version: now, "next": after})


@pytest.mark.req("R02", "R41", control=without("in_policy"))
@pytest.mark.parametrize(("key", "name"), [("purposes", "service"), ("recipients", "traffic"), ("categories", "position")])
def test_what_the_accepted_policy_does_not_name_stays_silent(key: str, name: str) -> None:
    """A purpose, recipient or category that it leaves out; the others go on."""
    (now,) = shipped().policies.values()
    fewer = with_next(**{key: tuple(one for one in getattr(now, key) if one != name)})
    plan = compile_plan(all_on(fewer, grants=granted(fewer.items, policy="next")))

    assert plan.refused
    assert {no.reason for no in plan.refused} == {"policy"}
    assert {of_list(no, key, fewer) for no in plan.refused} == {name}
    assert name not in {of_list(rule, key, fewer) for rule in plan.rules if rule.basis != "legal"}


def of_list(one: Any, key: str, catalogue: Catalogue) -> str:
    """What a rule or refusal is, for a list of the policy."""
    stream = stream_named(catalogue, f"{one.service}.{one.stream}")
    return {"purposes": stream.purpose, "recipients": stream.recipient, "categories": catalogue.signals[one.signal].category}[key]


@pytest.mark.req("R37", "R41", control=instead("stands_since", lambda *_: True))
@pytest.mark.req("R37", control=instead("stands_since", lambda policies, granted, current, *_: granted == current))
def test_a_major_change_silences_what_it_touches_until_it_is_granted_anew() -> None:
    """A recipient that the new version adds: streams to it wait for a new grant, all others keep theirs."""
    (now,) = shipped().policies.values()
    before = msgspec.structs.replace(now, version="before", effective="2020-01-01", recipients=tuple(set(now.recipients) - {"traffic"}))
    both = msgspec.structs.replace(shipped(), policies={"before": before, now.version: now})
    old = granted(both.items, policy="before")
    assert live_streams(all_on(both, acknowledged=now.version, grants=old)) == live_streams(all_on()) - TRAFFIC
    anew = old | {("driver", "traffic.position"): grant("traffic.position", policy=now.version)}
    assert live_streams(all_on(both, acknowledged=now.version, grants=anew)) == live_streams(all_on())


def test_a_small_change_asks_for_nothing() -> None:
    """The same words under a new version: grants go on, and every record carries the version that is accepted."""
    same = with_next()
    plan = compile_plan(all_on(same, grants=granted(same.items)))
    assert {rule.name for rule in plan.rules} == live_streams(all_on())
    assert {rule.policy for rule in plan.rules} == {"next"}


# -- recipients and the vehicle ---------------------------------------------------------------------------------------


@pytest.mark.req("R34", "T18", control=without("reachable"))
def test_only_to_recipients_that_are_known_and_in_an_allowed_region() -> None:
    """Without a key, or abroad, the streams of that recipient stay; of nobody else's."""
    others = {name: "CN" for name in shipped().recipients() if name != "traffic"}
    for recipients, reason in ((others, "no_recipient"), (others | {"traffic": "US"}, "region")):
        plan = compile_plan(all_on(recipients=recipients))
        assert {(f"{no.service}.{no.stream}", no.reason) for no in plan.refused} == {(name, reason) for name in TRAFFIC}
    assert reasons(PROBE, recipients=others | {"traffic": "US"}, regions=None) == {""}


def test_a_needed_input_that_the_vehicle_lacks_refuses_the_stream() -> None:
    """What an event watches, the odometer of a distance, the VIN of an identity; a speed comes from the receiver instead."""
    for missing, stream in (
        ("Vehicle.ADAS.ESC.IsEngaged", "real_time_traffic.hazard"),
        ("Vehicle.Service.IsServiceDue", "teleservices.service_report"),
        (ODOMETER, "teleservices.service_report"),
    ):
        assert reasons(stream, mapped=all_on().mapped - {missing}) == {"not_on_vehicle"}
    assert reasons("teleservices.breakdown", vin_known=False) == {"not_on_vehicle"}
    assert reasons("real_time_traffic.hazard", mapped=all_on().mapped - {SPEED, GEAR}) == {""}
    assert reasons(PROBE, mapped=frozenset()) == {"", "not_on_vehicle"}


def test_position_is_known_whatever_a_catalogue_calls_it() -> None:
    """The receiver's position under another class still is a position: capped, and nothing without consent."""
    harmless = msgspec.structs.replace(shipped().signals[LOCATION], category="status", sensitive=False)
    renamed = msgspec.structs.replace(shipped(), signals=shipped().signals | {LOCATION: harmless})
    places = [rule for rule in compile_plan(all_on(renamed)).rules if rule.signal == LOCATION]
    assert places
    assert {rule.category for rule in places} == {"position"}
    assert not {rule.signal for rule in compile_plan(all_on(renamed, trip=replace(DRIVER, kind="minor"))).rules} & {LOCATION}


def test_a_stream_that_lives_in_ram_has_no_time_on_the_disk() -> None:
    """keep = "ram": zero seconds, as does a term that cannot be read."""
    for keep in ("ram", "for ever"):
        health = shipped().services["operations"]
        stream = msgspec.structs.replace(health.streams[0], keep=keep)
        changed = msgspec.structs.replace(
            shipped(), services=shipped().services | {"operations": msgspec.structs.replace(health, streams=(stream,))}
        )
        assert {rule.keep_s for rule in compile_plan(all_on(changed)).rules if rule.service == "operations"} == {0}


# -- what a rule and a plan say ---------------------------------------------------------------------------------------


@pytest.mark.req("R54", control=instead("_because", lambda candidate, inputs, grant: ("", "")))
def test_a_rule_tells_its_basis_policy_and_entry() -> None:
    """Consent: who, what, which entry, under which version. Contract: the policy. An order: which."""
    rules = {rule.name: rule for rule in compile_plan(all_on()).rules}
    probe, report, recall = rules[PROBE], rules["teleservices.service_report"], rules["legal.recall"]
    assert probe.because == "driver granted traffic.position (ledger entry 7) under policy 2026-11"
    assert (probe.basis_ref, probe.profile, probe.policy) == ("ledger:7", "driver", "2026-11")
    assert (report.basis_ref, report.profile) == ("policy:2026-11", "")
    assert "2026-11" in report.because
    assert (recall.basis_ref, recall.because) == ("order:legal.recall", "a signed order for legal.recall")


def test_rule_ids_are_told_apart_by_what_they_allow() -> None:
    """A new grant, another driver or another policy makes another rule; the same facts the same one."""

    def ids(**changes: Any) -> set[str]:
        return {rule.id for rule in compile_plan(all_on(**changes)).rules if rule.name == PROBE}

    assert len(ids()) == 3
    assert ids() == ids(services_off=frozenset({"teleservices"}))
    assert not ids() & ids(grants=granted(["traffic.position"], entry=8))


def test_refusals_that_last_are_told_from_those_that_pass() -> None:
    """Package, switch and notice end a stream for everybody; a grant ends for its driver, and the rest may change again."""

    def lasting(**changes: Any) -> set[bool]:
        refused: tuple[Refusal, ...] = compile_plan(all_on(**changes)).refused
        return {no.lasting for no in refused if no.service == "real_time_traffic"}

    assert lasting(package="basic") == lasting(services_off=frozenset({"real_time_traffic"})) == {True}
    passing: tuple[dict[str, Any], ...] = (
        {"grants": granted(["traffic.position"], state="NO")},
        {"trip": replace(DRIVER, profile="other")},
        {"trusted": False},
        {"recipients": {}},
    )
    for changes in passing:
        assert lasting(**changes) == {False}, changes


def test_a_vin_that_is_not_known_yet_is_listened_for() -> None:
    """Nothing that carries it is collected, but the frame that tells it is heard; without such a stream it is not asked for."""
    car = all_on().mapped | {VIN}
    waiting = compile_plan(all_on(mapped=car, vin_known=False))
    assert VIN in waiting.wanted
    assert not [rule for rule in waiting.rules if rule.identity == "vin"]
    assert VIN in compile_plan(all_on(mapped=car)).wanted
    nothing = all_on(mapped=car, vin_known=False, package=None, acknowledged=None, grants={}, orders=frozenset())
    assert VIN not in compile_plan(nothing).wanted


def test_what_decides_is_listened_to_and_nothing_more() -> None:
    """The probe: its speed, the gear, the ignition. The receiver's own signals are no frames but stand there as inputs."""
    alone = msgspec.structs.replace(
        shipped(),
        services={
            "real_time_traffic": msgspec.structs.replace(shipped().services["real_time_traffic"], streams=(stream_named(shipped(), PROBE),))
        },
    )
    assert compile_plan(all_on(alone)).wanted == {
        IGNITION: Demand(throttle_ns=0, timeout_ns=5_000_000_000),
        LOCATION: Demand(throttle_ns=200_000_000, timeout_ns=5_000_000_000),
        f"{LOCATION}.Heading": Demand(throttle_ns=1_000_000_000, timeout_ns=90_000_000_000),
        SPEED: Demand(throttle_ns=200_000_000, timeout_ns=5_000_000_000),
        GEAR: Demand(throttle_ns=0, timeout_ns=5_000_000_000),
    }


def test_a_period_without_end_is_still_a_number() -> None:
    """every_s = inf, as TOML can say: no exception, and the longest time-out there is."""
    stream = msgspec.structs.replace(stream_named(shipped(), PROBE), every_s=float("inf"))
    assert demand_of(stream, ()) == Demand(throttle_ns=1_000_000_000, timeout_ns=366 * 86_400 * 1_000_000_000)
