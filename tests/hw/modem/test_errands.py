"""What a Voice does while no order waits: it never costs an order, and ends."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.bench.dialogue import NS, Manner, Vendor
from hw.modem import errands
from hw.modem.at import PROBE_S, Port
from hw.modem.errands import STEP_S_MAX, TEXTS_MAX, TRIES_MAX
from hw.modem.health import QUESTIONS, Health
from hw.modem.sms import submit
from hw.modem.voice import Voice, boot_ns
from hw.ports import Fix
from tests.hw.modem.cable import BenchModem, Line, talking, usual
from tests.support.wait import until

NUMBER, OCTETS = "+8610000000", bytes(range(140))
CMGS = submit(NUMBER, OCTETS).command.encode()
GIVEN = submit(NUMBER, OCTETS).pdu.encode() + b"\x1a"
PROMPT, TAKEN, NOT_TAKEN = b"\r\n> ", b"\r\n+CMGS: 5\r\n\r\nOK\r\n", b"\r\n+CMS ERROR: 38\r\n"

# -- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", ["simcom", "quectel"])
def test_a_text_goes_once(lines: Callable[..., Line], vendor: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With every octet, to its number; and it is seen that it went, here and on the bench."""
    line = lines(vendor=vendor)
    line.voice.text(NUMBER, OCTETS)
    until(lambda: line.voice.texted == 1, "the text")
    assert line.modem.modem.texts == [(NUMBER, OCTETS)]
    line.modem.unplug()
    assert capsys.readouterr().out == f"text {OCTETS.hex().upper()}\n"


def test_texts_go_in_order_and_in_the_middle_of_a_call(lines: Callable[..., Line]) -> None:
    """The call stands all the while."""
    line = lines()
    line.voice.dial(NUMBER)
    assert line.next() == "up"
    for n in range(3):
        line.voice.text("112", bytes((n,)))
    until(lambda: line.voice.texted == 3, "the texts")
    assert [octets for _, octets in line.modem.modem.texts] == [b"\0", b"\1", b"\2"]
    assert line.modem.modem.call is not None


def test_orders_that_wait_go_before_a_text_that_was_asked_for_first(tmp_path: Path) -> None:
    """A dial is not kept waiting by what may take seconds; a hang-up does not take the text back."""
    with talking(tmp_path, {CMGS: PROMPT, GIVEN: TAKEN}) as (voice, puppet):
        voice.text(NUMBER, OCTETS)
        voice.dial("112")
        voice.hang_up()
        voice.dial("113")
        voice.start()
        until(lambda: voice.texted, "the text")
        at = [puppet.heard.index(command) for command in (b"AT+CHUP", b"ATD113;", b"AT+CMGF=0", CMGS, GIVEN)]
        assert at == sorted(at)


def test_no_errand_is_begun_while_an_order_waits(tmp_path: Path) -> None:
    """Also where it came after the last look at them."""
    with talking(tmp_path, {}) as (voice, puppet):
        port = Port(str(puppet.path))
        voice.text(NUMBER, OCTETS)
        voice.look()
        assert not voice._runs_errand(port)
        assert puppet.heard == []
        port.close()


def test_a_text_that_is_refused_is_tried_again_and_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So often, and the session goes on."""
    monkeypatch.setattr(errands, "RETRY_S", 0.1)
    with talking(tmp_path, {CMGS: PROMPT, GIVEN: NOT_TAKEN}) as (voice, puppet):
        voice.start()
        voice.text(NUMBER, OCTETS)
        until(lambda: voice.untexted, "the end of it")
        time.sleep(0.3)
        assert (puppet.heard.count(GIVEN), voice.texted, voice.losses) == (TRIES_MAX, 0, 0)
        voice.text(NUMBER, OCTETS)
        until(lambda: voice.untexted == 2, "the next one, which has its own tries")


def test_fault_a_modem_that_refuses_pdus_is_given_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the other mode the length were a number, and the PDU a text to it that anybody can read."""
    monkeypatch.setattr(errands, "RETRY_S", 0.1)
    with talking(tmp_path, {b"AT+CMGF=0": b"\r\nERROR\r\n"}) as (voice, puppet):
        voice.start()
        voice.text(NUMBER, OCTETS)
        until(lambda: voice.untexted, "the end of it")
        assert not {CMGS, GIVEN} & set(puppet.heard)


