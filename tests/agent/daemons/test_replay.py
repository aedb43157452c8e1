"""Replays: what comes out is what was in the log, counted, and the same every time."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.consent.choice import Choice, GrantEntry, read_choice
from agent.core.outcome import write_outcome
from agent.errors import UsageError
from agent.plan import compile as compile_module
from tests.agent.core.stage import EXTRA, ITEMS, PLACE, SPEED, WEAR
from tests.agent.daemons.logs import ALL, DBC, T_S, Line, catalogue, drive, log, nmea, odometer, played, sentences, speed

SUMMARY = {
    "frames_read": int,
    "frames_wanted": int,
    "frames_short": int,
    "frames_unknown_id": int,
    "readings": int,
    "readings_invalid": int,
    "samples": int,
    "refused": dict,
    "records": int,
    "messages": int,
    "bytes_sealed": int,
    "bytes_wire": int,
    "fixes_read": int,
    "fixes_void": int,
    "sentences_bad": int,
    "duration_s": float,
    "cpu_s": float,
    "max_rss_kib": int,
    "notes": list,
    "streams": dict,
}

YES = Choice(True, {item: GrantEntry(state="YES") for item in ITEMS})


def of(lines: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [line for line in lines if f"{line['service']}.{line['stream']}" == stream]


# -- the summary -------------------------------------------------------------------------------------------------------


def test_the_summary_has_every_promised_key_and_agrees_with_what_was_received(tmp_path: Path) -> None:
    """Keys and kinds of interfaces.md; samples, messages and bytes are those of the lines and the envelopes, whole and by stream."""
    done = played(tmp_path, log(tmp_path / "a.log", drive(10)), receiver=nmea(tmp_path / "g.nmea", T_S, 10))
    summary: dict[str, Any] = dict(done.summary)
    assert {key: type(summary[key]) for key in SUMMARY} == SUMMARY
    envelopes_made, keys = done.run.received.envelopes, done.run.keys
    write_outcome(tmp_path / "out", lines=done.lines, envelopes=envelopes_made, plan=done.plan, summary=done.summary, keys=keys)
    received = [json.loads(line) for line in (tmp_path / "out/received.jsonl").read_text().splitlines()]
    envelopes = sorted((tmp_path / "out/envelopes").iterdir())
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    assert json.loads((tmp_path / "out/plan.json").read_text()) == done.plan
    assert summary["samples"] == len(received) == sum(row["samples"] for row in summary["streams"].values())
    assert summary["messages"] == len(envelopes) == sum(row["messages"] for row in summary["streams"].values())
    assert summary["bytes_sealed"] == sum(path.stat().st_size for path in envelopes)
    assert summary["bytes_wire"] > summary["bytes_sealed"]
    assert {name: row["samples"] for name, row in summary["streams"].items()} == Counter(
        f"{line['service']}.{line['stream']}" for line in received
    )
    assert [path.name.split("-", 1)[0] for path in envelopes] == [f"{n:06d}" for n in range(1, len(envelopes) + 1)]


def test_received_lines_are_sorted_and_have_the_promised_fields(tmp_path: Path) -> None:
    """By service, stream, time, signal and number; no id where the identity is none, a pairwise id elsewhere."""
    done = played(tmp_path, log(tmp_path / "a.log", drive(10)), receiver=nmea(tmp_path / "g.nmea", T_S, 10))
    keys = [(line["service"], line["stream"], line["t"], line["signal"], line["seq"]) for line in done.lines]
    assert keys == sorted(keys)
    identities = {f"{line['service']}.{line['stream']}": (line["identity"], "id" in line) for line in done.lines}
    assert identities == {
        SPEED: ("pairwise", True),
        "a.minute": ("pairwise", True),
        PLACE: ("none", False),
        WEAR: ("vin", True),
        EXTRA: ("pairwise", True),
    }
    assert {line["signal"] for line in of(done.lines, PLACE)} == {"Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude"}


def test_values_and_times_are_those_of_the_log(tmp_path: Path) -> None:
    """At each whole second the newest speed and odometer that the log had by then."""
    lines = [speed(0.1, 30), odometer(0.1, 1000.0), speed(0.8, 31), speed(1.5, 32), speed(2.2, 33), odometer(2.5, 1000.1), speed(3.2, 34)]
    done = played(tmp_path, log(tmp_path / "a.log", lines))
    assert [(line["t"] - T_S, line["value"]) for line in of(done.lines, SPEED)] == [(1, 31), (2, 32), (3, 33)]
    assert [(line["t"] - T_S, line["value"]) for line in of(done.lines, WEAR)] == [(1, 1000.0), (2, 1000.0), (3, 1000.1)]


@pytest.mark.req("R25", control=lambda patch: patch.setattr("agent.core.virtual.Gate.feed", lambda self, frame: frame))
def test_frames_are_counted_and_only_wanted_ones_are_delivered(tmp_path: Path) -> None:
    """Read, wanted, delivered, of no DBC, of an identifier that no rule wants, too short for a wanted signal: each by itself."""
    short = Line(T_S + 1.05, 0x200, b"\x00\x30")
    lines = [*drive(3), Line(T_S + 1.01, 0x7FF, b"\x01"), Line(T_S + 1.02, 0x300, b"\x01"), short]
    done = played(tmp_path, log(tmp_path / "a.log", sorted(lines, key=lambda line: line.t_s)))
    summary = done.summary
    assert summary["frames_read"] == len(lines)
    assert summary["frames_wanted"] == 34
    assert summary["frames_unknown_id"] == 1
    assert summary["frames_short"] == 1
    assert isinstance(summary["frames_delivered"], int)
    assert summary["frames_delivered"] < 34
    assert done.run.gate.unwanted == 1


def test_a_short_frame_costs_only_the_signals_that_lie_beyond_it(tmp_path: Path) -> None:
    """Two bytes of MOTION carry the speed: it is used, and nothing wanted lies beyond."""
    short = Line(T_S, 0x100, (5000).to_bytes(2, "little"))
    done = played(tmp_path, log(tmp_path / "a.log", [short, speed(1.5, 60), speed(2.5, 60)]))
    assert [line["value"] for line in of(done.lines, SPEED)] == [50, 60]
    assert done.summary["frames_short"] == 0


def test_invalid_readings_are_counted_and_not_sent(tmp_path: Path) -> None:
    """All ones are no speed: the last valid one goes on, one invalid reading is counted."""
    done = played(tmp_path, log(tmp_path / "a.log", [speed(0, 50), Line(T_S + 0.5, 0x100, b"\xff" * 8), speed(1.5, 60), speed(2, 60)]))
    assert done.summary["readings_invalid"] == 1
    assert max(line["value"] for line in of(done.lines, SPEED)) == 60


# -- order, channels, several logs -------------------------------------------------------------------------------------


def test_a_log_that_jumps_back_stands_still_meanwhile(tmp_path: Path) -> None:
    """Every frame is counted, time never goes back, nothing raises."""
    lines = [speed(0), speed(5, 60), speed(2, 70), speed(4, 70), speed(6, 80), speed(7, 80)]
    done = played(tmp_path, log(tmp_path / "a.log", lines))
    assert done.summary["frames_read"] == 6
    assert done.summary["duration_s"] == 7
    times = [line["t"] for line in of(done.lines, SPEED)]
    assert times == sorted(set(times))


def test_equal_and_zero_times_are_times(tmp_path: Path) -> None:
    """A log that begins at 0 with many equal stamps is read like any other."""
    lines = [Line(0.0, 0x100, (5000).to_bytes(2, "little") + bytes(6))] * 5 + [Line(2.0, 0x100, (6000).to_bytes(2, "little") + bytes(6))]
    done = played(tmp_path, log(tmp_path / "a.log", lines))
    assert done.summary["frames_read"] == 6
    assert [line["t"] for line in of(done.lines, SPEED)][-2:] == [1, 2]


def test_several_logs_are_one_drive(tmp_path: Path) -> None:
    """Merged by time, whichever is named first: the same lines as one log with everything."""
    whole = played(tmp_path, log(tmp_path / "whole.log", drive(6)))
    speeds = log(tmp_path / "speeds.log", [line for line in drive(6) if line.can_id == 0x100])
    odometers = log(tmp_path / "odometers.log", [line for line in drive(6) if line.can_id == 0x200])
    for order in ([speeds, odometers], [odometers, speeds]):
        split = played(tmp_path, *order)
        assert split.summary["frames_read"] == whole.summary["frames_read"]
        assert split.lines == whole.lines


@pytest.mark.parametrize(
    ("buses", "channels", "streams", "unknown"),
    [
        (("pt",), {}, {SPEED, WEAR}, 0),
        (("can0", "can1"), {}, {SPEED, WEAR}, 0),
        (("pt",), {"can0": "pt"}, {SPEED, WEAR}, 0),
        (("pt", "body"), {}, set(), 66),
        (("pt", "body"), {"can0": "pt", "can1": "body"}, {SPEED, WEAR}, 0),
        (("pt", "body"), {"can0": "pt"}, {SPEED}, 33),
        (("pt", "body"), {"can1": "pt", "can0": "body"}, {SPEED, WEAR}, 0),
    ],
)
def test_channels_go_to_buses(tmp_path: Path, buses: tuple[str, ...], channels: dict[str, str], streams: set[str], unknown: int) -> None:
    """One bus takes every channel; else the one of its own name or of --bus; what is nobody's is counted as unknown."""
    both = sorted([*drive(3), *drive(3, channel="can1")], key=lambda line: line.t_s)
    done = played(tmp_path, log(tmp_path / "a.log", both), buses=buses, channels=channels)
    assert {stream for stream in (SPEED, WEAR) if of(done.lines, stream)} == streams
    assert done.summary["frames_unknown_id"] == unknown
    assert done.summary["frames_read"] == 66


