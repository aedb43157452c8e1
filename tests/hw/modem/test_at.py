"""The AT port: answers belong to their commands, nothing unasked is lost, and it never waits longer than it was told."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.bench.dialogue import Manner
from hw.errors import DeviceLost, HwError
from hw.modem.at import IDLE_S, PROBE_S, CallFailed, Port, Refused, Silent
from hw.modem.exchange import Answer, named
from tests.hw.modem.cable import BenchModem, Puppet, Reply, usual

SLACK_S = 1.0
"""What a busy computer may add to a limit."""


def test_it_asks_and_answers(tmp_path: Path) -> None:
    """The bench's modem, echo on at first: settings made, the answer without its echo."""
    modem = BenchModem(tmp_path / "at", Manner(chatter_s=None))
    modem.plug()
    port = Port(str(modem.path))
    try:
        assert port.ask("AT+CREG?") == Answer(result=b"OK", lines=(b"+CREG: 0,1",))
        assert not modem.modem.echo
        with pytest.raises(Refused) as refused:
            port.ask("AT+QGPSLOC=2")
        assert (refused.value.code, refused.value.line) == (505, b"+CME ERROR: 505")
    finally:
        port.close()
        modem.unplug()


def test_fault_error_to_the_first_command(tmp_path: Path) -> None:
    """A modem that answers ERROR to whatever comes first is asked again: the caller sees only the answer."""
    modem = BenchModem(tmp_path / "at", Manner(vendor="simcom", first_error=True, chatter_s=None))
    modem.plug()
    port = Port(str(modem.path))
    try:
        assert port.ask("AT+CPIN?").lines == (b"+CPIN: READY",)
    finally:
        port.close()
        modem.unplug()


def test_fault_error_after_a_pause(puppets: Callable[[Reply], Puppet]) -> None:
    """A plain ERROR after a long pause is asked once more; without a pause, or twice, it is a refusal."""
    errors: list[bytes] = []
    puppet = puppets(lambda command: errors.pop() if command == b"ATH" and errors else usual(command))
    port = Port(str(puppet.path))
    port.ask("AT")
    errors.append(b"\r\nERROR\r\n")
    port._heard_s -= 2 * IDLE_S
    assert port.ask("ATH").result == b"OK"
    for slept_s, times in ((0.0, 1), (2 * IDLE_S, 2)):
        errors.extend([b"\r\nERROR\r\n"] * times)
        port._heard_s -= slept_s
        with pytest.raises(Refused, match="refused ATH: ERROR"):
            port.ask("ATH")
        assert errors == []
    port.close()


@pytest.mark.parametrize("limit_s", [0.0, 0.2, 0.7])
def test_fault_silence_ends_at_the_limit(puppets: Callable[[Reply], Puppet], limit_s: float) -> None:
    """A modem that never answers, before and after the conversation has begun."""
    silent = True
    puppet = puppets(lambda command: None if silent else usual(command))
    port = Port(str(puppet.path))
    for command in ("AT+CSQ", "ATD112;"):
        silent = True
        begin_s = time.monotonic()
        with pytest.raises(Silent, match=re.escape(named(command))):
            port.ask(command, limit_s)
        assert time.monotonic() - begin_s < limit_s + SLACK_S
        silent = False
        port.ask("AT")
    port.close()


def test_fault_a_late_answer_is_not_that_of_the_next_command(puppets: Callable[[Reply], Puppet]) -> None:
    """The answer to the command that was given up comes just before that to the next one: the next one gets its own."""

    def reply(command: bytes) -> bytes | None:
        if command == b"AT+CSQ" and puppet.heard.count(command) == 1:
            return None
        late = b"\r\n+CSQ: 1,99\r\n\r\nOK\r\n" if puppet.heard[-2:-1] == [b"AT+CSQ"] else b""
        return late + (b"\r\n+CSQ: 22,99\r\n\r\nOK\r\n" if command == b"AT+CSQ" else usual(command))

    puppet = puppets(reply)
    port = Port(str(puppet.path))
    port.ask("AT")
    with pytest.raises(Silent):
        port.ask("AT+CSQ", 0.2)
    assert port.ask("AT+CSQ").lines == (b"+CSQ: 22,99",)
    port.close()


def test_fault_a_slow_modem(puppets: Callable[[Reply], Puppet]) -> None:
    """One that takes longer than a probe waits is spoken to all the same, and answers stay with their commands."""

    def reply(command: bytes) -> bytes:
        time.sleep(1.5 * PROBE_S)
        return b"\r\n+CSQ: 22,99\r\n\r\nOK\r\n" if command == b"AT+CSQ" else usual(command)

    puppet = puppets(reply)
    port = Port(str(puppet.path))
    assert port.ask("AT+CSQ", 20).lines == (b"+CSQ: 22,99",)
    port.close()


