"""Epochs: one fix for each moment, no position that nobody vouched for, no date that cannot be."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import RELEASE_NS as AGENTS_RELEASE_NS
from hw.gnss.nmea import RELEASE_NS, Epochs, fixes_in
from hw.gnss.sentence import read_sentence
from hw.ports import Fix

PLACE = "4807.0380,N,01131.0000,E"


def sentence(content: str) -> bytes:
    checksum = 0
    for letter in content.encode():
        checksum ^= letter
    return f"${content}*{checksum:02X}".encode()


def rmc(time: str, place: str = PLACE, *, day: str = "011226", status: str = "A", talker: str = "GP", knots: str = "10.0") -> bytes:
    return sentence(f"{talker}RMC,{time},{status},{place},{knots},90.0,{day},,,A")


def gga(time: str, place: str = PLACE, *, quality: str = "1", talker: str = "GP", satellites: str = "08", alt: str = "545.4") -> bytes:
    return sentence(f"{talker}GGA,{time},{place},{quality},{satellites},0.9,{alt},M,46.9,M,,")


def gsa(mode: int, talker: str = "GP") -> bytes:
    return sentence(f"{talker}GSA,A,{mode},04,05,,09,12,,,24,,,,,2.5,1.3,2.1")


def fixes(*lines: bytes) -> tuple[list[Fix], Epochs]:
    epochs = Epochs()
    return list(fixes_in([line + b"\r\n" for line in lines], epochs)), epochs


# -- merging ---------------------------------------------------------------------------------------------------------------


def test_sentences_and_constellations_of_one_moment_are_one_fix() -> None:
    """RMC, GGA, GNS, GLL, VTG and GSA of two talkers at one time give one fix with what each of them knows."""
    gns = sentence(f"GNGNS,120000.00,{PLACE},AANN,12,0.8,545.4,46.9,,")
    gll = sentence(f"GNGLL,{PLACE},120000.00,A,A")
    vtg = sentence("GNVTG,90.0,T,,M,10.0,N,18.5,K,A")
    got, _ = fixes(rmc("120000.00"), vtg, rmc("120000.00", talker="GN"), gga("120000.00"), gns, gsa(3), gsa(3, "GN"), gll)
    assert len(got) == 1
    fix = got[0]
    assert fix.lat_deg == pytest.approx(48.1173)
    assert fix.lon_deg == pytest.approx(11 + 31 / 60)
    assert (fix.mode, fix.alt_m, fix.satellites, fix.hdop) == (3, 545.4, 8, 0.9)
    assert fix.speed_mps == pytest.approx(5.1444, abs=1e-3)
    assert fix.course_deg == 90.0


def test_a_fix_comes_out_when_the_next_moment_begins() -> None:
    """Nothing is told twice and nothing is told early; `flush` gives the open moment once."""
    epochs = Epochs()
    assert epochs.feed_line(rmc("120000.00"), 5) == []
    assert epochs.feed_line(gga("120000.00"), 6) == []
    (first,) = epochs.feed_line(rmc("120001.00"), 7)
    assert first.t_ns == 5
    assert len(epochs.flush()) == 1
    assert epochs.flush() == []


def test_sentences_that_trail_in_after_a_flush_make_no_second_fix() -> None:
    """A receiver that pauses within its burst is not given a second fix for the same moment."""
    epochs = Epochs()
    epochs.feed_line(rmc("120000.00"), 0)
    assert len(epochs.flush()) == 1
    assert epochs.feed_line(gga("120000.00"), 0) == []
    assert epochs.flush() == []
    epochs.feed_line(rmc("120001.00"), 0)
    assert len(epochs.flush()) == 1


def test_time_that_runs_backwards_or_repeats_makes_moments_of_their_own() -> None:
    """Seconds 41, 42, 41, 42 are four moments, as a real receiver said them."""
    got, _ = fixes(*(line for second in (41, 42, 41, 42) for line in (rmc(f"1243{second}.00"), gga(f"1243{second}.00"))))
    assert [fix.utc_ns and fix.utc_ns // 10**9 % 60 for fix in got] == [41, 42, 41, 42]


def test_a_repeated_second_without_change_of_time_is_a_second_moment() -> None:
    """The same kind from the same talker again is the next moment, even where the receiver's time stands still."""
    got, _ = fixes(rmc("120000.00"), gga("120000.00"), rmc("120000.00"), gga("120000.00"))
    assert len(got) == 2


