"""The live receiver on a real pseudo terminal: faults of a serial line, by name."""

from __future__ import annotations

import contextlib
import os
import queue
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from hw.gnss.receiver import Receiver
from hw.ports import Fix
from hw.supervision import PAUSE_S_MAX
from tests.hw.gnss.test_nmea import gga, rmc
from tests.support.wait import until

WAIT_S = 10.0


class Plug:
    """A receiver's cable: a pty behind a stable path, as udev keeps one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ours = -1

    def plug(self) -> None:
        self.ours, theirs = os.openpty()
        tty.setraw(theirs)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(theirs))
        os.close(theirs)

    def unplug(self) -> None:
        if self.ours >= 0:
            os.close(self.ours)
            self.ours = -1
        self.path.unlink(missing_ok=True)

    def say(self, *lines: bytes) -> None:
        os.write(self.ours, b"".join(line + b"\r\n" for line in lines))


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    cable = Plug(tmp_path / "modicum-nmea")
    cable.plug()
    yield cable
    cable.unplug()


@contextlib.contextmanager
def listening(plug: Plug, *, ready: bool = True) -> Iterator[tuple[Receiver, queue.Queue[Fix]]]:
    got: queue.Queue[Fix] = queue.Queue()
    receiver = Receiver(str(plug.path), deliver=got.put_nowait, now_ns=time.monotonic_ns)
    receiver.start()
    try:
        until(lambda: not ready or not receiver.problem)
        yield receiver, got
    finally:
        receiver.close()
        assert not receiver.alive()


def reads_of(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What each read gives from now on; nothing where the line paused."""
    reads: list[bytes] = []
    received = receiver._received

    def watched(port: serial.Serial) -> bytes:
        reads.append(received(port))
        return reads[-1]

    monkeypatch.setattr(receiver, "_received", watched)
    until(lambda: reads, "the read that was under way to end")
    return reads


def test_a_fix_is_delivered_when_the_receiver_pauses(plug: Plug) -> None:
    """One burst gives one fix soon after it, stamped with its arrival; it does not wait for the next second."""
    with listening(plug) as (_, got):
        before = time.monotonic_ns()
        plug.say(rmc("120000.00"), gga("120000.00"))
        fix = got.get(timeout=WAIT_S)
        assert (fix.mode, fix.satellites) == (3, 8)
        assert before <= fix.t_ns <= time.monotonic_ns()
        plug.say(rmc("120001.00"))
        assert got.get(timeout=WAIT_S).mode == 2  # nothing else came in between
        assert got.empty()


def test_fault_partial_line(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence that comes in two parts with a pause between is one sentence; half of it is never used."""
    line = rmc("120000.00") + b"\r\n"
    with listening(plug) as (receiver, got):
        reads = reads_of(receiver, monkeypatch)
        os.write(plug.ours, line[:40])
        until(lambda: b"".join(reads) == line[:40] and reads[-3:] == [b""] * 3, "pauses after the half line")
        assert got.empty()
        os.write(plug.ours, line[40:])
        assert got.get(timeout=WAIT_S).mode == 2
        assert (receiver.epochs.good, receiver.epochs.malformed) == (1, 0)


def test_fault_garbage_and_binary_between_sentences(plug: Plug) -> None:
    """UBX binary, noise and a sentence with a flipped bit cost themselves only."""
    with listening(plug) as (receiver, got):
        os.write(plug.ours, b"\xb5b\x01\x07\x5c\x00$\x80\x0d" + bytes(range(128, 256)))
        plug.say(rmc("120000.00"))
        plug.say(gga("120000.00").replace(b"545", b"645"))
        os.write(plug.ours, b"\x00\xff" * 400)
        plug.say(rmc("120001.00"))
        fixes = [got.get(timeout=WAIT_S), got.get(timeout=WAIT_S)]
        assert [(fix.mode, fix.alt_m) for fix in fixes] == [(2, None), (2, None)]
        assert receiver.epochs.bad_checksum == 1


def test_fault_unplug_and_replug(plug: Plug) -> None:
    """The receiver goes away in the middle of a sentence and comes back: counted, read again after a short pause, nothing invented."""
    with listening(plug) as (receiver, got):
        plug.say(rmc("120000.00"))
        assert got.get(timeout=WAIT_S).mode == 2
        os.write(plug.ours, rmc("120001.00")[:30])
        plug.unplug()
        until(lambda: receiver.losses >= 2)
        assert receiver.problem
        plug.plug()
        back = time.monotonic()
        until(lambda: not receiver.problem)
        assert time.monotonic() - back < 3 * PAUSE_S_MAX
        plug.say(rmc("120005.00"))
        fix = got.get(timeout=WAIT_S)
        assert (fix.mode, receiver.epochs.good, receiver.epochs.malformed) == (2, 2, 0)


def test_fault_no_receiver_at_start(tmp_path: Path) -> None:
    """Without a device the thread lives, says what is wrong without a position, and reads as soon as there is one."""
    cable = Plug(tmp_path / "late")
    with listening(cable, ready=False) as (receiver, got):
        until(lambda: receiver.losses >= 1)
        assert "late" in receiver.problem
        cable.plug()
        until(lambda: not receiver.problem)
        cable.say(rmc("120000.00"))
        assert got.get(timeout=WAIT_S).mode == 2
    cable.unplug()


def test_fault_full_inbox_is_counted_and_does_not_stop_the_receiver(plug: Plug) -> None:
    """An inbox without room costs the fix and a count, not the thread."""
    with listening(plug) as (receiver, got):
        got.maxsize = 1
        plug.say(rmc("120000.00"), rmc("120001.00"), rmc("120002.00"))
        until(lambda: receiver.lost == 2)
        assert receiver.alive()
