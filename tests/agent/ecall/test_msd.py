"""agent.ecall.msd: the octets of EN 15722, both ways, against published bytes and against two compilers that do not know ours."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from agent.ecall.msd import BYTES_MAX, UNKNOWN_MAS, AdditionalData, Msd, MsdError, check, decode, encode
from agent.ecall.uper import Reader, Writer
from tests.agent.ecall import oracles
from tests.agent.ecall.build import VIN, any_msd, msd

MESSAGES, FLIPPED = 20_000, 6_000
EXAMPLE = Msd(
    version=1,
    message_identifier=1,
    automatic_activation=True,
    test_call=False,
    position_can_be_trusted=True,
    vehicle_type=1,
    vin="WM9VDSVDSYA123456",
    propulsion=frozenset({"gasolineTankPresent", "electricEnergyStorage"}),
    timestamp_s=123_456_789,
    latitude_mas=173_881_200,
    longitude_mas=41_822_520,
    vehicle_direction=14,
    recent_n1=(10, -10),
    recent_n2=(10, -20),
    number_of_occupants=2,
    additional_data=AdditionalData("1.2.125", bytes.fromhex("30304646")),
)
"""Printed in EN 15722:2011 (its WMI is an erratum there: the alphabet has no I)."""
SIERRA = Msd(
    version=2,
    message_identifier=1,
    automatic_activation=True,
    test_call=False,
    position_can_be_trusted=True,
    vehicle_type=1,
    vin="ECALLEXAMPLE02013",
    propulsion=frozenset({"gasolineTankPresent"}),
    timestamp_s=1_367_878_452,
    latitude_mas=18_859_320,
    longitude_mas=187_996_428,
    vehicle_direction=45,
    recent_n1=(0, 10),
    recent_n2=(0, 30),
    number_of_occupants=2,
)
"""Printed by a modem's maker beside its bytes, which write the members out that are false."""
NO_FIX: dict[str, Any] = {
    "automatic_activation": False,
    "position_can_be_trusted": False,
    "propulsion": frozenset({"electricEnergyStorage"}),
    "timestamp_s": 0,
    "latitude_mas": UNKNOWN_MAS,
    "longitude_mas": UNKNOWN_MAS,
    "vehicle_direction": 255,
    "recent_n1": (0, 0),
    "recent_n2": (0, 0),
    "number_of_occupants": None,
}
CANONICAL = {
    "015C0681D54970D65C3597CA0420C41464583ADE68AC52E9BB8413F149C07414FB414F6010180813E82181823230": EXAMPLE,
    "02241C0681D55D68E65A30A60000000000140B2A9F8804447F03C4C7D6D9016BE903BEB04810": msd(2),
    "0324101A03AABAD1CCB4614C00000000002816553F100888FE07898FADB202D7D2077D609020": msd(3),
    "0323001003AABAD1CCB4614C000000000020900000000FFFFFFFFFFFFFFFFFF80200802000": msd(3, **NO_FIX),
}
AS_OTHERS_WRITE = {
    "015C0681D54970D65C3597CA0420C41467F103ADE68AC52E9BB8413F149C07414FB414F6010180813E821818232300": EXAMPLE,
    "02251C0680E30A51439E2955D43800800437F80A3105669023F8A71166932185B004150043C040": SIERRA,
}


@pytest.mark.parametrize(("octets", "said"), CANONICAL.items())
def test_published_octets_are_read_and_written(octets: str, said: Msd) -> None:
    """The printed example, and three that independent encoders agree on."""
    assert decode(bytes.fromhex(octets)) == said
    assert encode(said).hex().upper() == octets


@pytest.mark.parametrize(("octets", "said"), AS_OTHERS_WRITE.items())
def test_what_other_encoders_write_is_read(octets: str, said: Msd) -> None:
    """Members that are false yet written out, and zeros after the end; ours is shorter."""
    assert decode(bytes.fromhex(octets)) == said
    assert len(encode(said)) < len(octets) / 2


