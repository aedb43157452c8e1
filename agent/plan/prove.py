"""The proof of the plan: every combination of what it is decided from, held against the promise in words.

Each stream is enumerated alone, over the full product of its own facts; that nothing else matters to it is shown by comparing
plans of the whole catalogue with the sums of the plans of its streams. Finds a compiler that decides otherwise, subscribes to
more or less, makes a rule that is not its stream's. Long work on demand: no daemon imports it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from agent.catalogue.types import Catalogue, Stream
from agent.consent.state import GUEST, Grant, State
from agent.model import Demand, Plan, Rule
from agent.plan import compile as compiler
from agent.plan.inputs import PlanInputs, TripFacts
from agent.plan.promise import (
    ACCEPTED,
    CARS,
    DRIVERS,
    GEAR,
    IGNITION,
    NOT_YES,
    NOTHING,
    PLACE,
    RECIPIENTS,
    SAID,
    SPEED,
    VIN,
    Case,
    listened_to,
    longest_s,
    newest_of,
    promised,
    stories_of,
    subject_of,
    waits_for_vin,
)

BROKEN_MAX = 20
"""A compiler that is wrong is wrong in thousands of cases; these are enough to see how."""
NOW_MS = 1_800_000_000_000
TRIP = "this trip"
ANOTHER = ", though another said yes"
RARE = frozenset({"withdrawn", "no by somebody else", "yes without an end", f"withdrawn{ANOTHER}", f"no{ANOTHER}"})
NONE, NEAR = frozenset[str](), frozenset({"near"})
BOTH = (True, False)
STATES: Mapping[str, State] = {"withdrawn": "NOT_SET", "no": "NO", "no by somebody else": "NO", "in the vehicle only": "IN_VEHICLE"}
UNTIL_MS = {"yes until now": NOW_MS, "yes": NOW_MS + 1, "in the vehicle only": NOW_MS + 1, "yes by somebody else": NOW_MS + 1}
TRIP_OF = {"yes for this trip": TRIP, "yes for another trip": "another trip"}
TRIPS = {
    (driver, known): TripFacts(
        id=TRIP,
        profile=GUEST if driver == "guest" else "driver",
        kind="guest" if driver == "guest" else "adult" if driver == "adult" else "minor",
        guardian=driver == "minor with a guardian",
        ignition_known=known,
    )
    for driver in DRIVERS
    for known in BOTH
}


@dataclass(slots=True)
class Proof:
    """What was looked at, and where the plan differs from the promise."""

    plans: int = 0
    decisions: int = 0
    live: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        """Whether more would say nothing new."""
        return len(self.broken) >= BROKEN_MAX


def prove(catalogue: Catalogue) -> tuple[str, list[str]]:
    """What was enumerated, in words and figures, and where the plan breaks its promise: at most about BROKEN_MAX places.

    For a catalogue that `modicum check` has passed. About 10 s for the shipped one on a desk computer.
    """
    proof = Proof()
    for service, stream in streams(catalogue):
        enumerate_stream(catalogue, service, stream, proof)
    compared = compare_whole(catalogue, proof)
    told = f"enumerated {proof.decisions} decisions in {proof.plans} plans of single streams, {proof.live} live"
    return f"{told}; {compared} plans of the whole catalogue are the sums of those of its streams", proof.broken


def streams(catalogue: Catalogue) -> Iterator[tuple[str, Stream]]:
    """(service, stream), in the order of a plan."""
    for service, file in sorted(catalogue.services.items()):
        yield from ((service, stream) for stream in file.streams)


def enumerate_stream(catalogue: Catalogue, service: str, stream: Stream, proof: Proof) -> None:
    """Every case of one stream, alone in its catalogue."""
    stage = Stage(catalogue, service, stream)
    for case in stage.cases():
        if proof.enough:
            return
        plan, expected = compiler.compile_plan(stage.inputs(case)), stage.promised(case)
        proof.plans += 1
        proof.decisions += len(expected)
        proof.live += len(plan.rules)
        proof.broken += stage.differences(case, plan, expected)


class Stage:
    """One stream alone in a catalogue, policy versions around it, and the way from a case in words to inputs."""

    def __init__(self, catalogue: Catalogue, service: str, stream: Stream) -> None:
        newest, file = newest_of(catalogue), catalogue.services[service]
        self.service, self.stream, self.name = service, stream, f"{service}.{stream.id}"
        self.stories, versions = stories_of(newest, stream.purpose)
        self.catalogue = msgspec.structs.replace(
            catalogue,
            services={service: msgspec.structs.replace(file, streams=(stream,))},
            policies={newest.version: newest} if newest is not None else {},
        )
        self.versions = msgspec.structs.replace(self.catalogue, policies=versions)
        described = () if stream.basis == "vital" else stream.signals
        self.subjects = [subject_of(catalogue, service, stream, signal.id) for signal in described]
        needs = NONE.union(*(subject.needs for subject in self.subjects))
        own = {subject.signal for subject in self.subjects if not subject.anyway}
        self.vehicle = frozenset({*own, *needs, SPEED, GEAR, IGNITION, VIN})
        self._grants = {
            (said, driver, policy): self._granted(said, driver, policy)
            for said, driver, policy in itertools.product(SAID, DRIVERS, {story.granted for story in self.stories.values()})
        }

    def cases(self) -> Iterator[Case]:
        """The full product of the stream's own facts; then what is rarer, each with whoever said what.

        Rarer: one signal missing, a history of policies, no restriction of regions, grants of a form that no ledger makes.
        """
        legal = self.stream.basis == "legal"
        asked = SAID if self.stream.basis == "consent" else NOT_YES[:1]
        packages = (None, *self.catalogue.packages)
        usually = [said for said in asked if said not in RARE]
        cars = [car for car in CARS if car != "no VIN" or self.stream.identity == "vin"]
        facts = (packages, BOTH, usually, DRIVERS, (ACCEPTED, NOTHING), RECIPIENTS[:3], BOTH, cars, BOTH if legal else (False,))
        yield from map(Case._make, itertools.product(*facts))
        sold = next((package for subject in self.subjects for package in subject.packages), None)
        for said, driver, clock in itertools.product(asked, DRIVERS, BOTH):
            usual = Case(sold, True, said, driver, ACCEPTED, "allowed", clock, "whole", legal)
            yield from (usual._replace(car=f"no {name}") for name in ("VIN", *sorted(self.vehicle)))
            yield from (usual._replace(policy=policy) for policy in self.stories)
            yield usual._replace(recipient="no restriction")

    def inputs(self, case: Case) -> PlanInputs:
        """The case as the compiler reads it."""
        story = self.stories[case.policy]
        return PlanInputs(
            catalogue=self.catalogue if case.policy in (ACCEPTED, NOTHING) else self.versions,
            mapped=self.mapped(case.car),
            package=case.package,
            services_off=NONE if case.on else frozenset({self.service}),
            grants=self._grants[case.said, case.driver, story.granted],
            acknowledged=story.accepted,
            trip=TRIPS[case.driver, case.car != "no ignition"],
            recipients={} if case.recipient == "unknown" else {self.stream.recipient: "far" if case.recipient == "abroad" else "near"},
            regions=None if case.recipient == "no restriction" else NEAR,
            vin_known=case.car != "no VIN",
            now_ms=NOW_MS,
            trusted=case.clock,
            orders=frozenset({self.name}) if case.ordered else NONE,
        )

    def promised(self, case: Case) -> dict[str, str]:
        """For each signal the reason for which it stays, or "" where it may leave."""
        return {subject.signal: promised(subject, case, self.stories[case.policy]) for subject in self.subjects}

    def mapped(self, car: str) -> frozenset[str]:
        """What this car gives of all that the stream could ask for."""
        missing = IGNITION if car == "no ignition" else car.removeprefix("no ")
        return NONE if car == "bare" else self.vehicle - {missing}

    def _granted(self, said: str, driver: str, policy: str) -> dict[tuple[str, str], Grant]:
        item = self.stream.consent or ""
        who = "somebody" if said.endswith("by somebody else") else GUEST if driver == "guest" else "driver"
        word = said.removesuffix(ANOTHER)
        grant = Grant(item, STATES.get(word, "YES"), who, 7, NOW_MS - 1, UNTIL_MS.get(word), TRIP_OF.get(word), policy)
        others = replace(grant, state="YES", profile="somebody", entry=8, until_ms=NOW_MS + 1)
        said_too = {("somebody", item): others} if said.endswith(ANOTHER) else {}
        return {} if said == "never asked" else {(who, item): grant} | said_too

    def differences(self, case: Case, plan: Plan, expected: Mapping[str, str]) -> list[str]:
        """Where a plan is not what was promised for this case."""
        found = {rule.signal: "" for rule in plan.rules} | {no.signal: no.reason for no in plan.refused}
        if found != expected or len(plan.rules) + len(plan.refused) != len(expected):
            names = sorted(found.keys() | expected.keys())
            told = {name: (_answer(found, name), _answer(expected, name)) for name in names}
            first = next(((name, *pair) for name, pair in told.items() if pair[0] != pair[1]), ("a signal", "twice", "once"))
            return [f"{self.name}: {first[0]}: the plan says {first[1]}, promised is {first[2]} ({case})"]
        live = [subject for subject in self.subjects if not expected[subject.signal]]
        waits = any(waits_for_vin(subject, case, self.stories[case.policy]) for subject in self.subjects)
        asked = (listened_to(live) | ({VIN} if waits else set())) & (self.mapped(case.car) | {PLACE} | {subject.signal for subject in live})
        if plan.wanted.keys() != asked:
            return [f"{self.name}: subscribes to {', '.join(sorted(plan.wanted.keys() ^ asked))} otherwise than promised ({case})"]
        return [f"{self.name}: the rule for {rule.signal} is not what its stream says" for rule in plan.rules if not self.faithful(rule)]

    def faithful(self, rule: Rule) -> bool:
        """Whether a rule says what its stream says and keeps as long as stream, purpose and house allow."""
        stream = self.stream
        signal = next(one for one in stream.signals if one.id == rule.signal)
        said = (rule.service, rule.stream, rule.purpose, rule.basis, rule.identity, rule.recipient, rule.priority, rule.while_)
        meant = (self.service, stream.id, stream.purpose, stream.basis, stream.identity, stream.recipient, stream.priority, stream.while_)
        timing = (rule.every_s, rule.window_s, rule.before_s, rule.after_s, rule.time_floor_s, rule.triggers, rule.fresh_s)
        written = (stream.every_s, stream.window_s, stream.before_s, stream.after_s, stream.time_floor_s, stream.triggers, signal.fresh_s)
        steps = [(step.name, step.argument) for step in rule.transforms]
        same = said == meant and timing == written and steps == [pair for step in signal.transforms for pair in step.items()]
        category = self.catalogue.signals[rule.signal].category
        return same and rule.category == category and rule.keep_s == longest_s(self.catalogue, stream, category)


def _answer(answers: Mapping[str, str], name: str) -> str:
    return answers[name] or "sent" if name in answers else "nothing"


def compare_whole(catalogue: Catalogue, proof: Proof) -> int:
    """Plans of the whole catalogue in which all streams are in the same case; how many."""
    stages = [Stage(catalogue, service, stream) for service, stream in streams(catalogue)]
    done = 0
    for case in _uniform(catalogue):
        if proof.enough:
            break
        inputs = [stage.inputs(case) for stage in stages]
        joined = _joined(catalogue, inputs)
        parts = [compiler.compile_plan(replace(one, mapped=joined.mapped)) for one in inputs]
        done += 1
        if not _is_sum(compiler.compile_plan(joined), parts):
            proof.broken.append(f"the whole catalogue: the plan is not the sum of the plans of its streams ({case})")
    return done


def _uniform(catalogue: Catalogue) -> Iterator[Case]:
    """Cases in which all streams can be at once: who said what for each package, everything else for the largest."""
    for package, said, driver in itertools.product((None, *catalogue.packages), SAID, DRIVERS):
        yield Case(package, True, said, driver, ACCEPTED, "allowed", True, "whole", True)
    largest = max(catalogue.packages, key=lambda name: len(catalogue.packages[name].services), default=None)
    for on, policy, recipient, clock, car in itertools.product(BOTH, (ACCEPTED, NOTHING), RECIPIENTS, BOTH, CARS):
        yield Case(largest, on, "yes", "adult", policy, recipient, clock, car, False)


def _joined(catalogue: Catalogue, inputs: Iterable[PlanInputs]) -> PlanInputs:
    first, *_ = inputs = list(inputs)
    return replace(
        first,
        catalogue=msgspec.structs.replace(catalogue, policies=first.catalogue.policies),
        mapped=NONE.union(*(one.mapped for one in inputs)),
        services_off=NONE.union(*(one.services_off for one in inputs)),
        grants={key: grant for one in inputs for key, grant in one.grants.items()},
        recipients={name: region for one in inputs for name, region in one.recipients.items()},
        orders=NONE.union(*(one.orders for one in inputs)),
    )


def _is_sum(whole: Plan, parts: Iterable[Plan]) -> bool:
    parts = list(parts)
    wanted: dict[str, Demand] = {}
    for name, demand in (item for part in parts for item in part.wanted.items()):
        have = wanted.get(name, demand)
        throttle_ns, timeout_ns = min(have.throttle_ns, demand.throttle_ns), min(have.timeout_ns, demand.timeout_ns)
        wanted[name] = Demand(throttle_ns=throttle_ns, timeout_ns=timeout_ns)
    rules = tuple(rule for part in parts for rule in part.rules)
    refused = tuple(no for part in parts for no in part.refused)
    until_ms = min((part.valid_until_ms for part in parts if part.valid_until_ms is not None), default=None)
    return (whole.rules, whole.refused, whole.wanted, whole.valid_until_ms) == (rules, refused, wanted, until_ms)
