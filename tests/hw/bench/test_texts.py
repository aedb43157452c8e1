"""Texts at the bench's modem: a prompt, a PDU, and what the network says to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.bench.texts import read
from hw.modem.sms import submit
from tests.hw.bench.desk import Desk

NUMBER, OCTETS = "+8610000000", bytes(range(140))
PDU = submit(NUMBER, OCTETS)


def texted(desk: Desk, pdu: str = PDU.pdu, end: str = "\x1a") -> list[str]:
    """What it says to a PDU, prompt and all."""
    assert desk.ask("AT+CMGF=0") == ["OK"]
    assert desk.ask(PDU.command) == ["> "]
    desk.modem.hear(f"{pdu}{end}".encode(), desk.t_ns)
    return desk.later(1)


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
def test_a_text_is_taken_and_kept(vendor: str) -> None:
    """With a number of its own; tests can see number and octets."""
    desk = Desk(vendor=vendor).ready()
    assert [texted(desk), texted(desk)] == [["+CMGS: 1", "OK"], ["+CMGS: 2", "OK"]]
    assert desk.modem.texts == [(NUMBER, OCTETS)] * 2


def test_what_is_taken_back_is_not_sent() -> None:
    """ESC ends the text with OK; commands are commands again, and a stray ESC is none."""
    desk = Desk().ready()
    assert texted(desk, end="\x1b\r") == ["OK"]
    assert desk.ask("\x1b\rAT+CPIN?") == ["+CPIN: READY", "OK"]
    assert desk.modem.texts == []


def test_until_it_ends_all_is_text() -> None:
    """A command in the middle of it is not answered; in pieces it is the same text."""
    desk = Desk().ready()
    assert texted(desk, PDU.pdu[:100], end="") == []
    desk.modem.hear(PDU.pdu[100:].encode() + b"\x1aAT+CPIN?\r", desk.t_ns)
    assert desk.later(1) == ["+CMGS: 1", "OK", "+CPIN: READY", "OK"]
    desk.ask(PDU.command)
    assert desk.ask("AT+CPIN?") == []


@pytest.mark.parametrize(
    ("manner", "code"),
    [({"texts": False}, 38), ({"registration": 2}, 331), ({"sim": False}, 310)],
)
def test_fault_a_text_that_is_refused(manner: dict[str, Any], code: int) -> None:
    """By the network, for want of one, for want of a SIM."""
    desk = Desk(**manner).ready()
    assert texted(desk) == [f"+CMS ERROR: {code}"]
    assert desk.modem.texts == []


def test_what_is_no_pdu_is_refused() -> None:
    """And so is a text before it was told that texts are PDUs: after power-up they are letters."""
    desk = Desk().ready()
    assert desk.ask(PDU.command) == ["+CMS ERROR: 302"]
    assert texted(desk, PDU.pdu[:-2]) == ["+CMS ERROR: 304"]


@given(data=st.binary(max_size=40), length=st.integers(0, 40))
def test_fault_any_pdu(data: bytes, length: int) -> None:
    """It is a text, or it is said that it is none."""
    for told in (length, len(data) - 1):
        try:
            number, octets = read(data.hex(), told)
        except ValueError:
            continue
        assert read(submit(number, octets).pdu, submit(number, octets).length) == (number, octets)
