"""Two ASN.1 compilers that know nothing of ours: what EN 15722's types give, typed in from the table of fields, in UPER.

asn1tools knows no RELATIVE-OID and does not look into CONTAINING: there the identifier is an octet string of its arcs, which is the
same on the wire, and the message is made in two steps. Nor does it know a range with a hole; it gets the whole one, of the same width.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import asn1tools  # type: ignore[import-untyped]  # it ships no types
from pycrate_asn1c import asnproc  # type: ignore[import-untyped]  # it ships no types

from agent.ecall.msd import STORAGES, VERSIONS, AdditionalData, Msd

CARS = {1: 13, 2: 13, 3: 23}
VIN_PARTS = (("isowmi", 3), ("isovds", 6), ("isovisModelyear", 1), ("isovisSeqPlant", 7))


def module(version: int, oid: str) -> str:
    """The types of a version. `oid`: as what the identifier of additional data is declared."""
    storages = STORAGES[:6] if version == 1 else STORAGES
    letters = '"A".."H" | "J".."N" | "P" | "R".."Z" | "0".."9"'
    parts = ", ".join(f"{name} PrintableString (SIZE ({size})) (FROM ({letters}))" for name, size in VIN_PARTS)
    direction = "INTEGER (0..179 | 255)" if version == 3 and oid == "RELATIVE-OID" else "INTEGER (0..255)"
    optional, people = ("", "numberOfOccupants") if version == 3 else (" OPTIONAL", "numberOfPassengers")
    top = "MSDMessage" if version == 1 else "OCTET STRING (CONTAINING MSDMessage)" if oid == "RELATIVE-OID" else "OCTET STRING"
    return f"""ECall{version} DEFINITIONS AUTOMATIC TAGS ::= BEGIN
    ECallMessage ::= SEQUENCE {{ msdVersion INTEGER (0..255), msd {top} }}
    MSDMessage ::= SEQUENCE {{ msdStructure MSDStructure, optionalAdditionalData AdditionalData OPTIONAL, ... }}
    AdditionalData ::= SEQUENCE {{ oid {oid}, data OCTET STRING }}
    MSDStructure ::= SEQUENCE {{
        messageIdentifier INTEGER (0..255), control Control, vin VIN, propulsion Propulsion, timestamp INTEGER (0..4294967295),
        location Location, direction {direction}, n1 Delta{optional}, n2 Delta{optional}, {people} INTEGER (0..255) OPTIONAL, ... }}
    Control ::= SEQUENCE {{ automaticActivation BOOLEAN, testCall BOOLEAN, positionCanBeTrusted BOOLEAN, vehicleType VehicleType }}
    VehicleType ::= ENUMERATED {{ {", ".join(f"type{number}({number})" for number in range(1, CARS[version] + 1))}, ... }}
    VIN ::= SEQUENCE {{ {parts} }}
    Propulsion ::= SEQUENCE {{ {", ".join(f"{name} BOOLEAN DEFAULT FALSE" for name in storages)}, ... }}
    Location ::= SEQUENCE {{ latitude INTEGER (-2147483648..2147483647), longitude INTEGER (-2147483648..2147483647) }}
    Delta ::= SEQUENCE {{ latitude INTEGER (-512..511), longitude INTEGER (-512..511) }}
    END"""


@cache
def _asn1tools(version: int) -> Any:
    return asn1tools.compile_string(module(version, "OCTET STRING"), "uper")


@cache
def _pycrate() -> Any:
    """The module that its compiler writes for all versions."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        asnproc.GLOBAL.clear()
        asnproc.compile_text([module(version, "RELATIVE-OID") for version in VERSIONS])
        written = Path(folder) / "ecall.py"
        asnproc.PycrateGenerator(str(written))
        names: dict[str, Any] = {"__name__": "ecall_by_pycrate"}
        exec(compile(written.read_text(), str(written), "exec"), names)
    return names


def _arc_octets(oid: str) -> bytes:
    """In base 128, written here a second time on purpose."""
    octets = b""
    for arc in map(int, oid.split(".")):
        digits = [arc >> shift & 0x7F for shift in range(0, max(arc.bit_length(), 1), 7)]
        octets += bytes(digit | (0x80 if place else 0) for place, digit in reversed(list(enumerate(digits))))
    return octets


