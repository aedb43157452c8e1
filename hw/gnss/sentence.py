"""One NMEA 0183 sentence: checksum, fields, and whether it vouches for a position.

pynmeagps frames, checks and types the fields (NMEA 0183 up to 4.11); here stands what it lets through: minutes over 59,
coordinates off the globe, NaN. A sentence that is void or impossible carries no position at all, not a doubtful one.
Errors name the sentence's kind, never its content.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date

# pynmeagps has annotations but no py.typed.
from pynmeagps import NMEAMessage  # type: ignore[import-untyped]
from pynmeagps.exceptions import NMEAMessageError, NMEAParseError, NMEAStreamError, NMEATypeError  # type: ignore[import-untyped]
from pynmeagps.nmeahelpers import calc_checksum, get_parts  # type: ignore[import-untyped]

NS = 1_000_000_000
KNOT_MPS = 1852 / 3600
SPEED_MPS_MAX = 515.0
"""1,000 knots: no receiver may report more (the export limit of the field)."""
HDOP_MAX = 99.0
"""Receivers write 99.9 for "none"."""

POSITION_KINDS = ("RMC", "GNS", "GGA", "GLL")
"""Kinds that give a position and belong to one moment; the earlier one is asked first."""

_FIELDS_MIN = {"RMC": 9, "GNS": 6, "GGA": 8, "GLL": 6, "VTG": 7, "GSA": 3, "ZDA": 4}
_TIME_FIELD = {"RMC": 0, "GNS": 0, "GGA": 0, "GLL": 4, "ZDA": 0}
_LATITUDE_FIELD = {"RMC": 2, "GNS": 1, "GGA": 1, "GLL": 0}

_ADDRESS = re.compile(r"[A-Z0-9]{3,16}").fullmatch
_CHECKSUM = re.compile(r"[0-9A-Fa-f]{2}").fullmatch
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d{1,9}))?").fullmatch
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)").fullmatch
_LATITUDE = re.compile(r"\d\d[0-5]\d(?:\.\d+)?").fullmatch
_LONGITUDE = re.compile(r"[01]\d\d[0-5]\d(?:\.\d+)?").fullmatch


class BadChecksum(Exception):
    """The bytes are not those that the receiver sent."""


class Malformed(Exception):
    """The line is no sentence, or a field of it is not of its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one sentence says of its moment. None: it says nothing of it."""

    kind: str
    talker: str
    time_of_day_ns: int | None = None
    day: date | None = None
    position: tuple[float, float] | None = field(default=None, repr=False)
    void: bool = False
    """The sentence itself says that its position must not be used."""
    alt_m: float | None = field(default=None, repr=False)
    speed_mps: float | None = field(default=None, repr=False)
    course_deg: float | None = field(default=None, repr=False)
    hdop: float | None = None
    satellites: int | None = None
    dimensions: int | None = None


def read_sentence(line: bytes) -> Said | None:
    """What a line says; None for a sound sentence of a kind that says nothing of a fix. Raises BadChecksum, Malformed."""
    try:
        content, talker, kind, fields, checksum = get_parts(line[1:])
        if not (_CHECKSUM(checksum) and _ADDRESS(talker + kind)):
            raise Malformed("no checksum or no name")
        if checksum.upper() != calc_checksum(content):
            raise BadChecksum(kind)
        if kind not in _FIELDS_MIN or len(talker) != 2:
            return None
        if len(fields) < _FIELDS_MIN[kind]:
            raise Malformed(kind)
        return _said(NMEAMessage(talker, kind, 0, payload=fields, checksum=checksum), kind, talker, fields)
    except (NMEAMessageError, NMEAParseError, NMEAStreamError, NMEATypeError) as error:
        raise Malformed("not a sentence") from error


def _said(message: NMEAMessage, kind: str, talker: str, fields: list[str]) -> Said:
    return Said(
        kind=kind,
        talker=talker,
        time_of_day_ns=_time_of_day_ns(fields[_TIME_FIELD[kind]]) if kind in _TIME_FIELD else None,
        day=_day(kind, fields),
        position=_position(message, kind, fields),
        void=kind in POSITION_KINDS and not _vouched(message, kind),
        alt_m=_number(message, "alt"),
        speed_mps=_speed_mps(message, kind),
        course_deg=_within(_number(message, "cog" if kind == "RMC" else "cogt"), 0.0, 360.0),
        hdop=_within(_number(message, "HDOP"), 0.01, HDOP_MAX),
        satellites=_whole(message, "numSV"),
        dimensions=_whole(message, "navMode") if kind == "GSA" else None,
    )


def _vouched(message: NMEAMessage, kind: str) -> bool:
    if kind == "GGA":
        return bool(_whole(message, "quality"))
    modes = str(getattr(message, "posMode", ""))
    if kind == "GNS":
        return bool(modes.strip("N"))
    # A receiver that contradicts itself ("A" and mode "N", "V" and mode "A": both seen) is not believed.
    return getattr(message, "status", "") == "A" and modes != "N"


def _position(message: NMEAMessage, kind: str, fields: list[str]) -> tuple[float, float] | None:
    at = _LATITUDE_FIELD.get(kind)
    if at is None or not _vouched(message, kind):
        return None
    latitude, north, longitude, east = fields[at : at + 4]
    if not (_LATITUDE(latitude) and _LONGITUDE(longitude) and north in {"N", "S"} and east in {"E", "W"}):
        return None
    lat_deg, lon_deg = _within(_number(message, "lat"), -90.0, 90.0), _within(_number(message, "lon"), -180.0, 180.0)
    if lat_deg is None or lon_deg is None or lat_deg == lon_deg == 0.0:
        return None  # 0/0 is what receivers send for "unset"; it lies in the sea
    return lat_deg, lon_deg


def _time_of_day_ns(text: str) -> int | None:
    match = _TIME(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * NS + int((fraction or "").ljust(9, "0"))


def _day(kind: str, fields: list[str]) -> date | None:
    try:
        if kind == "ZDA":
            return date(int(fields[3]), int(fields[2]), int(fields[1]))
        match = _DATE(fields[8]) if kind == "RMC" else None
        if match is None:
            return None
        day, month, year = (int(text) for text in match.groups())
        return date(year + (1900 if year >= 80 else 2000), month, day)  # GPS time begins in 1980
    except (ValueError, OverflowError):
        return None


def _speed_mps(message: NMEAMessage, kind: str) -> float | None:
    knots, kmph = _number(message, "spd" if kind == "RMC" else "sogn"), _number(message, "sogk")
    speed_mps = knots * KNOT_MPS if knots is not None else kmph / 3.6 if kmph is not None else None
    return _within(speed_mps, 0.0, SPEED_MPS_MAX)


def _number(message: NMEAMessage, name: str) -> float | None:
    value = getattr(message, name, None)
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number of more than 308 digits
        return None


def _whole(message: NMEAMessage, name: str) -> int | None:
    value = getattr(message, name, None)
    return value if isinstance(value, int) and 0 <= value < 1000 else None


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None