def test_fault_a_text_without_a_prompt_costs_no_dial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence in place of it; the dial that comes meanwhile is dialled in the same session."""
    monkeypatch.setattr(errands, "TEXT_S_MAX", 0.5)
    with talking(tmp_path, {CMGS: None}) as (voice, puppet):
        voice.start()
        voice.text(NUMBER, OCTETS)
        until(lambda: CMGS in puppet.heard, "the text to be begun")
        voice.dial("112")
        until(lambda: b"ATD112;" in puppet.heard, "the dial")
        assert voice.losses == 0
        assert puppet.heard.index(b"\x1b") < puppet.heard.index(b"ATD112;")


def test_fault_unplugged_in_the_middle_of_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes by the modem that is plugged in next."""
    monkeypatch.setattr(errands, "RETRY_S", 0.1)
    with talking(tmp_path, {CMGS: PROMPT, GIVEN: None}) as (voice, puppet):
        voice.start()
        voice.text(NUMBER, OCTETS)
        until(lambda: GIVEN in puppet.heard, "the text to be given")
        puppet.unplug()
        until(lambda: voice.losses, "the loss")
        again = BenchModem(tmp_path / "at", Manner(chatter_s=None))
        again.plug()
        until(lambda: voice.texted, "the text")
        assert again.modem.texts == [(NUMBER, OCTETS)]
        again.unplug()


def test_too_many_texts_cost_the_oldest(lines: Callable[..., Line]) -> None:
    """And that is seen."""
    line = lines(plugged=False)
    for n in range(TEXTS_MAX + 2):
        line.voice.text("112", bytes((n,)))
    line.modem.plug()
    until(lambda: line.voice.texted == TEXTS_MAX, "the texts")
    assert [octets[0] for _, octets in line.modem.modem.texts] == list(range(2, TEXTS_MAX + 2))
    assert line.voice.untexted == 2


def test_neither_number_nor_octets_stand_in_what_may_be_logged(lines: Callable[..., Line]) -> None:
    """Refused, lost, waiting: no problem and no repr has them."""
    line = lines(texts=False)
    line.voice.text(NUMBER, b"\xab" * 20)
    until(lambda: line.voice._texts._text is not None, "the first try")
    line.modem.unplug()
    until(lambda: line.voice.problem, "the problem")
    said = f"{line.voice.problem} {line.voice._texts._text!r} {vars(line.voice)!r} {vars(line.voice._texts)!r}"
    assert not any(word in said for word in ("10000000", "ABAB", "abab", "xab"))


@pytest.mark.parametrize(("number", "octets"), [("x", b"1"), ("112", b""), ("112", bytes(141))])
def test_what_is_no_text_is_an_error_at_once(lines: Callable[..., Line], number: str, octets: bytes) -> None:
    """To whoever asks."""
    with pytest.raises(ValueError, match="text"):
        lines(plugged=False).voice.text(number, octets)


# -- positions --------------------------------------------------------------------------------------------------------

QUECTEL = b"\r\nQuectel\r\n\r\nOK\r\n"
LOCATION = b"\r\n+QGPSLOC: 120000.000,48.11730,11.51667,1.2,545.4,3,84.40,36.0,19.4,011226,11\r\n\r\nOK\r\n"
ASK = b"AT+QGPSLOC=2"


