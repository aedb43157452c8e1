"""Logs: every format reads completely, what is no log is refused, nothing is invented."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import logging
from pathlib import Path

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.can.replay import LogCounters, log_frames, open_log
from hw.errors import UnreadableLog
from hw.ports import EXTENDED_ID, Frame

needs_asammdf = pytest.mark.skipif(importlib.util.find_spec("asammdf") is None, reason="the extra mf4 is not installed")
without_asammdf = pytest.mark.skipif(importlib.util.find_spec("asammdf") is not None, reason="the extra mf4 is installed")

MF4 = "can/css_obd2_gnss/3BA199E2_00000164_00000001-60FE3F04.MF4"


def read(path: Path) -> tuple[list[Frame], LogCounters, set[str]]:
    counters = LogCounters()
    channels: set[str] = set()

    def take_all(channel: str) -> str:
        channels.add(channel)
        return "pt"

    return list(log_frames(path, take_all, counters)), counters, channels


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# -- what others recorded ------------------------------------------------------------------------------------------------


def test_every_log_of_the_data_set_reads_completely(data: Path) -> None:
    """Messages, error and remote frames of each log are as many as were counted without the product; none is left out."""
    expected = json.loads((data / "expected_dev.json").read_text())["can"]
    names = [name for name, want in expected.items() if "frames" in want and not name.lower().endswith((".csv", ".mf4"))]
    assert len(names) >= 25
    for name in names:
        want = expected[name]
        frames, counters, _ = read(data / name)
        assert (counters.read, counters.error, counters.remote) == (want["frames"], want["err"], want["rtr"]), name
        assert len(frames) == want["frames"] - want["err"] - want["rtr"], name


@pytest.mark.parametrize(
    "name", ["can/ford_fg_falcon/candump-2021-01-22_135811.log", "can/savvycan/candump.log", "can/hyundai_kona/turnonlog.log"]
)
def test_ids_channels_and_length_of_real_drives_are_right(data: Path, name: str) -> None:
    """Identifiers, channels and duration agree: a trailing " R", whole-second stamps and equal stamps do no harm."""
    want = json.loads((data / "expected_dev.json").read_text())["can"][name]
    frames, _, channels = read(data / name)
    assert len({one.can_id for one in frames}) == want["ids"]
    assert sorted(channels) == want["ch"]
    assert (frames[-1].t_ns - frames[0].t_ns) / 1e9 == pytest.approx(want["dur"], abs=1e-3)


@pytest.mark.parametrize("name", ["test_CanErrorFrameExt.blf", "test_CanErrorFrames.asc"])
def test_a_log_of_error_frames_only_gives_no_frame(data: Path, name: str) -> None:
    """Error frames are counted and never yielded."""
    frames, counters, _ = read(data / "can/formats_python_can" / name)
    assert frames == []
    assert counters.error == counters.read > 0


def test_the_quick_reading_is_python_cans_reading(data: Path) -> None:
    """On real candump logs the quick path and python-can's own reader agree frame by frame."""
    for name in ("hyundai_kona/turnonlog.log", "ford_fg_falcon/candump-2021-01-22_135811.log"):
        frames, _, _ = read(data / "can" / name)
        for ours, theirs in zip(frames, open_log(data / "can" / name), strict=True):
            assert ours.can_id == theirs.arbitration_id | (EXTENDED_ID if theirs.is_extended_id else 0)
            assert ours.data == bytes(theirs.data)
            assert ours.t_ns == round(theirs.timestamp * 1e6) * 1000


