"""NMEA 0183 sentences (4.11, several constellations) for a state of the simulated car.

Owns the text of a receiver: RMC, GGA, one GSA per constellation, VTG, with checksums. Owns too what such text can say
at all: `reported` gives the position, speed and course exactly as the sentences carry them, so that an oracle compares
with the truth at the receiver's resolution (1/100,000 of a minute, about 2 cm). Without a fix the sentences are void.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from hw.bench.truth import CarState

MINUTE_PARTS = 100_000
DEGREE_PARTS = 60 * MINUTE_PARTS
KNOT_MPS = 1852 / 3600
SATELLITES = {1: (3, 7, 9, 16, 26), 4: (6, 13, 21, 29)}
"""System id of NMEA 4.11 (1 GPS, 4 BeiDou) -> satellites used."""
PDOP, HDOP, VDOP = "1.40", "0.80", "1.15"
COURSE_FROM_MPS = 0.5
"""Slower than this a receiver cannot know its course and leaves it empty."""


class Reported(NamedTuple):
    """What one epoch says: position in degrees, speed, course; None where the sentences leave it empty."""

    lat_deg: float | None
    lon_deg: float | None
    speed_mps: float | None
    course_deg: float | None


def checksummed(body: str) -> bytes:
    """The sentence with "$", checksum and line end (NMEA 0183, 5.3.1: exclusive or of everything in between)."""
    value = 0
    for byte in body.encode("ascii"):
        value ^= byte
    return f"${body}*{value:02X}\r\n".encode("ascii")


def reported(state: CarState) -> Reported:
    """The numbers of the epoch that `epoch_sentences` writes for this state."""
    if not state.gnss_mode:
        return Reported(None, None, None, None)
    lat, lon = _parts(state.lat_deg), _parts(state.lon_deg)
    course = float(_course(state)) if _course(state) else None
    return Reported(_degrees(lat), _degrees(lon), float(_knots(state)) * KNOT_MPS, course)


def epoch_sentences(state: CarState, utc_ns: int) -> bytes:
    """All sentences of one epoch at `utc_ns`, one after the other as a receiver sends them."""
    moment = dt.datetime.fromtimestamp(utc_ns // 1_000_000_000, dt.UTC)
    time, date = f"{moment:%H%M%S}.{utc_ns // 10_000_000 % 100:02d}", f"{moment:%d%m%y}"
    if not state.gnss_mode:
        empty = [f"GNRMC,{time},V,,,,,,,{date},,,N,V", f"GNGGA,{time},,,,,0,00,99.99,,,,,,"]
        return b"".join(map(checksummed, [*empty, "GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99,1", "GNVTG,,,,,,,,,N"]))
    place = f"{_coordinate(state.lat_deg, 2, 'NS')},{_coordinate(state.lon_deg, 3, 'EW')}"
    count = sum(map(len, SATELLITES.values()))
    course, knots = _course(state), _knots(state)
    lines = [f"GNRMC,{time},A,{place},{knots},{course},{date},,,A,V"]
    lines += [f"GNGGA,{time},{place},1,{count:02d},{HDOP},{state.alt_m:.1f},M,-9.2,M,,"]
    lines += [_used(system, used, state.gnss_mode) for system, used in SATELLITES.items()]
    lines += [f"GNVTG,{course},T,,M,{knots},N,{state.speed_kmh:.3f},K,A"]
    return b"".join(map(checksummed, lines))


def _used(system: int, satellites: tuple[int, ...], mode: int) -> str:
    slots = ",".join([f"{number:02d}" for number in satellites] + [""] * (12 - len(satellites)))
    return f"GNGSA,A,{mode},{slots},{PDOP},{HDOP},{VDOP},{system}"


def _knots(state: CarState) -> str:
    return f"{state.speed_mps / KNOT_MPS:.3f}"


def _course(state: CarState) -> str:
    return f"{state.heading_deg % 360:.2f}".replace("360.00", "0.00") if state.speed_mps >= COURSE_FROM_MPS else ""


def _parts(degrees: float) -> int:
    """Signed whole parts of 1/100,000 minute: the receiver's grid."""
    return round(degrees * DEGREE_PARTS)


def _degrees(parts: int) -> float:
    return parts / DEGREE_PARTS


def _coordinate(degrees: float, width: int, letters: str) -> str:
    """(d)ddmm.mmmmm and its hemisphere."""
    parts = _parts(degrees)
    whole, rest = divmod(abs(parts), DEGREE_PARTS)
    minutes, fraction = divmod(rest, MINUTE_PARTS)
    return f"{whole:0{width}d}{minutes:02d}.{fraction:05d},{letters[parts < 0]}"
