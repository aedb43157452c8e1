"""Planted markers (fourteen: eight texts, a position in six forms) and the scanner that looks for them in files, messages and topics.

A marker is one secret in one form; `spelled` gives the bytes in which it could be lying around. Texts count in UTF-8, UTF-16 of both
byte orders, hex of both cases and base64 at each of its three alignments; digits also packed as BCD in both orders;
numbers in both byte orders. A pair of four-byte numbers is a hit only where latitude and longitude lie within
PAIR_BYTES of each other: four bytes alone occur by chance.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.noise import unevenness

PAIR_BYTES = 64
DECIMALS = (4, 5, 6, 7)
MAS_PER_DEG = 3_600_000
PAGE_BYTES = 4096
UNEVEN_MAX = 9.0
"""Standard deviations above what noise gives: once in more than 10^12 pages by chance."""

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Spelling:
    """Bytes that betray a marker. `pair`: the second number, to be found close by; else empty."""

    marker: str
    encoding: str
    data: bytes = field(repr=False)
    pair: bytes = field(default=b"", repr=False)

    def found_in(self, content: bytes) -> bool:
        """Whether this spelling occurs."""
        if not self.pair:
            return self.data in content
        return any(self.pair in content[max(0, at - PAIR_BYTES) : at + PAIR_BYTES + len(self.pair)] for at in _places(self.data, content))


@dataclass(frozen=True, slots=True)
class Planted:
    """The secrets of one car and its driver; none of them is anybody's."""

    vin: str = "WMWTESTCAR0000001"
    plate: str = "京A·M4R7K"
    imei: str = "490154203237518"
    imsi: str = "460001234567897"
    iccid: str = "89860012345678901238"
    phone: str = "+8613912345678"
    person: str = "11010519491231002X"
    name: str = "王小路Wegener"
    places: tuple[Place, ...] = ()

    def texts(self) -> dict[str, str]:
        """Everything that is a text, by name."""
        names = ("vin", "plate", "imei", "imsi", "iccid", "phone", "person", "name")
        return {name: getattr(self, name) for name in names}

    def spelled(self) -> Iterator[Spelling]:
        """All markers in all their encodings."""
        for name, text in self.texts().items():
            yield from spelled_text(name, text)
            if text.strip("+").isdigit():
                yield from _bcd(name, text.strip("+"))
        for place in self.places:
            yield from _position(place)


def spelled_text(marker: str, text: str) -> Iterator[Spelling]:
    """A text in every encoding."""
    plain = text.encode()
    yield Spelling(marker, "utf-8", plain)
    yield Spelling(marker, "utf-16-le", text.encode("utf-16-le"))
    yield Spelling(marker, "utf-16-be", text.encode("utf-16-be"))
    yield Spelling(marker, "hex", plain.hex().encode())
    yield Spelling(marker, "HEX", plain.hex().upper().encode())
    for before in range(3):  # what stands before it shifts a base64 text by 0, 2 or 4 bits
        coded = base64.b64encode(bytes(before) + plain)
        whole = coded[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
        yield Spelling(marker, f"base64 after {before}", whole)


def _bcd(marker: str, digits: str) -> Iterator[Spelling]:
    padded = digits + "f" * (len(digits) % 2)
    swapped = "".join(padded[at + 1] + padded[at] for at in range(0, len(padded), 2))
    yield Spelling(marker, "bcd", bytes.fromhex(padded))
    yield Spelling(marker, "bcd, nibbles swapped", bytes.fromhex(swapped))


def _position(place: Place) -> Iterator[Spelling]:
    """A position in its six forms."""
    for part in place:
        for decimals in DECIMALS:
            yield from spelled_text("position text", f"{part:.{decimals}f}")
        for order in "<>":
            yield Spelling("position float64", f"{order}d", struct.pack(f"{order}d", part))
    for order in "<>":
        yield _pair("position float32", f"{order}f", *place)
        for name, scale in (("micro-degrees", 1e6), ("milliarcseconds", MAS_PER_DEG), ("1e-7 degrees", 1e7)):
            yield _pair(f"position {name}", f"{order}i", *(round(part * scale) for part in place))


def _pair(marker: str, form: str, lat: float, lon: float) -> Spelling:
    return Spelling(marker, form, struct.pack(form, lat), struct.pack(form, lon))


def _places(data: bytes, content: bytes) -> Iterator[int]:
    at = content.find(data)
    while at >= 0:
        yield at
        at = content.find(data, at + 1)


def hits(spellings: Iterable[Spelling], content: bytes) -> set[tuple[str, str]]:
    """(marker, encoding) of everything that occurs in `content`."""
    return {(one.marker, one.encoding) for one in spellings if one.found_in(content)}


def files_of(*places: Path) -> dict[str, bytes]:
    """The content of files and of everything below folders."""
    files = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*")))]
    return {path.name: path.read_bytes() for path in files if path.is_file() and not path.is_symlink()}


def scan(spellings: Iterable[Spelling], contents: dict[str, bytes]) -> set[tuple[str, str, str]]:
    """(where, marker, encoding) of every hit."""
    known = list(spellings)
    return {(where, *hit) for where, content in contents.items() for hit in hits(known, content)}


# -- noise ------------------------------------------------------------------------------------------------------------


def is_noise(page: bytes) -> bool:
    """Whether the bytes are as even as random ones (chi-square of the 256 values; a page or more)."""
    return unevenness(page) < UNEVEN_MAX


def readable_pages(name: str, content: bytes) -> list[str]:
    """Pages of a database or payloads of a WAL that do not look like noise; WAL and frame headers are SQLite's own."""
    if name.endswith("-wal"):
        size, body = (int.from_bytes(content[8:12], "big"), content[32:]) if content else (PAGE_BYTES, b"")
        starts = range(24, len(body), 24 + size)
    else:
        size, body = PAGE_BYTES, content
        starts = range(0, len(body), size)
    return [f"{name} at {start}" for start in starts if not is_noise(body[start : start + size])]


def names_in(names: Iterable[str], content: bytes) -> list[str]:
    """Those of the names that stand in the content, also as UTF-16."""
    return [name for name in names if re.search(b"|".join(map(re.escape, (name.encode(), name.encode("utf-16-le")))), content)]