@given(
    seconds=st.integers(0, 4_000_000_000),
    micros=st.integers(0, 999_999),
    can_id=st.integers(0, 0x1FFF_FFFF),
    extended=st.booleans(),
    payload=st.binary(max_size=64),
    ending=st.sampled_from(("", " R", " T")),
)
def test_any_data_line_reads_as_python_can_reads_it(
    *, tmp_path_factory: pytest.TempPathFactory, seconds: int, micros: int, can_id: int, extended: bool, payload: bytes, ending: str
) -> None:
    """Quick path or not, classic or FD: one candump line gives the frame that python-can's reader gives."""
    can_id = can_id if extended else can_id & 0x7FF
    fd = "#3" if len(payload) > 8 else ""
    line = f"({seconds}.{micros:06}) can0 {can_id:0{8 if extended else 3}X}#{fd}{payload.hex().upper()}{ending}\n"
    path = written(tmp_path_factory.mktemp("log"), "one.log", line.encode())
    theirs = next(iter(can.CanutilsLogReader(io.StringIO(line))))
    frames, _, _ = read(path)
    marked = theirs.arbitration_id | (EXTENDED_ID if extended else 0)
    assert frames == [Frame("pt", marked, bytes(theirs.data), (seconds * 1_000_000 + micros) * 1000)]


# -- candump's corners -----------------------------------------------------------------------------------------------------


def test_remote_error_and_foreign_frames_of_candump_are_counted_not_yielded(tmp_path: Path) -> None:
    """Remote frames, every kind of error frame and frames of unknown channels are counted apart."""
    lines = [
        "(1.000000) can0 123#R",
        "(1.000001) can0 20000080#0000000000000000",
        "(1.000002) can0 20000004#0020000000000000",
        "(1.000003) can9 123#11",
        "",
        "(1.000004) can0 123#22",
    ]
    path = written(tmp_path, "mixed.log", "\r\n".join([*lines, ""]).encode())
    counters = LogCounters()
    frames = list(log_frames(path, {"can0": "pt"}.get, counters))
    assert [one.data for one in frames] == [b"\x22"]
    assert counters == LogCounters(read=5, error=2, remote=1, other_channel=1)


def test_fault_power_cut_within_the_last_line_costs_that_line_only(tmp_path: Path) -> None:
    """A candump log that ends within a line reads up to there, and says so."""
    path = written(tmp_path, "cut.log", b"(1.000000) can0 123#11\n(1.000001) can0 12")
    frames, counters, _ = read(path)
    assert len(frames) == counters.read == 1
    assert counters.cut_short == 1


def test_fault_garbage_within_a_candump_log_is_refused_with_its_line(tmp_path: Path) -> None:
    """A broken line inside a log raises UnreadableLog that names the line and never quotes it."""
    path = written(tmp_path, "bad.log", b"(1.000000) can0 123#11\n(1.0) can0 SECRETPAYLOAD\n(1.000001) can0 123#22\n")
    with pytest.raises(UnreadableLog, match="line 2") as caught:
        read(path)
    assert "SECRET" not in str(caught.value)


def test_half_a_byte_is_refused(tmp_path: Path) -> None:
    """An odd number of payload digits is no frame."""
    path = written(tmp_path, "odd.log", b"(1.000000) can0 123#112\n")
    with pytest.raises(UnreadableLog):
        read(path)


# -- what is no log --------------------------------------------------------------------------------------------------------

