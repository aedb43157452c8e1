"""A call over a modem's AT port: one call, told as it stands, whatever the modem loses or leaves out."""

from __future__ import annotations

import queue
import socketserver
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from hw.bench.dialogue import Vendor
from hw.modem.voice import POLL_S, REST_S_MAX, Said, Voice
from tests.hw.modem.cable import Line, Puppet, talking, usual
from tests.support.wait import until

NUMBER = "+8610000000"
VENDORS: tuple[Vendor, ...] = ("simcom", "quectel")


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_call_is_told_when_it_is_up_and_when_it_is_over(lines: Callable[..., Line], vendor: Vendor) -> None:
    """Each maker's own words for it."""
    line = lines(vendor=vendor, talk_s=0.5)
    line.voice.dial(NUMBER)
    assert [line.next(), line.next()] == ["up", "over"]
    assert line.silent(POLL_S)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("outcome", ["busy", "no-answer", "no-carrier"])
def test_a_call_that_does_not_come_to_be_is_over(lines: Callable[..., Line], vendor: Vendor, outcome: str) -> None:
    """Whatever the modem calls it; once."""
    line = lines(vendor=vendor, calls=(outcome,))
    line.voice.dial(NUMBER)
    assert line.next() == "over"
    assert line.silent(POLL_S + 0.3)


@pytest.mark.parametrize("vendor", VENDORS)
def test_without_a_network_a_call_is_over_at_once(lines: Callable[..., Line], vendor: Vendor) -> None:
    """NO CARRIER is the answer to the dial itself."""
    line = lines(vendor=vendor, registration=2)
    line.voice.dial(NUMBER)
    assert line.next() == "over"


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_call_back_is_told_and_answered(lines: Callable[..., Line], vendor: Vendor) -> None:
    """RING, ATA, up."""
    line = lines(vendor=vendor, talk_s=0.3, back_s=0.5)
    line.voice.dial(NUMBER)
    assert [line.next(), line.next(), line.next()] == ["up", "over", "ringing"]
    line.voice.answer()
    line.voice.answer()
    assert line.next() == "up"
    assert line.silent(0.2)


def test_nobody_is_answered_without_being_told_to(lines: Callable[..., Line]) -> None:
    """It rings until the other side gives up."""
    line = lines(talk_s=0.3, back_s=0.3)
    line.voice.dial(NUMBER)
    assert [line.next(), line.next(), line.next()] == ["up", "over", "ringing"]
    assert line.silent(2.0)
    assert line.modem.modem.call is not None
    assert line.modem.modem.call.stat == 4


def test_a_hang_up_ends_it_and_is_no_news(lines: Callable[..., Line]) -> None:
    """Who asked for it knows."""
    line = lines()
    line.voice.dial(NUMBER)
    assert line.next() == "up"
    line.voice.hang_up()
    until(lambda: line.modem.modem.call is None, "the end of the call")
    assert line.silent(POLL_S + 0.3)


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_end_of_a_call_is_not_taken_for_that_of_the_next_one(lines: Callable[..., Line], vendor: Vendor) -> None:
    """A crash during a test call: that one is hung up and the centre dialled in one breath."""
    line = lines(vendor=vendor)
    line.voice.dial(NUMBER)
    assert line.next() == "up"
    line.voice.hang_up()
    line.voice.dial(NUMBER)
    assert line.next() == "up"
    assert line.silent(POLL_S + 0.3)


def test_what_is_asked_for_while_the_port_is_gone_is_done_when_it_is_back(lines: Callable[..., Line]) -> None:
    """A modem that restarts at the crash."""
    line = lines(plugged=False)
    line.voice.dial(NUMBER)
    time.sleep(0.5)
    line.modem.plug()
    assert line.next(20) == "up"


def test_what_was_taken_back_meanwhile_is_not_done(lines: Callable[..., Line]) -> None:
    """The dial is out of date."""
    line = lines(plugged=False)
    line.voice.dial(NUMBER)
    line.voice.hang_up()
    line.modem.plug()
    assert line.silent(5.0)
    assert line.modem.modem.call is None


