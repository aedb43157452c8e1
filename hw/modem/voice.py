"""The voice call of a modem: dialled, answered and hung up over an AT port of its own, by one thread.

Promises that what is asked for is done as soon as the modem can: an unplugged or silent one gets it when it is back, unless it was taken
back meanwhile. That there is one call: before dialling the modem is asked whether one of ours stands, and that is taken; who only rings is
hung up. That how it stands is told by what the modem says unasked and, in case a line of that was lost, by asking each POLL_S; a call that
is gone while the port was gone is told as over, one of which the modem says nothing is not. That a text, which may have to be waited for,
is begun only while no order waits. No number, no caller and no octet of a text reaches a log, an error or a repr.
"""

from __future__ import annotations

import math
import queue
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import serial

from hw.errors import DeviceLost
from hw.modem.at import BAUD_DEFAULT, CallFailed, ModemError, Port, Refused, Silent
from hw.modem.errands import Checkup, Errand, Place, Texts
from hw.modem.health import Health
from hw.modem.profiles import Call, Profile, Progress, calls_in, profiles_at, progress_in
from hw.modem.sms import submit
from hw.ports import Fix
from hw.supervision import TICK_S, Supervised

Said = Literal["up", "over", "ringing"]
POLL_S = 1.0
"""How often a call that is on is asked for."""
REST_S_MAX = 1.0
"""How long the thread may rest without looking up. An order, a text and a position that is wanted wake it, as the modem does."""
ANSWER_S_MAX = 3.0
DIAL_S_MAX = 10.0
"""Makers answer a dial at once, or when the other side rings."""
RING_S_MAX = 7.0
"""A modem that rings says so again within this (27.007 and V.250 leave it to the network: 5 or 6 s)."""
RING_S_MIN = 2.0
"""A modem says in several ways that it rings: that is one ring."""
SILENCES_MAX = 3
"""So many questions in a row without an answer are a modem that is stuck: the port is opened anew."""
NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
SAYS: dict[Progress, Said] = {"up": "up", "over": "over", "busy": "over", "unanswered": "over", "ringing": "ringing"}

DIALLED: tuple[Progress, ...] = ("dialling", "alerting", "up")
"""How a call of ours stands. In one that is held nobody speaks: it only is in the way."""
ANSWERED: tuple[Progress, ...] = ("ringing", "up")
"""How a call stands that we picked up: for a moment it may still be listed as incoming."""


