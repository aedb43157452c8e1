"""agent.ecall.uper: bits in, the same bits out; what cannot be read is refused."""

from __future__ import annotations

import pytest

from agent.ecall.uper import LENGTH_MAX, BitsError, Reader, Writer


def test_bits_come_out_as_they_went_in() -> None:
    """Across the borders of octets; the last one is filled with zeros."""
    bits = Writer()
    for value, width in ((5, 3), (0, 1), (1023, 10), (1, 1)):
        bits.put(value, width)
    octets = bits.octets()
    assert octets == bytes([0b1010_1111, 0b1111_1110])
    back = Reader(octets)
    assert [back.take(width) for width in (3, 1, 10, 1)] == [5, 0, 1023, 1]
    back.end()


@pytest.mark.parametrize("count", [0, 1, 127, 128, 300, LENGTH_MAX])
def test_octets_have_their_length_before_them(count: int) -> None:
    """One octet up to 127, two above."""
    bits = Writer()
    bits.put(1, 1)
    bits.put_octets(b"\xa5" * count)
    assert len(bits.octets()) == (1 if count < 128 else 2) + count + 1
    back = Reader(bits.octets())
    assert back.flag()
    assert back.take_octets() == b"\xa5" * count


@pytest.mark.parametrize("octets", [b"", b"\x02\x01", b"\x81", b"\xc1" + bytes(20_000)])
def test_octets_that_are_not_there_are_refused(octets: bytes) -> None:
    """Too few of them, or a length in fragments."""
    with pytest.raises(BitsError):
        Reader(octets).take_octets()


def test_additions_of_a_later_edition_are_passed_over() -> None:
    """However many, those that are absent too."""
    bits = Writer()
    bits.put(0b0_000010, 7)  # three of them
    bits.put(0b101, 3)
    bits.put_octets(b"new")
    bits.put_octets(b"newer")
    bits.put(0x5A, 8)
    back = Reader(bits.octets())
    back.skip_additions()
    assert back.take(8) == 0x5A


def test_many_additions_are_counted_with_a_length() -> None:
    """From 64 on."""
    bits = Writer()
    bits.put(1, 1)
    bits.put_octets(bytes([69]))
    bits.put(0, 69)
    bits.put(1, 1)
    bits.put_octets(b"x")
    bits.put(0x5A, 8)
    back = Reader(bits.octets())
    back.skip_additions()
    assert back.take(8) == 0x5A


def test_nothing_but_zeros_follows_the_end() -> None:
    """Filling and blocks of fixed size are zeros."""
    Reader(bytes(9)).end()
    with pytest.raises(BitsError, match="after its end"):
        Reader(bytes(9) + b"\x01").end()