SUFFIXES = (".log", ".asc", ".blf", ".trc", ".csv", ".db", ".MF4", ".asc.gz", ".log.gz")
CONTENTS = {
    "random bytes": bytes((i * 197 + 31) % 256 for i in range(5000)),
    "prose": b"Dear driver,\nthis is a letter and not a log.\n" * 20,
    "empty": b"",
    "zeros": b"\0" * 4096,
    "another format": b"\x89PNG\r\n\x1a\n" + b"\x07" * 500,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", CONTENTS)
def test_fault_a_file_that_is_not_what_its_name_says(tmp_path: Path, suffix: str, kind: str) -> None:
    """Each format refuses random bytes, text, emptiness and other formats with one clear reason and no frame."""
    path = written(tmp_path, "drive" + suffix, CONTENTS[kind])
    with pytest.raises(UnreadableLog) as caught:
        read(path)
    assert caught.value.what
    assert caught.value.hint
    assert "drive" in caught.value.where


@pytest.mark.parametrize("kind", ["random bytes", "prose", "empty"])
def test_fault_garbage_inside_gzip(tmp_path: Path, kind: str) -> None:
    """A sound gzip file around no log is refused too."""
    with pytest.raises(UnreadableLog):
        read(written(tmp_path, "drive.asc.gz", gzip.compress(CONTENTS[kind])))


@pytest.mark.parametrize("keep", [3, 20, 143, 200, 300])
def test_fault_truncated_blf(data: Path, tmp_path: Path, keep: int) -> None:
    """A BLF cut in its header, or before its first frame, is refused."""
    whole = (data / "can/formats_python_can/test_CanMessage.blf").read_bytes()
    with pytest.raises(UnreadableLog):
        read(written(tmp_path, "cut.blf", whole[:keep]))


def test_fault_asc_with_a_header_and_no_frame(tmp_path: Path) -> None:
    """A header alone is no recording."""
    with pytest.raises(UnreadableLog, match="no CAN frame"):
        read(written(tmp_path, "head.asc", b"date Sam Sep 30 15:06:13.191 2017\nbase hex  timestamps absolute\n"))


def test_fault_corrupt_gzip(tmp_path: Path) -> None:
    """A gzip stream that breaks off in the middle is refused, not a traceback."""
    body = gzip.compress(b"".join(b"(1.%06d) can0 123#%04X\n" % (i, i * 7919 % 65536) for i in range(60_000)))
    with pytest.raises(UnreadableLog):
        read(written(tmp_path, "cut.log.gz", body[: len(body) // 2]))


def test_fault_missing_and_unknown_files(tmp_path: Path) -> None:
    """No file, a folder, a suffix that nobody knows: each says what it is."""
    (tmp_path / "folder.log").mkdir()
    for name, reason in (
        ("none.log", "cannot read"),
        ("folder.log", "cannot read"),
        ("drive.pcap", "unknown log format"),
        ("x", "unknown"),
    ):
        with pytest.raises(UnreadableLog, match=reason):
            log_frames(tmp_path / name, lambda channel: "pt")


@without_asammdf
def test_mf4_without_its_extra_says_which_extra(data: Path) -> None:
    """Without asammdf an MF4 log is refused with the name of the extra to install."""
    with pytest.raises(UnreadableLog, match="mf4") as caught:
        read(data / MF4)
    assert "make mf4" in caught.value.hint


@needs_asammdf
def test_mf4_reads_completely(data: Path) -> None:
    """With asammdf an MF4 log gives every frame."""
    frames, _, channels = read(data / MF4)
    want = json.loads((data / "expected_dev.json").read_text())["can"][MF4]
    assert (len(frames), sorted(channels)) == (want["frames"], want["ch"])


def test_python_cans_log_lines_stay_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """python-can logs whole lines of a trace that it cannot parse; none of that may reach a log of ours."""
    path = written(tmp_path, "odd.trc", b";$FILEVERSION=1.1\n;$STARTTIME=44548.6\n 1) 1059.9 Rx\n")
    with caplog.at_level(logging.DEBUG), pytest.raises(UnreadableLog):
        read(path)
    assert [record.name for record in caplog.records if record.name.startswith("can")] == []


@given(st.sampled_from([".log", ".asc", ".blf", ".trc"]), st.binary(max_size=600), st.integers(0, 400))
def test_broken_logs_raise_nothing_but_unreadable_log(tmp_path_factory: pytest.TempPathFactory, suffix: str, noise: bytes, at: int) -> None:
    """Whatever stands in a file, reading gives frames or UnreadableLog, never another exception."""
    heads = {
        ".log": b"(1.000000) can0 123#11\n",
        ".asc": b"date Sat Sep 30 15:06:13.191 2017\nbase hex timestamps absolute\n 0.1 1 123 Rx d 1 68\n",
        ".blf": b"LOGG\x90\0\0\0" + bytes(136),
        ".trc": b";$FILEVERSION=1.1\n;$STARTTIME=44548.6\n",
    }
    content = heads[suffix] + noise[:at] + heads[suffix][-20:] + noise[at:]
    path = written(tmp_path_factory.mktemp("log"), "x" + suffix, content)
    try:
        frames, counters, _ = read(path)
    except UnreadableLog:
        return
    assert len(frames) <= counters.read
