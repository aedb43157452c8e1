"""hw.bench.receiver: epochs at whole seconds of UTC, and a pty that never blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
import serial
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw.bench.pace import NS, Pace
from hw.bench.receiver import LATENCY_NS, UNREAD_BYTES_MAX, Line, Receiver, main, write_paced
from hw.bench.sentences import epoch_sentences
from hw.bench.truth import Drive
from tests.hw.bench.scenes import START_NS

DRIVE = Drive.load("drive", 1)
EPOCHS = 300


@pytest.mark.parametrize(("rate_hz", "first_ms"), [(1, 750), (10, 50)])
def test_epochs_come_at_whole_steps_of_utc(rate_hz: int, first_ms: int) -> None:
    """The drive begins a quarter past; epochs lie on UTC's own grid, say the truth of that moment, arrive a little later."""
    receiver = Receiver(DRIVE, START_NS, rate_hz)
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


def test_a_reader_gets_every_sentence_in_real_time() -> None:
    """A serial port on the pty receives exactly the epochs of the drive, none before its time."""
    pace, line = Pace(), Line()
    receiver = Receiver(DRIVE, pace.now_ns(), rate_hz=10)
    stop_ns = receiver.start_ns + NS
    with serial.Serial(line.path, timeout=0.2, exclusive=True) as port:
        writer = threading.Thread(target=write_paced, args=(receiver, line, pace, stop_ns))
        writer.start()
        got = b""
        while writer.is_alive():
            got += port.read(4096)
            assert not got or pace.now_ns() >= receiver.start_ns + LATENCY_NS
        writer.join()
    line.close()
    assert got == b"".join(data for _, data in receiver.sentences(receiver.start_ns, stop_ns))


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
    command = [sys.executable, "-m", "hw.bench.receiver", "--rate-hz", "10", "--link", str(link)]
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
