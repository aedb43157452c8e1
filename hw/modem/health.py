"""How a modem is: its SIM, the network and the signal, as it says itself. Source: 3GPP TS 27.007 (5.4, 7.2, 8.3, 8.5, 9.2.1, 10.1.22).

Of its own number (IMEI) only the model's part is kept: the rest names this one device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hw.modem.exchange import ERROR, Answer

QUESTIONS = ("AT+CPIN?", "AT+CREG?", "AT+CEREG?", "AT+CSQ", "AT+CGSN")
REGISTERED = (1, 5)
"""<stat>: at home, and with another network. Those for emergencies or texts only are not: there the centre cannot be called."""
UNUSABLE = frozenset({10, 11, 12, 13, 15, 17, 18})
"""Codes of +CME ERROR: no SIM, one that wants a PIN or PUK, one that failed or is the wrong one."""
SIGNAL_MAX = 31
SIGNAL_DBM_MIN, SIGNAL_STEP_DB = -113, 2

_STAT = re.compile(rb"\+CE?REG: ?\d+, ?(\d+)")
_IMEI = re.compile(rb"(?:\+CGSN: ?)?\"?(\d{8})\d{6,8}\"?")
"""The type allocation code, and what is masked (3GPP TS 23.003, 6.2)."""
_SIGNAL = re.compile(rb"\+CSQ: ?(\d+),")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """None: not known, which it is while the modem is gone. `signal`: 0 (-113 dBm or less) to 31 (-51 dBm or more), as +CSQ has it."""

    sim: bool | None = None
    """One that can be used, without a PIN."""
    registered: bool | None = None
    signal: int | None = None
    model: str = ""
    """The type allocation code of its IMEI; empty where it is not known."""

    @property
    def signal_dbm(self) -> int | None:
        return None if self.signal is None else SIGNAL_DBM_MIN + SIGNAL_STEP_DB * self.signal

    @property
    def imei_masked(self) -> str:
        return f"{self.model}*******" if self.model else ""


def health(answers: dict[str, Answer]) -> Health:
    """What the answers to QUESTIONS say, or to those of them that were answered."""
    said = {command: answer.lines for command, answer in answers.items()}
    stats = [int(found[1]) for lines in said.values() for line in lines if (found := _STAT.match(line))]
    signals = [int(found[1]) for line in said.get("AT+CSQ", ()) if (found := _SIGNAL.match(line))]
    return Health(
        sim=_sim(answers.get("AT+CPIN?")),
        registered=any(stat in REGISTERED for stat in stats) if stats else None,
        signal=next((signal for signal in signals if signal <= SIGNAL_MAX), None),
        model=next((found[1].decode() for line in said.get("AT+CGSN", ()) if (found := _IMEI.fullmatch(line))), ""),
    )


def _sim(answer: Answer | None) -> bool | None:
    if answer is None:
        return None
    for line in answer.lines:
        if line.startswith(b"+CPIN:"):
            return line.removeprefix(b"+CPIN:").strip() == b"READY"
    found = ERROR.match(answer.result)
    return False if found and found[1] and int(found[1]) in UNUSABLE else None