def test_a_call_that_is_gone_while_the_port_was_gone_is_over(lines: Callable[..., Line]) -> None:
    """Unplugged and plugged again: the modem has forgotten it."""
    line = lines()
    line.voice.dial(NUMBER)
    assert line.next() == "up"
    line.modem.unplug()
    line.modem.plug()
    assert line.next(20) == "over"


def test_a_call_that_stands_is_taken_and_not_dialled_again(lines: Callable[..., Line]) -> None:
    """The program was restarted in the middle of it."""
    line = lines()
    line.voice.dial(NUMBER)
    assert line.next() == "up"
    line.voice.close()
    again = Voice(line.voice.port, tell=line.told.put)
    again.start()
    again.dial(NUMBER)
    assert line.next() == "up"
    begun_ns = line.modem.modem.call.begun_ns if line.modem.modem.call else None
    assert begun_ns is not None
    again.look()
    assert line.silent(0.5)
    again.close()


def test_asked_for_a_call_that_is_gone_it_says_over(lines: Callable[..., Line]) -> None:
    """After a restart, with voice as the last that was known."""
    line = lines()
    line.voice.look()
    assert line.next() == "over"


def test_the_error_of_a_modem_that_slept_does_not_cost_the_call(lines: Callable[..., Line]) -> None:
    """The first command after power-up is answered with ERROR."""
    line = lines(vendor="simcom", first_error=True)
    line.voice.dial(NUMBER)
    assert line.next() == "up"


def test_bytes_that_do_not_belong_there_do_not_cost_the_call(lines: Callable[..., Line]) -> None:
    """Every third piece of what the modem says has some."""
    line = lines(garbage=0.3, talk_s=2.0, chatter_s=0.5)
    line.voice.dial(NUMBER)
    told = [line.next(40), line.next(40)]
    assert told[-1] == "over"


def test_a_lost_report_is_found_by_asking(tmp_path: Path) -> None:
    """A modem that never says anything by itself."""
    states = iter([b"\r\nOK\r\n"] + [b"\r\n+CLCC: 1,0,2,0,0\r\n\r\nOK\r\n"] + [b"\r\n+CLCC: 1,0,0,0,0\r\n\r\nOK\r\n"] * 2)

    def reply(command: bytes) -> bytes | None:
        return next(states, b"\r\nOK\r\n") if command == b"AT+CLCC" else usual(command)

    puppet, told = Puppet(tmp_path / "at", reply), queue.SimpleQueue[Said]()
    voice = Voice(str(tmp_path / "at"), tell=told.put)
    voice.start()
    voice.dial(NUMBER)
    assert [told.get(timeout=20), told.get(timeout=20)] == ["up", "over"]
    assert [command for command in puppet.heard if command.startswith(b"ATD")] == [b"ATD+8610000000;"]
    voice.close()
    puppet.unplug()


# -- calls that are not ours, and a modem that does not say -----------------------------------------------------------


def listed(*calls: bytes) -> bytes:
    """The answer to AT+CLCC."""
    return b"".join(b"\r\n+CLCC: " + call + b"\r\n" for call in calls) + b"\r\nOK\r\n"


BUSY = b"\r\n+CME ERROR: 14\r\n"
RINGS, UP = listed(b'1,1,4,0,0,"10086",129'), listed(b"1,0,0,0,0")


def orders(puppet: Puppet) -> list[bytes]:
    """What was done about a call."""
    return [command for command in puppet.heard if command[:3] in (b"ATD", b"ATA") or command == b"AT+CHUP"]


@pytest.mark.parametrize("call", [b'1,1,4,0,0,"10086",129', b"2,1,5,0,0", b"1,0,1,0,0"])
def test_who_rings_or_is_held_is_hung_up_and_the_number_dialled(tmp_path: Path, call: bytes) -> None:
    """Also where it goes on ringing: it keeps no emergency call away."""
    with talking(tmp_path, {b"AT+CLCC": listed(call)}) as (voice, puppet):
        voice.dial(NUMBER)
        voice.start()
        until(lambda: len(orders(puppet)) == 2, "the dial")
        assert orders(puppet) == [b"AT+CHUP", b"ATD+8610000000;"]


