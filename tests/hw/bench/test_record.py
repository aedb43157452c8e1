"""hw.bench.record: a drive that was recorded is the drive again."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.bench.car import Car, main
from hw.bench.pace import Pace
from hw.bench.record import WRITERS, Recording, UnwritableLog, record, recorded
from hw.bench.truth import Drive
from hw.can.replay import log_frames
from hw.ports import EXTENDED_ID, Frame
from tests.hw.bench.scenes import START_NS

SECONDS = 1_000_000_000
CHANNEL = {".log": "pt", ".asc": "0", ".blf": "0", ".trc": "1"}
"""What each format calls the first bus, as python-can reads it."""
FD_LENGTHS = (12, 16, 20, 24, 32, 48, 64)

standard, extended = st.integers(0, 0x7FF), st.integers(0, 0x1FFF_FFFF).map(lambda number: number | EXTENDED_ID)
payloads = st.binary(max_size=8) | st.sampled_from(FD_LENGTHS).flatmap(lambda size: st.binary(min_size=size, max_size=size))
gaps_us = st.lists(st.tuples(st.integers(0, 5_000_000), standard | extended, payloads), min_size=1, max_size=30)


def drive_frames(noise_per_s: float = 0) -> list[Frame]:
    """Three seconds of every message, the CAN FD one and the one with 29 bits among them."""
    return list(Car(Drive.load("drive", 1), START_NS, noise_per_s=noise_per_s).frames(START_NS, START_NS + 3 * SECONDS))


def read_back(path: Path) -> list[Frame]:
    return list(log_frames(path, {CHANNEL[path.suffix]: "pt"}.get))


def as_in(suffix: str, frames: list[Frame]) -> list[Frame]:
    """What the format can say of them: ASC counts from the first frame."""
    zero_ns = frames[0].t_ns if suffix == ".asc" else 0
    return [Frame(frame.bus, frame.can_id, frame.data, frame.t_ns - zero_ns) for frame in frames]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_recorded_drive_reads_back_the_same(suffix: str, tmp_path: Path) -> None:
    """Identifiers, bytes and times to the microsecond, whatever else is on the bus."""
    frames, path = drive_frames(noise_per_s=500), tmp_path / f"drive{suffix}"
    assert record(frames, path) == len(frames) > 3000
    assert read_back(path) == as_in(suffix, frames)


@pytest.mark.parametrize("suffix", WRITERS)
@settings(max_examples=40, deadline=None)
@given(gaps=gaps_us)
def test_any_frame_reads_back_the_same(suffix: str, gaps: list[tuple[int, int, bytes]]) -> None:
    """Every identifier, every length of classic CAN and CAN FD, frames at one moment and far apart."""
    times_us = itertools.accumulate((gap for gap, _, _ in gaps), initial=START_NS // 1000)
    frames = [Frame("pt", can_id, data, t_us * 1000) for t_us, (_, can_id, data) in zip(times_us, gaps, strict=False)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"any{suffix}"
        record(frames, path)
        assert read_back(path) == as_in(suffix, frames)


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_ending_may_be_in_capitals(suffix: str, tmp_path: Path) -> None:
    """As on a card from another system."""
    path = tmp_path / f"DRIVE{suffix.upper()}"
    frames = drive_frames()[:50]
    record(frames, path)
    assert list(log_frames(path, {CHANNEL[suffix]: "pt"}.get)) == as_in(suffix, frames)


@pytest.mark.parametrize("suffix", WRITERS)
def test_two_buses_stay_two(suffix: str, tmp_path: Path) -> None:
    """Each has a channel of its own."""
    frames = [Frame("pt", 1, b"a", START_NS), Frame("body", 1, b"b", START_NS + 1000)]
    path = tmp_path / f"both{suffix}"
    record(frames, path)
    first = int(CHANNEL[suffix]) if suffix != ".log" else 0
    channels = {"pt": "pt", "body": "body"} if suffix == ".log" else {str(first): "pt", str(first + 1): "body"}
    assert [frame.bus for frame in log_frames(path, channels.get)] == ["pt", "body"]


def test_frames_pass_while_they_are_written(tmp_path: Path) -> None:
    """None is held back, and no more are taken than are passed on."""
    frames, taken = drive_frames()[:10], list[Frame]()

    def source() -> Iterator[Frame]:
        for frame in frames:
            taken.append(frame)
            yield frame

    passing = recorded(source(), tmp_path / "drive.log")
    assert taken == []
    assert [(frame, len(taken)) for frame in passing] == [(frame, number) for number, frame in enumerate(frames, 1)]


def test_a_recording_that_is_broken_off_is_whole_so_far(tmp_path: Path) -> None:
    """Who stops taking has a file of what was taken."""
    frames, path = drive_frames(), tmp_path / "drive.blf"
    passing = recorded(frames, path)
    taken = list(itertools.islice(passing, 100))
    passing.close()  # type: ignore[attr-defined]  # as the end of its reader does
    assert read_back(path) == taken


@pytest.mark.parametrize("name", ["drive.pdf", "drive", "drive.log.gz", "drive.mf4"])
def test_an_ending_that_cannot_be_written_is_refused_at_once(name: str, tmp_path: Path) -> None:
    """With the endings that can, and without a file."""
    with pytest.raises(UnwritableLog, match=r"\.asc \.blf \.log \.trc"):
        recorded([], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """Before the first frame is taken."""
    with pytest.raises(UnwritableLog, match="No such file or directory"):
        recorded([], tmp_path / "nowhere" / "drive.log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """As a fault of the recording, with no frame in its text."""
    path = tmp_path / "drive.log"
    path.symlink_to("/dev/full")
    with pytest.raises(UnwritableLog, match="No space left on device"):
        record(drive_frames(), path)


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    """The recording holds this drive alone."""
    path, frames = tmp_path / "drive.log", drive_frames()[:5]
    record(drive_frames(), path)
    with Recording(path) as recording:
        for frame in frames:
            recording.add(frame)
    assert read_back(path) == frames


def test_the_program_records_what_it_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The drive with its noise, in a file that is whole when the program has ended."""
    monkeypatch.setattr(Pace, "stop_on_signals", lambda _: None)
    log, start_ns = tmp_path / "drive.log", time.time_ns() // 1000 * 1000 + SECONDS  # a busy computer starts late
    where = ["--interface", "virtual", "--channel", "recorded", "--start-ns", str(start_ns), "--seconds", "0.4"]
    assert main([*where, "--noise", "400", "--record", str(log)]) == 0
    frames = list(log_frames(log, lambda channel: channel))
    due = Car(Drive.load("drive", 0), start_ns, noise_per_s=400).frames(start_ns, start_ns + 2 * SECONDS // 5)
    assert frames == list(due)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["frames"] == len(frames)