def test_additional_data_that_end_too_early_are_refused() -> None:
    """As published in another project's tests."""
    with pytest.raises(MsdError, match="ends too early"):
        decode(bytes.fromhex("014C0780A64D29259760170A2CC34E3D051B184861EBA0C8FF737E6420D104013F8100"))


def test_two_other_encoders_write_the_same_octets() -> None:
    """Of 20,000 messages of all versions; what is longer than allowed is refused by its name. All are read back."""
    source, long = random.Random(15_722), 0
    for _ in range(MESSAGES):
        said = any_msd(source)
        octets = oracles.by_asn1tools(said)
        assert oracles.by_pycrate(said) == octets
        if len(octets) > BYTES_MAX:
            long += 1
            with pytest.raises(MsdError, match="additionalData"):
                encode(said)
        else:
            assert encode(said) == octets
            assert decode(octets) == said
    assert 0 < long < MESSAGES / 100


def test_what_is_cut_off_anywhere_is_refused() -> None:
    """At every octet, of every version and with everything that is optional."""
    source = random.Random(3)
    for octets in [*map(encode, (msd(1), msd(2), msd(3), EXAMPLE)), *(encode(said) for said in _short(source, 200))]:
        for length in range(len(octets)):
            with pytest.raises(MsdError):
                decode(octets[:length])


def test_flipped_bits_are_read_as_another_reads_them_or_refused() -> None:
    """Never anything but MsdError, never a value out of range: each bit of a message, and some of many at random."""
    source = random.Random(7)
    whole = [encode(said) for said in (msd(1), msd(2), msd(3), EXAMPLE)]
    broken = [_flip(octets, [bit]) for octets in whole for bit in range(8 * len(octets))]
    some = [encode(said) for said in _short(source, FLIPPED)]
    broken += [_flip(octets, source.sample(range(8 * len(octets)), source.randint(1, 4))) for octets in some]
    accepted = 0
    for octets in broken:
        try:
            said = decode(octets)
        except MsdError:
            continue
        accepted += 1
        check(said)
        assert oracles.read_by_asn1tools(octets) == said
    assert 0 < accepted < len(broken)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_refused_or_in_range(seed: int) -> None:
    """Random octets of every length."""
    source = random.Random(seed)
    for length in range(BYTES_MAX + 20):
        octets = bytes([source.choice((1, 2, 3, source.randrange(256)))]) + source.randbytes(length)
        try:
            check(decode(octets))
        except MsdError:
            continue


@pytest.mark.parametrize("version", [1, 2, 3])
def test_additions_of_a_later_edition_are_passed_over(version: int) -> None:
    """Of the structure, of the storages, of the kinds of vehicle and of the message: what we know is read."""
    octets = _later(version)
    read = decode(octets)
    assert read == replace(msd(version), vehicle_type=None)
    assert oracles.read_by_asn1tools(octets) == read


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("version", {"version": 4}),
        ("version", {"version": 0}),
        ("messageIdentifier", {"message_identifier": 256}),
        ("messageIdentifier", {"message_identifier": -1}),
        ("vehicleType", {"vehicle_type": 0}),
        ("vehicleType", {"vehicle_type": 24}),
        ("vehicleType", {"version": 2, "vehicle_type": 14}),
        ("vehicleType", {"vehicle_type": None}),
        ("vin", {"vin": "WMWTESTCAR000000"}),
        ("vin", {"vin": "WMWTESTCAR000000O"}),
        ("vin", {"vin": "wmwtestcar0000001"}),
        ("propulsion", {"propulsion": frozenset({"steam"})}),
        ("propulsion", {"version": 1, "propulsion": frozenset({"otherStorage"})}),
        ("timestamp", {"timestamp_s": 2**32}),
        ("timestamp", {"timestamp_s": -1}),
        ("latitude_mas", {"latitude_mas": 324_000_001}),
        ("latitude_mas", {"latitude_mas": -324_000_001}),
        ("longitude_mas", {"longitude_mas": 648_000_001}),
        ("longitude_mas", {"longitude_mas": UNKNOWN_MAS - 1}),
        ("vehicleDirection", {"vehicle_direction": 180}),
        ("vehicleDirection", {"vehicle_direction": 254}),
        ("recentVehicleLocationN1", {"recent_n1": (512, 0)}),
        ("recentVehicleLocationN1", {"recent_n1": None}),
        ("recentVehicleLocationN2", {"recent_n2": (0, -513)}),
        ("recentVehicleLocationN2", {"recent_n2": None}),
        ("numberOfOccupants", {"number_of_occupants": 256}),
        ("additionalData", {"additional_data": AdditionalData("1..2", b"")}),
        ("additionalData", {"additional_data": AdditionalData("", b"")}),
        ("additionalData", {"additional_data": AdditionalData("1.4", bytes(BYTES_MAX))}),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_name(field: str, changed: dict[str, Any]) -> None:
    """Never wrapped, never cut: the field as EN 15722 calls it."""
    with pytest.raises(MsdError) as refused:
        encode(replace(msd(3), **changed))
    assert refused.value.field == field