def test_void_sentences_without_a_time_join_their_moment() -> None:
    """A timed void GNS and untimed void GGA and RMC are one void moment each cycle."""
    cycle = [sentence("GPGGA,,,,,,0,,,,,,,,"), sentence("GPRMC,,V,,,,,,,,,,N")]
    lines = [line for s in range(5) for line in (sentence(f"GNGNS,12000{s}.00,,,,,NNN,,,,,,"), *cycle)]
    got, epochs = fixes(*lines)
    assert [fix.mode for fix in got] == [0] * 5
    assert (epochs.void, epochs.fixes) == (5, 0)


# -- what gives no position ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        rmc("120000.00", status="V"),
        gga("120000.00", quality="0"),
        gga("120000.00", quality=""),
        sentence(f"GNGNS,120000.00,{PLACE},NNNN,00,,,,,"),
        sentence(f"GPGLL,{PLACE},120000.00,V,N"),
        sentence(f"GPRMC,120000.00,A,{PLACE},0.0,,011226,,,N"),
        sentence(f"GPRMC,120000.00,V,{PLACE},0.0,,011226,,,A"),
        rmc("120000.00", "9100.0000,N,01131.0000,E"),
        rmc("120000.00", "4860.0000,N,01131.0000,E"),
        rmc("120000.00", "4807.0380,N,18100.0000,E"),
        rmc("120000.00", "4807.0380,X,01131.0000,E"),
        rmc("120000.00", "4807.0380,,01131.0000,E"),
        rmc("120000.00", ",,,"),
        rmc("120000.00", "0000.0000,N,00000.0000,E"),
        rmc("120000.00", "-807.0380,N,01131.0000,E"),
    ],
)
def test_void_and_impossible_sentences_give_no_position(line: bytes) -> None:
    """A void or impossible sentence gives mode 0 and no position, whatever numbers stand in it."""
    got, epochs = fixes(line)
    assert [(fix.mode, fix.lat_deg, fix.lon_deg, fix.speed_mps) for fix in got] == [(0, None, None, None)]
    assert (epochs.void, epochs.fixes) == (1, 0)


def test_rmcs_void_goes_before_what_others_say() -> None:
    """A moment that RMC calls void has no position although its GGA would give one."""
    got, _ = fixes(rmc("120000.00", status="V"), gga("120000.00"))
    assert [fix.mode for fix in got] == [0]


def test_a_wrong_checksum_gives_nothing() -> None:
    """A sentence whose checksum fails changes nothing, and is counted."""
    spoilt = rmc("120000.00").replace(b"4807", b"4808")
    got, epochs = fixes(spoilt, gga("120000.00"))
    assert epochs.counters() == {"lines": 2, "good": 1, "bad_checksum": 1, "malformed": 0, "void": 0, "fixes": 1}
    assert got[0].lat_deg == pytest.approx(48.1173)


@pytest.mark.parametrize(
    "line",
    [b"$", b"$GPRMC", b"$GPRMC,1*", b"$GPRMC,1*zz", b"$\xff\xfe*00", sentence("GPRMC,1"), sentence(f"GPGGA,120000.00,{PLACE},x,y,z,M,M")],
)
def test_malformed_lines_are_counted_and_harmless(line: bytes) -> None:
    """What is no sentence is counted as malformed."""
    got, epochs = fixes(line)
    assert (got, epochs.malformed) == ([], 1)


def test_numbers_that_are_none_are_not_passed_on() -> None:
    """NaN, an HDOP of 99.99 and a speed beyond any receiver's limit become None."""
    got, _ = fixes(rmc("120000.00", knots="99999"), sentence(f"GPGGA,120000.00,{PLACE},1,08,99.99,545.4,M,46.9,M,,"))
    assert (got[0].speed_mps, got[0].hdop) == (None, None)


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        ([gga("120000.00", satellites="03"), gsa(2)], 2),
        ([gga("120000.00", satellites="03"), gsa(3)], 3),
        ([gga("120000.00", satellites="03"), gsa(1), gsa(2, "GN")], 2),
        ([gga("120000.00"), gsa(2)], 3),
        ([gga("120000.00")], 3),
        ([rmc("120000.00")], 2),
        ([gsa(3), rmc("120000.00")], 3),
    ],
)
def test_dimensions(lines: list[bytes], mode: int) -> None:
    """GSA says two or three; four satellites with an altitude are three; a position alone is two."""
    assert [fix.mode for fix in fixes(*lines)[0]] == [mode]


# -- time ------------------------------------------------------------------------------------------------------------------


def utc_ns(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc, arg-type]  # year to second


