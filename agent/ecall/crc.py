"""Checksums of safety frames, as a vehicle file names them: CRC-8, its polynomial without the leading bit, start and end inverted.

Sources: SAE J1850 (0x1D; check value 0x4B for b"123456789") and AUTOSAR CRC routines, CRC8H2F (0x2F; 0xDF).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

TOP = 0x80


def _crc8(polynomial: int) -> Callable[[bytes], int]:
    table = bytes(_row(value, polynomial) for value in range(256))

    def checksum(data: bytes) -> int:
        crc = 0xFF
        for byte in data:
            crc = table[crc ^ byte]
        return crc ^ 0xFF

    return checksum


def _row(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = (value << 1) ^ polynomial if value & TOP else value << 1
    return value & 0xFF


CHECKSUMS: Mapping[str, Callable[[bytes], int]] = {"sae-j1850": _crc8(0x1D), "autosar-8h2f": _crc8(0x2F)}
