"""A live receiver inside a modem: asked for its position over the AT port, again and again, by one thread.

Promises the form of `hw.gnss.receiver`: every answer delivers one fix (without a position: mode 0), stamped with its
arrival; a modem that is silent, unplugged or knows no command for a position is a counted loss whose `problem` says why,
and it is asked again within 3 s of its return. Finds out by itself which maker's modem it is and switches its receiver
on. Positions never reach a log or an error text. The port is this reader's alone: the emergency call has another one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from hw.errors import DeviceLost
from hw.gnss.source import FixSource
from hw.modem.at import BAUD_DEFAULT, ModemError, Port, Refused
from hw.modem.exchange import Answer, prefix_of
from hw.modem.profiles import Profile, profiles_of
from hw.ports import Fix
from hw.supervision import TICK_S

ANSWER_S_MAX = 3.0
"""A modem that needs longer for a position than this counts as lost."""
VOIDS_MAX = 30
"""After so many answers without a position the receiver is switched on again: a modem that has restarted forgets it."""
USELESS_MAX = 10
"""After so many answers in a row that are neither a position nor a reason the modem counts as lost, and is looked at anew."""
UNKNOWN = frozenset({3, 4, 50, 58, 100, 502})
"""Codes of +CME ERROR that say that a command is not known or not allowed (27.007 9.2.1; 502 is Quectel's)."""
COURSE_FROM_MPS = 0.5
"""A slower car has no course over ground; modems go on saying the last one, or zero."""


class AtReceiver(FixSource):
    """The fixes that the modem at a port gives, each stamped with the arrival of its answer."""

    BAUD = BAUD_DEFAULT
    every_s = 1.0
    """From one question to the next."""
    _voids = _useless = 0

    def _session(self) -> None:
        port = Port(self.port, baud=self._baud, open_port=self._open_port)
        try:
            profile, command = self._known(port)
            due_s = time.monotonic()
            while not self._stopping():
                self._ask(port, profile, command)
                self._well()
                due_s = max(due_s + self.every_s, time.monotonic())
                while not self._stopping() and time.monotonic() < due_s:
                    port.listen(min(TICK_S, max(0.0, due_s - time.monotonic())))
        except ModemError as error:
            raise DeviceLost(error.what, error.where, "asked again by itself") from error
        finally:
            port.close()

    def _known(self, port: Port) -> tuple[Profile, str]:
        """The maker and the first of its commands that this model knows, receiver switched on. Raises DeviceLost."""
        maker = b" ".join(_tried(port, "AT+CGMI").lines)
        for profile in profiles_of(maker):
            _switch_on(port, profile)
            for command in profile.positions:
                if _is_known(port, command):
                    return profile, command
        raise DeviceLost("the modem gives no position by AT", self.port, "is it a model with a receiver?")

    def _ask(self, port: Port, profile: Profile, command: str) -> None:
        answer = _tried(port, command)
        t_ns = self._now_ns()
        lines = [line for line in answer.lines if line.startswith(prefix_of(command))]
        if answer.result.startswith(b"+CME ERROR"):
            lines = [answer.result]  # no position, and why
        fixes = self.epochs.feed_line(lines[0], t_ns) if lines else []
        self.epochs.malformed += not lines
        self._useless = 0 if fixes else self._useless + 1
        if self._useless > USELESS_MAX:
            self._useless = 0
            raise DeviceLost("the modem's answers are no positions", self.port, "asked again by itself")
        self._give(fixes)
        self._stay_on(port, profile, answer.result, any(fix.mode for fix in fixes))

    def _stay_on(self, port: Port, profile: Profile, result: bytes, found: bool) -> None:
        self._voids = 0 if found else self._voids + 1
        off = any(result.endswith(b": %d" % code) for code in profile.gnss_off)
        if off or self._voids >= VOIDS_MAX:
            self._voids = 0
            _switch_on(port, profile)

    def _give(self, fixes: Iterable[Fix]) -> None:
        super()._give(_without_idle_course(fix) for fix in fixes)


def _without_idle_course(fix: Fix) -> Fix:
    return replace(fix, course_deg=None) if fix.speed_mps is not None and fix.speed_mps < COURSE_FROM_MPS else fix


def _tried(port: Port, command: str) -> Answer:
    """The answer, also where it is a refusal. Raises Silent, DeviceLost."""
    try:
        return port.ask(command, ANSWER_S_MAX)
    except Refused as refused:
        return Answer(result=refused.line)


def _is_known(port: Port, command: str) -> bool:
    """Whether this model has the command: "no fix yet" is a yes."""
    try:
        port.ask(command, ANSWER_S_MAX)
    except Refused as refused:
        return refused.code is not None and refused.code not in UNKNOWN
    return True


def _switch_on(port: Port, profile: Profile) -> None:
    for command in profile.gnss_on:
        _tried(port, command)
