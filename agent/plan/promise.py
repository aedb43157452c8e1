"""The promise of the plan, in words: what may leave the car, and else the reason why not.

A table written from the documents (docs/design.md, docs/adding.md), kept apart from the compiler on purpose: it calls nothing of
it, shares no constant with it, and is what `agent.plan.prove` holds the compiler against. Must never be used to decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from agent.catalogue.types import Catalogue, Policy, Stream

SPEED, GEAR, IGNITION = "Vehicle.Speed", "Vehicle.Powertrain.Transmission.SelectedGear", "Vehicle.LowVoltageSystemState"
ODOMETER, VIN, PLACE = "Vehicle.TraveledDistance", "Vehicle.VehicleIdentification.VIN", "Vehicle.CurrentLocation"
RECEIVER = frozenset({PLACE, "Vehicle.CurrentLocation.Heading", "Vehicle.CurrentLocation.Speed"})
NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
POSITION_S_MAX = 7 * 86_400
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

YES = ("yes", "yes for this trip")
NOT_YES = ("never asked", "withdrawn", "no", "in the vehicle only", "no by somebody else", "no, though another said yes")
ANOTHERS = ("yes by somebody else", "withdrawn, though another said yes")
OVER = ("yes until now", "yes for another trip", "yes without an end")
SAID = (*NOT_YES, *YES, *ANOTHERS, *OVER)
DRIVERS = ("guest", "adult", "minor", "minor with a guardian")
RECIPIENTS = ("allowed", "abroad", "unknown", "no restriction")
CARS = ("whole", "bare", "no ignition", "no VIN")
ACCEPTED, NOTHING = "accepted", "nothing accepted"


class Case(NamedTuple):
    """One combination, in words. `car`: one of CARS, or "no SIGNAL". `policy`: a key of `stories_of`."""

    package: str | None
    on: bool
    said: str
    driver: str
    policy: str
    recipient: str
    clock: bool
    car: str
    ordered: bool


class Subject(NamedTuple):
    """What the documents say of one signal of one stream.

    `packages`: those that contain it, None among them where every car does. `named`: which of purpose, category and recipient the
    newest policy names. `anyway`: exists on every vehicle. `vin`, `ignition`: has to be known. `moving`: speed and gear are listened
    to where there are any. `trimmed`: the place is listened to. `needs`: what its triggers have to know.
    """

    signal: str
    packages: frozenset[str | None]
    basis: str
    sensitive: bool
    named: frozenset[str]
    anyway: bool
    vin: bool
    ignition: bool
    moving: bool
    trimmed: bool
    needs: frozenset[str]


class Story(NamedTuple):
    """What happened between policies: the version that is accepted, and the one under which the grant was given.

    `names`: whether the accepted one can name anything. `changed`: what a major change between the two touches: "purpose",
    "category", "recipient" or "everything"; "" for nothing.
    """

    accepted: str | None
    granted: str
    names: bool = True
    changed: str = ""


def promised(subject: Subject, case: Case, story: Story) -> str:  # noqa: C901, PLR0911, PLR0912  a table, one line a promise
    """The reason for which the signal stays in the car, or "" where it may leave. The first that applies, in this order."""
    if case.package not in subject.packages:
        return "no_package"  # the owner has not bought it
    if not case.on:
        return "switched_off"  # the driver does not want the service
    if subject.basis == "consent":
        if case.said in NOT_YES:
            return "no_consent"  # only YES lets data leave
        if case.said in ANOTHERS or case.driver == "guest":
            return "profile"  # a grant counts for the one who gave it; a guest has none
        if case.driver == "minor" and subject.sensitive:
            return "profile"  # not without the guardian's reference
        if story.changed == "everything" or story.changed in subject.named:
            return "policy"  # a major change has touched it since
        if case.said in OVER or (case.said == "yes" and not case.clock):
            return "expired"  # over, or nobody knows
    elif subject.sensitive:
        return "no_consent"  # sensitive data need a say of their own
    elif subject.basis == "legal" and not case.ordered:
        return "no_consent"  # no valid order
    if subject.basis != "legal" and not (story.names and len(subject.named) == 3):
        return "policy"  # the accepted notice does not name it, or none is accepted
    if case.recipient == "unknown":
        return "no_recipient"
    if case.recipient == "abroad":
        return "region"
    own = subject.anyway or case.car not in ("bare", f"no {subject.signal}")
    needed = not subject.needs or (case.car != "bare" and case.car not in {f"no {name}" for name in subject.needs})
    known = not (subject.vin and case.car == "no VIN") and not (subject.ignition and case.car == "no ignition")
    return "" if own and needed and known else "not_on_vehicle"


def listened_to(live: Iterable[Subject]) -> set[str]:
    """What may be subscribed to for these: themselves, what decides about them, and the ignition in any case."""
    asked = {IGNITION}
    for subject in live:
        asked |= {subject.signal} | subject.needs | ({SPEED, GEAR} if subject.moving else set())
        asked |= ({VIN} if subject.vin else set()) | ({PLACE} if subject.trimmed else set())
    return asked


def waits_for_vin(subject: Subject, case: Case, story: Story) -> bool:
    """Whether nothing but the bus's word that this is the right car is lacking: then that word is listened for."""
    return subject.vin and case.car == "no VIN" and not promised(subject, case._replace(car="whole"), story)