@pytest.mark.parametrize(
    ("calls", "up"),
    [((b"1,0,2,0",), False), ((b"1,0,3,0",), False), ((b"1,0,0,0",), True), ((b"1,1,0,0",), True), ((b"2,1,5,0", b"1,0,0,0"), True)],
)
def test_a_call_of_ours_is_taken(tmp_path: Path, calls: tuple[bytes, ...], up: bool) -> None:
    """Dialled, or picked up: the centre's call back. Who waits beside it costs nothing."""
    told = queue.SimpleQueue[Said]()
    with talking(tmp_path, {b"AT+CLCC": listed(*calls)}, tell=told.put) as (voice, puppet):
        voice.dial(NUMBER)
        voice.start()
        until(lambda: puppet.heard.count(b"AT+CLCC") >= 3, "the call to be looked at")
        assert ([told.get_nowait() for _ in range(told.qsize())], orders(puppet)) == (["up"] * up, [])


def test_who_dials_into_a_call_that_is_known_is_told_that_it_is_up(tmp_path: Path) -> None:
    """Each time: whoever asks waits for it."""
    told = queue.SimpleQueue[Said]()
    with talking(tmp_path, {b"AT+CLCC": UP}, tell=told.put) as (voice, _):
        voice.start()
        for _ in range(2):
            voice.dial(NUMBER)
            assert told.get(timeout=20) == "up"


def test_a_session_of_packets_is_no_call(tmp_path: Path) -> None:
    """Quectel lists it as one with mode 1: the number is dialled, and the session not hung up."""
    with talking(tmp_path, {b"AT+CLCC": listed(b'1,0,0,1,0,"",128')}) as (voice, puppet):
        voice.dial(NUMBER)
        voice.start()
        until(lambda: orders(puppet), "the dial")
        assert orders(puppet) == [b"ATD+8610000000;"]


def test_a_modem_that_does_not_say_how_the_call_stands_ends_none(tmp_path: Path) -> None:
    """Its SIM is busy for a while: that is no news, and the call is asked for again."""
    answers, told = {b"AT+CLCC": UP}, queue.SimpleQueue[Said]()
    with talking(tmp_path, answers, tell=told.put) as (voice, puppet):
        voice.dial(NUMBER)
        voice.start()
        assert told.get(timeout=20) == "up"
        for answer in (BUSY, listed(b"1,?")):
            before, answers[b"AT+CLCC"] = puppet.heard.count(b"AT+CLCC"), answer
            until(lambda: puppet.heard.count(b"AT+CLCC") >= before + 2, "the next look")  # noqa: B023  asked at once
            assert told.empty()
        answers[b"AT+CLCC"] = listed()
        assert told.get(timeout=20) == "over"


def test_a_modem_that_does_not_say_whether_a_call_stands_is_dialled_with(tmp_path: Path) -> None:
    """A call too many is better than none."""
    with talking(tmp_path, {b"AT+CLCC": BUSY}) as (voice, puppet):
        voice.dial(NUMBER)
        voice.start()
        until(lambda: orders(puppet), "the dial")
        assert orders(puppet) == [b"ATD+8610000000;"]


def test_a_call_that_is_lost_unheard_while_the_centre_rings_is_over(tmp_path: Path) -> None:
    """And the ring is told, so that it can be answered; once that is done it is ours, though still listed as incoming."""
    answers, told = {b"AT+CLCC": UP}, queue.SimpleQueue[Said]()
    with talking(tmp_path, answers, tell=told.put) as (voice, puppet):
        voice.dial(NUMBER)
        voice.start()
        assert told.get(timeout=20) == "up"
        answers[b"AT+CLCC"] = RINGS
        assert [told.get(timeout=20), told.get(timeout=20)] == ["over", "ringing"]
        voice.answer()
        until(lambda: orders(puppet), "the answer")
        before = puppet.heard.count(b"AT+CLCC")
        until(lambda: puppet.heard.count(b"AT+CLCC") >= before + 2, "the next look")
        assert (orders(puppet), told.empty()) == ([b"ATA"], True)
        answers[b"AT+CLCC"] = listed(b"1,1,0,0,0")
        assert told.get(timeout=20) == "up"


