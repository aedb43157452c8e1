"""The AT port: answers belong to their commands, nothing unasked is lost, and it never waits longer than it was told."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.bench.dialogue import Manner
from hw.errors import DeviceLost, HwError
from hw.modem.at import IDLE_S, LINE_BYTES_MAX, LINES_MAX, PROBE_S, Answer, CallFailed, Exchange, Port, Refused, Silent, named, prefix_of
from tests.hw.modem.cable import BenchModem, Puppet, usual

SLACK_S = 1.0
"""What a busy computer may add to a limit."""
Reply = Callable[[bytes], bytes | None]


def exchanged(command: str, *pieces: bytes) -> tuple[Answer | None, list[bytes], Exchange]:
    told: list[bytes] = []
    exchange = Exchange(told.append)
    exchange.begin(command)
    for piece in pieces:
        exchange.feed(piece)
    return exchange.answer, told, exchange


@pytest.fixture
def puppets(tmp_path: Path) -> Iterator[Callable[[Reply], Puppet]]:
    made: list[Puppet] = []

    def make(reply: Reply) -> Puppet:
        made.append(Puppet(tmp_path / "at", reply))
        return made[-1]

    yield make
    for puppet in made:
        puppet.unplug()


# -- the exchange, without a port -------------------------------------------------------------------------------------

SAID = b'AT+CSQ\r\r\n+QIND: "csq",19,99\r\n\r\n+CSQ: 21,99\r\n\r\nRING\r\n\r\nOK\r\n\r\nNO CARRIER\r\n'


@given(cuts=st.lists(st.integers(0, len(SAID)), max_size=12))
def test_pieces_of_any_size_are_the_same_answer(cuts: list[int]) -> None:
    """Echo dropped, two lines unasked before the end and one after it, wherever the reads begin and end."""
    edges = [0, *sorted(cuts), len(SAID)]
    answer, told, _ = exchanged("AT+CSQ", *(SAID[a:b] for a, b in pairwise(edges)))
    assert answer == Answer(result=b"OK", lines=(b"+CSQ: 21,99",))
    assert told == [b'+QIND: "csq",19,99', b"RING", b"NO CARRIER"]


@given(noise=st.binary(max_size=3000), cut=st.integers(0, 3000))
def test_fault_any_bytes(noise: bytes, cut: int) -> None:
    """Nothing that a port can give raises or is kept without bound."""
    _, told, exchange = exchanged("AT+CSQ", noise[:cut], noise[cut:])
    assert len(exchange._rest) <= LINE_BYTES_MAX
    assert all(line.isascii() and line.decode().isprintable() for line in told)


@pytest.mark.parametrize("result", [b"OK", b"ERROR", b"+CME ERROR: 516", b"+CME ERROR: SIM not inserted", b"+CMS ERROR: 304"])
def test_each_final_result_ends_a_command(result: bytes) -> None:
    """As it came."""
    assert exchanged("AT+CPIN?", b"\r\n" + result + b"\r\n")[0] == Answer(result=result)


@pytest.mark.parametrize("result", [b"NO CARRIER", b"BUSY", b"NO ANSWER", b"NO DIALTONE"])
def test_results_of_a_call_end_a_dial_and_nothing_else(result: bytes) -> None:
    """While another command is under way they say that the call is over, and the command goes on."""
    line = b"\r\n" + result + b"\r\n"
    assert exchanged("ATD123;", line)[0] == Answer(result=result)
    answer, told, _ = exchanged("AT+CSQ", line + b"\r\n+CSQ: 9,99\r\n\r\nOK\r\n")
    assert (answer, told) == (Answer(result=b"OK", lines=(b"+CSQ: 9,99",)), [result])


@pytest.mark.parametrize("change", [b"+CREG: 5", b'+CREG: 1,"2A4F","0101B7C3",7'])
def test_a_change_of_registration_is_no_answer_to_the_question(change: bytes) -> None:
    """Both begin alike; the answer has <n> before <stat>."""
    answer, told, _ = exchanged("AT+CREG?", change + b"\r\n+CREG: 0,1\r\nOK\r\n")
    assert (answer, told) == (Answer(result=b"OK", lines=(b"+CREG: 0,1",)), [change])


def test_an_answer_without_a_name_is_one() -> None:
    """The IMEI stands alone on its line."""
    answer, _, _ = exchanged("AT+CGSN", b"AT+CGSN\r\r\n001013000123457\r\n\r\nOK\r\n")
    assert answer == Answer(result=b"OK", lines=(b"001013000123457",))


def test_fault_garbage_costs_its_own_line_only() -> None:
    """Binary between lines, a byte inside a line, a line without end."""
    piece = b"\xb5\x62\x00\xff\r\n+CSQ: 2\x801,99\r\n" + b"x" * (3 * LINE_BYTES_MAX) + b"\r\n+CSQ: 21,99\r\nOK\r\n"
    answer, told, exchange = exchanged("AT+CSQ", piece)
    assert (answer, told, exchange.garbage) == (Answer(result=b"OK", lines=(b"+CSQ: 21,99",)), [], 3)


def test_fault_a_line_without_end_costs_itself_only() -> None:
    """Read in pieces: neither its beginning nor its end is a line."""
    answer, _, exchange = exchanged("ATI", *[b"x" * 500] * 5, b"x\r\nEC25\r\nOK\r\n")
    assert (answer, exchange.garbage) == (Answer(result=b"OK", lines=(b"EC25",)), 1)


def test_a_result_before_the_line_that_it_needs_is_a_late_one() -> None:
    """So that a question can be told from what was owed before it."""
    exchange = Exchange(print)
    exchange.begin("AT+CMEE?", b"+CMEE:")
    exchange.feed(b"\r\nOK\r\n")
    assert (exchange.answer, exchange.late) == (None, 1)
    exchange.feed(b"\r\n+CMEE: 1\r\n\r\nOK\r\n")
    assert exchange.answer == Answer(result=b"OK", lines=(b"+CMEE: 1",))


def test_fault_an_answer_without_end_is_bounded() -> None:
    """Ten thousand lines do not fill the memory."""
    answer, _, _ = exchanged("ATI", b"x\r\n" * 10_000 + b"OK\r\n")
    assert answer is not None
    assert len(answer.lines) == LINES_MAX


def test_results_that_belong_to_no_command_are_counted() -> None:
    """And never told as something that the modem says by itself."""
    told: list[bytes] = []
    exchange = Exchange(told.append)
    exchange.feed(b"\r\nOK\r\n\r\nERROR\r\n\r\nRING\r\n")
    assert (exchange.late, told, exchange.answer) == (2, [b"RING"], None)


@pytest.mark.parametrize("command", ["AT+CSQ\rATD1;", "AT\n", "hello", "", "AT" + "x" * 300, "ATD\u0661;"])
def test_what_is_no_command_is_never_written(command: str) -> None:
    """Two lines in one, other alphabets, too long."""
    with pytest.raises(ValueError, match="a command"):
        Exchange(print).begin(command)


@pytest.mark.parametrize(
    ("command", "name", "prefix"),
    [
        ("AT+QGPSLOC=2", "AT+QGPSLOC", b"+QGPSLOC:"),
        ("AT^DSCI=1", "AT^DSCI", b"^DSCI:"),
        ("ATD+8610123;", "ATD", b""),
        ("at+csq", "AT+CSQ", b"+CSQ:"),
        ("AT", "AT", b""),
    ],
)
def test_the_name_of_a_command_has_no_arguments(command: str, name: str, prefix: bytes) -> None:
    """What an error may say of it, and how its lines begin."""
    assert (named(command), prefix_of(command)) == (name, prefix)


# -- the port, on a pty -----------------------------------------------------------------------------------------------


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
