"""Texts as PDUs: read back by a decoder of our own that shares nothing with the product."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.modem.sms import OCTETS_MAX, submit

NUMBERS = st.from_regex(re.compile(r"\+?[0-9]{1,20}", re.ASCII), fullmatch=True)


def decoded(pdu: str) -> dict[str, object]:
    """The fields of TS 23.040 9.2.2.2, octet after octet."""
    rest = list(bytes.fromhex(pdu))

    def take(n: int) -> list[int]:
        taken, rest[:n] = rest[:n], []
        assert len(taken) == n
        return taken

    centre = take(take(1)[0])
    first, reference, count, kind = take(4)
    nibbles = [nibble for octet in take((count + 1) // 2) for nibble in (octet & 15, octet >> 4)]
    protocol, coding, validity, length = take(4)
    return {
        "centre": centre,
        "type": first & 3,
        "validity format": first >> 3 & 3,
        "else": first & 0xE4,
        "reference": reference,
        "number": {0x91: "+", 0x81: ""}[kind] + "".join(map(str, nibbles[:count])),
        "filler": nibbles[count:],
        "protocol": protocol,
        "coding": coding,
        "minutes": (validity + 1) * 5,
        "octets": bytes(take(length)),
        "rest": rest,
    }


@given(number=NUMBERS, octets=st.binary(min_size=1, max_size=OCTETS_MAX))
def test_what_is_sent_is_what_was_given(number: str, octets: bytes) -> None:
    """Every number and every octet; the length is that of the PDU without the centre's number."""
    one = submit(number, octets)
    assert decoded(one.pdu) == {
        "centre": [],
        "type": 1,
        "validity format": 2,
        "else": 0,
        "reference": 0,
        "number": number,
        "filler": [15] * (len(number.lstrip("+")) % 2),
        "protocol": 0,
        "coding": 4,
        "minutes": 60,
        "octets": octets,
        "rest": [],
    }
    assert one.command == f"AT+CMGS={len(one.pdu) // 2 - 1}"


def test_a_text_is_this_pdu() -> None:
    """Worked out by hand."""
    one = submit("+46708251358", b"\x03\xff")
    assert (one.command, one.pdu) == ("AT+CMGS=16", "0011000B916407281553F800040B0203FF")


@pytest.mark.parametrize("number", ["", "+", "1" * 21, "112;", "12 3", "*100#", "++49", "\u0661\u0662", "1\n"])
def test_what_is_no_number_is_not_texted(number: str) -> None:
    """Nor said in the error."""
    with pytest.raises(ValueError, match="not a number") as error:
        submit(number, b"x")
    assert number == "" or number not in str(error.value)


@pytest.mark.parametrize("count", [0, OCTETS_MAX + 1])
def test_what_is_not_one_text_is_refused(count: int) -> None:
    """Nothing, and one octet too many."""
    with pytest.raises(ValueError, match="1 to 140"):
        submit("112", bytes(count))


def test_neither_octets_nor_number_stand_in_a_repr() -> None:
    """A traceback may show it."""
    one = submit("+46708251358", b"\xab\xcd")
    assert all(word not in repr(one) for word in ("ABCD", "6407", "670", "16"))
