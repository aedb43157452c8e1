"""The AT port of a modem: one command at a time, its answer, and what the modem says unasked.

Promises: `ask` ends within its limit with an answer or an error whose type says what can be done; the lines of an answer
are those of its command; a late answer of an earlier command is never taken for that of a later one; what the modem says
by itself is handed on and never lost to a command. Survives echo, partial reads, garbage, and the ERROR with which some
modems answer the first command after a pause. No error carries a number, a position or any other byte of the line.

    HwError
    +-- ModemError      a command did not end with OK
    |   +-- Refused     ERROR, +CME ERROR, +CMS ERROR: the modem said no; `code` says why where it is known
    |   +-- CallFailed  NO CARRIER, BUSY, NO ANSWER as the answer to a dial or to ATA: dial again, or not
    |   +-- Silent      no answer within the limit: asked again, it may answer
    +-- DeviceLost      the port is gone: close this Port, open another one

Sources: ITU-T V.250 (5.7 result codes), 3GPP TS 27.007 (9.1, 9.2 errors; 7.2 +CREG). No data calls and no prompts ("> ").
"""

from __future__ import annotations

import contextlib
import queue
import re
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import serial

from hw.errors import DeviceLost, HwError

BAUD_DEFAULT = 115_200
LINE_BYTES_MAX = 1_024
LINES_MAX = 64
"""Of one answer; more are dropped."""
LIMIT_S = 5.0
"""For most commands the makers promise an answer within 0.3 s; the network is asked for some."""
IDLE_S = 10.0
"""After a pause as long as this a plain ERROR may mean "I slept": the command is asked once more."""
PROBE = "AT+CMEE?"
PROBE_S = 0.3
"""How long the answer to a probe is waited for, and how long a line has to be quiet to be believed."""
TICK_S = 0.2
"""How long a read may go on without looking up, and the least that a write is given."""
SETUP = ("ATE0", "AT+CMEE=1")
"""No echo, errors as numbers; a modem that refuses either is spoken to all the same."""

_LINE_END = re.compile(rb"[\r\n]")
_PRINTABLE = re.compile(rb"[\x20-\x7e]+").fullmatch
_COMMAND = re.compile(r"AT[\x20-\x7e]{0,254}").fullmatch
_NAME = re.compile(r"AT(?:[+^$&*][A-Z]+|[A-Z]?)", re.IGNORECASE)
_ERROR = re.compile(rb"\+CM[ES] ERROR: ?(\d*)")
_CALL_RESULT = re.compile(rb"(?:NO CARRIER|BUSY|NO ANSWER|NO DIAL ?TONE|CONNECT.*)").fullmatch
_BY_ITSELF = re.compile(
    rb"[+^$*]|RING\b|NO CARRIER|NO ANSWER|NO DIAL|BUSY|VOICE CALL|MISSED_CALL|RDY|SMS |PB DONE|(?:NORMAL )?POWER|Call Ready"
).match
"""How lines begin that are no answer, unless they begin with the command's own name."""
_REGISTRATION = re.compile(rb'\+C(?:|G|E|5G)REG: ?\d+(?:,".*)?').fullmatch
"""A change of registration: <stat>[,"lac",...]. The answer to the question has <n> before it."""


class ModemError(HwError):
    """A command did not end with OK."""


class Refused(ModemError):
    """The modem said no. `code` is that of +CME or +CMS ERROR, None for a plain ERROR; `line` is the result as it came."""

    def __init__(self, what: str, where: str, hint: str, line: bytes) -> None:
        super().__init__(what, where, hint)
        found = _ERROR.match(line)
        self.line = line
        self.code = int(found[1]) if found and found[1] else None


class CallFailed(ModemError):
    """A dial or ATA ended without a call; `result` is the result code of V.250."""

    def __init__(self, what: str, where: str, hint: str, result: bytes) -> None:
        super().__init__(what, where, hint)
        self.result = result


