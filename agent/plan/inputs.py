"""Everything that the decision is made from, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.catalogue.types import Catalogue
from agent.consent.state import GUEST, Grant
from agent.vss import GNSS_SIGNALS


@dataclass(frozen=True, slots=True, kw_only=True)
class TripFacts:
    """Who is driving, as far as this trip confirmed it. `guardian`: a reference that was verified."""

    id: str | None = None
    profile: str = GUEST
    kind: Literal["adult", "minor", "guest"] = "guest"
    guardian: bool = False
    ignition_known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """The argument of `compile_plan`.

    `mapped`: signals that the vehicle's files give. `recipients`: name -> region of those that have a key.
    `regions` None: no restriction is configured (a replay). `orders`: streams with a valid signed order.
    `vin_known`: the VIN is configured and, where the vehicle's bus tells one, was heard to be this.
    `trusted`: whether `now_ms` may be believed; a dated grant cannot be decided otherwise, so it does not count.
    `guards_battery`: whether the device goes before the battery is empty, and so has to hear its voltage.
    """

    catalogue: Catalogue
    mapped: frozenset[str]
    package: str | None
    services_off: frozenset[str]
    grants: Mapping[tuple[str, str], Grant]
    acknowledged: str | None
    trip: TripFacts
    recipients: Mapping[str, str]
    regions: frozenset[str] | None
    vin_known: bool
    now_ms: int
    trusted: bool
    orders: frozenset[str] = frozenset()
    guards_battery: bool = False

    def has(self, signal: str) -> bool:
        """Whether the signal can exist on this vehicle."""
        declared = self.catalogue.signals.get(signal)
        return signal in self.mapped or signal in GNSS_SIGNALS or (declared is not None and declared.source == "agent")
