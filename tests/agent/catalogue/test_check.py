"""What `check` refuses: each rule with one fault in an otherwise whole catalogue, named by file and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.catalogue import check, check_streams
from tests.agent.catalogue.trees import Tree, findings, small, stream

Fault = Callable[[Tree], object]
PLACE = "services/a.toml: stream[0]"


def put(key: str, value: Any, index: int = 0) -> Fault:
    return lambda tree: stream(tree, index).update({key: value})


def drop(key: str, index: int = 0) -> Fault:
    return lambda tree: stream(tree, index).pop(key)


def steps(*written: dict[str, Any], index: int = 0) -> Fault:
    return lambda tree: stream(tree, index)["signal"][0].update(transforms=list(written))


def table(file: str, *path: str, **values: Any) -> Fault:
    def fault(tree: Tree) -> None:
        at: dict[str, Any] = tree[file]
        for key in path:
            at = at.setdefault(key, {})
        at.update(values)

    return fault


def test_whole_catalogue_has_no_findings(tmp_path: Path) -> None:
    """The catalogue that all faults below start from is without a finding, so each finding comes from its fault."""
    assert findings(small(), tmp_path) == []


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "no keep": (drop("keep"), "missing-key", f"{PLACE}.keep"),
    "no basis": (drop("basis"), "missing-key", f"{PLACE}.basis"),
    "no purpose": (drop("purpose"), "missing-key", f"{PLACE}.purpose"),
    "no recipient": (drop("recipient"), "missing-key", f"{PLACE}.recipient"),
    "no identity": (drop("identity"), "missing-key", f"{PLACE}.identity"),
    "empty recipient": (put("recipient", " "), "no-recipient", f"{PLACE}.recipient"),
    "unknown purpose": (put("purpose", "fun"), "unknown-purpose", f"{PLACE}.purpose"),
    "unknown item": (put("consent", "a.nothing"), "unknown-item", f"{PLACE}.consent"),
    "no item": (drop("consent"), "no-item", f"{PLACE}.consent"),
    "item without consent": (put("basis", "contract", 1), "item-unused", "services/a.toml: stream[1].consent"),
    "unknown signal": (lambda t: stream(t)["signal"][0].update(id="Vehicle.Nothing"), "unknown-signal", f"{PLACE}.signal[0].id"),
    "signal twice": (
        lambda t: stream(t, 1)["signal"].append({"id": "Vehicle.TraveledDistance"}),
        "signal-twice",
        "services/a.toml: stream[1].signal[1].id",
    ),
    "no signals": (put("signal", []), "no-signals", f"{PLACE}.signal"),
    "no triggers": (put("triggers", []), "no-triggers", f"{PLACE}.triggers"),
    "unknown trigger": (put("triggers", ["sometimes"]), "wrong-value", f"{PLACE}.triggers[0]"),
    "unknown event": (put("triggers", ["periodic", "event:slow"]), "unknown-event", f"{PLACE}.triggers[1]"),
    "trigger twice": (put("triggers", ["periodic", "periodic"]), "trigger-twice", f"{PLACE}.triggers[1]"),
    "distance of nothing": (put("triggers", ["distance:0"], 1), "distance", "services/a.toml: stream[1].triggers[0]"),
    "periodic without a period": (drop("every_s"), "every_s", f"{PLACE}.every_s"),
    "around no event": (put("before_s", 10), "around", f"{PLACE}.before_s"),
    "around what is sent anyway": (put("after_s", 10), "around", f"{PLACE}.after_s"),
    "around an event, at no rate": (lambda t: (put("before_s", 9)(t), drop("every_s")(t)), "every_s", f"{PLACE}.every_s"),
    "around an event, too seldom": (
        lambda t: (put("triggers", ["event:fast"])(t), put("before_s", 60)(t), put("after_s", 9)(t), put("every_s", 10)(t)),
        "every_s",
        f"{PLACE}.every_s",
    ),
    "more around an event than a record holds": (
        lambda t: (put("after_s", 60)(t), put("every_s", 0.01)(t)),
        "around",
        f"{PLACE}.after_s",
    ),
    "further around an event than anything is held": (put("before_s", 61), "wrong-value", f"{PLACE}.before_s"),
    "keep of no form": (put("keep", "soon"), "keep", f"{PLACE}.keep"),
    "keep with a line end": (put("keep", "5m\n"), "wrong-value", f"{PLACE}.keep"),
    "term with a line end": (
        table("consent.toml", "items", "a.status", max_term="365d\n"),
        "wrong-value",
        'consent.toml: items."a.status".max_term',
    ),
    "keep in RAM": (put("keep", "ram"), "keep-ram", f"{PLACE}.keep"),
    "keep of nothing": (put("keep", "0d"), "keep", f"{PLACE}.keep"),
    "keep beyond the purpose": (put("keep", "31d", 1), "keep-too-long", "services/a.toml: stream[1].keep"),
    "position of another class": (
        table("signals.toml", "signals", "Vehicle.CurrentLocation", category="status"),
        "not-a-position",
        'signals.toml: signals."Vehicle.CurrentLocation".category',
    ),
    "speed in kelvin": (
        table("signals.toml", "signals", "Vehicle.Speed", unit="kelvin"),
        "unit",
        'signals.toml: signals."Vehicle.Speed".unit',
    ),
    "time as coarse as keep": (put("time_floor_s", 300), "time-floor", f"{PLACE}.time_floor_s"),
    "two aggregates": (
        steps({"mean_s": 10}, {"round_to": 1}, {"max_s": 60}, index=1),
        "transform",
        "services/a.toml: stream[1].signal[0].transforms",
    ),
    "window longer than keep": (put("window_s", 301), "window", f"{PLACE}.window_s"),
    "position too fine": (steps({"grid_m": 199}), "position-too-fine", f"{PLACE}.signal[0].transforms"),
    "position without a grid": (steps(), "position-too-fine", f"{PLACE}.signal[0].transforms"),
    "trim after grid": (steps({"grid_m": 200}, {"trim_trip_m": 500}), "transform-order", f"{PLACE}.signal[0].transforms"),
    "sensitive on contract": (lambda t: (put("basis", "contract")(t), drop("consent")(t)), "sensitive-basis", f"{PLACE}.signal[0].id"),
    "sensitive on legal duty": (lambda t: (put("basis", "legal")(t), drop("consent")(t)), "sensitive-basis", f"{PLACE}.signal[0].id"),
    "sensitive under a plain item": (put("consent", "a.status"), "sensitive-item", f"{PLACE}.consent"),
    "identity in a nameless stream": (
        lambda t: stream(t, 1)["signal"].append({"id": "Vehicle.VehicleIdentification.VIN"}),
        "identity",
        "services/a.toml: stream[1].signal[1].id",
    ),
    "vital outside the emergency call": (lambda t: (put("basis", "vital")(t), drop("consent")(t)), "vital", f"{PLACE}.basis"),
    "unknown transform": (steps({"blur": 3}, index=1), "transform", "services/a.toml: stream[1].signal[0].transforms[0].blur"),
    "two transforms in one": (
        steps({"round_to": 1, "last": True}, index=1),
        "transform",
        "services/a.toml: stream[1].signal[0].transforms[0]",
    ),
    "wrong argument": (steps({"round_to": 0}, index=1), "transform", "services/a.toml: stream[1].signal[0].transforms[0].round_to"),
    "grid of a number": (steps({"grid_m": 500}, index=1), "transform", "services/a.toml: stream[1].signal[0].transforms[0].grid_m"),
    "rounding of a position": (steps({"grid_m": 500}, {"round_to": 1}), "transform", f"{PLACE}.signal[0].transforms[1].round_to"),
    "classes that do not fit": (
        steps({"bucket": [1, 2]}, {"respond_k": {"k": 5, "epsilon": 1.0}}, index=1),
        "transform",
        "services/a.toml: stream[1].signal[0].transforms",
    ),
    "stream twice": (put("id", "place", 1), "stream-twice", "services/a.toml: stream[1].id"),
    "service of another name": (table("services/a.toml", "service", id="b"), "service-name", "services/a.toml: service.id"),
    "package of an unknown service": (
        table("packages.toml", "packages", "one", services=["a", "b"]),
        "unknown-service",
        "packages.toml: packages.one.services[1]",
    ),
    "package called none": (
        table("packages.toml", "packages", none={"title": "None", "services": ["a"]}),
        "package-name",
        "packages.toml: packages.none",
    ),
    "condition that cannot be read": (
        table("events.toml", "events", "fast", when="Vehicle.Speed >"),
        "condition",
        "events.toml: events.fast.when",
    ),
    "condition on an unknown signal": (
        table("events.toml", "events", "fast", "recent", when="Vehicle.Nothing > 1"),
        "unknown-signal",
        "events.toml: events.fast.recent.when",
    ),
    "sensitive item for two years": (
        table("consent.toml", "items", "a.position", max_term="730d"),
        "term-too-long",
        'consent.toml: items."a.position".max_term',
    ),
    "item without a term": (table("consent.toml", "items", "a.status", max_term="0d"), "no-end", 'consent.toml: items."a.status".max_term'),
    "purpose without a vocabulary": (
        table("purposes.toml", "purposes", "service", dpv="whatever you like"),
        "dpv",
        "purposes.toml: purposes.service.dpv",
    ),
    "purpose that keeps nothing": (
        table("purposes.toml", "purposes", "service", max_keep="0s"),
        "no-end",
        "purposes.toml: purposes.service.max_keep",
    ),
    "signal without a dot": (
        table("signals.toml", "signals", Speed={"unit": "", "category": "status"}),
        "signal-name",
        "signals.toml: signals.Speed",
    ),
    "a vehicle's signal from the agent": (
        table("signals.toml", "signals", "Vehicle.Speed", source="agent"),
        "signal-source",
        'signals.toml: signals."Vehicle.Speed".source',
    ),
    "unknown category in a policy": (
        table("policies/2026-11/policy.toml", categories=["gossip"]),
        "category",
        "policies/2026-11/policy.toml: categories[0]",
    ),
    "policy without a contact": (table("policies/2026-11/policy.toml", contact=" "), "no-contact", "policies/2026-11/policy.toml: contact"),
    "policy in another's folder": (
        table("policies/2026-11/policy.toml", version="2027-01"),
        "policy-folder",
        "policies/2026-11/policy.toml: version",
    ),
    "policy without a date": (
        table("policies/2026-11/policy.toml", effective="soon"),
        "wrong-value",
        "policies/2026-11/policy.toml: effective",
    ),
    "policy without a text": (
        table("policies/2026-11/policy.toml", text={"en": "other.md"}),
        "policy-text",
        "policies/2026-11/policy.toml: text.en",
    ),
    "policy text elsewhere": (
        table("policies/2026-11/policy.toml", text={"en": "../../signals.toml"}),
        "policy-text",
        "policies/2026-11/policy.toml: text.en",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_an_error_with_file_and_key(name: str, tmp_path: Path) -> None:
    """Each fault gives an error of its own code at its own file and key, with something to do."""
    fault, code, where = FAULTS[name]
    tree = small()
    fault(tree)
    errors = [finding for finding in findings(tree, tmp_path) if finding.severity == "error"]
    assert (code, where) in [(finding.code, finding.where) for finding in errors], errors
    assert all(finding.hint for finding in errors)


DOUBTS: dict[str, tuple[Fault, str, str]] = {
    "position kept a month": (put("keep", "30d"), "position-keep", f"{PLACE}.keep"),
    "clock faster than the cell": (
        lambda t: (put("every_s", 1)(t), drop("time_floor_s")(t), steps({"grid_m": 1000})(t)),
        "clock-too-fast",
        f"{PLACE}.signal[0].transforms",
    ),
    "speed without a unit": (
        table("signals.toml", "signals", "Vehicle.Speed", unit=""),
        "unit-missing",
        'signals.toml: signals."Vehicle.Speed".unit',
    ),
    "report that is late when it is made up": (
        lambda t: (put("triggers", ["periodic"], 1)(t), put("every_s", 604800, 1)(t), put("keep", "6d", 1)(t)),
        "keep-too-short",
        "services/a.toml: stream[1].keep",
    ),
    "end of a trip while driving": (
        lambda t: (put("triggers", ["trip_end"], 1)(t), put("while", "driving", 1)(t)),
        "while",
        "services/a.toml: stream[1].while",
    ),
    "period without a rhythm": (put("every_s", 5, 1), "every_s", "services/a.toml: stream[1].every_s"),
    "freshness without a request": (put("triggers", ["on_change"], 1), "fresh_s", "services/a.toml: stream[1].signal[0].fresh_s"),
    "legal duty without an order": (
        lambda t: (put("basis", "legal", 1)(t), drop("consent", 1)(t)),
        "legal-trigger",
        "services/a.toml: stream[1].triggers",
    ),
    "item that nobody asks for": (
        lambda t: (put("basis", "contract", 1)(t), drop("consent", 1)(t)),
        "unused",
        'consent.toml: items."a.status"',
    ),
    "event that nobody waits for": (put("triggers", ["periodic"]), "unused", "events.toml: events.fast"),
    "service that nobody can buy": (table("packages.toml", "packages", "one", services=[]), "no-package", "services/a.toml: service"),
    "service that everybody has, and some": (
        table("services/a.toml", "service", in_every_package=True),
        "package-twice",
        "services/a.toml: service",
    ),
    "recipient that the notice hides": (put("recipient", "another"), "not-in-policy", "policies/2026-11/policy.toml: recipients"),
    "position not marked": (
        table("signals.toml", "signals", "Vehicle.CurrentLocation", sensitive=False),
        "position-not-marked",
        'signals.toml: signals."Vehicle.CurrentLocation"',
    ),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_doubt_is_a_warning_with_file_and_key(name: str, tmp_path: Path) -> None:
    """What works but is probably not meant is a warning at its file and key, and no error."""
    fault, code, where = DOUBTS[name]
    tree = small()
    fault(tree)
    found = findings(tree, tmp_path)
    assert (code, "warning", where) in [(finding.code, finding.severity, finding.where) for finding in found], found
    assert not [finding for finding in found if finding.severity == "error"]


def test_exact_position_is_allowed_by_an_exact_item(tmp_path: Path) -> None:
    """precision = "exact" of the item is what a fine position needs, and enough."""
    tree = small()
    tree["consent.toml"]["items"]["a.position"]["precision"] = "exact"
    steps()(tree)
    assert not [finding for finding in findings(tree, tmp_path) if finding.severity == "error"]


def test_unmarked_position_is_treated_as_sensitive(tmp_path: Path) -> None:
    """Forgetting sensitive = true does not open another basis for a position."""
    tree = small()
    tree["signals.toml"]["signals"]["Vehicle.CurrentLocation"]["sensitive"] = False
    put("basis", "contract")(tree)
    drop("consent")(tree)
    assert "sensitive-basis" in [finding.code for finding in findings(tree, tmp_path)]


def test_emergency_call_takes_no_signals(tmp_path: Path) -> None:
    """A catalogue cannot add a signal to the emergency call."""
    tree = small()
    tree["services/ecall.toml"] = {"service": {"id": "ecall", "title": "E"}, "stream": [{**stream(tree, 1), "basis": "vital"}]}
    tree["services/ecall.toml"]["stream"][0].pop("consent")
    assert "vital-signals" in [finding.code for finding in findings(tree, tmp_path)]


@pytest.mark.req(
    "R17",
    control=lambda m: m.setattr(
        "agent.catalogue.check.STREAM_RULES", tuple(r for r in check_streams.STREAM_RULES if r is not check_streams.no_marketing)
    ),
)
@pytest.mark.parametrize(("purpose", "dpv"), [("marketing", "RequestedServiceProvision"), ("news", "DirectMarketing")])
def test_stream_for_marketing_is_refused(purpose: str, dpv: str, tmp_path: Path) -> None:
    """A signal cannot be mapped to marketing, whatever the purpose is called."""
    tree = small()
    tree["purposes.toml"]["purposes"][purpose] = {"title": "Offers", "dpv": dpv, "max_keep": "30d"}
    put("purpose", purpose)(tree)
    assert [finding.where for finding in findings(tree, tmp_path) if finding.code == "marketing"] == [f"{PLACE}.purpose"]


PERSONAL = (
    "Vehicle.Driver.PhoneNumber",
    "Vehicle.Owner.Name",
    "Vehicle.Private.AccountId",
    "Vehicle.Private.CustomerNumber",
    "Vehicle.Private.IdCard",
    "Vehicle.Private.IDNumber",
    "Vehicle.Private.EmergencyContact",
    "Vehicle.Driver.Identifier.Subject",
    "Vehicle.Connectivity.ICCID",
    "Vehicle.Private.user_email",
)


@pytest.mark.req("R19", control=lambda m: m.setattr(check, "personal_word", lambda name: None))
@pytest.mark.parametrize("name", PERSONAL)
def test_signal_that_speaks_of_a_person_is_refused(name: str, tmp_path: Path) -> None:
    """Name, phone, account, identity number: a catalogue cannot declare a signal for them."""
    tree = small()
    tree["signals.toml"]["signals"][name] = {"unit": "", "category": "status"}
    assert [finding.code for finding in findings(tree, tmp_path)] == ["personal-data"]


def test_signals_of_the_car_are_not_taken_for_personal() -> None:
    """Words that only look alike do not cost a signal of the car."""
    cars = (
        "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
        "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure",
        "Vehicle.Body.Lights.LicensePlate.IsOn",
    )
    assert [check.personal_word(name) for name in cars] == [None] * 3
