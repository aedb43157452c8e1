"""THE decision: which signal may leave, in which form, for whom, and why every other candidate may not.

`compile_plan` is pure, total and deterministic; `agent.plan.prove` enumerates it against the promise in words. Each candidate
(a signal of a stream) becomes a Rule or a Refusal with exactly one reason, the first that applies in the order of CHECKS.
Whatever cannot be decided is refused, also what `modicum check` would have refused before. The emergency call is not decided
here: no rule ever comes from its service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec

from agent.catalogue.check_streams import EMERGENCY_SERVICE, MARKETING
from agent.catalogue.types import DURATION, ServiceFile, Stream, StreamSignal, duration_s
from agent.consent.state import Grant
from agent.limits import POSITION_KEEP_S_MAX
from agent.model import Demand, Plan, Refusal, Rule, Transform
from agent.plan.inputs import PlanInputs
from agent.plan.needs import EACH, GUARD, demand_of, helpful, merged, required, trim_m
from agent.plan.standing import carried, places, zoned
from agent.policy.versions import stands_since
from agent.vss import IGNITION, LOCATION, SPEED, VIN, VOLTAGE

ENDS = frozenset({"trip_end", "ignition_off"})
"""Triggers that the ignition tells."""
REASONS = ("no_package", "switched_off", "policy", "no_consent", "expired", "profile", "not_on_vehicle", "no_recipient", "region")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One signal of one stream, before the decision."""

    service: ServiceFile
    stream: Stream
    signal: StreamSignal

    @property
    def name(self) -> str:
        """`service.stream`"""
        return f"{self.service.service.id}.{self.stream.id}"


Verdict = tuple[str, bool] | None
"""A reason with whether it is lasting (model.Refusal), or None: nothing against it. What rests on a grant ends with that grant alone."""


def compile_plan(inputs: PlanInputs) -> Plan:
    """The plan that follows from `inputs`."""
    rules: list[Rule] = []
    refused: list[Refusal] = []
    ends_ms: list[int] = []
    wanted: dict[str, Demand] = {IGNITION: EACH} if IGNITION in inputs.mapped else {}
    if inputs.guards_battery and VOLTAGE in inputs.mapped:
        wanted[VOLTAGE] = GUARD
    for candidate in candidates(inputs):
        against, verdict = next(((check, found) for check in CHECKS if (found := check(candidate, inputs))), (None, None))
        ends_ms += _ends_ms(candidate, inputs)
        if verdict is None:
            rules.append(rule_of(candidate, inputs))
            _want(wanted, candidate, inputs)
        else:
            refused.append(_refusal(candidate, *verdict))
        if against in (None, identified) and candidate.stream.identity == "vin" and VIN in inputs.mapped:
            wanted[VIN] = EACH  # what is lacking may come; what was seen may turn out to be another car's
    body = msgspec.json.encode([rules, refused, sorted(wanted.items())], order="deterministic")
    return Plan(
        id=hashlib.sha256(b"modicum/plan/1" + body).digest()[:8],
        rules=tuple(rules),
        refused=tuple(refused),
        wanted=wanted,
        valid_until_ms=min(ends_ms, default=None),
        ended=frozenset(no.name for no in refused if no.lasting) - {rule.name for rule in rules},
        carried=carried(inputs),
        zoned=zoned(inputs),
        places=places(inputs.catalogue),
    )


def candidates(inputs: PlanInputs) -> Iterator[Candidate]:
    """Every signal of every stream, in the order of service, stream and signal; never the emergency call's."""
    for name, service in sorted(inputs.catalogue.services.items()):
        if EMERGENCY_SERVICE in (name, service.service.id):
            continue
        for stream in service.streams:
            if stream.basis != "vital":
                for signal in stream.signals:
                    yield Candidate(service, stream, signal)