class Silent(ModemError):
    """No answer within the limit. The command may have been carried out all the same."""


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
    """What a modem says, sorted; no port and no clock. Bytes go in; `answer` is there when the command is over."""

    def __init__(self, unsolicited: Callable[[bytes], object]) -> None:
        self.answer: Answer | None = None
        self.garbage = 0
        """Lines that were too long or not of printable ASCII."""
        self.late = 0
        """Results that belonged to no command any more."""
        self._unsolicited = unsolicited
        self._rest = b""
        self._skipping = False
        self._command = ""
        self._needs = b""
        self._lines: list[bytes] = []

    def begin(self, command: str, needs: bytes = b"") -> bytes:
        """The bytes to write. `needs`: a result before a line that begins so is that of an earlier command. Raises ValueError."""
        if not _COMMAND(command):
            raise ValueError("a command is one line of printable ASCII that begins with AT")
        self.answer, self._command, self._needs, self._lines = None, command, needs, []
        return command.encode("ascii") + b"\r"

    def abandon(self) -> None:
        """The command is waited for no longer."""
        self._command, self._lines = "", []

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
        self._rest = rest

    def _take(self, line: bytes) -> None:
        if not _PRINTABLE(line) or len(line) > LINE_BYTES_MAX:
            self.garbage += 1
        elif line[:2].upper() == b"AT":
            pass  # the echo
        elif self._ends(line):
            self._end(line)
        elif not self._command or self._foreign(line):
            self._unsolicited(line)
        elif len(self._lines) < LINES_MAX:
            self._lines.append(line)

    def _ends(self, line: bytes) -> bool:
        dialled = self._command[:3].upper() in ("ATD", "ATA")
        return line in (b"OK", b"ERROR") or _ERROR.match(line) is not None or (dialled and _CALL_RESULT(line) is not None)

    def _end(self, line: bytes) -> None:
        awaited = not self._needs or any(one.startswith(self._needs) for one in self._lines)
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


