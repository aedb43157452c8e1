"""What a core is made of, and what it brings to the decision of a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.audit import Audit
from agent.buffer.store import Buffer
from agent.catalogue.types import Catalogue
from agent.clock import Clock
from agent.collect.respond import Responder
from agent.collect.trip import Trip
from agent.consent.ledger import Ledger
from agent.consent.state import GUEST
from agent.core.power import Power
from agent.core.recipients import Recipient
from agent.model import Reading
from agent.plan.inputs import PlanInputs, TripFacts
from agent.seal.keyring import Keyring
from agent.storage.memory import MemoryStore
from agent.vehicle import Vehicle, usable
from agent.vss import IGNITION, VIN

NS_PER_MS = 1_000_000
VIN_CHARS_MIN = 6
"""Fewer would let too many cars pass: the last six are the serial number (ISO 3779)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a core is made of.

    `sole_driver`: a profile that is confirmed for every trip (replay and `plan` only). `compare_vin`: whether the bus has to agree.
    `power`: when the device may go. `kept`: whether what is written outlives the program; not in RAM only.
    """

    catalogue: Catalogue
    vehicle: Vehicle
    clock: Clock
    keyring: Keyring
    ledger: Ledger
    audit: Audit
    buffer: Buffer
    memory: MemoryStore
    recipients: Mapping[str, Recipient]
    regions: frozenset[str] | None
    vin: str | None
    prefix: str
    new_id: Callable[[], str]
    responder: Responder
    sole_driver: str | None = None
    compare_vin: bool = True
    policies_folder: Path = Path()
    power: Power = field(default_factory=Power)
    kept: bool = True


@dataclass(slots=True)
class Situation:
    """The facts that stand in no ledger: what the vehicle gives, and whether the bus named the configured VIN (None: not yet)."""

    parts: Parts
    given: frozenset[str] = field(init=False)
    vin_holds: bool | None = None

    def __post_init__(self) -> None:
        self.given, _ = usable(self.parts.vehicle, self.parts.catalogue.units())

    def inputs(self, trip: Trip, driver: str) -> PlanInputs:
        """Everything that a decision is made from, now, for whoever this is."""
        parts, facts = self.parts, self.parts.ledger.facts()
        profile = facts.profiles.get(driver)
        known = trip.ignition is not None or (IGNITION in self.given and not trip.ignition_lost)
        return PlanInputs(
            catalogue=parts.catalogue,
            mapped=self.given,
            package=facts.package,
            services_off=facts.services_off,
            grants=facts.grants,
            acknowledged=facts.policy,
            trip=TripFacts(
                id=trip.id,
                profile=profile.name if profile else GUEST,
                kind=profile.kind if profile else "guest",
                guardian=profile is not None and profile.guardian is not None,
                ignition_known=known,
            ),
            recipients={name: recipient.region for name, recipient in parts.recipients.items()},
            regions=parts.regions,
            vin_known=self.vin_known(),
            now_ms=parts.clock.now_ns() // NS_PER_MS,
            trusted=parts.clock.trusted(),
            guards_battery=parts.power.low_v is not None,
        )

    def vin_known(self) -> bool:
        """Configured and, where the bus tells a VIN, told to be that one: a unit moved to another car must not speak for the first."""
        if VIN not in self.given or not self.parts.compare_vin:
            return self.parts.vin is not None
        return bool(self.vin_holds)

    def compare(self, readings: list[Reading]) -> bool:
        """Looks whether the bus names the configured VIN; whether that changed. Some cars tell only its last characters."""
        told = next((reading.value for reading in readings if reading.signal == VIN), None)
        if not isinstance(told, str) or self.parts.vin is None:
            return False
        held, self.vin_holds = self.vin_holds, len(told) >= VIN_CHARS_MIN and self.parts.vin.endswith(told)
        return held != self.vin_holds