@pytest.mark.parametrize("vendor", ["simcom", "quectel"])
def test_the_modem_says_where_it_is_when_asked_to(tmp_path: Path, vendor: Vendor) -> None:
    """Found out, switched on, asked: the truth of the drive, once, stamped on the axis of the call; never without being wanted."""
    modem = BenchModem(tmp_path / "at", Manner(vendor=vendor, chatter_s=None), at_s=60.0)
    modem.plug()
    found: queue.Queue[Fix] = queue.Queue()
    voice = Voice(str(tmp_path / "at"), tell=lambda _: None, found=found.put_nowait)
    try:
        voice.start()
        until(lambda: not voice.problem, "the session")
        assert not modem.modem.gnss
        voice.locate()
        fix = found.get(timeout=20)
        assert fix.utc_ns is not None
        state = modem.drive.state((fix.utc_ns - modem.modem.start_ns) / NS)
        assert (fix.lat_deg, fix.lon_deg) == pytest.approx((state.lat_deg, state.lon_deg), abs=6e-6)
        assert (fix.mode, fix.time_trusted) == (3, True)
        assert 0 <= boot_ns() - fix.t_ns < 20 * NS
        time.sleep(0.3)
        assert found.empty()
    finally:
        voice.close()
        modem.unplug()


def test_wanted_often_before_the_answer_it_is_asked_once(tmp_path: Path) -> None:
    """And again when it is wanted again, without looking for the command anew."""
    found: queue.Queue[Fix] = queue.Queue()
    with talking(tmp_path, {b"AT+CGMI": QUECTEL, ASK: LOCATION}, found=found.put_nowait, now_ns=lambda: 7) as (voice, puppet):
        for _ in range(5):
            voice.locate()
        voice.start()
        assert (found.get(timeout=20).t_ns, puppet.heard.count(ASK)) == (7, 2)  # whether it is known, and where
        until(lambda: not voice._place._wanted, "the end of the questions")
        voice.locate()
        found.get(timeout=20)
        assert (puppet.heard.count(ASK), puppet.heard.count(b"AT+QGPS=1"), found.empty()) == (3, 1, True)


def test_orders_and_texts_go_before_a_position(tmp_path: Path) -> None:
    """Whatever was wanted first."""
    with talking(tmp_path, {b"AT+CGMI": QUECTEL, ASK: LOCATION, CMGS: PROMPT, GIVEN: TAKEN}) as (voice, puppet):
        voice.locate()
        voice.text(NUMBER, OCTETS)
        voice.dial("112")
        voice.start()
        until(lambda: ASK in puppet.heard, "the question")
        at = [puppet.heard.index(command) for command in (b"ATD112;", GIVEN, b"AT+QGPS=1", ASK)]
        assert at == sorted(at)


def test_fault_a_silent_receiver_does_not_hold_up_a_dial(tmp_path: Path) -> None:
    """The question is given up within its second; session and call go on."""
    with talking(tmp_path, {b"AT+CGMI": QUECTEL, ASK: None}) as (voice, puppet):
        voice.start()
        voice.locate()
        until(lambda: ASK in puppet.heard, "the question")
        begin_s = time.monotonic()
        voice.dial("112")
        until(lambda: b"ATD112;" in puppet.heard, "the dial")
        assert time.monotonic() - begin_s < 3 * (STEP_S_MAX + PROBE_S)
        assert voice.losses == 0


def test_a_modem_without_a_receiver_is_not_asked_again(tmp_path: Path) -> None:
    """Not in this session; nothing is told, and it is no problem."""
    none = b"\r\n+CME ERROR: 100\r\n"
    with talking(tmp_path, {b"AT+CGMI": QUECTEL, ASK: none, b"AT+QGPSLOC?": none}) as (voice, puppet):
        voice.start()
        voice.locate()
        until(lambda: voice._place.due_s > 0, "the end of the questions")
        voice.locate()
        time.sleep(0.2)
        assert (puppet.heard.count(ASK), voice.problem) == (1, "")


