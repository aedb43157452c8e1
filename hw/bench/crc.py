"""The checksum of the bench's safety frames: CRC-8 of SAE J1850.

Polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x1D), start 0xFF, result inverted; check value 0x4B for b"123456789".
"""

from __future__ import annotations

POLYNOMIAL = 0x1D


def _row(value: int) -> int:
    for _ in range(8):
        value = (value << 1) ^ POLYNOMIAL if value & 0x80 else value << 1
    return value & 0xFF


_TABLE = bytes(_row(value) for value in range(256))


def sae_j1850(data: bytes) -> int:
    """The CRC of `data`."""
    crc = 0xFF
    for byte in data:
        crc = _TABLE[crc ^ byte]
    return crc ^ 0xFF
