"""What the tests of the plan start from: inputs in which all is allowed, inputs of every kind, small catalogues of every kind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.catalogue.types import (
    Catalogue,
    ConsentItem,
    Event,
    Package,
    Policy,
    PolicyText,
    Purpose,
    Recent,
    ServiceFile,
    SignalType,
    Stream,
)
from agent.consent.state import GUEST, Grant
from agent.model import Plan
from agent.plan import compile as compiler
from agent.plan.compile import compile_plan
from agent.plan.inputs import PlanInputs, TripFacts
from agent.vss import GEAR, IGNITION, LOCATION, ODOMETER, SPEED

NOW_MS = 1_800_000_000_000
YEAR_MS = 365 * 86_400_000
TRIP = "trip"
DRIVER = TripFacts(id=TRIP, profile="driver", kind="adult", ignition_known=True)
Name = tuple[str, str, str]


@functools.cache
def shipped() -> Catalogue:
    return load_catalogue(shipped_catalogue())


def newest(catalogue: Catalogue) -> str | None:
    return list(catalogue.policies)[-1] if catalogue.policies else "unversioned"


def grant(item: str, state: Any = "YES", *, until_ms: int | None = NOW_MS + YEAR_MS, **changes: Any) -> Grant:
    fields: dict[str, Any] = {"profile": "driver", "entry": 7, "given_ms": NOW_MS, "trip": None, "policy": newest(shipped())} | changes
    return Grant(item=item, state=state, until_ms=until_ms, **fields)


def granted(items: Any, **changes: Any) -> dict[tuple[str, str], Grant]:
    made = [grant(item, **changes) for item in items]
    return {(one.profile, one.item): one for one in made}


def all_on(catalogue: Catalogue | None = None, **changes: Any) -> PlanInputs:
    """Everything is bought, granted, accepted, fitted and known."""
    catalogue = catalogue or shipped()
    largest = max(catalogue.packages, key=lambda name: len(catalogue.packages[name].services), default=None)
    orders = frozenset(f"{name}.{stream.id}" for name, file in catalogue.services.items() for stream in file.streams)
    inputs = PlanInputs(
        catalogue=catalogue,
        mapped=frozenset(name for name, signal in catalogue.signals.items() if signal.source == "vehicle") | {"Vehicle.Undeclared"},
        package=largest,
        services_off=frozenset(),
        grants=granted(catalogue.items, policy=newest(catalogue)),
        acknowledged=newest(catalogue),
        trip=DRIVER,
        recipients=dict.fromkeys(catalogue.recipients(), "CN"),
        regions=frozenset({"CN"}),
        vin_known=True,
        now_ms=NOW_MS,
        trusted=True,
        orders=orders,
    )
    return replace(inputs, **changes)


def live(plan: Plan) -> set[Name]:
    """(service, stream, signal) of the rules."""
    return {(rule.service, rule.stream, rule.signal) for rule in plan.rules}


def live_streams(inputs: PlanInputs) -> set[str]:
    return {rule.name for rule in compile_plan(inputs).rules}


def decision(plan: Plan) -> object:
    """All that a plan decides."""
    return plan.rules, plan.refused, plan.wanted


def without(*names: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: these checks are not made."""
    assert set(names) <= {check.__name__ for check in compiler.CHECKS}

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiler, "CHECKS", tuple(check for check in compiler.CHECKS if check.__name__ not in names))

    return apply


