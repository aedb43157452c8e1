"""hw.bench.receiver: epochs at whole seconds of UTC, and a pty that never blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import serial
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw.bench.pace import NS, Pace
from hw.bench.receiver import LATENCY_NS, UNREAD_BYTES_MAX, WEEK_NS, Line, Receiver, main, write_paced
from hw.bench.scenario import Change
from hw.bench.sentences import epoch_sentences
from hw.bench.truth import Drive
from hw.gnss.lines import LineAssembler
from hw.gnss.nmea import Epochs
from hw.ports import Fix
from tests.hw.bench.scenes import START_NS
from tests.support.wait import until

DRIVE = Drive.load("drive", 1)
EPOCHS = 300


@pytest.mark.parametrize(("rate_hz", "first_ms"), [(1, 750), (10, 50)])
def test_epochs_come_at_whole_steps_of_utc(rate_hz: int, first_ms: int) -> None:
    """The drive begins a quarter past; epochs lie on UTC's own grid, say the truth of that moment, arrive a little later."""
    receiver = Receiver(Drive(msgspec.structs.replace(DRIVE.scenario, receiver_hz=rate_hz), 1), START_NS)
    epochs = list(receiver.epochs(START_NS, START_NS + 20 * NS))
    written = list(receiver.sentences(START_NS, START_NS + 20 * NS))
    assert epochs[0] == START_NS + first_ms * 1_000_000
    assert {epoch_ns % (NS // rate_hz) for epoch_ns in epochs} == {0}
    assert len(epochs) == 20 * rate_hz - (rate_hz == 10)
    assert written == [(e + LATENCY_NS, epoch_sentences(DRIVE.state((e - START_NS) / NS), e)) for e in epochs]


@settings(max_examples=30)
@example(cuts=[0, 830, 1830])  # the very moments of writing
@given(cuts=st.lists(st.integers(-2000, 9000), min_size=2, max_size=6))
def test_windows_lie_side_by_side(cuts: list[int]) -> None:
    """Piece by piece gives what all at once gives."""
    receiver = Receiver(DRIVE, START_NS)
    edges = [START_NS + cut * 1_000_000 for cut in sorted(cuts)]
    assert [x for a, b in pairwise(edges) for x in receiver.sentences(a, b)] == list(receiver.sentences(edges[0], edges[-1]))


def with_change(at_s: float, **conditions: object) -> Drive:
    """The drive with one more change."""
    scenario = DRIVE.scenario
    return Drive(msgspec.structs.replace(scenario, changes=(*scenario.changes, Change(at_s=at_s, set_=conditions))), 1)


def heard(drive: Drive, seconds: int = 20) -> tuple[list[Fix], Epochs]:
    """What the agent's own reader makes of the receiver's bytes."""
    assembler, epochs, fixes = LineAssembler(), Epochs(), list[Fix]()
    for t_ns, data in Receiver(drive, START_NS).sentences(START_NS, START_NS + seconds * NS):
        fixes += [fix for line in assembler.feed(data) for fix in epochs.feed_line(line, t_ns)] + epochs.flush()
    return fixes, epochs


def test_foreign_bytes_between_the_sentences_cost_no_epoch() -> None:
    """Every fix is what it is without them; each epoch has a sentence that is bad."""
    clean, _ = heard(DRIVE)
    littered, epochs = heard(with_change(0, gnss_garbage=True))
    assert littered == clean
    assert epochs.bad_checksum == len(clean)


def test_a_week_that_has_rolled_over_moves_the_date_and_nothing_else() -> None:
    """1,024 weeks back, same place; the reader does not trust such a date."""
    clean, _ = heard(DRIVE)
    late, _ = heard(with_change(0, gnss_weeks_back=1024))
    assert [(fix.lat_deg, fix.lon_deg, fix.course_deg) for fix in late] == [(fix.lat_deg, fix.lon_deg, fix.course_deg) for fix in clean]
    assert {(one.utc_ns or 0) - (other.utc_ns or 0) for one, other in zip(clean, late, strict=True)} == {1024 * WEEK_NS}
    assert not any(fix.time_trusted for fix in late)


def test_an_unplugged_receiver_says_nothing() -> None:
    """No bytes from that moment on, and again when it is plugged in."""
    drive = with_change(5, gnss_plugged=False)
    said = [data for _, data in Receiver(drive, START_NS).sentences(START_NS, START_NS + 20 * NS)]
    assert all(said[:4])
    assert not any(said[6:])


def test_unplugged_and_plugged_in_again_it_is_another_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The link goes with the line and comes back; the program says where."""
    scenario = with_change(0.4, gnss_plugged=False).scenario
    changes = (*scenario.changes, Change(at_s=1.0, set_={"gnss_plugged": True}))
    pace, link = Pace(), tmp_path / "nmea"
    receiver = Receiver(Drive(msgspec.structs.replace(scenario, changes=changes, receiver_hz=10), 1), pace.now_ns())
    writer = threading.Thread(target=write_paced, args=(receiver, link, pace, receiver.start_ns + 2 * NS))
    writer.start()
    until(link.is_symlink)
    until(lambda: not link.is_symlink())
    until(link.is_symlink)
    writer.join()
    assert capsys.readouterr().out.count("ready ") == 2


def test_it_is_told_of_a_crash_while_it_runs(tmp_path: Path) -> None:
    """From the moment that its standard input names, the car stands."""
    link = tmp_path / "nmea"
    begun_ns = time.time_ns() - 30 * NS  # in the midst of the drive, at 78 km/h
    command = [sys.executable, "-m", "hw.bench.receiver", "--link", str(link), "--start-ns", str(begun_ns), "--orders"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.readline()
        with serial.Serial(str(link), timeout=5) as port:
            assert speed_said(port) > 30
            told_ns = time.time_ns() + NS // 2
            program.stdin.write(f"crash {(told_ns - begun_ns) / NS:.3f}\n")
            program.stdin.flush()
            said = [said_next(port) for _ in range(4)]
            assert {speed for epoch_ns, speed in said if epoch_ns >= told_ns + NS // 5} == {0.0}
            assert all(speed > 30 for epoch_ns, speed in said if epoch_ns < told_ns)
        program.stdin.close()
        assert program.wait(5) == 0, "whoever told it is gone"


def speed_said(port: serial.Serial) -> float:
    """Of the next sentence that says one, in knots."""
    return said_next(port)[1]


def said_next(port: serial.Serial) -> tuple[int, float]:
    """The epoch of the next RMC and its speed in knots."""
    while not (line := port.read_until(b"\n")).startswith(b"$GNRMC"):
        assert line, "the receiver said nothing for 5 s"
    fields = line.decode().split(",")
    moment = datetime.strptime(f"{fields[9]} {fields[1]}+0000", "%d%m%y %H%M%S.%f%z")
    return round(moment.timestamp() * 1000) * 1_000_000, float(fields[7])


def test_nobody_reads_and_nothing_blocks() -> None:
    """Hundreds of epochs into a line without a reader: each write returns, and what is kept is small and recent."""
    line = Line()
    slowest_s = 0.0
    for number in range(EPOCHS):
        begin = time.monotonic()
        line.write(checked(number))
        slowest_s = max(slowest_s, time.monotonic() - begin)
        time.sleep(0.002)
    reader = os.open(line.path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    kept = os.read(reader, 65536)
    os.close(reader)
    line.close()
    assert slowest_s < 1
    assert line.dropped > 10
    assert len(kept) <= 2 * UNREAD_BYTES_MAX
    assert kept.endswith(checked(EPOCHS - 1))


def checked(number: int) -> bytes:
    return b"$GNTXT,%08d,%s\r\n" % (number, b"x" * 280)


def test_a_reader_gets_every_sentence_in_real_time(tmp_path: Path) -> None:
    """A serial port on the pty receives exactly the epochs of the drive, none before its time."""
    pace, link = Pace(), tmp_path / "nmea"
    receiver = Receiver(Drive(msgspec.structs.replace(DRIVE.scenario, receiver_hz=10), 1), pace.now_ns() + NS)
    due = b"".join(data for _, data in receiver.sentences(receiver.start_ns, receiver.start_ns + NS))
    writer = threading.Thread(target=write_paced, args=(receiver, link, pace, receiver.start_ns + 60 * NS))
    writer.start()
    until(link.is_symlink)
    with serial.Serial(str(link), timeout=0.05, exclusive=True) as port:
        got = b""
        while len(got) < len(due):
            got += port.read(4096)
            assert not got or pace.now_ns() >= receiver.start_ns + LATENCY_NS
        pace.stop.set()
        writer.join()
    assert got.startswith(due)


def test_unplugged_the_reader_sees_it_at_once(tmp_path: Path) -> None:
    """After close the reader's port fails instead of hanging, and the link is gone."""
    link = tmp_path / "nmea"
    line = Line(link)
    with serial.Serial(str(link), timeout=2) as port:
        line.close()
        with pytest.raises(serial.SerialException):
            port.read(10)
    assert not link.is_symlink()


def test_the_program_says_where_it_writes_and_ends_when_told(tmp_path: Path) -> None:
    """`ready PATH`, sentences on that path and on the link, exit 0 on SIGTERM with the link removed."""
    link = tmp_path / "nmea"
    command = [sys.executable, "-m", "hw.bench.receiver", "--link", str(link)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        word, path = program.stdout.readline().split()
        assert (word, link.readlink()) == ("ready", Path(path))
        with serial.Serial(str(link), timeout=5) as port:
            assert port.read_until(b"\n").startswith(b"$G")
        program.terminate()
        assert program.wait(5) == 0
    assert not link.is_symlink()


def test_a_scenario_that_is_missing_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr."""
    assert main(["--scenario", "nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