def test_the_longest_message_is_as_long_as_allowed() -> None:
    """One octet more of additional data is refused."""
    for version in (1, 2, 3):
        free = BYTES_MAX - len(encode(msd(version, additional_data=AdditionalData("8.1", b""))))
        free -= version != 1  # a length above 127 takes a second octet
        assert len(encode(msd(version, additional_data=AdditionalData("8.1", bytes(free))))) == BYTES_MAX
        with pytest.raises(MsdError, match="additionalData"):
            encode(msd(version, additional_data=AdditionalData("8.1", bytes(free + 1))))


def test_a_number_of_the_vehicle_with_a_letter_that_none_has_is_refused() -> None:
    """Six bits carry 64 characters, the alphabet has 33."""
    octets = bytearray(encode(msd(3)))
    bits = int.from_bytes(octets)
    shift = 8 * len(octets) - 16 - 4 - 8 - 3 - 6 - 6  # version, length, preamble, identifier, control; the first character
    broken = (bits & ~(0x3F << shift) | 33 << shift).to_bytes(len(octets))
    with pytest.raises(MsdError, match="vin"):
        decode(broken)


def test_what_is_written_says_nothing_of_the_vehicle_in_an_error() -> None:
    """An error may be logged; a number that names a vehicle may not."""
    with pytest.raises(MsdError) as refused:
        encode(msd(3, vin=VIN[:-1] + "O"))
    assert VIN[:-1] not in str(refused.value)


def _short(source: random.Random, count: int) -> list[Msd]:
    """Messages that are short enough."""
    return [said for said in (any_msd(source) for _ in range(count)) if said.additional_data is None or len(said.additional_data.data) < 60]


def _flip(octets: bytes, bits: list[int]) -> bytes:
    number = int.from_bytes(octets)
    for bit in bits:
        number ^= 1 << bit
    return number.to_bytes(len(octets))


def _later(version: int) -> bytes:
    """`msd(version)` as an edition would write it that has more of everything."""
    usual = Reader(encode(msd(version)))
    usual.take(8 if version == 1 else 16)
    bits = Writer()
    preamble = 4 if version == 3 else 6
    before = usual.take(preamble)
    bits.put(before | 1 << preamble - 1 | 1 << preamble - 3, preamble)  # both sequences are extended
    bits.put(usual.take(8 + 3), 8 + 3)
    usual.take(6 if version == 3 else 5)
    bits.put(0b1_0_000010, 8)  # a kind of vehicle that is the third of the later ones
    bits.put(usual.take(102), 102)
    storages = usual.take(8 if version > 1 else 7)
    width = 8 if version > 1 else 7
    bits.put(storages | 1 << width - 1, width)
    bits.put(usual.take(1), 1)
    _put_additions(bits, b"s")
    rest = 32 * 3 + 8 + 40 + 8
    bits.put(usual.take(rest), rest)
    _put_additions(bits, b"structure")
    _put_additions(bits, b"message")
    if version == 1:
        return bytes([1]) + bits.octets()
    return bytes([version, len(bits.octets())]) + bits.octets()


def _put_additions(bits: Writer, data: bytes) -> None:
    """Two, of which the second is there."""
    bits.put(0b0_000001, 7)
    bits.put(0b01, 2)
    bits.put_octets(data)
