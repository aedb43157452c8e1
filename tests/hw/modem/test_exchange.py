"""What a modem says, sorted: answers belong to their commands, nothing unasked is lost, no byte raises."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.modem.exchange import LINE_BYTES_MAX, LINES_MAX, Answer, Exchange, named, prefix_of


def exchanged(command: str, *pieces: bytes) -> tuple[Answer | None, list[bytes], Exchange]:
    told: list[bytes] = []
    exchange = Exchange(told.append)
    exchange.begin(command)
    for piece in pieces:
        exchange.feed(piece)
    return exchange.answer, told, exchange


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


# -- prompts ----------------------------------------------------------------------------------------------------------

TEXT = "0011000B91"


def prompted(*pieces: bytes) -> tuple[Exchange, list[bytes]]:
    told: list[bytes] = []
    exchange = Exchange(told.append)
    exchange.begin("AT+CMGS=5", text=TEXT)
    for piece in pieces:
        exchange.feed(piece)
    return exchange, told


BEFORE = b"AT+CMGS=5\r\r\n+CREG: 5\r\n\xb5\xff\r\nRING\r\n\r\n> "


@given(cuts=st.lists(st.integers(0, len(BEFORE)), max_size=8))
def test_a_prompt_has_no_line_end(cuts: list[int]) -> None:
    """Behind echo, garbage and what was said unasked, wherever the reads begin and end; then what is written is the text and its end."""
    edges = [0, *sorted(cuts), len(BEFORE)]
    exchange, told = prompted(*(BEFORE[a:b] for a, b in pairwise(edges)))
    assert (exchange.prompted, exchange.answer, told) == (True, None, [b"+CREG: 5", b"RING"])
    assert exchange.given() == TEXT.encode() + b"\x1a"
    exchange.feed(TEXT.encode() + b"\r\nNO CARRIER\r\n\r\n+CMGS: 7\r\n\r\nOK\r\n")
    assert exchange.answer == Answer(result=b"OK", lines=(b"+CMGS: 7",))
    assert told[2:] == [b"NO CARRIER"]


@pytest.mark.parametrize("said", [b"\r\n>", b"\x80\xb5> ", b"\r\n> \xff\xff", b"\r\n> \r\n+CREG: 1\r\n"])
def test_fault_a_prompt_is_found_in_garbage_and_before_a_line(said: bytes) -> None:
    """Also where it was cut after its sign."""
    assert prompted(said)[0].prompted


@pytest.mark.parametrize("said", [b"\r\n+CMT: a> ", b"\r\n+CREG: 1\r\n", b"\r\nOK\r\n", b">>"])
def test_what_is_no_prompt_is_none(said: bytes) -> None:
    """The text would go to a modem that does not wait for it; an OK is one that was owed from before."""
    exchange, _ = prompted(said)
    assert (exchange.prompted, exchange.answer) == (False, None)


def test_a_prompt_that_nobody_waits_for_is_dropped() -> None:
    """It is neither an answer nor something said unasked."""
    answer, told, exchange = exchanged("AT+CSQ", b"\r\n> \r\n+CSQ: 21,99\r\nOK\r\n")
    assert (answer, told, exchange.prompted) == (Answer(result=b"OK", lines=(b"+CSQ: 21,99",)), [], False)


@pytest.mark.parametrize("text", ["a\x1aAT", "\x1b", "a\r", "\u0661", "x" * 1025])
def test_what_is_no_text_is_not_begun(text: str) -> None:
    """It would end itself, and the rest would be a command."""
    with pytest.raises(ValueError, match="a text") as error:
        Exchange(print).begin("AT+CMGS=5", text=text)
    assert text not in str(error.value)
