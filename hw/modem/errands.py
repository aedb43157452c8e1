"""What a modem is asked for while no order waits: a step at a time, each bounded, so that an order is never held up for long.

Promises that an errand that is refused or not answered costs no session and no call, and that it ends: each has its bound.
"""

from __future__ import annotations

import collections
import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hw.errors import HwError
from hw.gnss.locator import Locator
from hw.gnss.nmea import Epochs
from hw.modem.at import Port, Refused
from hw.modem.exchange import Answer
from hw.modem.health import QUESTIONS, Health, health
from hw.modem.profiles import Profile
from hw.modem.sms import Submit
from hw.ports import Fix

STEP_S_MAX = 1.0
"""What a question that is no order may take. Makers answer these at once; one that does not is asked another time."""
TEXT_S_MAX = 10.0
"""The network takes a text within seconds. Some modems wait for minutes; so long no call may be kept waiting."""
TEXTS_MAX = 4
"""More than that and the oldest are given up: what was texted later says more."""
TRIES_MAX = 3
RETRY_S = 10.0
"""A modem that is setting up a call may refuse a text; by then it has done so."""
HEALTH_S = 30.0
"""From one look at the modem's health to the next."""


class Errand(Protocol):
    """Something to be done in steps; each asks the port for one thing."""

    @property
    def due_s(self) -> float:
        """When the next step is due (time.monotonic); infinite where there is nothing to do."""

    def step(self, port: Port) -> None:
        """Raises Silent, DeviceLost; whatever it raises, the errand can go on with its next step."""


@dataclass(slots=True)
class _Text:
    submit: Submit = field(repr=False)
    tries: int = 0


class Texts:
    """Texts that are to go, the oldest first; each is tried TRIES_MAX times at most, in as many sessions as it takes."""

    def __init__(self) -> None:
        self.gone = 0
        """Texts that the network took."""
        self.given_up = 0
        self._waiting: collections.deque[Submit] = collections.deque()
        self._text: _Text | None = None
        """The one that is tried now."""
        self._lock = threading.Lock()
        """Held while texts change hands, never while one goes."""
        self._retry_s = -math.inf

    def add(self, submit: Submit) -> None:
        """From any thread, while another takes steps."""
        with self._lock:
            self._waiting.append(submit)

    def forget(self) -> None:
        """From any thread: no text is kept or begun; the one that is under way may end, and is not tried again."""
        with self._lock:
            self._waiting.clear()
            self._text = None

    @property
    def due_s(self) -> float:
        return self._retry_s if self._text is not None else -math.inf if self._waiting else math.inf

    def step(self, port: Port) -> None:
        text = self._next()
        if text is None:
            return
        text.tries += 1
        try:
            port.ask("AT+CMGF=0", STEP_S_MAX)  # in the other mode the length were taken for a number
            if self._text is not text:
                return  # forgotten meanwhile
            port.submit(text.submit.command, text.submit.pdu, TEXT_S_MAX)
        except HwError as error:
            self._failed(text)
            if not isinstance(error, Refused):
                raise
        else:
            self.gone += 1
            self._text = None

    def _next(self) -> _Text | None:
        """The one that is to be tried; None where all are forgotten."""
        with self._lock:
            while len(self._waiting) > TEXTS_MAX and self._text is None:
                self._waiting.popleft()
                self.given_up += 1
            if self._text is None and self._waiting:
                self._text = _Text(self._waiting.popleft())
            return self._text

    def _failed(self, text: _Text) -> None:
        self._retry_s = time.monotonic() + RETRY_S
        if text.tries >= TRIES_MAX:
            self.given_up += 1
            self._text = None


class Place:
    """Where the modem is: found out and told once each time that somebody wants it."""

    def __init__(self, found: Callable[[Fix], object], now_ns: Callable[[], int]) -> None:
        self._found, self._now_ns = found, now_ns
        self._epochs = Epochs()
        self._locator: Locator | None = None
        """Of this session; None: this model gives no position."""
        self._questions: Iterator[list[Fix]] | None = None
        self._wanted = False

    def begin(self, profiles: Sequence[Profile]) -> None:
        """A session with a modem that one of them may have made."""
        self._locator = Locator(profiles, epochs=self._epochs, now_ns=self._now_ns, limit_s=STEP_S_MAX)
        self._questions = None

    def want(self) -> None:
        """From any thread; what is wanted already is wanted once."""
        self._wanted = True

    @property
    def due_s(self) -> float:
        return -math.inf if self._wanted and self._locator is not None else math.inf

    def step(self, port: Port) -> None:
        if self._locator is None:
            return
        self._questions = self._questions or self._locator.questions(port)
        try:
            fixes = next(self._questions, None)
        except HwError:
            self._over()
            raise
        for fix in fixes or ():
            with contextlib.suppress(queue.Full):
                self._found(fix)
        if fixes is None:
            self._locator = self._locator if self._locator.command else None
            self._over()

    def _over(self) -> None:
        self._questions, self._wanted = None, False


class Checkup:
    """How the modem is: asked at the beginning of a session and each HEALTH_S, while it is `calm`; `health` is the last that was found."""

    def __init__(self, calm: Callable[[], bool]) -> None:
        self.health = Health()
        self._calm = calm
        self._due_s = math.inf
        self._answers: dict[str, Answer] = {}
        self._asked = 0

    def begin(self) -> None:
        """A session with a modem of which nothing is known yet."""
        self._due_s, self._asked, self._answers = -math.inf, 0, {}

    def end(self) -> None:
        """The session is over: nothing is known of the modem any more."""
        self.health, self._due_s = Health(), math.inf

    @property
    def due_s(self) -> float:
        return self._due_s if self._calm() else math.inf

    def step(self, port: Port) -> None:
        command = QUESTIONS[self._asked]
        self._asked += 1
        try:
            self._answers[command] = port.tried(command, STEP_S_MAX)
        finally:
            if self._asked == len(QUESTIONS):
                self.health = health(self._answers)
                self._due_s, self._asked, self._answers = time.monotonic() + HEALTH_S, 0, {}
