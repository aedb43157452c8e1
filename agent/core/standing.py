"""What of the past may stay: which grants still carry what is buffered, until when, and whose zones are kept. Pure.

Asks only for grants, whoever drives now: what was buffered under one driver's word does not outlive that word because
another sits in the car.
"""

from __future__ import annotations

from agent.catalogue.types import Catalogue, ServiceFile, Stream
from agent.consent.state import Facts, Grant, stands
from agent.policy.versions import stands_since


def next_end(facts: Facts, now_ms: int) -> int | None:
    """When the next dated grant ends, whoever gave it; None without one."""
    ends = (grant.until_ms for grant in facts.grants.values() if grant.state == "YES")
    return min((end for end in ends if end is not None and end > now_ms), default=None)


def standing(facts: Facts, now_ms: int, trusted: bool, trip: str | None) -> dict[str, Grant]:
    """The grants that stand, by their basis reference."""
    return {grant.ref: grant for grant in facts.grants.values() if stands(grant, now_ms, trusted, trip)}


def carries(grant: Grant, stream: str, catalogue: Catalogue, acknowledged: str | None) -> bool:
    """Whether no major change of the policy since the grant touches any part of `service.stream`. Undecidable means no."""
    found = next((one for file, one in streams(catalogue) if f"{file.service.id}.{one.id}" == stream), None)
    if found is None:
        return False
    categories = {catalogue.signals[signal.id].category for signal in found.signals if signal.id in catalogue.signals}
    versions = (catalogue.policies, grant.policy, acknowledged or "")
    return all(stands_since(*versions, found.purpose, category, found.recipient) for category in categories)


def streams(catalogue: Catalogue) -> list[tuple[ServiceFile, Stream]]:
    """Every stream with its service."""
    return [(file, stream) for file in catalogue.services.values() for stream in file.streams]


def zone_owners(catalogue: Catalogue, facts: Facts, live: dict[str, Grant]) -> set[str]:
    """Ids of the profiles with a live grant for a trimmed stream: only theirs are kept."""
    trimmed = {
        stream.consent
        for _, stream in streams(catalogue)
        if any("trim_trip_m" in step for signal in stream.signals for step in signal.transforms)
    }
    names = {grant.profile for grant in live.values() if grant.item in trimmed}
    return {profile.id for profile in facts.profiles.values() if profile.name in names}
