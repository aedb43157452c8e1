"""agent.ecall.fixes: what core tells comes, what is none does not, and core never waits."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agent.ecall.fixes import FORM, SOCKET, FixHearer, FixTeller, packed, unpacked
from agent.notify import wrong
from hw.ports import Fix

numbers = some.floats(allow_nan=False, allow_infinity=False)
maybe = some.none() | numbers
Heard = tuple[FixHearer, "queue.SimpleQueue[Fix]"]


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    fixes: queue.SimpleQueue[Fix] = queue.SimpleQueue()
    hearer = FixHearer(tmp_path, fixes.put)
    hearer.start()
    yield hearer, fixes
    hearer.close()


@given(some.integers(0, 2**63 - 1), numbers, numbers, maybe, maybe, maybe)
def test_a_fix_survives_its_datagram(
    t_ns: int, lat: float, lon: float, hdop: float | None, speed: float | None, course: float | None
) -> None:
    """What is not known stays not known."""
    fix = Fix(t_ns, 2, lat, lon, hdop=hdop, speed_mps=speed, course_deg=course, source="core")
    assert unpacked(packed(fix, t_ns)) == fix


@given(some.binary(max_size=2 * FORM.size))
def test_no_datagram_breaks_it(datagram: bytes) -> None:
    """Whatever comes is a fix with a place, or nothing."""
    fix = unpacked(datagram)
    assert fix is None or None not in (fix.lat_deg, fix.lon_deg)
    assert len(datagram) == FORM.size or fix is None


def test_what_core_tells_is_heard_at_its_own_moment(heard: Heard, tmp_path: Path) -> None:
    """A fix without a place is not told."""
    teller = FixTeller(tmp_path)
    teller(Fix(7, 0), 1)
    teller(Fix(7, 3, 39.9, 116.4), 2)
    fix = heard[1].get(timeout=5)
    assert (fix.t_ns, fix.lat_deg, fix.source) == (2, 39.9, "core")
    assert heard[1].empty()


def test_core_does_not_wait_for_a_call_that_does_not_listen(tmp_path: Path) -> None:
    """Nobody there; a socket whose queue is full; and one that is there again."""
    teller, fix = FixTeller(tmp_path), Fix(7, 3, 39.9, 116.4)
    begun_s = time.monotonic()
    teller(fix, 1)
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deaf.bind(str(tmp_path / SOCKET))
    for t_ns in range(5_000):
        teller(fix, t_ns)
    deaf.close()
    assert time.monotonic() - begun_s < 5
    fixes: queue.SimpleQueue[Fix] = queue.SimpleQueue()
    hearer = FixHearer(tmp_path, fixes.put)
    hearer.start()
    teller(fix, 9)
    assert fixes.get(timeout=5).t_ns == 9
    hearer.close()


def test_a_folder_that_cannot_be_had_is_a_problem_and_no_error(tmp_path: Path) -> None:
    """The call goes on without core's positions."""
    hearer = FixHearer(tmp_path / "absent", lambda _: None)
    hearer.start()
    assert "No such file" in hearer.problem
    assert not wrong("fixes", hearer, time.monotonic() + 3600.0)  # nothing that would end the program
    hearer.close()


def test_its_socket_goes_with_it(tmp_path: Path) -> None:
    """Core then finds nobody, instead of somebody who is deaf."""
    hearer = FixHearer(tmp_path, lambda _: None)
    hearer.start()
    assert (tmp_path / SOCKET).exists()
    hearer.close()
    assert not (tmp_path / SOCKET).exists()