def longest_s(catalogue: Catalogue, stream: Stream, category: str) -> int:
    """How long a record may stay: what stream and purpose say, a position at most seven days. 0: never on disk."""
    terms = (stream.keep, catalogue.purposes[stream.purpose].max_keep)
    keep_s = min(0 if term == "ram" else int(term[:-1]) * SECONDS[term[-1]] for term in terms)
    return min(keep_s, POSITION_S_MAX) if category == "position" else keep_s


def newest_of(catalogue: Catalogue) -> Policy | None:
    """The version that a driver is asked to accept; None where the catalogue has none, which counts as accepted."""
    return max(catalogue.policies.values(), key=lambda policy: (str(policy.effective), policy.version), default=None)


def subject_of(catalogue: Catalogue, service: str, stream: Stream, signal: str) -> Subject:
    """The signal of a stream of a catalogue that `modicum check` has passed."""
    declared, item, newest = catalogue.signals[signal], catalogue.items.get(stream.consent or ""), newest_of(catalogue)
    everywhere = catalogue.services[service].service.in_every_package
    packages = [name for name, package in catalogue.packages.items() if everywhere or service in package.services]
    sensitive = declared.sensitive or declared.category == "position" or (item is not None and item.sensitive)
    lists = {} if newest is None else {"purpose": newest.purposes, "category": newest.categories, "recipient": newest.recipients}
    own = {"purpose": stream.purpose, "category": declared.category, "recipient": stream.recipient}
    trimmed = any("trim_trip_m" in step for one in stream.signals for step in one.transforms)
    anyway = RECEIVER | {name for name, other in catalogue.signals.items() if other.source == "agent"}
    needs = {name for trigger in stream.triggers for name in _needed_by(catalogue, trigger)}
    return Subject(
        signal=signal,
        packages=frozenset([*packages, None] if everywhere else packages),
        basis=stream.basis,
        sensitive=sensitive,
        named=frozenset(key for key, value in own.items() if newest is None or value in lists[key]),
        anyway=signal in anyway,
        vin=stream.identity == "vin",
        ignition=sensitive or trimmed or stream.while_ != "any" or bool({"trip_end", "ignition_off"} & {*stream.triggers}),
        moving=trimmed or stream.while_ == "driving",
        trimmed=trimmed,
        needs=frozenset(needs - anyway - {SPEED}),
    )


def _needed_by(catalogue: Catalogue, trigger: str) -> list[str]:
    """What a trigger has to know. (Speed is known on every vehicle, if need be from the receiver.)"""
    if trigger.startswith("distance:"):
        return [ODOMETER]
    event = catalogue.events.get(trigger.removeprefix("event:"))
    if event is None:
        return []
    return NAME.findall(re.sub(r'"[^"]*"', "", f"{event.when} {event.recent.when if event.recent else ''}"))


def stories_of(newest: Policy | None, purpose: str) -> tuple[dict[str, Story], dict[str, Policy]]:
    """What can have happened between policies: around the newest version, others are made up before and after it."""
    if newest is None:
        only = "the only one"
        return {ACCEPTED: Story(only, only), NOTHING: Story(None, only, names=False, changed="everything")}, {}
    now = newest.version
    made: dict[str, Policy] = {now: newest}

    def another(version: str, effective: str, **changes: object) -> str:
        made[version] = msgspec.structs.replace(newest, version=version, effective=effective, **changes)
        return version

    other_contact = another("after, contact", "9999-01-02", contact=f"not {newest.contact}")
    only_own = another("before, own", "0001-02-01", purposes=tuple(name for name in newest.purposes if name == purpose))
    stories = {
        ACCEPTED: Story(now, now),
        NOTHING: Story(None, now, names=False, changed="everything"),
        "the same again": Story(another("after, same", "9999-01-01"), now),
        "another contact": Story(other_contact, now, changed="everything"),
        "granted before other purposes were added": Story(now, only_own),
        "granted under a later version": Story(now, "after, same", changed="everything"),
        "granted under a lost version": Story(now, "lost", changed="everything"),
        "a lost version accepted": Story("lost", "lost", names=False),
    }
    lists = {"purpose": "purposes", "category": "categories", "recipient": "recipients"}
    for day, (one, key) in enumerate(lists.items(), 3):
        without = another(f"after, no {one}", f"9999-01-0{day}", **{key: ()})
        before = another(f"before, no {one}", f"0001-01-0{day}", **{key: ()})
        stories[f"no {one} named any more"] = Story(without, without, names=False)
        stories[f"granted before the {one} was added"] = Story(now, before, changed=one)
    return stories, made
