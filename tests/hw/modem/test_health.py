"""What a modem's answers say of its health."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.modem.exchange import Answer
from hw.modem.health import QUESTIONS, Health, health

PIN, CREG, CEREG, CSQ, CGSN = QUESTIONS


def said(*lines: bytes, result: bytes = b"OK") -> Answer:
    return Answer(result=result, lines=lines)


@pytest.mark.parametrize(
    ("answer", "sim"),
    [
        (said(b"+CPIN: READY"), True),
        (said(b"+CPIN: SIM PIN"), False),
        (said(result=b"+CME ERROR: 10"), False),
        (said(result=b"+CME ERROR: 13"), False),
        (said(result=b"+CME ERROR: 14"), None),
        (said(result=b"ERROR"), None),
        (said(), None),
    ],
)
def test_a_sim_is_one_that_can_be_used(answer: Answer, sim: bool | None) -> None:
    """Without a PIN that nobody enters; one that is busy is not known yet."""
    assert health({PIN: answer}) == Health(sim=sim)


@pytest.mark.parametrize(
    ("creg", "cereg", "registered"),
    [
        (b"+CREG: 0,1", b"+CEREG: 0,2", True),
        (b"+CREG: 0,2", b'+CEREG: 2,5,"2A4F","0101B7C3",7', True),
        (b"+CREG: 0,3", b"+CEREG: 0,0", False),
        (b"+CREG: 0,6", b"+CEREG: 0,8", False),
        (b"+CREG: 0,3", b"", False),
        (b"", b"", None),
    ],
)
def test_one_network_is_enough(creg: bytes, cereg: bytes, registered: bool | None) -> None:
    """Old or new, at home or roaming; one for texts or emergencies only is none; a question without an answer says nothing."""
    answers = {command: said(line) for command, line in ((CREG, creg), (CEREG, cereg)) if line}
    assert health(answers) == Health(registered=registered)


@pytest.mark.parametrize(("line", "signal"), [(b"+CSQ: 0,99", 0), (b"+CSQ: 31,0", 31), (b"+CSQ: 99,99", None), (b"+CSQ: 32,99", None)])
def test_a_signal_is_0_to_31(line: bytes, signal: int | None) -> None:
    """99 is not known."""
    assert health({CSQ: said(line)}) == Health(signal=signal)


@given(st.dictionaries(st.sampled_from(QUESTIONS), st.builds(said, st.binary(max_size=40), result=st.binary(max_size=20))))
def test_fault_any_answers(answers: dict[str, Answer]) -> None:
    """Nothing that a modem says raises."""
    assert health(answers).signal in {None, *range(32)}


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        (b"490154203237518", "49015420*******"),
        (b'+CGSN: "490154203237518"', "49015420*******"),
        (b"4901542032375180", "49015420*******"),
        (b"49015420", ""),
        (b"+CSQ: 21,99", ""),
    ],
)
def test_of_its_number_only_the_model_is_kept(line: bytes, masked: str) -> None:
    """The serial number and what follows are nowhere in it, also not in its repr."""
    found = health({CGSN: said(line)})
    assert found.imei_masked == masked
    assert "3237518" not in repr(found)


def test_a_signal_is_told_in_dbm() -> None:
    """As +CSQ counts: 0 is -113 dBm or less, 31 is -51 dBm or more."""
    assert [Health(signal=signal).signal_dbm for signal in (0, 31, None)] == [-113, -51, None]