def test_the_release_date_is_the_agents() -> None:
    """hw may not import agent, so it has the date twice; both say the same."""
    assert RELEASE_NS == AGENTS_RELEASE_NS == utc_ns(2026, 11, 1)


@pytest.mark.parametrize(
    ("day", "trusted"),
    [("011126", True), ("311026", False), ("010107", False), ("150446", True), ("170646", False), ("060180", False), ("310230", False)],
)
def test_dates_outside_the_weeks_after_the_release_are_not_believed(day: str, trusted: bool) -> None:
    """Older than the release, 1,024 weeks on, or no date at all: the time is not trusted and the position stays."""
    got, _ = fixes(rmc("120000.00", day=day))
    assert (got[0].time_trusted, got[0].mode) == (trusted, 2)


def test_fault_week_rollover_in_the_middle_of_a_drive() -> None:
    """A date that jumps by 1,024 weeks either way is not believed from that moment on; positions go on."""
    for jumped in ("170746", "170407"):
        got, _ = fixes(rmc("120000.00", day="011226"), rmc("120001.00", day=jumped), rmc("120002.00", day="011226"))
        assert [fix.time_trusted for fix in got] == [True, False, True]
        assert all(fix.lat_deg is not None for fix in got)


def test_a_moment_without_position_vouches_for_no_time() -> None:
    """A void moment may carry a date from the receiver's own clock: it is given and not trusted."""
    got, _ = fixes(rmc("120000.00", status="V"))
    assert got[0].utc_ns == utc_ns(2026, 12, 1, 12)
    assert not got[0].time_trusted


def test_a_date_is_carried_to_moments_that_say_only_the_time_also_over_midnight() -> None:
    """ZDA or RMC date the moments near them; those far from any date have none."""
    lines = [gga("235958.00"), rmc("235959.00"), gga("235959.50"), gga("000000.50"), gga("000200.00")]
    got, _ = fixes(*lines)
    assert [fix.utc_ns for fix in got] == [
        None,
        utc_ns(2026, 12, 1, 23, 59, 59),
        utc_ns(2026, 12, 1, 23, 59, 59) + 5 * 10**8,
        utc_ns(2026, 12, 2) + 5 * 10**8,
        None,
    ]
    zda, _ = fixes(sentence("GPZDA,120000.00,01,12,2026,00,00"), gga("120000.00"))
    assert [fix.utc_ns for fix in zda] == [utc_ns(2026, 12, 1, 12)]


@pytest.mark.parametrize("field", [1, 2, 3])
@pytest.mark.parametrize("value", ["9" * 20, "9" * 5000, "-1", "0", "1e9", "", "x"])
def test_a_date_that_cannot_be_is_no_date(field: int, value: str) -> None:
    """A ZDA with a sound checksum and a day, month or year of any size never raises and dates nothing."""
    fields = ["120000.00", "01", "12", "2026", "00", "00"]
    fields[field] = value
    got, _ = fixes(sentence(f"GPZDA,{','.join(fields)}"), gga("120000.00"))
    assert [fix.utc_ns for fix in got] == [None]


def test_a_number_of_400_digits_is_no_number() -> None:
    """It costs its field, never the reading thread."""
    said = read_sentence(gga("120000.00", alt="9" * 400, satellites="9" * 400))
    assert said is not None
    assert (said.alt_m, said.satellites) == (None, None)


def test_an_interruption_forgets_the_date() -> None:
    """After an unplugging a time of day is not dated by what another receiver said."""
    epochs = Epochs()
    epochs.feed_line(rmc("120000.00"), 0)
    assert len(epochs.interrupt()) == 1
    epochs.feed_line(gga("120001.00"), 0)
    assert [fix.utc_ns for fix in epochs.flush()] == [None]


# -- recordings ------------------------------------------------------------------------------------------------------------


def decoded(path: Path) -> tuple[list[Fix], Epochs]:
    epochs = Epochs()
    return list(fixes_in([path.read_bytes()], epochs)), epochs


def test_munich_drive(data: Path) -> None:
    """31 minutes of a real drive with one second that runs backwards: every fix once, void ones void, the top speed right."""
    got, epochs = decoded(data / "gnss/genivi/munich-gps.nmea")
    want = json.loads((data / "expected_dev.json").read_text())["signals"]["gnss/genivi/munich-gps.nmea"]
    assert (epochs.fixes, epochs.void) == (want["valid_rmc"], want["void_rmc"])
    placed = [fix for fix in got if fix.mode]
    steps = [b.t_ns - a.t_ns for a, b in itertools.pairwise(placed)]
    assert sum(step < 0 for step in steps) == 1
    assert max(steps) == want["max_gap_s"] * 10**9
    assert max(fix.speed_mps or 0 for fix in got) * 3.6 == pytest.approx(want["vmax_kmh"], abs=0.05)
    assert not any(fix.time_trusted for fix in got)