def instead(name: str, replacement: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: a function of the compiler does something else."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiler, name, replacement)

    return apply


# -- inputs of every kind ---------------------------------------------------------------------------------------------


def grants_of(catalogue: Catalogue) -> st.SearchStrategy[dict[tuple[str, str], Grant]]:
    keys = st.tuples(st.sampled_from(["driver", "driver", "other", GUEST]), st.sampled_from([*sorted(catalogue.items), "undeclared"]))
    policies = st.sampled_from([newest(catalogue), *catalogue.policies, "lost"])
    ends = st.sampled_from([None, NOW_MS - 1, NOW_MS, NOW_MS + 1, NOW_MS + 5, NOW_MS + YEAR_MS])

    @st.composite
    def one(draw: st.DrawFn) -> tuple[tuple[str, str], Grant]:
        profile, item = draw(keys)
        state = draw(st.sampled_from(["YES", "YES", "YES", "NO", "IN_VEHICLE", "NOT_SET"]))
        trip = draw(st.sampled_from([None, None, TRIP, TRIP, "another"]))
        entry, until_ms, version = draw(st.integers(1, 99)), draw(ends), draw(policies)
        return (profile, item), grant(item, state, until_ms=until_ms, profile=profile, entry=entry, trip=trip, policy=version)

    some = st.lists(one(), max_size=12).map(dict)
    return st.builds(
        lambda all_yes, others: ({**granted(catalogue.items, policy=newest(catalogue))} if all_yes else {}) | others, st.booleans(), some
    )


TRIPS = st.builds(
    TripFacts,
    id=st.sampled_from([TRIP, None]),
    profile=st.sampled_from(["driver", "driver", "other", GUEST]),
    kind=st.sampled_from(["adult", "adult", "minor", "guest"]),
    guardian=st.booleans(),
    ignition_known=st.sampled_from([True, True, False]),
)


class Told(PlanInputs):
    """Inputs that say of themselves only what is not on."""

    __slots__ = ()

    def __repr__(self) -> str:
        on = all_on(self.catalogue)
        fields = [name for name in PlanInputs.__dataclass_fields__ if getattr(self, name) != getattr(on, name)]
        told = {name: sorted(on.mapped - self.mapped) if name == "mapped" else getattr(self, name) for name in fields}
        return f"Told({told}{'' if self.catalogue is shipped() else f', {self.catalogue}'})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def inputs_of(draw: st.DrawFn, catalogue: Catalogue | None = None) -> PlanInputs:
    """Inputs of any kind for a catalogue: all on but for some of the facts, so that most decisions are near their edge."""
    catalogue = catalogue or shipped()
    base = all_on(catalogue)
    names, recipients, services = sorted(base.mapped), sorted(catalogue.recipients()), sorted(catalogue.services)
    regions, versions = st.sampled_from(["CN", "DE"]), [base.acknowledged, *catalogue.policies, None, "lost"]
    facts: dict[str, st.SearchStrategy[Any]] = {
        "mapped": st.frozensets(st.sampled_from(names), max_size=3).map(lambda missing: base.mapped - missing)
        if names
        else st.just(base.mapped),
        "package": st.sampled_from([None, *catalogue.packages, "lost"]),
        "services_off": st.frozensets(st.sampled_from(services), max_size=2),
        "grants": grants_of(catalogue),
        "acknowledged": st.sampled_from(versions),
        "trip": st.one_of(TRIPS, st.just(replace(DRIVER, ignition_known=False))),
        "recipients": st.dictionaries(st.sampled_from(recipients), regions),
        "regions": st.sampled_from([None, frozenset({"CN"}), frozenset()]),
        "vin_known": st.just(False),
        "trusted": st.just(False),
        "orders": st.just(frozenset()),
    }
    changed = draw(st.lists(st.sampled_from([*sorted(facts), "grants", "grants", "trip"]), max_size=3, unique=True))
    fields = {name: getattr(base, name) for name in PlanInputs.__dataclass_fields__}
    return Told(**fields | {name: draw(facts[name]) for name in changed})


# -- small catalogues of every kind -----------------------------------------------------------------------------------

UNIVERSE = (SPEED, GEAR, ODOMETER, IGNITION, LOCATION, "Vehicle.A", "Vehicle.B", "Modicum.Health.X", "Vehicle.Undeclared")
SIGNALS = st.fixed_dictionaries(
    {
        name: st.builds(
            SignalType,
            unit=st.just(""),
            category=st.sampled_from(["status", "position", "movement"]),
            sensitive=st.sampled_from([False, False, True]),
            source=st.just("agent" if name.startswith("Modicum") else "vehicle"),
        )
        for name in UNIVERSE[:-1]
    }
)
STEPS = st.sampled_from(
    [(), ({"round_to": 5},), ({"trim_trip_m": 500}, {"grid_m": 200}), ({"mean_s": 10},), ({"last": True}, {"bucket": [1, 2]})]
)
TRIGGERS = st.sampled_from(
    ["periodic", "on_change", "start", "trip_end", "distance:1000", "event:fast", "event:lost", "event:broken", "request:x", "order:x"]
)
STREAM = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["s", "t"]),
        "purpose": st.sampled_from(["service", "service", "advertising", "undeclared"]),
        "basis": st.sampled_from(["contract", "consent", "contract", "consent", "legal", "vital"]),
        "consent": st.sampled_from([None, "plain", "plain", "private", "undeclared"]),
        "identity": st.sampled_from(["vin", "pairwise", "none"]),
        "recipient": st.sampled_from(["near", "other"]),
        "triggers": st.lists(TRIGGERS, min_size=1, max_size=2).map(tuple),
        "keep": st.sampled_from(["30d", "5m", "400d", "ram", "for ever"]),
        "while": st.sampled_from(["any", "driving", "parked"]),
        "every_s": st.sampled_from([0.0, 1.0, 30.0, 604_800.0, float("inf")]),
        "signal": st.lists(
            st.fixed_dictionaries({"id": st.sampled_from(UNIVERSE), "transforms": STEPS}),
            min_size=1,
            max_size=3,
            unique_by=lambda one: one["id"],
        ),
    }
)
SERVICE = st.builds(
    lambda name, everywhere, streams: msgspec.convert(
        {"service": {"id": name, "title": "", "in_every_package": everywhere}, "stream": streams}, ServiceFile
    ),
    st.sampled_from(["a", "b", "ecall"]),
    st.booleans(),
    st.lists(STREAM, min_size=1, max_size=2, unique_by=lambda one: one["id"]),
)


