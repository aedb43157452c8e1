"""The minimum set of data (EN 15722), versions 1 (2011), 2 (2015) and 3 (2020).

Owns its fields, their ranges and their bits. Encodes canonically; decodes also what others send: members that are false yet
written out, additions of later editions, filling at the end. Promises that nothing out of range is written or accepted, whatever the
octets are, and at most BYTES_MAX octets. Standard library and the tree of errors only, so that it starts at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from agent.ecall.uper import BitsError, Reader, Writer
from agent.errors import UsageError

BYTES_MAX = 140
VIN_ALPHABET = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
"""ISO 3779, in the order of ASCII, which is the order of their numbers on the wire; six bits each."""
VIN_LENGTH, VIN_BITS = 17, 6
LATITUDE_MAS_MAX, LONGITUDE_MAS_MAX, UNKNOWN_MAS = 324_000_000, 648_000_000, 2_147_483_647
MAS_PER_DEG = 3_600_000
DIRECTION_MAX, DIRECTION_UNKNOWN = 179, 255
"""Steps of two degrees, clockwise from north."""
DELTA_MIN, DELTA_MAX = -512, 511
"""Of an earlier position, in steps of 100 milliarcseconds (3 m)."""
ID_MAX, OCCUPANTS_MAX, TIMESTAMP_S_MAX = 255, 255, 4_294_967_295
STORAGES = (
    "gasolineTankPresent",
    "dieselTankPresent",
    "compressedNaturalGas",
    "liquidPropaneGas",
    "electricEnergyStorage",
    "hydrogenStorage",
    "otherStorage",
)
OID = re.compile(r"\d{1,10}(\.\d{1,10}){0,15}")
Delta = tuple[int, int]
"""North and east."""


class MsdError(UsageError):
    """`field` of a minimum set of data cannot be written, or the octets are none."""

    def __init__(self, field: str, what: str, hint: str = "") -> None:
        super().__init__(f"{field}: {what}" if field else what, "MSD", hint)
        self.field = field


class AdditionalData(NamedTuple):
    """`oid`: relative, its arcs with dots; `data`: as registered under it."""

    oid: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Msd:
    """One minimum set of data. Names and meanings are those of EN 15722.

    `vehicle_type` counts from 1 (M1); None: one that a later edition added. `timestamp_s`: of the incident, since 1970; 0: the clock
    failed. `latitude_mas`, `longitude_mas`: WGS-84 milliarcseconds, or UNKNOWN_MAS. `vehicle_direction`: two degrees, or
    DIRECTION_UNKNOWN. `recent_n1` is relative to the position, `recent_n2` to `recent_n1`; version 3 always has both.
    """

    version: int
    message_identifier: int
    automatic_activation: bool
    test_call: bool
    position_can_be_trusted: bool
    vehicle_type: int | None
    vin: str
    propulsion: frozenset[str]
    timestamp_s: int
    latitude_mas: int
    longitude_mas: int
    vehicle_direction: int = DIRECTION_UNKNOWN
    recent_n1: Delta | None = None
    recent_n2: Delta | None = None
    number_of_occupants: int | None = None
    additional_data: AdditionalData | None = None


class _Layout(NamedTuple):
    """What the versions do differently. `contained`: the message lies in an octet string of its own."""

    vehicle_types: int
    vehicle_type_bits: int
    storages: tuple[str, ...]
    recent_optional: bool
    contained: bool


_LAYOUTS = {
    1: _Layout(13, 4, STORAGES[:6], recent_optional=True, contained=False),
    2: _Layout(13, 4, STORAGES, recent_optional=True, contained=True),
    3: _Layout(23, 5, STORAGES, recent_optional=False, contained=True),
}
VERSIONS = tuple(_LAYOUTS)


# -- what is right ----------------------------------------------------------------------------------------------------


def check(msd: Msd) -> None:
    """Raises MsdError, which names the field as EN 15722 does, for what no message of this version can carry."""
    layout = _layout(msd.version)
    _ranged("messageIdentifier", msd.message_identifier, 0, ID_MAX)
    if msd.vehicle_type is not None:
        _ranged("vehicleType", msd.vehicle_type, 1, layout.vehicle_types)
    if len(msd.vin) != VIN_LENGTH or not set(msd.vin) <= set(VIN_ALPHABET):
        raise MsdError("vin", f"not {VIN_LENGTH} characters of 0-9 and A-Z without I, O and Q")
    if unknown := msd.propulsion - set(layout.storages):
        raise MsdError("propulsion", f"{', '.join(sorted(unknown))} is not in version {msd.version}", f"use {', '.join(layout.storages)}")
    _ranged("timestamp", msd.timestamp_s, 0, TIMESTAMP_S_MAX)
    _ranged("latitude_mas", msd.latitude_mas, -LATITUDE_MAS_MAX, LATITUDE_MAS_MAX, UNKNOWN_MAS)
    _ranged("longitude_mas", msd.longitude_mas, -LONGITUDE_MAS_MAX, LONGITUDE_MAS_MAX, UNKNOWN_MAS)
    _ranged("vehicleDirection", msd.vehicle_direction, 0, DIRECTION_MAX, DIRECTION_UNKNOWN)
    for field, delta in (("recentVehicleLocationN1", msd.recent_n1), ("recentVehicleLocationN2", msd.recent_n2)):
        if delta is None and not layout.recent_optional:
            raise MsdError(field, f"version {msd.version} needs it", "0, 0 says that none is known")
        for part in delta or ():
            _ranged(field, part, DELTA_MIN, DELTA_MAX)
    if msd.number_of_occupants is not None:
        _ranged("numberOfOccupants", msd.number_of_occupants, 0, OCCUPANTS_MAX)


def _layout(version: int) -> _Layout:
    if version not in _LAYOUTS:
        raise MsdError("version", f"{version} is none of {', '.join(map(str, VERSIONS))}")
    return _LAYOUTS[version]


def _ranged(field: str, value: int, low: int, high: int, special: int | None = None) -> None:
    if not (low <= value <= high or value == special):
        beside = "" if special is None else f", or {special} for unknown"
        raise MsdError(field, f"{value} is out of range", f"use {low} to {high}{beside}")


# -- to octets --------------------------------------------------------------------------------------------------------


def encode(msd: Msd) -> bytes:
    """The canonical octets, from the version on. Raises MsdError for what `check` refuses and for more than BYTES_MAX octets."""
    check(msd)
    if msd.vehicle_type is None:
        raise MsdError("vehicleType", "missing", f"use 1 to {_LAYOUTS[msd.version].vehicle_types}; 1 is a passenger car (M1)")
    message = Writer()
    if _LAYOUTS[msd.version].contained:
        _put_message(message, msd)
        whole = Writer()
        whole.put(msd.version, 8)
        whole.put_octets(message.octets())
    else:
        message.put(msd.version, 8)
        _put_message(message, msd)
        whole = message
    octets = whole.octets()
    if len(octets) > BYTES_MAX:
        raise MsdError("additionalData", f"the message has {len(octets)} bytes", f"at most {BYTES_MAX} are allowed")
    return octets


def _put_message(bits: Writer, msd: Msd) -> None:
    layout = _LAYOUTS[msd.version]
    bits.put(0, 1)
    bits.put(msd.additional_data is not None, 1)
    bits.put(0, 1)
    if layout.recent_optional:
        bits.put(msd.recent_n1 is not None, 1)
        bits.put(msd.recent_n2 is not None, 1)
    bits.put(msd.number_of_occupants is not None, 1)
    bits.put(msd.message_identifier, 8)
    _put_control(bits, msd, layout)
    for letter in msd.vin:
        bits.put(VIN_ALPHABET.index(letter), VIN_BITS)
    _put_propulsion(bits, msd, layout)
    bits.put(msd.timestamp_s, 32)
    bits.put(msd.latitude_mas + 2**31, 32)
    bits.put(msd.longitude_mas + 2**31, 32)
    bits.put(msd.vehicle_direction, 8)
    for delta in (msd.recent_n1, msd.recent_n2):
        for part in delta or ():
            bits.put(part - DELTA_MIN, 10)
    if msd.number_of_occupants is not None:
        bits.put(msd.number_of_occupants, 8)
    if msd.additional_data is not None:
        bits.put_octets(_arcs(msd.additional_data.oid))
        bits.put_octets(msd.additional_data.data)


def _put_control(bits: Writer, msd: Msd, layout: _Layout) -> None:
    assert msd.vehicle_type is not None
    for flag in (msd.automatic_activation, msd.test_call, msd.position_can_be_trusted):
        bits.put(flag, 1)
    bits.put(0, 1)
    bits.put(msd.vehicle_type - 1, layout.vehicle_type_bits)


def _put_propulsion(bits: Writer, msd: Msd, layout: _Layout) -> None:
    """A member that is false is left out, as the canonical form of a default asks."""
    bits.put(0, 1)
    present = [storage in msd.propulsion for storage in layout.storages]
    for one in present:
        bits.put(one, 1)
    for _ in filter(None, present):
        bits.put(1, 1)


def _arcs(oid: str) -> bytes:
    """A relative object identifier (X.690, 8.20): each arc in base 128."""
    if not OID.fullmatch(oid):
        raise MsdError("additionalData", f"oid {oid!r} is no relative object identifier", "write its arcs with dots: 1.4.1")
    octets = bytearray()
    for arc in map(int, oid.split(".")):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(digits))
    return bytes(octets)


# -- from octets ------------------------------------------------------------------------------------------------------


def decode(octets: bytes) -> Msd:
    """What the octets say. Raises MsdError, and nothing else, where they are no minimum set of data."""
    try:
        msd = _decode(octets)
    except BitsError as error:
        raise MsdError("", f"no minimum set of data: {error}", "give all its bytes, from the version on") from error
    check(msd)
    return msd


def _decode(octets: bytes) -> Msd:
    if len(octets) > BYTES_MAX:
        raise BitsError(f"{len(octets)} bytes where at most {BYTES_MAX} are allowed")
    whole = Reader(octets)
    version = whole.take(8)
    if not _layout(version).contained:
        return _take_message(whole, version)
    message = Reader(whole.take_octets())
    whole.end()
    return _take_message(message, version)


def _take_message(bits: Reader, version: int) -> Msd:
    layout = _LAYOUTS[version]
    extended, has_additional = bits.flag(), bits.flag()
    msd = _take_structure(bits, version, layout)
    if has_additional:
        msd = replace(msd, additional_data=AdditionalData(_oid(bits.take_octets()), bits.take_octets()))
    if extended:
        bits.skip_additions()
    bits.end()
    return msd


def _take_structure(bits: Reader, version: int, layout: _Layout) -> Msd:
    extended = bits.flag()
    has_n1, has_n2 = (bits.flag(), bits.flag()) if layout.recent_optional else (True, True)
    has_occupants = bits.flag()
    msd = Msd(
        version=version,
        message_identifier=bits.take(8),
        automatic_activation=bits.flag(),
        test_call=bits.flag(),
        position_can_be_trusted=bits.flag(),
        vehicle_type=_take_vehicle_type(bits, layout),
        vin="".join(map(_letter, (bits.take(VIN_BITS) for _ in range(VIN_LENGTH)))),
        propulsion=_take_propulsion(bits, layout),
        timestamp_s=bits.take(32),
        latitude_mas=bits.take(32) - 2**31,
        longitude_mas=bits.take(32) - 2**31,
        vehicle_direction=bits.take(8),
        recent_n1=_take_delta(bits) if has_n1 else None,
        recent_n2=_take_delta(bits) if has_n2 else None,
        number_of_occupants=bits.take(8) if has_occupants else None,
    )
    if extended:
        bits.skip_additions()
    return msd


def _take_vehicle_type(bits: Reader, layout: _Layout) -> int | None:
    if bits.flag():
        bits.skip_small()
        return None
    return bits.take(layout.vehicle_type_bits) + 1


def _letter(number: int) -> str:
    if number >= len(VIN_ALPHABET):
        raise MsdError("vin", "a character that no such number has")
    return VIN_ALPHABET[number]


def _take_propulsion(bits: Reader, layout: _Layout) -> frozenset[str]:
    extended = bits.flag()
    written = [bits.flag() for _ in layout.storages]
    found = frozenset(name for name, one in zip(layout.storages, written, strict=True) if one and bits.flag())
    if extended:
        bits.skip_additions()
    return found


def _take_delta(bits: Reader) -> Delta:
    return bits.take(10) + DELTA_MIN, bits.take(10) + DELTA_MIN


def _oid(octets: bytes) -> str:
    arcs, arc, begun = list[int](), 0, False
    for octet in octets:
        if octet == 0x80 and not begun:
            raise MsdError("additionalData", "an arc of its oid begins with nothing")
        arc, begun = arc << 7 | octet & 0x7F, octet >= 0x80
        if not begun:
            arcs.append(arc)
            arc = 0
    oid = ".".join(map(str, arcs))
    if begun or not OID.fullmatch(oid):
        raise MsdError("additionalData", "its oid is none")
    return oid