def boot_ns() -> int:
    """CLOCK_BOOTTIME: goes on while the device is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class _Order:
    """`do`: dial, answer, hang_up or look."""

    do: Literal["dial", "answer", "hang_up", "look"]
    number: str = field(default="", repr=False)


class Voice(Supervised):
    """`tell` gets how the call stands, `found` each fix of `locate`, stamped by `now_ns`; both from this thread, and must not block.

    `queue.Full` from `found` costs that fix. `open_port` is `serial.Serial` unless a test puts another in its place.
    """

    def __init__(  # noqa: PLR0913  # what a device is called, whom it tells, what time it is, and two for tests and adapters
        self,
        port: str,
        *,
        tell: Callable[[Said], object],
        found: Callable[[Fix], object] = lambda _: None,
        now_ns: Callable[[], int] = boot_ns,
        baud: int = BAUD_DEFAULT,
        open_port: Callable[..., serial.Serial] = serial.Serial,
    ) -> None:
        super().__init__(f"voice {port}")
        self.port = port
        self._tell, self._baud, self._open_port = tell, baud, open_port
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._open: _Order | None = None
        """Asked for, and not done yet."""
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._on = False
        """Whether there is a call, or one is being set up, as far as is known."""
        self._up = False
        self._answered = False
        """Whether the call that is on is one that we picked up."""
        self._rang_s = -math.inf
        self._port: Port | None = None
        """Of this session or the last one."""
        self._texts, self._place, self._checkup = Texts(), Place(found, now_ns), Checkup(self._calm)
        self._errands: tuple[Errand, ...] = (self._texts, self._checkup, self._place)
        """What is done while no order waits, the most urgent first."""

    @property
    def health(self) -> Health:
        """Of the modem; nothing is known while it is gone, and before it was asked."""
        return self._checkup.health

    @property
    def texted(self) -> int:
        """How many texts the network took."""
        return self._texts.gone

    @property
    def untexted(self) -> int:
        """How many texts were given up."""
        return self._texts.given_up

    def dial(self, number: str) -> None:
        """Raises ValueError for what is no number."""
        if not NUMBER.fullmatch(number):
            raise ValueError("not a number that can be dialled")
        self._order(_Order("dial", number))

    def answer(self) -> None:
        """Picks up."""
        self._order(_Order("answer"))

    def hang_up(self) -> None:
        """Ends every call; also takes back what was asked for and not done yet."""
        self._order(_Order("hang_up"))

    def look(self) -> None:
        """Has it told how it stands: up, or over."""
        self._order(_Order("look"))

    def text(self, number: str, octets: bytes) -> None:
        """Texts up to 140 octets as soon as no order waits; no hang-up takes it back. `texted` counts what went. Raises ValueError."""
        self._texts.add(submit(number, octets))
        self._wake()

    def forget(self) -> None:
        """No text that waits, or is to be tried again, is kept or goes; one that is under way may end. From any thread."""
        self._texts.forget()

    def locate(self) -> None:
        """Has the modem asked for a position once nothing else is to be done; asked again before the answer, it is one question."""
        self._place.want()
        self._wake()

    def _order(self, order: _Order) -> None:
        self._orders.put(order)
        self._wake()

    def close(self) -> None:
        self._stop.set()
        self._wake()
        super().close()

    def _wake(self) -> None:
        """Ends the rest of the thread. Whatever it is for has been put down before, where the thread looks before each rest."""
        port = self._port
        if port is not None:
            port.wake()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _session(self) -> None:
        port = self._port = Port(self.port, unsolicited=self._heard.put, baud=self._baud, open_port=self._open_port)
        try:
            profiles = profiles_at(port, ANSWER_S_MAX)
            profile = profiles[0]
            for command in profile.reports:
                port.tried(command, ANSWER_S_MAX)
            self._place.begin(profiles)
            self._checkup.begin()
            if self._on:
                self._ask(port)
            asked_s = time.monotonic()
            while not self._stopping():
                self._well()
                self._obey(port, profile)
                if self._on and time.monotonic() - asked_s >= POLL_S:
                    asked_s = time.monotonic()
                    self._ask(port)
                self._listen(profile)  # before it rests: what was said while it asked
                if not self._runs_errand(port):
                    port.listen(self._rest_s(asked_s + POLL_S) if port.wakes else TICK_S / 4)
        except ModemError as error:
            raise DeviceLost(error.what, error.where, "asked again by itself") from error
        finally:
            self._checkup.end()
            port.close()

    def _obey(self, port: Port, profile: Profile) -> None:
        """Does what was asked for last; what came before it is out of date, but for a hang-up before a dial."""
        while not self._orders.empty():
            order = self._orders.get()
            if self._open is not None and self._open.do == "hang_up" and order.do != "hang_up":
                self._do(port, profile, self._open)
            self._open = order
        if self._open is not None:
            self._do(port, profile, self._open)
            self._open = None

    def _do(self, port: Port, profile: Profile, order: _Order) -> None:
        match order.do:
            case "dial":
                self._dial(port, profile, order.number)
            case "answer" if not self._on:
                self._begin(port, "ATA")
                self._answered = self._on
            case "hang_up":
                port.tried(profile.hang_up, ANSWER_S_MAX)
                self._on = self._up = self._answered = False
            case "look":
                self._on = True
                self._ask(port)

    def _calm(self) -> bool:
        """Whether no call is being set up, by us or by the other side."""
        return (self._up or not self._on) and time.monotonic() - self._rang_s >= RING_S_MAX

    def _runs_errand(self, port: Port) -> bool:
        """Whether an errand was due; one step of it is done then, unless an order waits."""
        now_s = time.monotonic()
        errand = next((one for one in self._errands if one.due_s <= now_s), None)
        if errand is None or not self._orders.empty():
            return False
        try:
            errand.step(port)
        except Silent:
            if port.unanswered >= SILENCES_MAX:
                raise
        return True

    def _rest_s(self, poll_s: float) -> float:
        """How long nothing is to be done, as far as is known: until an errand is due, or a call that is on is to be asked for."""
        due_s = min([one.due_s for one in self._errands] + [poll_s] * self._on)
        return min(max(0.0, due_s - time.monotonic()), REST_S_MAX)

    def _dial(self, port: Port, profile: Profile, number: str) -> None:
        calls = _calls(port)
        ours = self._ours(calls or ())
        if ours is not None:
            self._on, self._up = True, False  # who dials is told that it is up, also where that was told before
            self._take(ours.progress)
            return
        if calls:
            port.tried(profile.hang_up, ANSWER_S_MAX)
        self._on = self._up = False
        self._listen(profile)  # how an earlier call ended is no news of this one
        self._begin(port, f"ATD{number};")

    def _begin(self, port: Port, command: str) -> None:
        self._on, self._up, self._answered = True, False, False
        try:
            port.ask(command, DIAL_S_MAX)
        except (CallFailed, Refused):
            self._over()

    def _ask(self, port: Port) -> None:
        """How it stands, by asking."""
        calls = _calls(port)
        if calls is None:
            return
        ours = self._ours(calls)
        if ours is None:
            self._over()
        for call in [ours] if ours else calls:
            self._take(call.progress)

    def _ours(self, calls: Iterable[Call]) -> Call | None:
        """The call in which we speak or soon shall: one that we dialled or picked up, also where that was before a restart of ours."""
        stands = {False: DIALLED, True: ANSWERED if self._answered else ("up",)}
        return next((call for call in calls if call.progress in stands[call.incoming]), None)

    def _listen(self, profile: Profile) -> None:
        while not self._heard.empty():
            found = progress_in(profile, self._heard.get())
            if found is not None:
                self._take(found)

    def _take(self, found: Progress) -> None:
        said = SAYS.get(found)
        if said == "over":
            self._over()
        elif said == "up" and self._on and not self._up:
            self._up = True
            self._tell("up")
        elif said == "ringing" and not self._on and time.monotonic() - self._rang_s >= RING_S_MIN:
            self._rang_s = time.monotonic()
            self._tell("ringing")

    def _over(self) -> None:
        if self._on:
            self._on = self._up = self._answered = False
            self._tell("over")


def _calls(port: Port) -> list[Call] | None:
    """What calls there are; None where the modem does not say, as while its SIM is busy."""
    try:
        return calls_in(port.ask("AT+CLCC", ANSWER_S_MAX).lines)
    except Refused:
        return None