def test_fault_a_modem_that_was_stuck_answers_everything_at_once(tmp_path: Path) -> None:
    """Commands heard in the silence are answered when it ends; what is asked then gets its own answer."""
    modem = BenchModem(tmp_path / "at", Manner(chatter_s=None, silences=((1000.0, 3.0),)), at_s=1000.05)
    modem.plug()
    port = Port(str(modem.path))
    try:
        with pytest.raises(Silent):
            port.ask("AT+CGSN", 1.0)
        assert [port.ask(command).lines[0][:5] for command in ("AT+CSQ", "AT+CPIN?", "AT+CREG?")] == [b"+CSQ:", b"+CPIN", b"+CREG"]
    finally:
        port.close()
        modem.unplug()


def test_what_the_modem_says_by_itself_is_told_while_it_listens(puppets: Callable[[Reply], Puppet]) -> None:
    """Whole lines only; a full inbox is counted."""
    puppet = puppets(usual)
    told: queue.Queue[bytes] = queue.Queue(maxsize=1)
    port = Port(str(puppet.path), unsolicited=told.put_nowait)
    port.ask("AT")
    assert not port.listen(0.05)
    puppet.say(b"\r\nRI")
    assert port.listen(5)
    assert told.empty()
    puppet.say(b"NG\r\n\r\nNO CARRIER\r\n")
    assert port.listen(5)
    assert (told.get_nowait(), port.lost) == (b"RING", 1)
    port.close()


def test_a_failed_call_has_its_own_error_without_the_number(puppets: Callable[[Reply], Puppet]) -> None:
    """BUSY as the answer to the dial."""
    puppet = puppets(lambda command: b"\r\nBUSY\r\n" if command.startswith(b"ATD") else usual(command))
    port = Port(str(puppet.path))
    with pytest.raises(CallFailed) as failed:
        port.ask("ATD+8613800138000;")
    assert failed.value.result == b"BUSY"
    assert "138" not in repr(failed.value)
    assert isinstance(failed.value, HwError)
    port.close()


def test_fault_unplugged_while_a_command_is_under_way(puppets: Callable[[Reply], Puppet]) -> None:
    """The port says at once that the device is lost, and may be closed."""
    puppet = puppets(lambda command: None if command == b"AT+COPS?" else usual(command))
    port = Port(str(puppet.path))
    port.ask("AT")
    threading.Timer(0.1, puppet.unplug).start()
    begin_s = time.monotonic()
    with pytest.raises(DeviceLost, match="unplugged"):
        port.ask("AT+COPS?", 30)
    assert time.monotonic() - begin_s < 10
    with pytest.raises(DeviceLost):
        port.listen(1)
    port.close()


def test_fault_no_modem(tmp_path: Path) -> None:
    """A path that is not there is a device that is lost."""
    with pytest.raises(DeviceLost, match="does not open"):
        Port(str(tmp_path / "nowhere"))


def test_fault_a_port_that_takes_nothing(puppets: Callable[[Reply], Puppet]) -> None:
    """A line whose other end does not read is given up within the limit instead of blocking for ever."""
    puppet = puppets(usual)
    port = Port(str(puppet.path))
    puppet._stop.set()
    puppet._thread.join()
    begin_s = time.monotonic()
    with pytest.raises((DeviceLost, Silent)):
        for _ in range(400):
            port._write(b"x" * 250, time.monotonic() + 0.2)
    assert time.monotonic() - begin_s < 20
    port.close()


