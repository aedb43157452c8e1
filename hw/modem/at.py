"""The AT port of a modem: one command at a time, its answer, and what the modem says unasked.

Promises: `ask` ends within its limit with an answer or an error whose type says what can be done; the lines of an answer
are those of its command; a late answer of an earlier command is never taken for that of a later one; what the modem says
by itself is handed on and never lost to a command. Survives echo, partial reads, garbage, and the ERROR with which some
modems answer the first command after a pause. A modem is not left waiting for the rest of a text: it gets ESC, and whoever opens
the port frees it too. No error carries a number, a position or any other byte of the line.

    HwError
    +-- ModemError      a command did not end with OK
    |   +-- Refused     ERROR, +CME ERROR, +CMS ERROR: the modem said no; `code` says why where it is known
    |   +-- CallFailed  NO CARRIER, BUSY, NO ANSWER as the answer to a dial or to ATA: dial again, or not
    |   +-- Silent      no answer within the limit: asked again, it may answer
    +-- DeviceLost      the port is gone: close this Port, open another one

Sources: ITU-T V.250 (5.7 result codes), 3GPP TS 27.007 (9.1, 9.2 errors), TS 27.005 (3.5.1 the prompt, ESC). No data calls.
"""

from __future__ import annotations

import contextlib
import queue
import termios
import threading
import time
from collections.abc import Callable, Iterator

import serial

from hw.errors import DeviceLost, HwError
from hw.modem.exchange import CALL_RESULT, ERROR, Answer, Exchange, named, prefix_of

BAUD_DEFAULT = 115_200
LIMIT_S = 5.0
"""For most commands the makers promise an answer within 0.3 s; the network is asked for some."""
IDLE_S = 10.0
"""After a pause as long as this a plain ERROR may mean "I slept": the command is asked once more."""
PROBE = "AT+CMEE?"
PROBE_S = 0.3
"""How long the answer to a probe is waited for, and how long a line has to be quiet to be believed."""
PROMPT_S = 3.0
"""A prompt comes at once; a modem that takes longer has lost it, or us."""
ESCAPE = b"\x1b\r"
"""Takes back a text that was begun. A modem that waits for none ignores it, or answers ERROR, which nobody waits for."""
WRITE_S_MIN = 0.2
"""The least that a write is given."""
SETUP = ("ATE0", "AT+CMEE=1")
"""No echo, errors as numbers; a modem that refuses either is spoken to all the same."""


class ModemError(HwError):
    """A command did not end with OK."""


class Refused(ModemError):
    """The modem said no. `code` is that of +CME or +CMS ERROR, None for a plain ERROR; `line` is the result as it came."""

    def __init__(self, what: str, where: str, hint: str, line: bytes) -> None:
        super().__init__(what, where, hint)
        found = ERROR.match(line)
        self.line = line
        self.code = int(found[1]) if found and found[1] else None


class CallFailed(ModemError):
    """A dial or ATA ended without a call; `result` is the result code of V.250."""

    def __init__(self, what: str, where: str, hint: str, result: bytes) -> None:
        super().__init__(what, where, hint)
        self.result = result