class Port:
    """An open port. `unsolicited` gets each line that the modem says by itself, in the thread that asks or listens.

    It must neither block nor ask; `queue.Full` from it is counted as a loss. Two threads may ask: one waits for the other, within its
    limit. `open_port` is `serial.Serial` unless a test puts another in its place. Raises DeviceLost where nothing opens.
    """

    def __init__(
        self,
        path: str,
        *,
        unsolicited: Callable[[bytes], object] = lambda _: None,
        baud: int = BAUD_DEFAULT,
        open_port: Callable[..., serial.Serial] = serial.Serial,
    ) -> None:
        self.path = path
        self.lost = 0
        """Unsolicited lines that nobody had room for."""
        self._tell = unsolicited
        self._exchange = Exchange(self._told)
        self._lock = threading.Lock()
        self._in_step = self._set_up = False
        self._heard_s = time.monotonic()
        try:
            self._serial = open_port(path, baud, timeout=TICK_S, write_timeout=TICK_S, exclusive=True)
        except (OSError, ValueError, termios.error) as error:  # ValueError: a rate the port does not know
            raise DeviceLost("the modem does not open", path, "plug it in; tried again by itself") from error

    @property
    def garbage(self) -> int:
        """Lines that were none."""
        return self._exchange.garbage

    def ask(self, command: str, limit_s: float = LIMIT_S) -> Answer:
        """The answer, when it ended with OK (or CONNECT). Raises Refused, CallFailed, Silent, DeviceLost; ValueError for no command."""
        end_s = time.monotonic() + limit_s
        with self._alone(command, end_s):
            if not self._in_step:
                self._get_in_step(command, end_s)
            answer = self._asked(command, end_s)
        if answer.result == b"OK" or answer.result.startswith(b"CONNECT"):
            return answer
        if _CALL_RESULT(answer.result):
            raise CallFailed(f"no call: {answer.result.decode()}", self.path, "dial again", answer.result)
        code = _ERROR.match(answer.result)
        why = code[0].decode() if code else "ERROR"
        raise Refused(f"the modem refused {named(command)}: {why}", self.path, "see the maker's manual", answer.result)

    def listen(self, limit_s: float) -> bool:
        """Hands on what the modem says by itself: returns when something came (true) or the time is over. Raises DeviceLost."""
        end_s = time.monotonic() + limit_s
        if not self._lock.acquire(timeout=limit_s):
            return False
        try:
            return self._hears(end_s)
        finally:
            self._lock.release()

    def close(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # an unplugged port may also fail to close
            self._serial.close()

    def _told(self, line: bytes) -> None:
        try:
            self._tell(line)
        except queue.Full:
            self.lost += 1

    @contextlib.contextmanager
    def _alone(self, command: str, end_s: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=max(0.0, end_s - time.monotonic())):
            raise Silent(f"{named(command)} was not asked", self.path, "another command was not over")
        try:
            yield
        finally:
            self._lock.release()

    def _get_in_step(self, command: str, end_s: float) -> None:
        """From here on an answer is that of its command: what is owed from before has come and was thrown away."""
        self._probe(end_s)
        for line in () if self._set_up else SETUP:
            self._once(line, end_s)
        if time.monotonic() >= end_s:
            raise Silent(f"no answer before {named(command)}", self.path, "asked again, it may answer")
        self._in_step = self._set_up = True

    def _probe(self, end_s: float) -> None:
        """Returns when a question was answered that nothing else answers, or when the time is over."""
        wait_s = PROBE_S
        while self._once(PROBE, min(end_s, time.monotonic() + wait_s), prefix_of(PROBE)) is None:
            if time.monotonic() >= end_s:
                return
            wait_s *= 2
        while wait_s > PROBE_S and self._hears(min(end_s, time.monotonic() + wait_s)):
            pass  # the answers to the probes before

    def _asked(self, command: str, end_s: float) -> Answer:
        slept = time.monotonic() - self._heard_s > IDLE_S
        answer = self._once(command, end_s)
        if answer is not None and answer.result == b"ERROR" and slept:
            answer = self._once(command, end_s)
        if answer is None:
            self._in_step = False
            raise Silent(f"no answer to {named(command)}", self.path, "asked again, it may answer")
        return answer

    def _once(self, command: str, end_s: float, needs: bytes = b"") -> Answer | None:
        self._write(self._exchange.begin(command, needs), end_s)
        while self._exchange.answer is None and time.monotonic() < end_s:
            self._receive(end_s)
        self._exchange.abandon()
        return self._exchange.answer

    def _write(self, data: bytes, end_s: float) -> None:
        try:
            self._serial.write_timeout = max(TICK_S, end_s - time.monotonic())  # None would block for ever
            self._serial.write(data)
        except (OSError, TypeError, termios.error) as error:  # a port that takes nothing for so long is as good as gone
            raise DeviceLost("the modem is unplugged or takes nothing", self.path, "opened again by itself") from error

    def _hears(self, end_s: float) -> bool:
        """Whether anything comes before `end_s`; returns as soon as it does."""
        while not self._receive(end_s):
            if time.monotonic() >= end_s:
                return False
        return True

    def _receive(self, end_s: float) -> bool:
        """Feeds what has come; waits for it no longer than TICK_S and `end_s`. Whether something came."""
        try:
            self._serial.timeout = min(TICK_S, max(0.0, end_s - time.monotonic()))
            first = self._serial.read(1)
            data = first + self._serial.read(self._serial.in_waiting) if first else b""
        except (OSError, TypeError, termios.error) as error:  # TypeError: pyserial's, when another thread closed the port
            raise DeviceLost("the modem is unplugged", self.path, "opened again by itself") from error
        if data:
            self._heard_s = time.monotonic()
            self._exchange.feed(data)
        return bool(data)
