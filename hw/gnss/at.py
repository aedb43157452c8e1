"""Positions that a modem gives in answer to an AT command: one line, one fix.

Knows Quectel's `+QGPSLOC` (all three forms of coordinates) and SIMCom's `+CGNSSINFO`, `+CGNSINF`, `+CGPSINFO`; an answer without
a position, and `+CME ERROR` (no fix yet, receiver off), is a fix without one. Sources: Quectel GNSS AT commands manual;
SIMCom SIM7500/SIM7600 AT command manual 24.2; SIM7000 series AT command manual. Errors name the answer's kind, never its content.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from hw.gnss.sentence import HDOP_MAX, KNOT_MPS, NS, SPEED_MPS_MAX, Malformed
from hw.ports import Fix

ANSWER = re.compile(rb"\+(QGPSLOC|CGNSSINFO|CGNSINF|CGPSINFO|CME ERROR): ?([\x20-\x7e]*)\Z")
SOURCE = "at"
_DEGREES_MINUTES = re.compile(r"(\d{2,3})([0-5]\d(?:\.\d+)?)([NSEW]?)\Z")
_DECIMAL = re.compile(r"(-?\d{1,3}\.\d+)\Z")
NOTHING = Fix(t_ns=0, source=SOURCE)


def read_answer(line: bytes, t_ns: int) -> Fix:
    """The fix of an answer that arrived at `t_ns`; `time_trusted` is left to who knows the release. Raises Malformed."""
    found = ANSWER.match(line)
    if found is None:
        raise Malformed("no answer that gives a position")
    kind = found[1].decode()
    fields = [field.strip() for field in found[2].decode().split(",")]
    if kind == "CME ERROR" or not any(fields[3:]):
        return replace(NOTHING, t_ns=t_ns)
    try:
        return replace(READERS[kind](fields), t_ns=t_ns)
    except (IndexError, ValueError, OverflowError) as error:
        raise Malformed(kind) from error


def _quectel(fields: list[str]) -> Fix:
    """UTC, latitude, longitude, HDOP, altitude, fix, course, km/h, knots, date, satellites; hemispheres apart or not."""
    apart = fields[2] in ("N", "S")
    lat, lon = (_joined(fields[1:3]), _joined(fields[3:5])) if apart else (_degrees(fields[1], 90), _degrees(fields[2], 180))
    rest = fields[5:] if apart else fields[3:]
    return replace(
        NOTHING,
        mode=3 if rest[2] == "3" else 2,
        lat_deg=lat,
        lon_deg=lon,
        alt_m=_number(rest[1]),
        speed_mps=_speed(rest[4], 1 / 3.6),
        course_deg=_course(rest[3]),
        hdop=_hdop(rest[0]),
        satellites=_count(rest[7]),
        utc_ns=_utc_ns(rest[6], fields[0]),
    )


def _simcom_info(fields: list[str]) -> Fix:
    """Mode, satellites of three or four systems, latitude, N or S, longitude, E or W, date, UTC, altitude, knots, course, three DOPs."""
    at = min(fields.index(letter) for letter in "NS" if letter in fields) - 1
    rest = fields[at + 4 :]
    return replace(
        NOTHING,
        mode=3 if fields[0] == "3" else 2,
        lat_deg=_joined(fields[at : at + 2]),
        lon_deg=_joined(fields[at + 2 : at + 4]),
        alt_m=_number(rest[2]),
        speed_mps=_speed(rest[3], KNOT_MPS),
        course_deg=_course(rest[4]),
        hdop=_hdop(rest[6]),
        satellites=sum(_count(field) or 0 for field in fields[1:at]),
        utc_ns=_utc_ns(rest[0], rest[1]),
    )


def _simcom_gps(fields: list[str]) -> Fix:
    """Latitude, N or S, longitude, E or W, date, UTC, altitude, knots, course."""
    return replace(
        NOTHING,
        mode=2,
        lat_deg=_joined(fields[0:2]),
        lon_deg=_joined(fields[2:4]),
        alt_m=_number(fields[6]),
        speed_mps=_speed(fields[7], KNOT_MPS),
        course_deg=_course(fields[8]),
        utc_ns=_utc_ns(fields[4], fields[5]),
    )


def _simcom_inf(fields: list[str]) -> Fix:
    """Running, fix, UTC, latitude, longitude, altitude, km/h, course, mode, -, HDOP, PDOP, VDOP, -, in view, used."""
    if fields[1] != "1":
        return NOTHING
    return replace(
        NOTHING,
        mode=2,
        lat_deg=_degrees(fields[3], 90),
        lon_deg=_degrees(fields[4], 180),
        alt_m=_number(fields[5]),
        speed_mps=_speed(fields[6], 1 / 3.6),
        course_deg=_course(fields[7]),
        hdop=_hdop(fields[10]),
        satellites=_count(fields[15]),
        utc_ns=_moment_ns(fields[2], "%Y%m%d%H%M%S"),
    )


READERS: dict[str, Callable[[list[str]], Fix]] = {
    "QGPSLOC": _quectel,
    "CGNSSINFO": _simcom_info,
    "CGPSINFO": _simcom_gps,
    "CGNSINF": _simcom_inf,
}


def _joined(pair: list[str]) -> float:
    """A coordinate and its hemisphere, which stand in fields of their own."""
    value, letter = pair
    if letter not in ("N", "S", "E", "W"):
        raise ValueError("hemisphere")
    limit = 90 if letter in "NS" else 180
    degrees = _degrees(value, limit)
    return -degrees if letter in "SW" and degrees > 0 else degrees


def _degrees(text: str, limit: int) -> float:
    """`ddmm.mmmm` with or without a letter, or decimal degrees."""
    minutes, decimal = _DEGREES_MINUTES.match(text), _DECIMAL.match(text)
    if minutes is not None:
        degrees = int(minutes[1]) + float(minutes[2]) / 60
        degrees = -degrees if minutes[3] in ("S", "W") else degrees
    elif decimal is not None:
        degrees = float(decimal[1])
    else:
        raise ValueError("coordinate")
    if abs(degrees) > limit:
        raise ValueError("off the globe")
    return degrees


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None


def _speed(text: str, factor: float) -> float | None:
    value = _number(text)
    return None if value is None or not 0 <= value * factor <= SPEED_MPS_MAX else value * factor


def _course(text: str) -> float | None:
    value = _number(text)
    return None if value is None or not 0 <= value <= 360 else value % 360


def _hdop(text: str) -> float | None:
    value = _number(text)
    return None if value is None or not 0 < value < HDOP_MAX else value


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _utc_ns(day: str, time: str) -> int | None:
    """`ddmmyy` and `hhmmss.s`."""
    return _moment_ns(day + time, "%d%m%y%H%M%S") if day and time else None


def _moment_ns(text: str, form: str) -> int | None:
    whole, _, fraction = text.partition(".")
    if not text:
        return None
    moment = datetime.strptime(whole, form).replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS + int((fraction or "0")[:9].ljust(9, "0"))