class Silent(ModemError):
    """No answer within the limit. The command may have been carried out all the same."""


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
        self.unanswered = 0
        """Commands in a row that ended with Silent."""
        self._tell = unsolicited
        self._exchange = Exchange(self._told)
        self._lock = threading.Lock()
        self._in_step = self._set_up = False
        self._heard_s = time.monotonic()
        self._closing = threading.Lock()
        """Held while the port is woken, and while `_closed` is set; never while anything is waited for."""
        self._closed = False
        try:
            self._serial = open_port(path, baud, timeout=0.0, write_timeout=WRITE_S_MIN, exclusive=True)
        except (OSError, ValueError, termios.error) as error:  # ValueError: a rate the port does not know
            raise DeviceLost("the modem does not open", path, "plug it in; tried again by itself") from error

    @property
    def wakes(self) -> bool:
        """Whether `wake` ends a `listen`: not on every kind of port that pyserial has (socket:// is one that cannot)."""
        return callable(getattr(self._serial, "cancel_read", None))

    @property
    def garbage(self) -> int:
        """Lines that were none."""
        return self._exchange.garbage

    def ask(self, command: str, limit_s: float = LIMIT_S) -> Answer:
        """The answer, when it ended with OK (or CONNECT). Raises Refused, CallFailed, Silent, DeviceLost; ValueError for no command."""
        end_s = time.monotonic() + limit_s
        with self._alone(command, end_s):
            answer = self._asked(command, end_s)
        return self._judged(command, answer)

    def tried(self, command: str, limit_s: float = LIMIT_S) -> Answer:
        """The answer, also where it is a refusal: this model has no such command, or nothing to do. Raises Silent, DeviceLost."""
        try:
            return self.ask(command, limit_s)
        except Refused as refused:
            return Answer(result=refused.line)

    def submit(self, command: str, text: str, limit_s: float = LIMIT_S) -> Answer:
        """The answer to a command that asks for `text` by a prompt. Raises as `ask` does; after Silent the text may have gone or not."""
        end_s = time.monotonic() + limit_s
        if not text:
            raise ValueError("nothing to give after the prompt")
        with self._alone(command, end_s):
            answer = self._asked(command, end_s, text)
        return self._judged(command, answer)

    def _judged(self, command: str, answer: Answer) -> Answer:
        if answer.result == b"OK" or answer.result.startswith(b"CONNECT"):
            return answer
        if CALL_RESULT(answer.result):
            raise CallFailed(f"no call: {answer.result.decode()}", self.path, "dial again", answer.result)
        code = ERROR.match(answer.result)
        why = code[0].decode() if code else "ERROR"
        raise Refused(f"the modem refused {named(command)}: {why}", self.path, "see the maker's manual", answer.result)

    def listen(self, limit_s: float) -> bool:
        """Hands on what the modem says by itself: returns when something came (true), when woken or the time is over. Raises DeviceLost."""
        end_s = time.monotonic() + limit_s
        if not self._lock.acquire(timeout=limit_s):
            return False
        try:
            return self._receive(end_s)
        finally:
            self._lock.release()

    def wake(self) -> None:
        """Ends the `listen` of another thread, or the next one, at once. Does nothing where the port is gone or cannot do it."""
        with self._closing, contextlib.suppress(OSError):
            if self.wakes and not self._closed:  # closed, the number of pyserial's pipe may be another file's
                self._serial.cancel_read()

    def close(self) -> None:
        """Once; may take as long as the system lets the port drain (Linux: 30 s), in which nobody who wakes it is kept waiting."""
        with self._closing:  # nobody is in `wake` any more, and nobody comes in
            first, self._closed = not self._closed, True
        if first:
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
            self._write(ESCAPE, end_s)  # whoever had the port before may have died in the middle of a text
            wait_s *= 2
        while wait_s > PROBE_S and self._hears(min(end_s, time.monotonic() + wait_s)):
            pass  # the answers to the probes before

    def _asked(self, command: str, end_s: float, text: str = "") -> Answer:
        """Asked in step, and once more where the modem slept. With `text` a prompt is waited for, and given that."""
        self.unanswered += 1
        if not self._in_step:
            self._get_in_step(command, end_s)
        slept = time.monotonic() - self._heard_s > IDLE_S
        answer = self._submitted(command, end_s, text) if text else self._once(command, end_s)
        if answer is not None and answer.result == b"ERROR" and slept:
            answer = self._submitted(command, end_s, text) if text else self._once(command, end_s)
        if answer is None:
            self._in_step = False
            raise Silent(f"no answer to {named(command)}", self.path, "asked again, it may answer")
        self.unanswered = 0
        return answer

    def _submitted(self, command: str, end_s: float, text: str) -> Answer | None:
        try:
            self._write(self._exchange.begin(command, text=text), end_s)
            self._await(min(end_s, time.monotonic() + PROMPT_S))
            if self._exchange.prompted:
                self._write(self._exchange.given(), end_s)
                self._await(end_s)
        finally:
            self._exchange.abandon()  # also of a port that is gone, which somebody may keep
        if self._exchange.answer is None:
            self._write(ESCAPE, end_s)
        return self._exchange.answer

    def _once(self, command: str, end_s: float, needs: bytes = b"") -> Answer | None:
        self._write(self._exchange.begin(command, needs), end_s)
        self._await(end_s)
        self._exchange.abandon()
        return self._exchange.answer

    def _await(self, end_s: float) -> None:
        """Returns with an answer, with a prompt that was waited for and is not used up, or when the time is over."""
        prompted = self._exchange.prompted
        while self._exchange.answer is None and self._exchange.prompted == prompted and time.monotonic() < end_s:
            self._receive(end_s)

    def _write(self, data: bytes, end_s: float) -> None:
        try:
            self._serial.write_timeout = max(WRITE_S_MIN, end_s - time.monotonic())  # None would block for ever
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
        """Feeds what has come; waits for it until `end_s`, or until woken. Whether something came."""
        try:
            self._serial.timeout = max(0.0, end_s - time.monotonic())
            first = self._serial.read(1)
            data = first + self._serial.read(self._serial.in_waiting) if first else b""
        except (OSError, TypeError, termios.error) as error:  # TypeError: pyserial's, when another thread closed the port
            raise DeviceLost("the modem is unplugged", self.path, "opened again by itself") from error
        if data:
            self._heard_s = time.monotonic()
            self._exchange.feed(data)
        return bool(data)
