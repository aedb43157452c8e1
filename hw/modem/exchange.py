"""What a modem says, sorted into echo, answers and what it says unasked. No port and no clock.

Promises: the lines of an answer are those of its command; nothing that can be read raises or is kept without bound.
Sources: ITU-T V.250 (5.7 result codes), 3GPP TS 27.007 (9.1, 9.2 errors; 7.2 +CREG), TS 27.005 (4.3 the prompt).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

LINE_BYTES_MAX = 1_024
LINES_MAX = 64
"""Of one answer; more are dropped."""
END_OF_TEXT = b"\x1a"
"""Sends what was given after a prompt."""

_LINE_END = re.compile(rb"[\r\n]")
PRINTABLE = re.compile(rb"[\x20-\x7e]+").fullmatch
_PROMPT = re.compile(rb"(?:^|[^\x20-\x7e])> ?[^\x20-\x7e]*\Z")
"""Has no line end; what else its line has can only be garbage."""
_COMMAND = re.compile(r"AT[\x20-\x7e]{0,254}").fullmatch
_TEXT = re.compile(r"[\x20-\x7e]{1,1024}").fullmatch
_NAME = re.compile(r"AT(?:[+^$&*][A-Z]+|[A-Z]?)", re.IGNORECASE)
ERROR = re.compile(rb"\+CM[ES] ERROR: ?(\d*)")
CALL_RESULT = re.compile(rb"(?:NO CARRIER|BUSY|NO ANSWER|NO DIAL ?TONE|CONNECT.*)").fullmatch
_BY_ITSELF = re.compile(
    rb"[+^$*]|RING\b|NO CARRIER|NO ANSWER|NO DIAL|BUSY|VOICE CALL|MISSED_CALL|RDY|SMS |PB DONE|(?:NORMAL )?POWER|Call Ready"
).match
"""How lines begin that are no answer, unless they begin with the command's own name."""
_REGISTRATION = re.compile(rb'\+C(?:|G|E|5G)REG: ?\d+(?:,".*)?').fullmatch
"""A change of registration: <stat>[,"lac",...]. The answer to the question has <n> before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a command ended, and the lines before that, without echo and without what the modem said unasked."""

    result: bytes
    lines: tuple[bytes, ...] = field(default=(), repr=False)


def named(command: str) -> str:
    """The command without its arguments: what an error may say of it."""
    found = _NAME.match(command)
    return found[0].upper() if found else "AT"


def prefix_of(command: str) -> bytes:
    """How the lines of a command's answer begin: `+CSQ:` for AT+CSQ; empty for a command that has no name of its own."""
    name = named(command)[2:]
    return f"{name}:".encode() if len(name) > 1 else b""


class Exchange:
    """What a modem says, sorted; no port and no clock. Bytes go in; `answer` is there when the command is over.

    A command that is begun with a text asks for a prompt: `prompted` says when it has come, and `given` what is written then.
    """

    def __init__(self, unsolicited: Callable[[bytes], object]) -> None:
        self.answer: Answer | None = None
        self.prompted = False
        self.garbage = 0
        """Lines that were too long or not of printable ASCII."""
        self.late = 0
        """Results that belonged to no command any more."""
        self._unsolicited = unsolicited
        self._rest = b""
        self._skipping = False
        self._command = ""
        self._needs = b""
        self._text = b""
        self._lines: list[bytes] = []

    def begin(self, command: str, needs: bytes = b"", text: str = "") -> bytes:
        """The bytes to write. `needs`: a result before a line that begins so is that of an earlier command. Raises ValueError."""
        if not _COMMAND(command):
            raise ValueError("a command is one line of printable ASCII that begins with AT")
        if text and not _TEXT(text):
            raise ValueError("a text for a prompt is printable ASCII")
        self.answer, self._command, self._needs, self._lines = None, command, needs, []
        self.prompted, self._text = False, text.encode("ascii")
        return command.encode("ascii") + b"\r"

    def given(self) -> bytes:
        """The bytes to write after the prompt."""
        return self._text + END_OF_TEXT

    def abandon(self) -> None:
        """The command is waited for no longer."""
        self._command, self._lines, self._text = "", [], b""

    def feed(self, data: bytes) -> None:
        """Takes what was read, in pieces of any size."""
        *ended, rest = _LINE_END.split(self._rest + data)
        for line in ended:
            if self._skipping:
                self._skipping = False
            elif line.strip():
                self._take(line.strip())
        if len(rest) > LINE_BYTES_MAX:
            self.garbage += not self._skipping
            rest, self._skipping = b"", True
        elif self._text and not self.prompted and _PROMPT.search(rest):
            self.prompted, rest = True, b""  # it has no line end
        self._rest = rest

    def _take(self, line: bytes) -> None:
        if not PRINTABLE(line) or len(line) > LINE_BYTES_MAX:
            self.garbage += 1
        elif line == b">":
            self.prompted = bool(self._text)  # something unasked came right behind it
        elif line[:2].upper() == b"AT" or (self._text and self._text in line):
            pass  # the echo
        elif self._ends(line):
            self._end(line)
        elif not self._command or self._foreign(line):
            self._unsolicited(line)
        elif len(self._lines) < LINES_MAX:
            self._lines.append(line)

    def _ends(self, line: bytes) -> bool:
        dialled = self._command[:3].upper() in ("ATD", "ATA")
        return line in (b"OK", b"ERROR") or ERROR.match(line) is not None or (dialled and CALL_RESULT(line) is not None)

    def _end(self, line: bytes) -> None:
        early = line == b"OK" and self._text != b"" and not self.prompted
        awaited = not early and (not self._needs or any(one.startswith(self._needs) for one in self._lines))
        if not self._command or not awaited:
            self.late += 1
            self._lines = []
            return
        self.answer = Answer(result=line, lines=tuple(self._lines))
        self.abandon()

    def _foreign(self, line: bytes) -> bool:
        """Whether a line that came while a command is under way is none of its lines."""
        own = prefix_of(self._command)
        if own and line.upper().startswith(own):
            return _REGISTRATION(line) is not None
        return _BY_ITSELF(line) is not None
