"""What betrays an emergency call, in every form in which it could be lying around: its message, the vehicle, the place.

A number of EN 15722 begins at any bit of a byte: of its bits at each of the eight offsets the whole bytes are looked for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from agent.ecall.msd import MAS_PER_DEG, VIN_ALPHABET, VIN_BITS
from tests.support.markers import Place, Planted, Spelling, spelled_text

OFFSET = 1 << 31
"""UPER writes a number from its lowest value on."""


def spelled_call(vin: str, place: Place, *messages: bytes) -> list[Spelling]:
    """All of them. `place`: latitude and longitude in degrees; `messages`: octets of EN 15722."""
    known = [one for one in Planted(vin=vin, places=(place,)).spelled() if one.marker == "vin" or one.marker.startswith("position")]
    lat_mas, lon_mas = (round(part * MAS_PER_DEG) for part in place)
    for number in (lat_mas, lon_mas):
        known += spelled_text("position milliarcseconds as text", str(number))
    known += _bits("position in a message", f"{lat_mas + OFFSET:032b}{lon_mas + OFFSET:032b}")
    known += _bits("vin in a message", "".join(f"{VIN_ALPHABET.index(letter):0{VIN_BITS}b}" for letter in vin))
    for octets in messages:
        known += spelled_bytes("message", octets)
    return known


def spelled_bytes(marker: str, data: bytes) -> Iterator[Spelling]:
    """Bytes as they are, in hex, and in base64 after any number of others."""
    yield Spelling(marker, "raw", data)
    yield Spelling(marker, "hex", data.hex().encode())
    yield Spelling(marker, "HEX", data.hex().upper().encode())
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data)
        yield Spelling(marker, f"base64 after {before}", coded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])


def _bits(marker: str, bits: str) -> Iterator[Spelling]:
    for offset in range(8):
        whole = bits[-offset % 8 :]
        data = bytes(int(whole[at : at + 8], 2) for at in range(0, len(whole) - 7, 8))
        for one in spelled_bytes(marker, data):
            yield Spelling(marker, f"{one.encoding}, after {offset} bits", one.data)