# -- the receiver ------------------------------------------------------------------------------------------------------


def test_a_receiver_alone_is_enough(tmp_path: Path) -> None:
    """No log: positions come from the file, and its time is the time."""
    done = played(tmp_path, receiver=nmea(tmp_path / "g.nmea", T_S, 5))
    assert done.summary["fixes_read"] == 5
    assert {line["t"] - T_S for line in of(done.lines, PLACE)} == {1, 2, 3, 4}
    assert done.summary["notes"] == [note for note in done.summary["notes"] if "shifted" not in note]  # type: ignore[attr-defined]


def shifted(done: Any) -> list[str]:
    return [note for note in done.summary["notes"] if "shifted" in note]


@pytest.mark.parametrize("apart_s", [-86_400, 86_400, 100_000_000])
def test_times_that_do_not_overlap_are_laid_start_to_start(tmp_path: Path, apart_s: int) -> None:
    """CAN's time stays, the receiver's is shifted, and a note says by how much."""
    done = played(tmp_path, log(tmp_path / "a.log", drive(5)), receiver=nmea(tmp_path / "g.nmea", T_S + apart_s, 5))
    assert {line["t"] - T_S for line in of(done.lines, PLACE)} == {1, 2, 3, 4}
    [note] = shifted(done)
    assert f"{-apart_s}.000 s" in note
    assert {line["t"] - T_S for line in of(done.lines, SPEED)} == {1, 2, 3, 4}