def gpsds(path: Path) -> dict[int, dict[str, object]]:
    """gpsd's last report of each millisecond of the day (its year may be 1,024 weeks off)."""
    reports = {}
    for line in path.with_suffix(path.suffix + ".chk").read_text(errors="replace").splitlines():
        report = json.loads(line) if line.startswith("{") else {}
        if report.get("class") == "TPV" and "time" in report:
            hours, minutes, seconds = report["time"][11:-1].split(":")
            reports[round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)] = report
    return reports


@pytest.mark.parametrize(
    "name",
    [
        "beidou-bd",
        "bu353-glonass",
        "gp-320fw-2019-04-06-overflow",
        "haicom-305N",
        "myguide-3100",
        "neo-m8n",
        "nmea-fuzzy-cases",
        "quectel-eg25-g",
        "quectel",
    ],
)
def test_gpsd_agrees(data: Path, name: str) -> None:
    """Where gpsd reports a moment of the same log, position agrees to a centimetre and the mode but once."""
    path = data / "gnss/gpsd" / f"{name}.log"
    got, _ = decoded(path)
    theirs = gpsds(path)
    pairs = [(fix, theirs[ms]) for fix in got if fix.utc_ns is not None and (ms := fix.utc_ns // 10**6 % 86_400_000) in theirs]
    assert len(pairs) >= min(4, len(got))
    for fix, report in pairs:
        if fix.lat_deg is not None and fix.lon_deg is not None and "lat" in report:
            assert fix.lat_deg == pytest.approx(report["lat"], abs=1e-7)
            assert fix.lon_deg == pytest.approx(report["lon"], abs=1e-7)
    assert sum(max(fix.mode, 1) != report["mode"] for fix, report in pairs) <= 1


@pytest.mark.parametrize(
    ("name", "bad_checksum", "modes"),
    [
        ("pygpsdata-nmeabadck", 2, [2]),
        ("pygpsdata-nmeabadck2", 0, [3]),
        ("pygpsdata-mixed", 0, [3, 3]),
        ("pygpsdata-nmea4", 0, [3]),
        ("pygpsdata-badeof", 0, [3]),
        ("pygpsdata-nmeafoo2", 0, [3]),
        ("pygpsdata-nmeastartup", 0, [0]),
    ],
)
def test_damaged_recordings(data: Path, name: str, bad_checksum: int, modes: list[int]) -> None:
    """Bad checksums, UBX between sentences, unknown kinds, a cut end and a start without fix give what is sound, once."""
    got, epochs = decoded(data / "gnss/pynmeagps" / f"{name}.log")
    assert ([fix.mode for fix in got], epochs.bad_checksum) == (modes, bad_checksum)
    assert epochs.lines == epochs.good + epochs.bad_checksum + epochs.malformed


@given(st.lists(st.binary(max_size=80) | st.sampled_from([rmc("120000.00"), gga("120000.00"), rmc("120001.00", status="V")]), max_size=20))
def test_no_stream_breaks_the_epochs(chunks: list[bytes]) -> None:
    """Any bytes between sentences: no exception, counters add up, and a fix has a position exactly where its mode says so."""
    epochs = Epochs()
    got = list(fixes_in([chunk + b"\n" for chunk in chunks], epochs))
    assert epochs.lines == epochs.good + epochs.bad_checksum + epochs.malformed
    assert len(got) == epochs.fixes + epochs.void
    for fix in got:
        assert (fix.mode > 0) == (fix.lat_deg is not None) == (fix.lon_deg is not None)


@given(st.text(alphabet="0123456789.-+,NSEWAVDeInfa_ ", max_size=60))
def test_any_fields_under_a_right_checksum_keep_the_ranges(fields: str) -> None:
    """A receiver that sends nonsense with sound checksums gives fixes within the globe, or none."""
    got, _ = fixes(*(sentence(f"GP{kind},{fields}") for kind in ("RMC", "GGA", "GNS", "GLL", "VTG", "GSA", "ZDA")))
    for fix in got:
        assert fix.lat_deg is None or -90 <= fix.lat_deg <= 90
        assert fix.lon_deg is None or -180 <= fix.lon_deg <= 180
        assert fix.speed_mps is None or 0 <= fix.speed_mps <= 515
