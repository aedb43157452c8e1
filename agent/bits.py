"""Where a DBC signal's bits lie in a payload read as one little-endian integer.

Byte 0 is the lowest byte, so bit b of byte n is bit 8 * n + b, whatever the signal's own byte order. DBC numbering
(Vector DBC file format): `start` is the least significant bit of a little-endian signal and the most significant of
a big-endian one.
"""

from __future__ import annotations

from cantools.database.can import Signal


def positions(signal: Signal) -> list[int]:
    """Bit positions of the signal's raw value, least significant first."""
    if signal.byte_order == "little_endian":
        return list(range(signal.start, signal.start + signal.length))
    walk, bit = [], signal.start
    for _ in range(signal.length):
        walk.append(bit)
        bit = bit - 1 if bit % 8 else bit + 15
    return walk[::-1]


def mask_of(signal: Signal) -> int:
    """The signal's bits as a mask."""
    return sum(1 << bit for bit in positions(signal))


def placed(signal: Signal, raw: int) -> int:
    """The payload bits that carry the raw value `raw` (two's complement for a signed signal)."""
    return sum(1 << bit for i, bit in enumerate(positions(signal)) if raw >> i & 1)


def bytes_needed(signal: Signal) -> int:
    """Length of the shortest payload that carries the whole signal."""
    return max(positions(signal)) // 8 + 1


def mask_bytes(mask: int) -> str:
    """A mask as hex digits, byte 0 first, as candump writes a payload."""
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little").hex().upper()