def _structure(msd: Msd) -> dict[str, Any]:
    vin, at = {}, 0
    for name, size in VIN_PARTS:
        vin[name], at = msd.vin[at : at + size], at + size
    found: dict[str, Any] = {
        "messageIdentifier": msd.message_identifier,
        "control": {
            "automaticActivation": msd.automatic_activation,
            "testCall": msd.test_call,
            "positionCanBeTrusted": msd.position_can_be_trusted,
            "vehicleType": f"type{msd.vehicle_type}",
        },
        "vin": vin,
        "propulsion": dict.fromkeys(msd.propulsion, True),
        "timestamp": msd.timestamp_s,
        "location": {"latitude": msd.latitude_mas, "longitude": msd.longitude_mas},
        "direction": msd.vehicle_direction,
    }
    for name, delta in (("n1", msd.recent_n1), ("n2", msd.recent_n2)):
        if delta is not None:
            found[name] = {"latitude": delta[0], "longitude": delta[1]}
    if msd.number_of_occupants is not None:
        found["numberOfOccupants" if msd.version == 3 else "numberOfPassengers"] = msd.number_of_occupants
    return found


def by_asn1tools(msd: Msd) -> bytes:
    """The octets; out of range is refused."""
    message: dict[str, Any] = {"msdStructure": _structure(msd)}
    if msd.additional_data is not None:
        message["optionalAdditionalData"] = {"oid": _arc_octets(msd.additional_data.oid), "data": msd.additional_data.data}
    types = _asn1tools(msd.version)
    inner = message if msd.version == 1 else types.encode("MSDMessage", message, check_constraints=True)
    return bytes(types.encode("ECallMessage", {"msdVersion": msd.version, "msd": inner}, check_constraints=True))


def by_pycrate(msd: Msd) -> bytes:
    """The octets."""
    message: dict[str, Any] = {"msdStructure": _structure(msd)}
    if msd.additional_data is not None:
        arcs = tuple(map(int, msd.additional_data.oid.split(".")))
        message["optionalAdditionalData"] = {"oid": arcs, "data": msd.additional_data.data}
    whole = _pycrate()[f"ECall{msd.version}"].ECallMessage
    whole.set_val({"msdVersion": msd.version, "msd": message if msd.version == 1 else ("MSDMessage", message)})
    return bytes(whole.to_uper())


def read_by_asn1tools(octets: bytes) -> Msd:
    """What the octets say; whatever the compiler raises where they say nothing. Only for versions that there are."""
    version = octets[0]
    types = _asn1tools(version)
    message = types.decode("ECallMessage", octets)["msd"]
    if version != 1:
        message = types.decode("MSDMessage", message)
    said, additional = message["msdStructure"], message.get("optionalAdditionalData")
    control, people = said["control"], said.get("numberOfOccupants" if version == 3 else "numberOfPassengers")
    n1, n2 = ((said[name]["latitude"], said[name]["longitude"]) if name in said else None for name in ("n1", "n2"))
    kind = control["vehicleType"]
    return Msd(
        version=version,
        message_identifier=said["messageIdentifier"],
        automatic_activation=control["automaticActivation"],
        test_call=control["testCall"],
        position_can_be_trusted=control["positionCanBeTrusted"],
        vehicle_type=None if kind is None else int(kind.removeprefix("type")),
        vin="".join(said["vin"][name] for name, _ in VIN_PARTS),
        propulsion=frozenset(name for name, present in said["propulsion"].items() if present),
        timestamp_s=said["timestamp"],
        latitude_mas=said["location"]["latitude"],
        longitude_mas=said["location"]["longitude"],
        vehicle_direction=said["direction"],
        recent_n1=n1,
        recent_n2=n2,
        number_of_occupants=people,
        additional_data=None if additional is None else AdditionalData(_oid(additional["oid"]), additional["data"]),
    )


def _oid(octets: bytes) -> str:
    arcs, arc = [], 0
    for octet in octets:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    return ".".join(map(str, arcs))