@pytest.mark.parametrize("apart_s", [-3, 0, 3])
def test_times_that_overlap_stay(tmp_path: Path, apart_s: int) -> None:
    """However little: both are believed."""
    done = played(tmp_path, log(tmp_path / "a.log", drive(5)), receiver=nmea(tmp_path / "g.nmea", T_S + apart_s, 5))
    assert shifted(done) == []
    assert min(line["t"] - T_S for line in of(done.lines, PLACE)) == apart_s + 1


def test_bad_sentences_are_counted_and_give_no_position(tmp_path: Path) -> None:
    """A broken checksum, a void epoch, noise: counted apart; the good epochs are used."""
    lines = sentences(T_S, 4).splitlines(keepends=True)
    lines[2] = lines[2].replace("3112", "3812")
    lines[3] = lines[3].replace("3112", "3812")
    file = tmp_path / "g.nmea"
    file.write_bytes("".join(lines).encode() + b"\xb5\x62\x01noise\r\n$GPXXX\r\n")
    done = played(tmp_path, receiver=file)
    assert isinstance(done.summary["sentences_bad"], int)
    assert done.summary["sentences_bad"] >= 2
    latitudes = {line["value"] for line in of(done.lines, PLACE) if line["signal"].endswith("Latitude")}
    assert all(31 < value < 32 for value in latitudes)


# -- what may be sent --------------------------------------------------------------------------------------------------


def in_the_name_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "CHECKS", ())


