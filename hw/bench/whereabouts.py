"""What a modem's receiver answers when it is asked for the position of the simulated car.

Owns the text of each command: digits and units are those of the makers' manuals (Quectel GNSS AT commands manual 2.3.5;
SIMCom SIM7500/SIM7600 AT command manual 24.2; SIM7000 series manual, +CGNSINF), so that what is read is the truth at
the resolution of the form. A standing car has no course: Quectel then says zero, SIMCom nothing.
"""

from __future__ import annotations

import datetime as dt

from hw.bench.sentences import COURSE_FROM_MPS, HDOP, KNOT_MPS, PDOP, SATELLITES, VDOP, epoch_sentences
from hw.bench.truth import CarState

NS = 1_000_000_000
USED = sum(map(len, SATELLITES.values()))
SENTENCES = ("GGA", "RMC", "GSA", "VTG")


def quectel_location(state: CarState, utc_ns: int, form: int) -> str:
    """`+QGPSLOC` of a car with a fix: form 0 ddmm.mmmmN, 1 ddmm.mmmmmm,N, 2 decimal degrees."""
    if form == 2:
        place = f"{state.lat_deg:.5f},{state.lon_deg:.5f}"
    else:
        digits, gap = (4, "") if form == 0 else (6, ",")
        place = f"{_minutes(state.lat_deg, 2, digits, 'NS', gap)},{_minutes(state.lon_deg, 3, digits, 'EW', gap)}"
    moment = _moment(utc_ns)
    course = _course(state) or "0.00"
    knots = state.speed_mps / KNOT_MPS
    tail = f"{HDOP},{state.alt_m:.1f},{state.gnss_mode},{course},{state.speed_kmh:.1f},{knots:.1f},{moment:%d%m%y},{USED:02d}"
    return f"+QGPSLOC: {moment:%H%M%S}.0,{place},{tail}"


def quectel_sentences(state: CarState, utc_ns: int, kind: str) -> list[str]:
    """`+QGPSGNMEA` for one kind of sentence, with and without a fix."""
    every = epoch_sentences(state, utc_ns).decode("ascii").splitlines()
    return [f"+QGPSGNMEA: {sentence}" for sentence in every if sentence[3:6] == kind]


def simcom_info(state: CarState | None, utc_ns: int) -> str:
    """`+CGNSSINFO`; None: no fix."""
    if state is None:
        return "+CGNSSINFO: ,,,,,,,,,,,,,,,"
    used = f"{len(SATELLITES[1]):02d},00,{len(SATELLITES[4]):02d}"
    return f"+CGNSSINFO: {state.gnss_mode},{used},{_simcom(state, utc_ns)},{_course(state)},{PDOP},{HDOP},{VDOP}"


def simcom_gps(state: CarState | None, utc_ns: int) -> str:
    """`+CGPSINFO`; None: no fix."""
    return "+CGPSINFO: ,,,,,,,," if state is None else f"+CGPSINFO: {_simcom(state, utc_ns)},{_course(state)}"


def simcom_inf(state: CarState | None, utc_ns: int, *, running: bool) -> str:
    """`+CGNSINF`; None: no fix."""
    if state is None:
        return "+CGNSINF: 1,0,,,,0.00,0.0,0,,,,,,2,0,,,,," if running else "+CGNSINF: 0,,,,,,,,,,,,,,,,,,,,"
    moment = _moment(utc_ns)
    course = _course(state) or "0.0"
    place = f"{state.lat_deg:.6f},{state.lon_deg:.6f},{state.alt_m:.3f},{state.speed_kmh:.2f},{course}"
    return f"+CGNSINF: 1,1,{moment:%Y%m%d%H%M%S}.000,{place},1,,{HDOP},{PDOP},{VDOP},,{USED + 3},{USED},,,42,,"


def _simcom(state: CarState, utc_ns: int) -> str:
    moment = _moment(utc_ns)
    place = f"{_minutes(state.lat_deg, 2, 6, 'NS', ',')},{_minutes(state.lon_deg, 3, 6, 'EW', ',')}"
    return f"{place},{moment:%d%m%y},{moment:%H%M%S}.0,{state.alt_m:.1f},{state.speed_mps / KNOT_MPS:.1f}"


def _moment(utc_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(utc_ns // NS, dt.UTC)


def _course(state: CarState) -> str:
    return f"{state.heading_deg % 360:.2f}".replace("360.00", "0.00") if state.speed_mps >= COURSE_FROM_MPS else ""


def _minutes(degrees: float, width: int, digits: int, letters: str, gap: str) -> str:
    """(d)ddmm.mm with its hemisphere, rounded once so that 60 minutes never stand there."""
    part = 10**digits
    whole, rest = divmod(round(abs(degrees) * 60 * part), 60 * part)
    minutes, fraction = divmod(rest, part)
    return f"{whole:0{width}d}{minutes:02d}.{fraction:0{digits}d}{gap}{letters[degrees < 0]}"
