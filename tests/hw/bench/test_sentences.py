"""hw.bench.sentences: what a receiver says is the truth at its resolution, and any NMEA reader understands it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynmeagps import VALCKSUM, NMEAMessage, NMEAReader  # type: ignore[import-untyped]  # says nothing about its types

from hw.bench.pace import NS
from hw.bench.sentences import DEGREE_PARTS, checksummed, epoch_sentences, reported
from hw.bench.truth import CarState, Drive
from tests.hw.bench.scenes import EARTH_M, START_NS, drives, scene


def parse(data: bytes) -> dict[str, Any]:
    """By another's parser, checksums verified: the last sentence of each kind."""
    lines = data.split(b"\r\n")
    assert lines.pop() == b""
    return {
        message.msgID: message
        for message in (NMEAReader.parse(line, validate=VALCKSUM) for line in lines)
        if isinstance(message, NMEAMessage)
    }


def at(lat_deg: float, lon_deg: float) -> CarState:
    made = scene([(0, 36)])
    start = type(made.start)(lat_deg=lat_deg, lon_deg=lon_deg, odometer_km=1)
    return Drive(type(made)(title="at", start=start, route=made.route, speed=made.speed, changes=made.changes)).state(0)


@settings(max_examples=60)
@given(drive=drives(), t_s=st.integers(0, 150))
def test_an_epoch_says_the_truth_at_its_resolution(drive: Drive, t_s: int) -> None:
    """All four kinds of sentence, read by pynmeagps, carry what `reported` promises, which is the state within its grid."""
    state = drive.state(t_s)
    told, read = reported(state), parse(epoch_sentences(state, START_NS))
    assert set(read) == {"RMC", "GGA", "GSA", "VTG"}
    for kind in ("RMC", "GGA"):
        assert read[kind].lat == pytest.approx(told.lat_deg, abs=1e-9)
        assert read[kind].lon == pytest.approx(told.lon_deg, abs=1e-9)
    assert read["RMC"].spd * 1852 / 3600 == pytest.approx(told.speed_mps, abs=1e-9)
    assert (read["RMC"].cog or None) == (told.course_deg or None)
    assert told.lat_deg == pytest.approx(state.lat_deg, abs=0.5 / DEGREE_PARTS + 1e-12)
    assert told.lon_deg == pytest.approx(state.lon_deg, abs=0.5 / DEGREE_PARTS + 1e-12)
    assert told.speed_mps == pytest.approx(state.speed_mps, abs=0.0003)
    assert read["VTG"].sogk == pytest.approx(state.speed_kmh, abs=0.00051)


@settings(max_examples=100)
@given(lat=st.floats(-85, 85), lon=st.floats(-180, 180))
def test_no_place_on_earth_is_written_wrongly(lat: float, lon: float) -> None:
    """Hemispheres, degrees, and minutes that would round up to sixty."""
    state = at(lat, lon)
    told, read = reported(state), parse(epoch_sentences(state, START_NS))
    assert (read["RMC"].lat, read["RMC"].lon) == (pytest.approx(told.lat_deg, abs=1e-9), pytest.approx(told.lon_deg, abs=1e-9))


def test_minutes_never_reach_sixty() -> None:
    """A hair below a full degree is the full degree."""
    assert b",4000.00000,N,11700.00000,E," in epoch_sentences(at(39.99999999, 116.99999999), START_NS)
    assert b",0000.00000,N,00000.00000,E," in epoch_sentences(at(-1e-9, -1e-9), START_NS)


def test_the_resolution_is_centimetres() -> None:
    """Half a step of the grid is less than a centimetre on the ground."""
    assert 0.5 / DEGREE_PARTS * EARTH_M * 3.1416 / 180 < 0.01


def test_a_standing_car_has_no_course() -> None:
    """At standstill the course is empty, not a made-up number, and the speed is zero."""
    state = Drive(scene([(0, 0)])).state(3)
    read = parse(epoch_sentences(state, START_NS))
    assert reported(state).course_deg is None
    assert (read["RMC"].cog, read["VTG"].cogt, read["RMC"].spd) == ("", "", 0)


def test_without_a_fix_nothing_is_said() -> None:
    """In a tunnel: status V, quality 0, mode 1, no coordinates anywhere."""
    state = Drive(scene([(0, 50)], gnss_mode=0)).state(3)
    data = epoch_sentences(state, START_NS)
    read = parse(data)
    assert reported(state) == (None, None, None, None)
    assert (read["RMC"].status, read["GGA"].quality, read["GSA"].navMode, read["RMC"].lat, read["GGA"].lon) == ("V", 0, 1, "", "")
    assert b"3948." not in data


def test_time_and_date_are_those_of_the_epoch() -> None:
    """UTC with hundredths, also at a rate of more than one a second."""
    moment_ns = 1_793_491_199 * NS + 900_000_000
    read = parse(epoch_sentences(Drive(scene([(0, 50)])).state(3), moment_ns))
    assert (read["RMC"].date, read["RMC"].time) == (dt.date(2026, 10, 31), dt.time(23, 59, 59, 900_000))


def test_the_checksum_is_that_of_the_standard() -> None:
    """A sentence whose checksum is known."""
    assert checksummed("GPGLL,5300.97914,N,00259.98174,E,125926,A").endswith(b"*28\r\n")
