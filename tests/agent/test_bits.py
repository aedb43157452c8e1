"""Bit positions against cantools' own encoder, for random little- and big-endian signals."""

from __future__ import annotations

from typing import Literal

from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion
from hypothesis import given
from hypothesis import strategies as st

from agent.bits import bytes_needed, mask_bytes, mask_of, placed, positions

BYTES = 8
IDENTITY = BaseConversion.factory(1, 0, None, is_float=False)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Any signal that lies wholly inside eight bytes."""
    length = draw(st.integers(1, 64))
    big = draw(st.booleans())
    first = draw(st.integers(0, BYTES * 8 - length))
    # A big-endian signal starts at its most significant bit; counted in the order of transmission that is `first`.
    start = first // 8 * 8 + 7 - first % 8 if big else first
    order: Literal["big_endian", "little_endian"] = "big_endian" if big else "little_endian"
    return Signal("S", start, length, byte_order=order, is_signed=draw(st.booleans()), conversion=IDENTITY)


def message_of(signal: Signal) -> Message:
    return Message(1, "M", BYTES, [signal], strict=True)


def raw_range(signal: Signal) -> tuple[int, int]:
    return (-(1 << signal.length - 1), (1 << signal.length - 1) - 1) if signal.is_signed else (0, (1 << signal.length) - 1)


@given(signals(), st.data())
def test_placed_bits_are_what_cantools_encodes(signal: Signal, data: st.DataObject) -> None:
    """The payload with one value in it, read as a little-endian integer, has exactly the bits that `placed` says."""
    raw = data.draw(st.integers(*raw_range(signal)))
    payload = message_of(signal).encode({"S": raw}, padding=False)
    assert placed(signal, raw) == int.from_bytes(payload, "little")


@given(signals(), st.binary(min_size=BYTES, max_size=BYTES), st.integers(0, (1 << 64) - 1))
def test_bits_outside_the_mask_do_not_matter(signal: Signal, payload: bytes, noise: int) -> None:
    """Whatever changes outside the mask leaves the decoded value, whatever changes inside it changes the value."""
    message, bits, mask = message_of(signal), int.from_bytes(payload, "little"), mask_of(signal)
    before = message.decode(payload)
    outside = (bits ^ (noise & ~mask)) & ((1 << 64) - 1)
    assert message.decode(outside.to_bytes(BYTES, "little")) == before
    if noise & mask:
        assert message.decode((bits ^ (noise & mask)).to_bytes(BYTES, "little")) != before


@given(signals())
def test_positions_are_as_many_as_bits_and_least_significant_first(signal: Signal) -> None:
    """One place for each bit; the raw value 1 is the first of them."""
    assert len(set(positions(signal))) == signal.length == mask_of(signal).bit_count()
    assert placed(signal, 1) == 1 << positions(signal)[0]


@given(signals())
def test_the_shortest_payload_carries_the_signal_and_a_shorter_one_does_not(signal: Signal) -> None:
    """`bytes_needed` is the length from which the value can be read."""
    needed = bytes_needed(signal)
    assert mask_of(signal) < 1 << 8 * needed
    assert mask_of(signal) >= 1 << 8 * (needed - 1)


def test_mask_as_candump_writes_a_payload() -> None:
    """Byte 0 comes first, in capital hex digits; no bits, no digits."""
    assert [mask_bytes(mask) for mask in (0xFF, 0xFF00, 0x8000000000000001, 0)] == ["FF", "00FF", "0100000000000080", ""]
