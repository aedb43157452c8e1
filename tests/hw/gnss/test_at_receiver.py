"""Positions by AT as a live source, on a real pseudo terminal with the bench's modem behind it; faults by name."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.bench.dialogue import Manner, Vendor
from hw.bench.pace import NS
from hw.bench.truth import CarState
from hw.gnss import at_receiver, locator
from hw.gnss.at_receiver import AtReceiver
from hw.ports import Fix
from hw.registry import driver
from hw.supervision import PAUSE_S_MAX
from tests.hw.modem.cable import BenchModem, Puppet, usual
from tests.support.wait import until

WAIT_S = 15.0
MOVING_S, TUNNEL_S = 60.0, 130.0
QUECTEL = b"\r\n+QGPSLOC: 120000.000,48.11730,11.51667,1.2,545.4,3,84.40,36.0,19.4,011226,11\r\n\r\nOK\r\n"


@contextlib.contextmanager
def asking(path: Path, *, ready: bool = True, every_s: float = 0.1, **more: Any) -> Iterator[tuple[AtReceiver, queue.Queue[Fix]]]:
    got: queue.Queue[Fix] = queue.Queue()
    receiver = AtReceiver(str(path), deliver=got.put_nowait, now_ns=time.time_ns, **more)
    receiver.every_s = every_s
    receiver.start()
    try:
        until(lambda: not ready or not receiver.problem, "the first answer")
        yield receiver, got
    finally:
        receiver.close()
        assert not receiver.alive()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., BenchModem]]:
    made: list[BenchModem] = []

    def make(at_s: float = MOVING_S, scenario: str = "tunnel", **manner: Any) -> BenchModem:
        made.append(BenchModem(tmp_path / "at", Manner(**manner), scenario, at_s))
        made[-1].plug()
        return made[-1]

    yield make
    for modem in made:
        modem.unplug()


@contextlib.contextmanager
def puppet(path: Path, position: Callable[[], bytes | None], maker: bytes = b"Quectel") -> Iterator[Puppet]:
    def reply(command: bytes) -> bytes | None:
        if command == b"AT+CGMI":
            return b"\r\n" + maker + b"\r\n\r\nOK\r\n"
        return position() if command.startswith(b"AT+QGPSLOC") else usual(command)

    doll = Puppet(path, reply)
    try:
        yield doll
    finally:
        doll.unplug()


def there(modem: BenchModem, fix: Fix) -> CarState:
    """The state of the drive at the fix's own second, which is where the fix is."""
    assert fix.utc_ns is not None
    state = modem.drive.state((fix.utc_ns - modem.modem.start_ns) / NS)
    assert fix.lat_deg == pytest.approx(state.lat_deg, abs=6e-6)
    assert fix.lon_deg == pytest.approx(state.lon_deg, abs=6e-6)
    return state


def fixed(got: queue.Queue[Fix]) -> Fix:
    """The next fix with a position."""
    while not (fix := got.get(timeout=WAIT_S)).mode:
        pass
    return fix


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
def test_each_makers_modem_gives_the_truth_of_the_drive(bench: Callable[..., BenchModem], vendor: Vendor) -> None:
    """Found out, switched on, asked: place, speed and time of the drive, stamped with the arrival; nothing wanted by hand."""
    modem = bench(vendor=vendor)
    with asking(modem.path) as (_, got):
        fixes = [fixed(got) for _ in range(5)]
    for fix in fixes:
        state = there(modem, fix)
        assert fix.utc_ns is not None
        assert fix.speed_mps == pytest.approx(state.speed_mps, abs=0.06)
        assert fix.course_deg == pytest.approx(state.heading_deg % 360, abs=0.01)
        assert 0 <= fix.t_ns - fix.utc_ns < 5 * NS
        assert (fix.source, fix.mode, fix.satellites) == ("at", 3, 9)
    assert [fix.t_ns for fix in fixes] == sorted(fix.t_ns for fix in fixes)


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
def test_without_a_fix_each_answer_is_a_void_one(bench: Callable[..., BenchModem], vendor: Vendor) -> None:
    """In the tunnel: mode 0, no position, and no problem, for the modem answers."""
    with asking(bench(TUNNEL_S, vendor=vendor).path) as (receiver, got):
        fixes = [got.get(timeout=WAIT_S) for _ in range(3)]
        assert {(fix.mode, fix.lat_deg, fix.lon_deg) for fix in fixes} == {(0, None, None)}
        assert (receiver.problem, receiver.losses, receiver.epochs.void >= 3) == ("", 0, True)


def test_a_standing_car_has_no_course(bench: Callable[..., BenchModem]) -> None:
    """Quectel says zero then, which is north."""
    with asking(bench(0.0).path) as (_, got):
        fix = fixed(got)
    assert (fix.speed_mps, fix.course_deg) == (0.0, None)


def test_it_asks_as_often_as_it_was_told(tmp_path: Path) -> None:
    """Once in the interval, not as fast as the modem answers."""
    with puppet(tmp_path / "at", lambda: QUECTEL) as doll, asking(tmp_path / "at") as (_, got):
        until(lambda: got.qsize() >= 10, "ten fixes")
        stamps = [got.get_nowait().t_ns for _ in range(10)]
        assert stamps[9] - stamps[0] > 0.8 * NS
        assert doll.heard[-1].startswith(b"AT+QGPSLOC=2")


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
def test_fault_unplug_and_replug(bench: Callable[..., BenchModem], vendor: Vendor) -> None:
    """The modem goes away and comes back as after a power-up: counted, its reason said, switched on and read again."""
    modem = bench(vendor=vendor)
    with asking(modem.path) as (receiver, got):
        fixed(got)
        modem.unplug()
        until(lambda: receiver.losses >= 2, "the loss")
        assert str(modem.path) in receiver.problem
        while not got.empty():
            got.get_nowait()
        modem.plug()
        back_s = time.monotonic()
        fixed(got)
        assert time.monotonic() - back_s < 3 * PAUSE_S_MAX
        assert receiver.problem == ""