def test_two_threads_get_each_their_own_answer(tmp_path: Path) -> None:
    """One waits for the other."""
    modem = BenchModem(tmp_path / "at", Manner(chatter_s=0.05))
    modem.plug()
    port = Port(str(modem.path))
    wrong: list[bytes] = []

    def keep_asking(command: str, begins: bytes) -> None:
        for _ in range(15):
            wrong.extend(line for line in port.ask(command, 30).lines if not line.startswith(begins))

    threads = [threading.Thread(target=keep_asking, args=pair) for pair in (("AT+CSQ", b"+CSQ:"), ("AT+CPIN?", b"+CPIN:"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    port.close()
    modem.unplug()
    assert wrong == []


def test_whoever_waits_for_the_port_waits_no_longer_than_its_limit(puppets: Callable[[Reply], Puppet]) -> None:
    """Another command under way for long is silence for this one."""
    puppet = puppets(lambda command: None if command == b"AT+COPS?" else usual(command))
    port = Port(str(puppet.path))
    port.ask("AT")

    def ask_long() -> None:
        with pytest.raises(Silent):
            port.ask("AT+COPS?", 1.5)

    other = threading.Thread(target=ask_long)
    other.start()
    while b"AT+COPS?" not in puppet.heard:
        time.sleep(0.005)
    with pytest.raises(Silent, match="was not asked"):
        port.ask("AT+CSQ", 0.1)
    other.join()
    port.close()


# -- texts after a prompt ---------------------------------------------------------------------------------------------

CMGS, TEXT = "AT+CMGS=16", "0011000B916407281553F800040B0203FF"
GIVEN = TEXT.encode() + b"\x1a"
PROMPT, TAKEN = b"\r\n> ", b"\r\n+CMGS: 5\r\n\r\nOK\r\n"


def test_a_text_is_given_after_its_prompt(tmp_path: Path) -> None:
    """The bench's modem takes it; the port goes on."""
    modem = BenchModem(tmp_path / "at", Manner(chatter_s=0.05))
    modem.plug()
    port = Port(str(modem.path))
    try:
        port.ask("AT+CMGF=0")
        assert port.submit(CMGS, TEXT) == Answer(result=b"OK", lines=(b"+CMGS: 1",))
        assert port.ask("AT+CPIN?").lines == (b"+CPIN: READY",)
        assert modem.modem.texts == [("+46708251358", b"\x03\xff")]
    finally:
        port.close()
        modem.unplug()


def test_fault_no_carrier_and_garbage_around_a_prompt(puppets: Callable[[Reply], Puppet]) -> None:
    """What is said unasked in the middle is told, and costs nothing."""
    answers = {CMGS.encode(): b"\r\n\xb5\x62NO\r\nRING\r\n\x80\xff> ", GIVEN: b"\r\nNO CARRIER\r\n" + TAKEN}
    puppet, told = puppets(lambda command: answers.get(command, usual(command))), list[bytes]()
    port = Port(str(puppet.path), unsolicited=told.append)
    assert port.submit(CMGS, TEXT).lines == (b"+CMGS: 5",)
    assert told == [b"RING", b"NO CARRIER"]
    port.close()


@pytest.mark.parametrize(("before", "after", "code"), [(b"\r\n+CMS ERROR: 302\r\n", b"", 302), (PROMPT, b"\r\n+CMS ERROR: 38\r\n", 38)])
def test_a_text_that_is_refused_has_a_code(puppets: Callable[[Reply], Puppet], before: bytes, after: bytes, code: int) -> None:
    """In place of the prompt, where nothing may be written then, and after the text, of which the error says nothing."""
    puppet = puppets(lambda command: {CMGS.encode(): before, GIVEN: after}.get(command, usual(command)))
    port = Port(str(puppet.path))
    with pytest.raises(Refused, match="refused AT\\+CMGS: ") as refused:
        port.submit(CMGS, TEXT)
    assert refused.value.code == code
    assert (GIVEN in puppet.heard) == bool(after)
    assert TEXT not in repr(refused.value)
    assert port.ask("AT").result == b"OK"
    port.close()


@pytest.mark.parametrize("prompt", [None, PROMPT])
def test_fault_silence_before_or_after_the_text(puppets: Callable[[Reply], Puppet], prompt: bytes | None) -> None:
    """The modem gets ESC, so that the next command is not taken for more of the text."""
    puppet = puppets(lambda command: {CMGS.encode(): prompt, GIVEN: None}.get(command, usual(command)))
    port = Port(str(puppet.path))
    port.ask("AT")
    begin_s = time.monotonic()
    with pytest.raises(Silent, match=re.escape("no answer to AT+CMGS")) as silent:
        port.submit(CMGS, TEXT, 0.4)
    assert time.monotonic() - begin_s < 0.4 + SLACK_S
    assert TEXT not in repr(silent.value)
    assert port.ask("AT").result == b"OK"
    assert puppet.heard[3:].count(b"\x1b") >= 1
    assert (GIVEN in puppet.heard) == (prompt is not None)
    port.close()


def test_fault_a_modem_that_still_waits_for_a_text_is_freed(tmp_path: Path) -> None:
    """Whoever had the port before died between the prompt and the end of the text: commands would be text for ever."""
    modem = BenchModem(tmp_path / "at", Manner(chatter_s=None))
    modem.plug()
    before = Port(str(modem.path))
    before.ask("AT+CMGF=0")
    before._write(b"AT+CMGS=16\r", time.monotonic() + 1)
    before.listen(1)
    before.close()
    port = Port(str(modem.path))
    try:
        assert port.ask("AT+CPIN?").lines == (b"+CPIN: READY",)
        assert modem.modem.texts == []
    finally:
        port.close()
        modem.unplug()


def test_fault_unplugged_between_prompt_and_text(puppets: Callable[[Reply], Puppet]) -> None:
    """A device that is lost, at once."""

    def reply(command: bytes) -> bytes:
        if command == CMGS.encode():
            threading.Timer(0.0, puppet.unplug).start()
            return PROMPT
        return usual(command)

    puppet = puppets(reply)
    port = Port(str(puppet.path))
    with pytest.raises(DeviceLost, match="unplugged"):
        port.submit(CMGS, TEXT, 30)
    port.close()


@pytest.mark.parametrize("text", ["", "a\x1a", "\u0661"])
def test_what_is_no_text_is_not_asked_for(puppets: Callable[[Reply], Puppet], text: str) -> None:
    """The modem would be left with a prompt."""
    puppet = puppets(usual)
    port = Port(str(puppet.path))
    with pytest.raises(ValueError, match=r"text|give"):
        port.submit(CMGS, text)
    assert CMGS.encode() not in puppet.heard
    port.close()
