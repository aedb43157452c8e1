"""What of the past may stay: which grants still carry what is buffered, until when, and whose trim zones are kept. Pure.

Asks only for grants, whoever drives now: what was buffered under one driver's word does not outlive that word because
another sits in the car.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.catalogue.types import Catalogue, Stream
from agent.consent.state import Grant, stands
from agent.model import Plan
from agent.plan.inputs import PlanInputs
from agent.plan.needs import trim_m
from agent.policy.versions import stands_since

LEDGER, NOTICE = "ledger", "policy"
"""Kinds of basis references that end: a grant of the ledger, an acknowledged version."""


def keeps(plan: Plan, stream: str, basis_ref: str) -> bool:
    """Whether what is buffered of `service.stream` on this basis may stay."""
    ends = basis_ref.partition(":")[0] in (LEDGER, NOTICE)
    return stream not in plan.ended and (not ends or stream in plan.carried.get(basis_ref, ()))


def carried(inputs: PlanInputs) -> dict[str, frozenset[str]]:
    """For each grant that stands and each policy version, by basis reference, the streams whose records it still carries."""
    named = list(streams(inputs.catalogue))
    by_grant: dict[str, frozenset[str]] = {}
    for grant in _standing(inputs):
        mine = (name for name, stream in named if stream.consent == grant.item and _unchanged(grant, stream, inputs))
        by_grant[grant.ref] = by_grant.get(grant.ref, frozenset()).union(mine)
    versions = {*inputs.catalogue.policies, inputs.acknowledged or ""}
    return by_grant | {
        f"{NOTICE}:{version}": frozenset(name for name, stream in named if _covered(stream, version, inputs)) for version in versions
    }


def zoned(inputs: PlanInputs) -> frozenset[str]:
    """Profiles with a standing grant for a trimmed stream: only their trim zones are kept."""
    trimmed = {stream.consent for _, stream in streams(inputs.catalogue) if trim_m(stream) is not None}
    return frozenset(grant.profile for grant in _standing(inputs) if grant.item in trimmed)


def places(catalogue: Catalogue) -> frozenset[str]:
    """Streams that carry a position without being asked for it in person: none of theirs is kept with the ignition off."""
    return frozenset(name for name, stream in streams(catalogue) if "position" in _categories(stream, catalogue) and not on_request(stream))


def on_request(stream: Stream) -> bool:
    """Whether somebody in the car can ask for it. The emergency call is asked for elsewhere."""
    return stream.basis != "vital" and any(trigger.startswith("request:") for trigger in stream.triggers)


def next_end_ms(grants: Mapping[tuple[str, str], Grant], now_ms: int) -> int | None:
    """When the next dated grant ends, whoever gave it; None without one."""
    ends = (grant.until_ms for grant in grants.values() if grant.state == "YES")
    return min((end for end in ends if end is not None and end > now_ms), default=None)


def streams(catalogue: Catalogue) -> Iterator[tuple[str, Stream]]:
    """Every stream by its full name."""
    return ((f"{file.service.id}.{stream.id}", stream) for file in catalogue.services.values() for stream in file.streams)


def _standing(inputs: PlanInputs) -> Iterator[Grant]:
    return (grant for grant in inputs.grants.values() if stands(grant, inputs.now_ms, inputs.trusted, inputs.trip.id))


def _unchanged(grant: Grant, stream: Stream, inputs: PlanInputs) -> bool:
    """Whether no change of the policy since the grant touches any part of the stream. Undecidable means no."""
    categories = _categories(stream, inputs.catalogue)
    versions = (inputs.catalogue.policies, grant.policy, inputs.acknowledged or "")
    same = all(stands_since(*versions, stream.purpose, category, stream.recipient) for category in categories)
    return same and _covered(stream, grant.policy, inputs)


def _covered(stream: Stream, version: str, inputs: PlanInputs) -> bool:
    """Whether the acknowledged version still names all that `version` named of the stream, so that no record holds more."""
    if version == inputs.acknowledged:
        return True
    then, now = inputs.catalogue.policies.get(version), inputs.catalogue.policies.get(inputs.acknowledged or "")
    if then is None or now is None:
        return False
    named = {stream.purpose} <= {*now.purposes} and {stream.recipient} <= {*now.recipients}
    return named and _categories(stream, inputs.catalogue) & {*then.categories} <= {*now.categories}


def _categories(stream: Stream, catalogue: Catalogue) -> set[str]:
    return {catalogue.signals[signal.id].category for signal in stream.signals if signal.id in catalogue.signals}