def test_fault_unplugged_between_two_questions(tmp_path: Path) -> None:
    """Seen at once, not when the next position is due."""
    with puppet(tmp_path / "at", lambda: QUECTEL) as doll, asking(tmp_path / "at", every_s=3600.0) as (receiver, got):
        fixed(got)
        doll.unplug()
        until(lambda: receiver.losses, "the loss")


def test_a_model_that_knows_only_the_second_command_is_asked_by_that(bench: Callable[..., BenchModem]) -> None:
    """ERROR to the first one, as a SIM7000 does."""
    modem = bench(vendor="simcom")
    del modem.modem._commands[r"AT\+CGNSSINFO"]
    with asking(modem.path) as (_, got):
        assert fixed(got).satellites == 9


def test_fault_no_modem_at_start(tmp_path: Path) -> None:
    """Without a device the thread lives and says what is wrong; it asks as soon as there is one."""
    with asking(tmp_path / "at", ready=False) as (receiver, got):
        until(lambda: receiver.losses >= 1, "the first attempt")
        assert "does not open" in receiver.problem
        modem = BenchModem(tmp_path / "at", Manner(), "tunnel", MOVING_S)
        modem.plug()
        fixed(got)
        modem.unplug()


def test_fault_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A modem that does not answer is lost, says why, and is asked again when it has come to itself."""
    monkeypatch.setattr(at_receiver, "ANSWER_S_MAX", 0.3)
    silent = False
    with puppet(tmp_path / "at", lambda: None if silent else QUECTEL), asking(tmp_path / "at") as (receiver, got):
        fixed(got)
        silent = True
        until(lambda: "no answer to AT+QGPSLOC" in receiver.problem, "the reason")
        assert receiver.alive()
        silent = False
        until(lambda: not receiver.problem, "an answer")
        assert fixed(got).mode == 3


def test_fault_garbage_chatter_and_an_error_first(bench: Callable[..., BenchModem]) -> None:
    """Whatever comes through is the truth; what does not is not invented."""
    modem = bench(garbage=0.15, chatter_s=0.3, first_error=True)
    with asking(modem.path) as (_, got):
        fixes = [fixed(got) for _ in range(12)]
    for fix in fixes:
        there(modem, fix)


def test_fault_a_modem_without_a_receiver(tmp_path: Path) -> None:
    """No command for a position is known to it: said, and tried again for whoever plugs in another."""
    with (
        puppet(tmp_path / "at", lambda: b"\r\n+CME ERROR: 100\r\n"),
        asking(tmp_path / "at", ready=False) as (receiver, _),
    ):
        until(lambda: "gives no position" in receiver.problem, "the reason")
        assert receiver.alive()


def test_fault_a_modem_that_has_restarted_is_switched_on_again(bench: Callable[..., BenchModem], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an unplug: the receiver is off (505), and on again with the next answer."""
    monkeypatch.setattr(locator, "VOIDS_MAX", 1_000_000)
    modem = bench()
    with asking(modem.path) as (receiver, got):
        fixed(got)
        modem.modem.gnss = False
        until(lambda: modem.modem.gnss, "the receiver to be switched on")
        fixed(got)
        assert receiver.losses == 0


def test_fault_restart_of_a_modem_that_does_not_say_off(bench: Callable[..., BenchModem], monkeypatch: pytest.MonkeyPatch) -> None:
    """SIMCom's is only void: after enough of those it is switched on again."""
    monkeypatch.setattr(locator, "VOIDS_MAX", 3)
    modem = bench(vendor="simcom")
    with asking(modem.path) as (_, got):
        fixed(got)
        modem.modem.gnss = False
        until(lambda: modem.modem.gnss, "the receiver to be switched on")


def test_fault_answers_that_are_no_positions(tmp_path: Path) -> None:
    """Counted, never delivered; when there is nothing else the modem counts as lost."""
    answer = QUECTEL
    with puppet(tmp_path / "at", lambda: answer), asking(tmp_path / "at") as (receiver, got):
        fixed(got)
        answer = b"\r\n+QGPSLOC: 120000.000,98.11730,11.51667,1.2\r\n\r\nOK\r\n"
        until(lambda: "no positions" in receiver.problem, "the reason")
        assert receiver.epochs.malformed > at_receiver.USELESS_MAX
        assert "98.1" not in receiver.problem
        while not got.empty():
            assert got.get_nowait().lat_deg == 48.1173


def test_fault_full_inbox_is_counted_and_does_not_stop_the_receiver(tmp_path: Path) -> None:
    """An inbox without room costs the fix and a count, not the thread."""
    with puppet(tmp_path / "at", lambda: QUECTEL), asking(tmp_path / "at") as (receiver, got):
        got.maxsize = 1
        until(lambda: receiver.lost >= 2, "two losses")
        assert receiver.alive()


def test_the_table_of_drivers_knows_it() -> None:
    """`gnss at`."""
    assert driver("gnss", "at") is AtReceiver