@pytest.mark.req("R22", "T01", control=in_the_name_of_all)
def test_what_the_driver_said_decides(tmp_path: Path) -> None:
    """All: everything of the package; none: the contract's; unaccepted: nothing at all."""
    file, receiver = log(tmp_path / "a.log", drive(5)), nmea(tmp_path / "g.nmea", T_S, 5)
    for text, streams in (("all", {SPEED, PLACE, WEAR, EXTRA}), ("none", {WEAR, EXTRA}), ("unaccepted", set())):
        done = played(tmp_path, file, receiver=receiver, choice=read_choice(text))
        assert {stream for stream in (SPEED, PLACE, WEAR, EXTRA) if of(done.lines, stream)} == streams, text
        assert bool(done.summary["messages"]) == bool(streams)


def test_a_grant_that_ended_before_the_run_has_expired(tmp_path: Path) -> None:
    """That is the reason, and not that there was none."""
    over = {item: GrantEntry(state="YES", until=datetime(2020, 1, 1, tzinfo=UTC)) for item in ITEMS}
    done = played(tmp_path, log(tmp_path / "a.log", drive(5)), choice=Choice(True, over))
    assert set(done.summary["refused"]) == {"expired"}  # type: ignore[call-overload]
    assert of(done.lines, SPEED) == []


def test_all_is_granted_to_the_end_of_the_run(tmp_path: Path) -> None:
    """However short the terms of the catalogue's items are; a file is cut to them."""
    shipped = load_catalogue(catalogue(tmp_path / "catalogue"))
    items = {name: msgspec.structs.replace(item, max_term="3s") for name, item in shipped.items.items()}
    short, file = msgspec.structs.replace(shipped, items=items), log(tmp_path / "a.log", drive(9))
    whole, cut = (of(played(tmp_path, file, having=short, choice=choice).lines, SPEED) for choice in (ALL, YES))
    assert max(line["t"] for line in whole) == T_S + 8
    assert max(line["t"] for line in cut) <= T_S + 3


@pytest.mark.req("R06", control=in_the_name_of_all)
def test_a_smaller_package_gives_less(tmp_path: Path) -> None:
    """Service b is not in package one; without a package there is nothing."""
    file = log(tmp_path / "a.log", drive(5))
    assert of(played(tmp_path, file, package="one").lines, EXTRA) == []
    assert played(tmp_path, file, package=None).lines == []


def test_nothing_to_replay(tmp_path: Path) -> None:
    """An NMEA file without any dated epoch is said, not passed over."""
    undated = tmp_path / "g.nmea"
    undated.write_text("$GPGSV,1,1,00*79\r\n")
    with pytest.raises(UsageError, match=r"nothing to replay.*g\.nmea"):
        played(tmp_path, receiver=undated)


@pytest.mark.parametrize("content", [b"", b"no sentence\n", b"$GPGSV,1,1,00*00\r\n"])
def test_a_receivers_file_without_one_valid_sentence_is_named(tmp_path: Path, content: bytes) -> None:
    """With a log beside it too: it is not what it was said to be."""
    file = tmp_path / "g.nmea"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"not one valid NMEA sentence.*g\.nmea"):
        played(tmp_path, log(tmp_path / "a.log", drive(1)), receiver=file)


def test_an_unknown_package_is_an_error(tmp_path: Path) -> None:
    """It says which there are."""
    with pytest.raises(UsageError, match="one, two"):
        played(tmp_path, log(tmp_path / "a.log", drive(1)), package="three")


# -- real traffic ------------------------------------------------------------------------------------------------------

LOGS = {
    "can/savvycan/candump.log": 8.0,
    "can/ford_fg_falcon/candump-2021-01-22_135811.log": 73.92,
    "can/formats_python_can/logfile_errorframes.asc": 17.729,
    "can/formats_python_can/logfile.asc": 27.997,
    "can/formats_python_can/test_CanMessage_V2_1.trc": 31.402,
    "can/formats_python_can/issue_1905.blf": 105.002,
    "can/formats_python_can/test_CanMessage.asc.gz": 15.376,
}


