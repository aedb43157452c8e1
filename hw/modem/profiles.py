"""What differs between makers of modems, as data: how a position is asked for, and the words of a call's progress.

A new maker is one entry in PROFILES. Sources: 3GPP TS 27.007 (6.5 +CHUP, 7.18 +CLCC, 9.1 +CMEE) and V.250 (result codes);
SIMCom SIM7500/SIM7600 AT command manual (chapters 3, 24), SIM7000 and A76xx series manuals; Quectel EC25 AT commands manual
and GNSS AT commands manual. `^DSCI` and SIMCom's words are as seen in public drivers; firmware may differ: try it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hw.modem.at import Port

Progress = Literal["dialling", "alerting", "up", "held", "ringing", "busy", "unanswered", "over"]
"""How far a call is. `ringing`: the other side calls us. `over`: ended or never came to be, for any other reason."""

RESULTS: Mapping[bytes, Progress] = {
    b"NO CARRIER": "over",
    b"NO DIALTONE": "over",
    b"NO DIAL TONE": "over",
    b"BUSY": "busy",
    b"NO ANSWER": "unanswered",
    b"RING": "ringing",
    b"+CRING:": "ringing",
}
"""The result codes of V.250 and 27.007, which every maker has."""
CLCC: Mapping[int, Progress] = {0: "up", 1: "held", 2: "dialling", 3: "alerting", 4: "ringing", 5: "ringing", 6: "over"}
"""<stat> of +CLCC; 6 is SIMCom's, in its reports."""
DSCI: Mapping[int, Progress] = {1: "held", 2: "dialling", 3: "up", 4: "ringing", 5: "ringing", 6: "over", 7: "alerting"}
"""<stat> of Quectel's ^DSCI, which is not that of +CLCC."""
STAT_FIELD = 2
"""Both reports begin with <id>,<dir>,<stat>."""
_CALL = re.compile(rb" *\+CLCC: *\d+ *, *([01]) *, *(\d+) *(?:, *(\d+))?")
_NO_VOICE = frozenset({1, 2})
"""<mode> of +CLCC: data, as some modems list the session of packets that they have all the time, and fax."""


@dataclass(frozen=True, slots=True)
class Call:
    """A voice call that the modem has. `incoming`: the other side called us."""

    incoming: bool
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One maker. Codes are those of `+CME ERROR`."""

    name: str
    maker: bytes
    """Stands in the answer to AT+CGMI, whatever its case."""
    gnss_on: tuple[str, ...]
    """All are sent, each may be refused: one switches this model's receiver on, and it may be on already."""
    positions: tuple[str, ...]
    """Commands that give a position, the best first; a model knows some of them."""
    gnss_off: frozenset[int] = frozenset()
    """Codes that say that the receiver is off."""
    reports: tuple[str, ...] = ()
    """Commands after which the progress of a call is told unasked; each may be refused."""
    hang_up: str = "AT+CHUP"
    """Ends every call; ATH does so only under some settings of +CVHU."""
    words: Mapping[bytes, Progress] = field(default_factory=dict)
    """How a line begins -> the progress it tells; besides RESULTS."""
    states: Mapping[bytes, Mapping[int, Progress]] = field(default_factory=dict)
    """How a report begins -> its <stat> -> the progress it tells."""


PROFILES: tuple[Profile, ...] = (
    Profile(
        name="quectel",
        maker=b"QUECTEL",
        gnss_on=("AT+QGPS=1",),
        positions=("AT+QGPSLOC=2", "AT+QGPSLOC?"),
        gnss_off=frozenset({505}),
        reports=("AT^DSCI=1",),
        states={b"^DSCI:": DSCI, b"+CLCC:": CLCC},
    ),
    Profile(
        name="simcom",
        maker=b"SIMCOM",
        gnss_on=("AT+CGNSSPWR=1", "AT+CGPS=1", "AT+CGNSPWR=1"),
        positions=("AT+CGNSSINFO", "AT+CGNSINF", "AT+CGPSINFO"),
        reports=("AT+CLCC=1",),
        words={b"VOICE CALL: BEGIN": "up", b"VOICE CALL: END": "over", b"MISSED_CALL": "over"},
        states={b"+CLCC:": CLCC},
    ),
)


def profiles_of(maker: bytes) -> tuple[Profile, ...]:
    """The profile of who answered AT+CGMI so; all of them where nobody is known by it."""
    return tuple(profile for profile in PROFILES if profile.maker in maker.upper()) or PROFILES


def profiles_at(port: Port, limit_s: float) -> tuple[Profile, ...]:
    """The profiles of whoever may have made the modem there. Raises Silent, DeviceLost."""
    return profiles_of(b" ".join(port.tried("AT+CGMI", limit_s).lines))


def progress_in(profile: Profile, line: bytes) -> Progress | None:
    """What a line says of the progress of a call; None for every other line, and for a report that is cut or unknown."""
    for words in (profile.words, RESULTS):
        for begins, told in words.items():
            if line.startswith(begins):
                return told
    for begins, states in profile.states.items():
        if line.startswith(begins):
            fields = line[len(begins) :].split(b",")
            stat = fields[STAT_FIELD].strip() if len(fields) > STAT_FIELD else b""
            return states.get(int(stat)) if stat.isdigit() else None
    return None


def calls_in(lines: Iterable[bytes]) -> list[Call] | None:
    """The voice calls that the lines of an answer to AT+CLCC list (27.007 7.18); None where a line cannot be read."""
    calls: list[Call] = []
    for line in lines:
        found = _CALL.match(line)
        if found is None:
            return None
        progress = CLCC.get(int(found[2]), "over")
        if progress != "over" and int(found[3] or 0) not in _NO_VOICE:
            calls.append(Call(found[1] == b"1", progress))
    return calls
