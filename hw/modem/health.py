"""How a modem is: its SIM, the network and the signal, as it says itself. Source: 3GPP TS 27.007 (7.2, 8.3, 8.5, 9.2.1, 10.1.22)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hw.modem.exchange import ERROR, Answer

QUESTIONS = ("AT+CPIN?", "AT+CREG?", "AT+CEREG?", "AT+CSQ")
REGISTERED = (1, 5)
"""<stat>: at home, and with another network. Those for emergencies or texts only are not: there the centre cannot be called."""
UNUSABLE = frozenset({10, 11, 12, 13, 15, 17, 18})
"""Codes of +CME ERROR: no SIM, one that wants a PIN or PUK, one that failed or is the wrong one."""
SIGNAL_MAX = 31

_STAT = re.compile(rb"\+CE?REG: ?\d+, ?(\d+)")
_SIGNAL = re.compile(rb"\+CSQ: ?(\d+),")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """None: not known, which it is while the modem is gone. `signal`: 0 (-113 dBm or less) to 31 (-51 dBm or more), as +CSQ has it."""

    sim: bool | None = None
    """One that can be used, without a PIN."""
    registered: bool | None = None
    signal: int | None = None


def health(answers: dict[str, Answer]) -> Health:
    """What the answers to QUESTIONS say, or to those of them that were answered."""
    said = {command: answer.lines for command, answer in answers.items()}
    stats = [int(found[1]) for lines in said.values() for line in lines if (found := _STAT.match(line))]
    signals = [int(found[1]) for line in said.get("AT+CSQ", ()) if (found := _SIGNAL.match(line))]
    return Health(
        sim=_sim(answers.get("AT+CPIN?")),
        registered=any(stat in REGISTERED for stat in stats) if stats else None,
        signal=next((signal for signal in signals if signal <= SIGNAL_MAX), None),
    )


def _sim(answer: Answer | None) -> bool | None:
    if answer is None:
        return None
    for line in answer.lines:
        if line.startswith(b"+CPIN:"):
            return line.removeprefix(b"+CPIN:").strip() == b"READY"
    found = ERROR.match(answer.result)
    return False if found and found[1] and int(found[1]) in UNUSABLE else None
