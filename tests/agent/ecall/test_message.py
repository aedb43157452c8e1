"""agent.ecall.message: octets whatever is known of the vehicle."""

from __future__ import annotations

import pytest

from agent.ecall.message import VIN_UNKNOWN, Facts, octets_of, storages
from agent.ecall.msd import UNKNOWN_MAS, Msd, decode
from agent.ecall.positions import Location
from tests.agent.ecall.build import VIN

NOWHERE = Location(UNKNOWN_MAS, UNKNOWN_MAS, False, 255, (0, 0), (0, 0))
SOMEWHERE = Location(143_646_840, 419_093_280, True, 45, (-12, 7), (-11, 9))


def made(facts: Facts, kind: str = "automatic", incident_s: int = 1_700_000_000, where: Location = SOMEWHERE) -> Msd:
    return decode(octets_of(facts, kind, 1, incident_s, where))


def test_the_known_message_of_the_vectors() -> None:
    """The same facts as the published one, without occupants."""
    octets = octets_of(Facts(vin=VIN, propulsion=("gasoline",)), "automatic", 1, 1_700_000_000, SOMEWHERE)
    said = decode(bytes.fromhex("0324101A03AABAD1CCB4614C00000000002816553F100888FE07898FADB202D7D2077D609020"))
    assert decode(octets).vin == said.vin
    assert (decode(octets).latitude_mas, decode(octets).recent_n2) == (said.latitude_mas, said.recent_n2)


@pytest.mark.parametrize(("kind", "automatic", "test"), [("automatic", True, False), ("manual", False, False), ("test", False, True)])
def test_the_kind_of_call_is_said(kind: str, automatic: bool, test: bool) -> None:
    """Two bits."""
    assert (made(Facts(vin=VIN), kind).automatic_activation, made(Facts(vin=VIN), kind).test_call) == (automatic, test)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    ("propulsion", "expected"),
    [
        ((), set()),
        (("gasoline", "electric"), {"gasolineTankPresent", "electricEnergyStorage"}),
        (("hydrogen",), {"hydrogenStorage"}),
        (("steam",), {"otherStorage"}),
    ],
)
def test_storages_are_named_as_the_version_can(version: int, propulsion: tuple[str, ...], expected: set[str]) -> None:
    """Version 1 has no word for another storage."""
    expected = expected - {"otherStorage"} if version == 1 else expected
    assert storages(propulsion, version) == expected
    assert made(Facts(vin=VIN, propulsion=propulsion, version=version)).propulsion == expected


@pytest.mark.parametrize("vin", ["", "short", "WMWTESTCAR000000O", "wmwtestcar0000001", "W" * 18])
def test_a_vehicle_without_a_number_still_sends(vin: str) -> None:
    """Seventeen zeros."""
    assert made(Facts(vin=vin)).vin == VIN_UNKNOWN


@pytest.mark.parametrize("vehicle_type", [0, 14, 24, -1])
def test_a_kind_of_vehicle_that_no_message_can_say_is_a_car(vehicle_type: int) -> None:
    """Version 2 knows 13 of them."""
    assert made(Facts(vin=VIN, vehicle_type=vehicle_type, version=2)).vehicle_type == 1


@pytest.mark.parametrize("incident_s", [-1, 2**32])
def test_a_moment_that_no_message_can_say_is_unknown(incident_s: int) -> None:
    """As where the clock had failed."""
    assert made(Facts(vin=VIN), incident_s=incident_s).timestamp_s == 0


def test_nothing_known_is_a_message_too() -> None:
    """Neither vehicle, nor time, nor place."""
    assert made(Facts(), incident_s=0, where=NOWHERE).latitude_mas == UNKNOWN_MAS
