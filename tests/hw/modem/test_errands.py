"""What a Voice does while no order waits: it never costs an order, and ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.bench.dialogue import Manner
from hw.modem import errands
from hw.modem.errands import TEXTS_MAX, TRIES_MAX
from hw.modem.sms import submit
from hw.modem.voice import Voice
from tests.hw.modem.cable import BenchModem, Line, Puppet, usual
from tests.support.wait import until

NUMBER, OCTETS = "+8610000000", bytes(range(140))
CMGS = submit(NUMBER, OCTETS).command.encode()
GIVEN = submit(NUMBER, OCTETS).pdu.encode() + b"\x1a"
PROMPT, TAKEN, NOT_TAKEN = b"\r\n> ", b"\r\n+CMGS: 5\r\n\r\nOK\r\n", b"\r\n+CMS ERROR: 38\r\n"


@contextlib.contextmanager
def talking(folder: Path, answers: dict[bytes, bytes | None], **more: Any) -> Iterator[tuple[Voice, Puppet]]:
    """A Voice and a modem that says what the test wants to some commands."""
    puppet = Puppet(folder / "at", lambda command: answers.get(command, usual(command)))
    voice = Voice(str(folder / "at"), tell=lambda _: None, **more)
    try:
        yield voice, puppet
    finally:
        if voice.alive():
            voice.close()
        puppet.unplug()


# -- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", ["simcom", "quectel"])
def test_a_text_goes_once(lines: Callable[..., Line], vendor: str) -> None:
    """With every octet, to its number; and it is seen that it went."""
    line = lines(vendor=vendor)
    line.voice.text(NUMBER, OCTETS)
    until(lambda: line.voice.texted == 1, "the text")
    assert line.modem.modem.texts == [(NUMBER, OCTETS)]


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
