"""What a text's PDU says, as the network's centre reads it. Source: 3GPP TS 23.040 (9.2.2.2 SMS-SUBMIT)."""

from __future__ import annotations

SUBMIT, REPLY_PATH_AND_HEADER = 0b01, 0b1100_0000
VALIDITY_OCTETS = {0b00: 0, 0b10: 1, 0b01: 7, 0b11: 7}
KINDS = {0x91: "+", 0x81: ""}
EIGHT_BIT = 0x04


def read(pdu: str, length: int) -> tuple[str, bytes]:
    """Number and octets of a text of 8-bit data. `length` as +CMGS was told. Raises ValueError for every other one."""
    octets = bytes.fromhex(pdu)
    octets = octets[1 + octets[0] :] if octets else b""
    if len(octets) != length or length < 4:
        raise ValueError("not as long as was said")
    first, _, count, kind = octets[:4]
    if first & 0b11 != SUBMIT or first & REPLY_PATH_AND_HEADER or kind not in KINDS:
        raise ValueError("no plain text to a number")
    at = 4 + (count + 1) // 2
    digits = "".join(f"{octet & 15:X}{octet >> 4:X}" for octet in octets[4:at])
    validity = VALIDITY_OCTETS[first >> 3 & 0b11]
    _, coding, *_ = octets[at : at + 2] or b"\0\0"
    said = octets[at + 2 + validity :]
    if coding != EIGHT_BIT or not said or said[0] != len(said) - 1 or not digits[:count].isdecimal():
        raise ValueError("no whole text of octets")
    return KINDS[kind] + digits[:count], said[1:]