@pytest.mark.parametrize("name", sorted(LOGS))
def test_real_logs_are_read_to_their_end(data: Path, tmp_path: Path, name: str) -> None:
    """Every message is counted, error and remote frames apart, as python-can read them when the data set was made."""
    expected = json.loads((data / "expected_dev.json").read_text())["can"][name]
    done = played(tmp_path, data / name)
    summary = done.summary
    assert summary["frames_read"] == expected["frames"]
    assert (summary["frames_error"], summary["frames_remote"]) == (expected["err"], expected["rtr"])
    assert isinstance(summary["duration_s"], float)
    if not expected["err"] and not expected["rtr"]:
        assert summary["duration_s"] == pytest.approx(expected["dur"], abs=0.002)


KONA = """[vehicle]
title = "Kona"
[buses.c]
dbc = ["{dbc}"]
[signals]
"Vehicle.TraveledDistance" = {{ bus = "c", from = "CLU12.CF_Clu_Odometer", unit = "km" }}
"Vehicle.Speed" = {{ bus = "c", from = "WHL_SPD11.WHL_SPD_FL", unit = "km/h" }}
"""


def test_a_real_engine_start(data: Path, tmp_path: Path) -> None:
    """The odometer of the log arrives to the tenth, unknown identifiers are those that are in no DBC."""
    folder = tmp_path / "kona"
    folder.mkdir()
    (folder / "vehicle.toml").write_text(KONA.format(dbc=data / "can/hyundai_kona/hyundai_kia_generic.dbc"))
    truth = json.loads((data / "expected_dev.json").read_text())["signals"]["can/hyundai_kona/turnonlog.log"]
    done = played(tmp_path, data / "can/hyundai_kona/turnonlog.log", car=folder)
    assert {line["value"] for line in of(done.lines, WEAR)} == {truth["CLU12.CF_Clu_Odometer"]["value"]}
    assert {line["value"] for line in of(done.lines, SPEED)} == {truth["WHL_SPD11.WHL_SPD_FL"]["max"]}
    assert done.summary["frames_read"] == 17_173
    assert done.summary["frames_unknown_id"] == 17_173 - truth["frames_decoded"] - _too_short(data)
    assert done.summary["frames_wanted"] == truth["WHL_SPD11.WHL_SPD_FL"]["n"] + truth["CLU12.CF_Clu_Odometer"]["n"]


def _too_short(data: Path) -> int:
    """Frames with a DBC entry that the data set's maker left out because of their length."""
    truth = json.loads((data / "expected_dev.json").read_text())["signals"]["can/hyundai_kona/turnonlog.log"]
    short: int = truth["frames_dlc_shorter_than_dbc"]
    return short


def test_a_real_log_through_the_shipped_catalogue(data: Path, tmp_path: Path) -> None:
    """A car that maps hardly anything: what it lacks is refused with that reason, and no position appears from nowhere."""
    folder = tmp_path / "kona"
    folder.mkdir()
    (folder / "vehicle.toml").write_text(KONA.format(dbc=data / "can/hyundai_kona/hyundai_kia_generic.dbc"))
    shipped = load_catalogue(shipped_catalogue())
    done = played(tmp_path, data / "can/hyundai_kona/turnonlog.log", car=folder, having=shipped, package="navigation_plus")
    assert done.summary["refused"]["not_on_vehicle"] > 20  # type: ignore[index]
    assert not any("Location" in str(line["signal"]) for line in done.lines)


def test_a_real_drive_by_its_receiver(data: Path, tmp_path: Path) -> None:
    """Eight minutes of a recorded drive: speed and way come from the receiver, and the slow clock holds."""
    part = tmp_path / "part.nmea"
    part.write_bytes(b"".join((data / "gnss/genivi/munich-gps.nmea").read_bytes().splitlines(keepends=True)[:3000]))
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "vehicle.toml").write_text('[vehicle]\ntitle = "Bare"\n[buses.pt]\ndbc = []\n')
    shipped = load_catalogue(shipped_catalogue())
    done = played(tmp_path, receiver=part, having=shipped, package="navigation_plus", car=folder)
    assert isinstance(done.summary["fixes_read"], int)
    assert done.summary["fixes_read"] > 300
    probes = of(done.lines, "real_time_traffic.probe")
    assert len({line["t"] for line in probes}) > 5
    assert all(line["t"] % 10 == 0 and line["identity"] == "none" for line in probes)


def test_the_dbc_of_these_tests_says_what_they_think() -> None:
    """The odometer is big-endian, the speed little-endian."""
    assert "7|24@0+" in DBC
    assert "0|16@1+" in DBC