def test_fault_a_full_inbox_does_not_stop_the_call(tmp_path: Path) -> None:
    """It costs the fix."""
    full: queue.Queue[Fix] = queue.Queue(maxsize=1)
    full.put_nowait(Fix(t_ns=0))
    with talking(tmp_path, {b"AT+CGMI": QUECTEL, ASK: LOCATION}, found=full.put_nowait) as (voice, puppet):
        voice.start()
        voice.locate()
        until(lambda: puppet.heard.count(ASK) == 2 and voice._place.due_s > 0, "the answer")
        voice.dial("112")
        until(lambda: b"ATD112;" in puppet.heard, "the dial")


# -- health -----------------------------------------------------------------------------------------------------------

ASKED = [command.encode() for command in QUESTIONS]


@pytest.mark.parametrize(
    ("manner", "sim", "registered"),
    [({}, True, True), ({"registration": 5}, True, True), ({"registration": 2}, True, False), ({"sim": False}, False, False)],
)
def test_how_the_modem_is_is_known_soon(lines: Callable[..., Line], manner: dict[str, Any], sim: bool, registered: bool) -> None:
    """At home, roaming, searching, without a SIM; the signal only where there is a network."""
    line = lines(**manner)
    until(lambda: line.voice.health != Health(), "its health")
    health = line.voice.health
    assert (health.sim, health.registered, health.signal is not None) == (sim, registered, registered)


def test_health_is_asked_again_and_not_known_of_a_modem_that_is_gone(lines: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was true of one that is unplugged is true of nothing."""
    monkeypatch.setattr(errands, "HEALTH_S", 0.2)
    line = lines()
    until(lambda: line.voice.health.registered, "the network")
    line.modem.modem.manner = Manner(registration=3)
    until(lambda: line.voice.health.registered is False, "its loss")
    line.modem.unplug()
    until(lambda: line.voice.health == Health(), "nothing to be known")


def test_health_waits_for_orders_and_for_a_call_that_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After what was asked for first; then not before the call is up."""
    monkeypatch.setattr(errands, "HEALTH_S", 0.1)
    calls = {b"AT+CLCC": b"\r\nOK\r\n"}

    def reply(command: bytes) -> bytes:
        if command.startswith(b"ATD"):
            calls[b"AT+CLCC"] = b"\r\n+CLCC: 1,0,2,0,0\r\n\r\nOK\r\n"
        return calls.get(command, usual(command))

    with talking(tmp_path, reply) as (voice, puppet):
        voice.dial("112")
        voice.start()
        until(lambda: puppet.heard.count(b"AT+CLCC") >= 3, "the call to be looked at twice")
        assert not set(ASKED) & set(puppet.heard)
        calls[b"AT+CLCC"] = b"\r\n+CLCC: 1,0,0,0,0\r\n\r\nOK\r\n"
        until(lambda: set(ASKED) <= set(puppet.heard), "the questions")


def test_health_is_not_asked_while_it_rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer to the centre's call back waits for nothing."""
    monkeypatch.setattr(errands, "HEALTH_S", 0.1)
    with talking(tmp_path, {}) as (voice, puppet):
        voice.start()
        until(lambda: puppet.heard.count(b"AT+CSQ") >= 2, "two rounds")
        puppet.say(b"\r\nRING\r\n")
        until(lambda: not voice._calm(), "the ring")
        time.sleep(0.1)
        before = len(puppet.heard)
        time.sleep(0.5)
        assert len(puppet.heard) == before


def test_fault_a_modem_that_is_stuck_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some questions in a row without an answer: said, and opened anew; one alone is only not known."""
    monkeypatch.setattr(errands, "STEP_S_MAX", 0.2)
    with talking(tmp_path, {b"AT+CSQ": None}) as (voice, puppet):
        voice.start()
        until(lambda: voice.health.registered is not None or puppet.heard.count(b"AT+CSQ"), "the last question")
        until(lambda: voice._checkup.due_s > 0, "its end")
        assert (voice.losses, voice.health.signal) == (0, None)
    for question in ASKED:
        assert question in puppet.heard
    with talking(tmp_path, dict.fromkeys(ASKED)) as (voice, _):
        voice.start()
        until(lambda: voice.losses, "the loss")
        assert "no answer to AT+C" in voice.problem