# -- resting ----------------------------------------------------------------------------------------------------------


def idle(voice: Voice) -> bool:
    return not voice.problem and all(errand.due_s - time.monotonic() > 5 for errand in voice._errands)


def begun_s(voice: Voice, heard: Callable[[], int]) -> float:
    """How long the fastest of five orders took to reach the modem."""
    took_s = []
    for _ in range(5):
        before, begin_s = heard(), time.monotonic()
        voice.hang_up()
        until(lambda: heard() > before, "the order", pause_s=0.001)  # noqa: B023  asked at once
        took_s.append(time.monotonic() - begin_s)
    return min(took_s)


def test_an_idle_voice_rests_and_is_there_at_once(tmp_path: Path) -> None:
    """Two looks a second at most; an order is begun within 50 ms."""
    reads: list[float] = []

    class Counted(serial.Serial):
        def read(self, size: int = 1) -> bytes:
            reads.append(time.monotonic())
            return super().read(size)

    with talking(tmp_path, {}, open_port=Counted) as (voice, puppet):
        voice.start()
        until(lambda: idle(voice), "the first look at everything")
        before = len(reads)
        time.sleep(2.0)
        assert len(reads) - before <= 5
        assert begun_s(voice, lambda: puppet.heard.count(b"AT+CHUP")) < 3 * 0.05
        begin_s = time.monotonic()
        voice.close()
        assert time.monotonic() - begin_s < REST_S_MAX


def test_what_is_said_with_an_answer_is_told_before_the_rest(tmp_path: Path) -> None:
    """Read together with the OK to the dial, it does not wait for the next thing that comes."""
    up = b"\r\nOK\r\n\r\n^DSCI: 1,0,3,0,112,129\r\n"
    told: queue.SimpleQueue[Said] = queue.SimpleQueue()
    with talking(tmp_path, {b"ATD112;": up}, tell=told.put) as (voice, puppet):
        voice.start()
        voice.dial("112")
        until(lambda: b"ATD112;" in puppet.heard, "the dial", pause_s=0.001)
        assert told.get(timeout=POLL_S / 2) == "up"


def test_a_port_that_cannot_be_woken_is_looked_at_often(tmp_path: Path) -> None:
    """A modem at the other end of a socket: an order is begun within 50 ms too."""
    heard: list[bytes] = []

    class Answers(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            rest = b""
            while data := self.request.recv(4096):
                *commands, rest = (rest + data).split(b"\r")
                heard.extend(commands)
                self.wfile.write(b"".join(map(usual, commands)))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        voice = Voice(f"socket://127.0.0.1:{server.server_address[1]}", tell=lambda _: None, open_port=serial.serial_for_url)
        try:
            voice.start()
            until(lambda: idle(voice), "the first look at everything")
            assert begun_s(voice, lambda: heard.count(b"AT+CHUP")) < 3 * 0.05
        finally:
            voice.close()
            server.shutdown()


@pytest.mark.parametrize("number", ["", "112;AT+CMGD=1,4", "+86 10", "12\r", "x", "1" * 33])
def test_what_is_no_number_is_not_dialled(lines: Callable[..., Line], number: str) -> None:
    """It would be another command."""
    line = lines()
    with pytest.raises(ValueError, match="not a number"):
        line.voice.dial(number)


def test_no_number_stands_in_a_problem(lines: Callable[..., Line]) -> None:
    """It may be logged."""
    line = lines(plugged=False)
    line.voice.dial(NUMBER)
    time.sleep(0.5)
    assert NUMBER not in line.voice.problem