def policy(version: str, effective: object, **changes: Any) -> Policy:
    fields: dict[str, Any] = {
        "purposes": ("service", "advertising"),
        "categories": ("status", "position", "movement", ""),
        "recipients": ("near", "other"),
        "contact": "somebody",
    }
    return Policy(version=version, effective=effective, text=PolicyText(en="x.md"), **(fields | changes))


POLICIES = st.sampled_from(
    [
        {},
        {"1": policy("1", "2026-01-01")},
        {"1": policy("1", "2026-01-01", categories=("status",)), "2": policy("2", "2027-01-01")},
        {"1": policy("1", "never"), "2": policy("2", "2027-01-01", recipients=("near",))},
    ]
)


def _catalogue(signals: dict[str, SignalType], services: list[ServiceFile], policies: dict[str, Policy]) -> Catalogue:
    return Catalogue(
        signals=signals,
        purposes={
            "service": Purpose(title="", dpv="RequestedServiceProvision", max_keep="30d"),
            "advertising": Purpose(title="", dpv="DirectMarketing", max_keep="30d"),
        },
        items={
            "plain": ConsentItem(title="", category="status", max_term="365d"),
            "private": ConsentItem(title="", category="position", max_term="365d", sensitive=True),
        },
        packages={"one": Package(title="", services=("a", "ecall")), "two": Package(title="", services=("a", "b"))},
        events={
            "fast": Event(when=f"{SPEED} > 100 or Vehicle.A == true", recent=Recent(when="Vehicle.B > 1", within_s=60)),
            "broken": Event(when="Vehicle.A >"),
        },
        services={file.service.id: file for file in services},
        policies=policies,
    )


CATALOGUES = st.builds(_catalogue, SIGNALS, st.lists(SERVICE, min_size=1, max_size=3), POLICIES)
"""Catalogues that the types allow, and many that `modicum check` would refuse."""


def stream_named(catalogue: Catalogue, name: str) -> Stream:
    service, _, stream = name.partition(".")
    return next(one for one in catalogue.services[service].streams if one.id == stream)
