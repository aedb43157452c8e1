"""A text of octets as the modem takes it: one SMS-SUBMIT, which the other side gets as 8-bit data.

Promises a PDU that is whole and canonical, or ValueError; no octet and no number stands in a repr or an error.
Sources: 3GPP TS 23.040 (9.2.2.2 SMS-SUBMIT, 9.1.2.5 addresses, 9.2.3.12.1 validity), TS 23.038 (4: data coding), TS 27.005 (4.3 +CMGS).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

OCTETS_MAX = 140
"""Of one SMS: a longer one would be several, each of which may be lost."""
SUBMIT, VALIDITY_RELATIVE = 0x01, 0x10
INTERNATIONAL, UNKNOWN = 0x91, 0x81
"""Types of address, of the numbering plan of telephony."""
EIGHT_BIT = 0x04
"""No alphabet, no class: the other side stores it as it stores any text."""
HOUR = 0x0B
"""(n + 1) times five minutes. What the network could not deliver by then is of no use to anybody, and is thrown away."""
CENTRE_STORED = "00"
"""Before the PDU: the number of the network's centre for texts is the one on the SIM."""

_NUMBER = re.compile(r"(\+?)([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Submit:
    """`length`: what +CMGS is told. `pdu`: what it is given after the prompt."""

    length: int = field(repr=False)
    pdu: str = field(repr=False)

    @property
    def command(self) -> str:
        """Asks for the prompt."""
        return f"AT+CMGS={self.length}"


def submit(number: str, octets: bytes) -> Submit:
    """One text to `number`. Raises ValueError for no number, no octet or too many."""
    if not 1 <= len(octets) <= OCTETS_MAX:
        raise ValueError(f"a text has 1 to {OCTETS_MAX} octets")
    head = bytes((SUBMIT | VALIDITY_RELATIVE, 0))  # the modem counts the messages
    pdu = head + _address(number) + bytes((0, EIGHT_BIT, HOUR, len(octets))) + octets
    return Submit(len(pdu), CENTRE_STORED + pdu.hex().upper())


def _address(number: str) -> bytes:
    """How many digits, of what kind, two in an octet with the first one low; an odd one beside a filler."""
    found = _NUMBER.fullmatch(number)
    if found is None:
        raise ValueError("not a number that can be texted")
    digits = found[2]
    even = digits + "F" * (len(digits) % 2)
    swapped = "".join(second + first for first, second in zip(even[::2], even[1::2], strict=True))
    return bytes((len(digits), INTERNATIONAL if found[1] else UNKNOWN)) + bytes.fromhex(swapped)
