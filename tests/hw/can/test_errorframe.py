"""Error frames are counted by what they say."""

from __future__ import annotations

import can
import pytest

from hw.can.errorframe import classes


@pytest.mark.parametrize(
    ("bits", "data", "found"),
    [
        (0x040, bytes(8), ["bus-off"]),
        (0x008 | 0x080, bytes([0, 0, 4, 0x0A, 0, 0, 0, 90]), ["protocol", "bus-error"]),
        (0x004, bytes([0, 0x10]), ["error-passive"]),
        (0x004, bytes([0, 0x08]), ["error-warning"]),
        (0x004 | 0x200, bytes([0, 0x40]), ["error-active"]),
        (0x004, bytes([0, 0x01]), ["overflow"]),
        (0x100, bytes(8), ["restarted"]),
        (0x200, bytes(8), ["other"]),
        (0x004, b"", ["other"]),
    ],
)
def test_each_class_has_its_name(bits: int, data: bytes, found: list[str]) -> None:
    """As linux/can/error.h has them; one without a name is counted too."""
    message = can.Message(arbitration_id=bits, data=data, is_error_frame=True, is_extended_id=False)
    assert classes(message) == found
