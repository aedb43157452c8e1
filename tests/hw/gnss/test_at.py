"""Answers of modems: every form gives its position, nothing else gives one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.gnss.at import read_answer
from hw.gnss.nmea import RELEASE_NS, Epochs, LineAssembler, fixes_in
from hw.gnss.sentence import Malformed
from hw.ports import Fix

T_NS = 5
NO_FIX = (
    b"+CME ERROR: 516",
    b"+CME ERROR: 505",
    b"+CME ERROR: Not fixed now",
    b"+CGNSSINFO: ,,,,,,,,,,,,,,,",
    b"+CGPSINFO: ,,,,,,,,",
    b"+CGNSINF: 1,0,,,,0.00,0.0,0,,,,,,2,0,,,,,",
    b"+CGNSINF: 0,,,,,,,,,,,,,,,,,,,,",
)


def utc(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000_000  # type: ignore[misc,arg-type]  # year to second


NOON_NS = utc(2026, 12, 1, 12)
FORMS = {
    "QGPSLOC: 120000.0,4807.0380N,01131.0000W,1.2,545.4,3,84.4,36.0,19.4,011226,08": (48.1173, -11.516667, 10.0, 8),
    "QGPSLOC: 120000.00,4807.038000,S,01131.000000,E,1.2,545.4,2,84.4,36.0,19.4,011226,08": (-48.1173, 11.516667, 10.0, 8),
    "QGPSLOC: 120000.000,-48.11730,11.51667,1.2,545.4,3,84.40,36.0,19.4,011226,11": (-48.1173, 11.51667, 10.0, 11),
    "CGNSSINFO: 3,05,02,01,4807.038000,N,01131.000000,E,011226,120000.0,545.4,10.0,84.4,2.0,1.2,1.6": (48.1173, 11.516667, 5.144444, 8),
    "CGNSSINFO: 3,05,02,01,03,48.1173,N,11.51667,W,011226,120000.0,545.4,10.0,84.4,2.0,1.2,1.6": (48.1173, -11.51667, 5.144444, 11),
    "CGPSINFO: 4807.038000,N,01131.000000,E,011226,120000.0,545.4,10.0,84.4": (48.1173, 11.516667, 5.144444, None),
    "CGNSINF: 1,1,20261201120000.000,48.117300,-11.516670,545.4,36.0,84.4,1,,1.2,2.0,1.6,,12,8,,,42,,": (48.1173, -11.51667, 10.0, 8),
}
"""An answer -> latitude, longitude, speed in m/s, satellites, worked out by hand; all at 545.4 m, 84.4 degrees, noon."""
FIRST = b"+" + next(iter(FORMS)).encode()


@pytest.mark.parametrize("answer", FORMS)
def test_each_form_says_where_when_and_how_fast(answer: str) -> None:
    """Hemispheres, minutes, units of speed and the date are those of the manuals."""
    lat, lon, speed, satellites = FORMS[answer]
    fix = read_answer(b"+" + answer.encode(), T_NS)
    assert [fix.lat_deg, fix.lon_deg, fix.speed_mps] == [pytest.approx(number, abs=1e-6) for number in (lat, lon, speed)]
    assert (fix.alt_m, fix.course_deg, fix.satellites) == (545.4, 84.4, satellites)
    assert fix.hdop == (None if answer.startswith("CGPSINFO") else 1.2)
    assert (fix.utc_ns, fix.t_ns, fix.source) == (NOON_NS, T_NS, "at")
    assert fix.mode in (2, 3)


@pytest.mark.parametrize("answer", NO_FIX)
def test_an_answer_without_a_fix_has_no_position(answer: bytes) -> None:
    """Not fixed yet, receiver off, an error by number or in words."""
    fix = read_answer(answer, T_NS)
    assert (fix.mode, fix.lat_deg, fix.lon_deg) == (0, None, None)


@pytest.mark.parametrize(
    "answer",
    [
        b"+QGPSLOC: 120000.0,9107.0380N,01131.0000E,1.2,545.4,3,84.4,36.0,19.4,011226,08",
        b"+QGPSLOC: 120000.0,4867.0380N,01131.0000E,1.2,545.4,3,84.4,36.0,19.4,011226,08",
        b"+QGPSLOC: 120000.0,4807.0380N,01131.0000E,1.2,545.4",
        b"+QGPSLOC: 250000.0,4807.0380N,01131.0000E,1.2,545.4,3,84.4,36.0,19.4,011226,08",
        b"+CGNSSINFO: 3,05,02,01,4807.038000,X,01131.000000,E,011226,120000.0,545.4,10.0,84.4,2.0,1.2,1.6",
        b"+CGNSINF: 1,1,20261201120000.000,148.117300,-11.5,545.4,36.0,84.4,1,,1.2,2.0,1.6,,12,8,,,42,,",
        b"+CSQ: 21,99",
        b"OK",
    ],
)
def test_what_cannot_be_is_no_answer(answer: bytes) -> None:
    """Off the globe, 67 minutes, cut short, 25 o'clock, no hemisphere, another command's answer."""
    with pytest.raises(Malformed):
        read_answer(answer, T_NS)


@given(st.sampled_from([b"QGPSLOC", b"CGNSSINFO", b"CGNSINF", b"CGPSINFO", b"CME ERROR"]), st.text("0123456789.,-NSEWx", max_size=90))
def test_whatever_a_modem_says_is_a_place_on_earth_or_none(kind: bytes, said: str) -> None:
    """Never another exception."""
    try:
        fix = read_answer(b"+" + kind + b": " + said.encode(), T_NS)
    except Malformed:
        return
    assert fix.lat_deg is None or (-90 <= fix.lat_deg <= 90 and fix.lon_deg is not None and -180 <= fix.lon_deg <= 180)


def fixes(*lines: bytes) -> tuple[list[Fix], Epochs]:
    epochs = Epochs()
    return list(fixes_in([b"\r\n".join(lines) + b"\r\n"], epochs)), epochs


def test_answers_and_sentences_may_stand_in_one_recording() -> None:
    """An answer is a moment of its own; what a sentence began before it is given out first; other chatter is passed over."""
    sentence = b"$GPGGA,103647.0,3150.721154,N,11711.925873,E,1,02,4.7,59.8,M,-2.0,M,,*77"
    found, epochs = fixes(b"AT+QGPSLOC?", sentence, FIRST, b"OK", b"+CME ERROR: 516")
    assert [fix.source for fix in found] == ["nmea", "at", "at"]
    assert [fix.mode > 0 for fix in found] == [True, True, False]
    assert epochs.counters() == {"lines": 3, "good": 3, "bad_checksum": 0, "malformed": 0, "void": 1, "fixes": 2}


def test_a_date_before_the_release_is_not_believed() -> None:
    """The position stays."""
    old = FIRST.replace(b"011226", b"110513")
    found, _ = fixes(FIRST, old)
    assert [fix.time_trusted for fix in found] == [True, False]
    assert utc(2026, 12, 1) > RELEASE_NS


def test_an_answer_in_pieces_is_one_line() -> None:
    """A serial read with a time-out returns whatever is there."""
    assembler = LineAssembler()
    pieces = [FIRST[:9], FIRST[9:40], FIRST[40:] + b"\r\n"]
    assert [line for piece in pieces for line in assembler.feed(piece)] == [FIRST]
