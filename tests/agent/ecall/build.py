"""Minimum sets of data for tests: one that is like the shared vectors, and any that can be written."""

from __future__ import annotations

import random
from typing import Any

from agent.ecall import msd as form
from agent.ecall.msd import AdditionalData, Msd

VIN = "WMWTESTCAR0000001"


def msd(version: int = 3, **changed: Any) -> Msd:
    """A passenger car that crashed in Beijing, on its way east."""
    usual: dict[str, Any] = {
        "message_identifier": 1,
        "automatic_activation": True,
        "test_call": False,
        "position_can_be_trusted": True,
        "vehicle_type": 1,
        "vin": VIN,
        "propulsion": frozenset({"gasolineTankPresent"}),
        "timestamp_s": 1_700_000_000,
        "latitude_mas": 143_646_840,
        "longitude_mas": 419_093_280,
        "vehicle_direction": 45,
        "recent_n1": (-12, 7),
        "recent_n2": (-11, 9),
        "number_of_occupants": 2,
    }
    return Msd(version=version, **(usual | changed))


def any_msd(source: random.Random) -> Msd:
    """Every version and every field, its limits more often than chance would have them."""
    version = source.choice(form.VERSIONS)

    def number(low: int, high: int, *special: int) -> int:
        return source.choice((low, high, source.randint(low, high), source.randint(low, high), *special))

    def delta() -> form.Delta | None:
        there = version == 3 or source.random() < 0.7
        return (number(form.DELTA_MIN, form.DELTA_MAX), number(form.DELTA_MIN, form.DELTA_MAX)) if there else None

    storages = form.STORAGES[:6] if version == 1 else form.STORAGES
    return Msd(
        version=version,
        message_identifier=number(0, form.ID_MAX),
        automatic_activation=source.random() < 0.5,
        test_call=source.random() < 0.5,
        position_can_be_trusted=source.random() < 0.5,
        vehicle_type=number(1, 23 if version == 3 else 13),
        vin="".join(source.choices(form.VIN_ALPHABET, k=form.VIN_LENGTH)),
        propulsion=frozenset(source.sample(storages, source.randint(0, len(storages)))),
        timestamp_s=number(0, form.TIMESTAMP_S_MAX),
        latitude_mas=number(-form.LATITUDE_MAS_MAX, form.LATITUDE_MAS_MAX, form.UNKNOWN_MAS),
        longitude_mas=number(-form.LONGITUDE_MAS_MAX, form.LONGITUDE_MAS_MAX, form.UNKNOWN_MAS),
        vehicle_direction=number(0, form.DIRECTION_MAX, form.DIRECTION_UNKNOWN),
        recent_n1=delta(),
        recent_n2=delta(),
        number_of_occupants=number(0, form.OCCUPANTS_MAX) if source.random() < 0.7 else None,
        additional_data=_additional(source) if source.random() < 0.4 else None,
    )


def _additional(source: random.Random) -> AdditionalData:
    arcs = [source.choice((0, 1, 8, 127, 128, 16_383, 2_000_000)) for _ in range(source.randint(1, 4))]
    return AdditionalData(".".join(map(str, arcs)), source.randbytes(source.randint(0, 94)))
