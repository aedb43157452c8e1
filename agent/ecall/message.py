"""From what is known of the vehicle and of the call to the message's octets.

Promises octets whatever is known: a fact that cannot be said is left out or called unknown, for a message that lacks one is worth
more than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.ecall import msd as form
from agent.ecall.msd import Msd, MsdError, encode
from agent.ecall.positions import Location

STORAGE_OF: Mapping[str, str] = {
    "gasoline": "gasolineTankPresent",
    "diesel": "dieselTankPresent",
    "cng": "compressedNaturalGas",
    "lpg": "liquidPropaneGas",
    "electric": "electricEnergyStorage",
    "hydrogen": "hydrogenStorage",
    "other": "otherStorage",
}
"""`propulsion` of vehicle.toml -> EN 15722's member."""
VIN_UNKNOWN = "0" * form.VIN_LENGTH
CAR = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every message of this vehicle says. `version`: of EN 15722. `vehicle_type`: 1 is a passenger car (M1)."""

    vin: str = field(default=VIN_UNKNOWN, repr=False)
    propulsion: tuple[str, ...] = ()
    vehicle_type: int = CAR
    version: int = 3


def storages(propulsion: tuple[str, ...], version: int) -> frozenset[str]:
    """As the version names them; what it cannot name is other storage, or in version 1 left out."""
    known = form.STORAGES[:6] if version == 1 else form.STORAGES
    return frozenset(name for one in propulsion if (name := STORAGE_OF.get(one, STORAGE_OF["other"])) in known)


def octets_of(facts: Facts, kind: str, identifier: int, incident_s: int, location: Location) -> bytes:
    """The message. `kind`: automatic, manual or test."""
    msd = Msd(
        version=facts.version,
        message_identifier=identifier,
        automatic_activation=kind == "automatic",
        test_call=kind == "test",
        position_can_be_trusted=location.trusted,
        vehicle_type=facts.vehicle_type,
        vin=facts.vin,
        propulsion=storages(facts.propulsion, facts.version),
        timestamp_s=incident_s if 0 <= incident_s <= form.TIMESTAMP_S_MAX else 0,
        latitude_mas=location.latitude_mas,
        longitude_mas=location.longitude_mas,
        vehicle_direction=location.direction,
        recent_n1=location.recent_n1,
        recent_n2=location.recent_n2,
    )
    try:
        return encode(msd)
    except MsdError:
        return encode(_mended(msd))


def _mended(msd: Msd) -> Msd:
    """What of a vehicle's own facts can be said after all."""
    sayable = re.fullmatch(f"[{form.VIN_ALPHABET}]{{{form.VIN_LENGTH}}}", msd.vin)
    return replace(msd, vin=msd.vin if sayable else VIN_UNKNOWN, vehicle_type=CAR, propulsion=frozenset())
