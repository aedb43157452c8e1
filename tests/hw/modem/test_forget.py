"""Texts that are forgotten: they neither go nor stay in memory."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from hw.modem import errands
from hw.modem.at import Port
from hw.modem.health import Health
from tests.hw.modem.cable import Line, talking, usual
from tests.hw.modem.test_errands import CMGS, GIVEN, NOT_TAKEN, NUMBER, OCTETS, PROMPT
from tests.support.wait import until

BY_THE_WAY = (type, ModuleType, FunctionType)
"""Lead to everything in the program, and are not what an object holds."""


def holds_octets(thing: object) -> bool:
    """Whether the octets can be reached from it, as they are or as the modem takes them."""
    seen, left = set[int](), [thing]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, BY_THE_WAY):
            continue
        seen.add(id(one))
        said = one.encode() if isinstance(one, str) else one
        if isinstance(said, bytes | bytearray) and (OCTETS in said or OCTETS.hex().upper().encode() in said):
            return True
        left.extend(gc.get_referents(one))
    return False


def test_texts_that_are_forgotten_while_the_port_is_gone_never_go(lines: Callable[..., Line]) -> None:
    """The call was cleared down: nothing is kept, nothing is texted when the modem is back; the next text goes."""
    line = lines(plugged=False)
    for _ in range(2):
        line.voice.text(NUMBER, OCTETS)
    assert holds_octets(line.voice)
    line.voice.forget()
    assert not holds_octets(line.voice)
    line.modem.plug()
    until(lambda: line.voice.health != Health(), "the session, in which a text would have gone first")
    assert (line.modem.modem.texts, line.voice.texted) == ([], 0)
    line.voice.text("112", b"1")
    until(lambda: line.voice.texted, "the next text")
    assert line.modem.modem.texts == [("112", b"1")]


def test_a_text_that_was_refused_and_is_forgotten_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor kept until then."""
    monkeypatch.setattr(errands, "RETRY_S", 0.5)
    with talking(tmp_path, {CMGS: PROMPT, GIVEN: NOT_TAKEN}) as (voice, puppet):
        voice.start()
        voice.text(NUMBER, OCTETS)
        until(lambda: voice._texts.due_s > 0, "the first try")
        voice.forget()
        assert not holds_octets(voice)
        time.sleep(1.0)
        assert puppet.heard.count(GIVEN) == 1


def test_fault_a_text_that_is_forgotten_under_way_is_not_kept_by_a_lost_port(tmp_path: Path) -> None:
    """Unplugged after the octets were given: neither tried again nor held."""
    with talking(tmp_path, {CMGS: PROMPT, GIVEN: None}) as (voice, puppet):
        voice.start()
        voice.text(NUMBER, OCTETS)
        until(lambda: GIVEN in puppet.heard, "the text to be given")
        voice.forget()
        puppet.unplug()
        until(lambda: voice.losses, "the loss")
        assert (holds_octets(voice), voice._texts.due_s) == (False, math.inf)


def test_a_text_that_is_forgotten_before_its_prompt_is_not_begun(tmp_path: Path) -> None:
    """Between the look at what is due and the step, and between the step's two commands."""

    def reply(command: bytes) -> bytes:
        voice.forget()
        return usual(command)

    with talking(tmp_path, reply) as (voice, puppet):
        port = Port(str(puppet.path))
        voice._texts.step(port)
        voice.text(NUMBER, OCTETS)
        voice._texts.step(port)
        assert (b"AT+CMGF=0" in puppet.heard, CMGS in puppet.heard, voice.texted) == (True, False, 0)
        port.close()