def entitled(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """The owner's package contains the service, or every package does."""
    head = candidate.service.service
    package = inputs.catalogue.packages.get(inputs.package) if inputs.package is not None else None
    if head.in_every_package or (package is not None and head.id in package.services):
        return None
    return "no_package", True


def switched_on(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """The driver has not switched the service off."""
    return ("switched_off", True) if candidate.service.service.id in inputs.services_off else None


def basis_stands(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """Contract stands with the policy; consent needs this driver's own live grant; legal duty a valid order.

    What is sensitive leaves on no other basis than consent (R23).
    """
    basis = candidate.stream.basis
    if basis != "consent" and _sensitive(candidate, inputs):
        return "no_consent", True
    if basis == "legal":
        return None if candidate.name in inputs.orders else ("no_consent", True)
    return _grant_stands(candidate, inputs) if basis == "consent" else None


def _grant_stands(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    item = candidate.stream.consent
    if item is None or item not in inputs.catalogue.items:
        return "no_consent", True
    grant = inputs.grants.get((inputs.trip.profile, item))
    if grant is None or grant.state != "YES":
        unasked = grant is None or grant.state == "NOT_SET"
        elsewhere = any(other.state == "YES" for (_, it), other in inputs.grants.items() if it == item)
        return ("profile" if unasked and elsewhere else "no_consent"), False
    alone = inputs.trip.kind == "minor" and not inputs.trip.guardian
    if inputs.trip.kind == "guest" or (alone and _sensitive(candidate, inputs)):
        return "profile", False
    if not _same_policy(candidate, inputs, grant):
        return "policy", False
    return _in_time(grant, inputs)


def _same_policy(candidate: Candidate, inputs: PlanInputs, grant: Grant) -> bool:
    """Nothing of what the grant was given for has changed majorly since; not so where the versions cannot be put in order."""
    stream = candidate.stream
    named = (stream.purpose, _category(candidate, inputs), stream.recipient)
    return stands_since(inputs.catalogue.policies, grant.policy, inputs.acknowledged or "", *named)


def _in_time(grant: Grant, inputs: PlanInputs) -> Verdict:
    """The grant's end, dated or the trip's, has not come. Without a believed clock a date cannot be decided."""
    if grant.trip is not None:
        stands = grant.trip == inputs.trip.id
    else:
        stands = grant.until_ms is not None and inputs.trusted and inputs.now_ms < grant.until_ms
    return None if stands else ("expired", False)


def in_policy(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """Purpose, category and recipient stand in the acknowledged policy; legal duty needs none.

    Nothing is covered for a purpose that the catalogue does not declare or that is marketing, nor a signal without a class (R01, R17).
    """
    purpose = inputs.catalogue.purposes.get(candidate.stream.purpose)
    if purpose is None or purpose.dpv in MARKETING or candidate.signal.id not in inputs.catalogue.signals:
        return "policy", True
    if candidate.stream.basis == "legal":
        return None
    if not inputs.catalogue.policies:
        return None if inputs.acknowledged is not None else ("policy", True)
    policy = inputs.catalogue.policies.get(inputs.acknowledged or "")
    if policy is None:
        return "policy", True
    named = (
        candidate.stream.purpose in policy.purposes
        and _category(candidate, inputs) in policy.categories
        and candidate.stream.recipient in policy.recipients
    )
    return None if named else ("policy", True)


def reachable(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """The recipient has a key, in a region that is allowed."""
    return reach(candidate.stream.recipient, inputs)


def reach(recipient: str, inputs: PlanInputs) -> Verdict:
    """Whether anything at all may go there."""
    region = inputs.recipients.get(recipient)
    if region is None:
        return "no_recipient", False
    return None if inputs.regions is None or region in inputs.regions else ("region", False)


def on_vehicle(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """The vehicle gives the signal and everything that its triggers, `while` and trimming have to know."""
    stream = candidate.stream
    told_by_ignition = stream.while_ != "any" or not ENDS.isdisjoint(stream.triggers)
    needs_ignition = told_by_ignition or trim_m(stream) is not None or _sensitive(candidate, inputs)
    missing = (
        not inputs.has(candidate.signal.id)
        or (needs_ignition and not inputs.trip.ignition_known)
        or any(not inputs.has(signal) and signal != SPEED for signal in required(stream, inputs.catalogue))
    )
    return ("not_on_vehicle", False) if missing else None


def identified(candidate: Candidate, inputs: PlanInputs) -> Verdict:
    """The car is known to be the one whose VIN the stream would carry."""
    return ("not_on_vehicle", False) if candidate.stream.identity == "vin" and not inputs.vin_known else None


CHECKS: tuple[Callable[[Candidate, PlanInputs], Verdict], ...] = (
    entitled,
    switched_on,
    basis_stands,
    in_policy,
    reachable,
    on_vehicle,
    identified,
)


def _refusal(candidate: Candidate, reason: str, lasting: bool) -> Refusal:
    service = candidate.service.service.id
    return Refusal(service=service, stream=candidate.stream.id, signal=candidate.signal.id, reason=reason, lasting=lasting)


def rule_of(candidate: Candidate, inputs: PlanInputs) -> Rule:
    """The rule of a candidate that nothing speaks against."""
    stream, service = candidate.stream, candidate.service.service
    grant = inputs.grants.get((inputs.trip.profile, stream.consent or ""))
    ref, because = _because(candidate, inputs, grant)
    rule = Rule(
        id="",
        service=service.id,
        stream=stream.id,
        purpose=stream.purpose,
        category=_category(candidate, inputs),
        sensitive=_sensitive(candidate, inputs),
        basis=stream.basis,
        basis_ref=ref,
        signal=candidate.signal.id,
        every_s=stream.every_s,
        window_s=stream.window_s,
        before_s=stream.before_s,
        after_s=stream.after_s,
        time_floor_s=stream.time_floor_s,
        while_=stream.while_,
        triggers=stream.triggers,
        transforms=tuple(Transform(name=name, argument=value) for step in candidate.signal.transforms for name, value in step.items()),
        trim_m=trim_m(stream),
        fresh_s=candidate.signal.fresh_s,
        identity=stream.identity,
        recipient=stream.recipient,
        priority=stream.priority,
        keep_s=_keep_s(candidate, inputs),
        policy=inputs.acknowledged or "",
        profile=inputs.trip.profile if stream.basis == "consent" else "",
        because=because,
    )
    digest = hashlib.sha256(msgspec.json.encode(rule, order="deterministic")).hexdigest()[:8]
    return replace(rule, id=f"{candidate.name}/{rule.signal}#{digest}")


def _because(candidate: Candidate, inputs: PlanInputs, grant: Grant | None) -> tuple[str, str]:
    """The basis reference that records carry, and the sentence that `explain` shows."""
    policy = inputs.acknowledged or "none shipped"
    if candidate.stream.basis == "consent" and grant is not None:
        return grant.ref, f"{grant.profile} granted {grant.item} (ledger entry {grant.entry}) under policy {grant.policy or policy}"
    if candidate.stream.basis == "legal":
        return f"order:{candidate.name}", f"a signed order for {candidate.name}"
    return f"policy:{inputs.acknowledged or ''}", f"the contract, with policy {policy} acknowledged"


def _category(candidate: Candidate, inputs: PlanInputs) -> str:
    """The signal's class; the receiver's position is one, whatever a catalogue calls it."""
    declared = inputs.catalogue.signals.get(candidate.signal.id)
    return "position" if candidate.signal.id == LOCATION else declared.category if declared is not None else ""


def _sensitive(candidate: Candidate, inputs: PlanInputs) -> bool:
    """Sensitive is the signal (a position always is), or the item that the stream rests on. Unknown counts as sensitive."""
    declared = inputs.catalogue.signals.get(candidate.signal.id)
    item = inputs.catalogue.items.get(candidate.stream.consent or "")
    marked = declared is None or declared.sensitive or _category(candidate, inputs) == "position"
    return marked or (item is not None and item.sensitive)


def _keep_s(candidate: Candidate, inputs: PlanInputs) -> float:
    """The shortest of what stream, purpose and house allow. 0: lives in RAM only (`ram`, or no term that could be read)."""
    purpose = inputs.catalogue.purposes.get(candidate.stream.purpose)
    terms = [candidate.stream.keep, purpose.max_keep if purpose is not None else ""]
    keep_s = min(duration_s(term) if DURATION.match(term) else 0 for term in terms)
    return min(keep_s, POSITION_KEEP_S_MAX) if _category(candidate, inputs) == "position" else keep_s


def _want(wanted: dict[str, Demand], candidate: Candidate, inputs: PlanInputs) -> None:
    """Adds what the bus has to tell for this rule."""
    stream = candidate.stream
    asked = {candidate.signal.id: demand_of(stream, candidate.signal.transforms)}
    for needs in (required(stream, inputs.catalogue), helpful(stream)):
        for signal, demand in needs.items():
            asked[signal] = merged(asked.get(signal), demand)
    for signal, demand in asked.items():
        if inputs.has(signal):
            wanted[signal] = merged(wanted.get(signal), demand)


def _ends_ms(candidate: Candidate, inputs: PlanInputs) -> list[int]:
    """When the verdict on this candidate changes by itself: the end of the dated grant that nothing before it speaks against."""
    grant = inputs.grants.get((inputs.trip.profile, candidate.stream.consent or ""))
    if candidate.stream.basis != "consent" or grant is None or grant.trip is not None or grant.until_ms is None:
        return []
    spoken_against = any(check(candidate, inputs) for check in (entitled, switched_on, basis_stands))
    return [] if spoken_against else [grant.until_ms]
