"""How a modem is asked for its position: which command it knows, its receiver switched on, and kept on.

Owns no port: `questions` is a conversation in steps, and whoever has the port decides when the next one is taken. Positions never
reach a log or an error text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from hw.gnss.nmea import Epochs
from hw.modem.at import Port, Refused
from hw.modem.exchange import Answer, prefix_of
from hw.modem.profiles import Profile
from hw.ports import Fix

VOIDS_MAX = 30
"""After so many answers without a position the receiver is switched on again: a modem that has restarted forgets it."""
UNKNOWN = frozenset({3, 4, 50, 58, 100, 502})
"""Codes of +CME ERROR that say that a command is not known or not allowed (27.007 9.2.1; 502 is Quectel's)."""
COURSE_FROM_MPS = 0.5
"""A slower car has no course over ground; modems go on saying the last one, or zero."""


class Locator:
    """One for each session of a port. `profiles`: who may have made the modem; `limit_s`: of each question."""

    def __init__(self, profiles: Sequence[Profile], *, epochs: Epochs, now_ns: Callable[[], int], limit_s: float) -> None:
        self.command = ""
        """Gives the position; empty before it is found, and where this model has none."""
        self._profiles, self._epochs, self._now_ns, self._limit_s = profiles, epochs, now_ns, limit_s
        self._voids = 0

    def questions(self, port: Port) -> Iterator[list[Fix]]:
        """Asks one thing at each step: until the command is known what leads to it, then once for the position.

        Gives what each answer said; a fix without a position too. Raises Silent, DeviceLost.
        """
        if not self.command:
            yield from self._search(port)
        if self.command:
            answer = port.tried(self.command, self._limit_s)
            fixes = self._read(answer, self._now_ns())
            yield fixes
            yield from self._stay_on(port, answer.result, any(fix.mode for fix in fixes))

    def _search(self, port: Port) -> Iterator[list[Fix]]:
        """The maker, and the first of its commands that this model knows."""
        for profile in self._profiles:
            yield from self._switch_on(port, profile)
            for command in profile.positions:
                known = _is_known(port, command, self._limit_s)
                if known:
                    self._profiles, self.command = (profile,), command
                yield []
                if known:
                    return

    def _switch_on(self, port: Port, profile: Profile) -> Iterator[list[Fix]]:
        for command in profile.gnss_on:
            port.tried(command, self._limit_s)
            yield []

    def _read(self, answer: Answer, t_ns: int) -> list[Fix]:
        lines = [line for line in answer.lines if line.startswith(prefix_of(self.command))]
        if answer.result.startswith(b"+CME ERROR"):
            lines = [answer.result]  # no position, and why
        fixes = self._epochs.feed_line(lines[0], t_ns) if lines else []
        self._epochs.malformed += not lines
        return [_without_idle_course(fix) for fix in fixes]

    def _stay_on(self, port: Port, result: bytes, found: bool) -> Iterator[list[Fix]]:
        self._voids = 0 if found else self._voids + 1
        profile = self._profiles[0]
        off = any(result.endswith(b": %d" % code) for code in profile.gnss_off)
        if off or self._voids >= VOIDS_MAX:
            self._voids = 0
            yield from self._switch_on(port, profile)


def _without_idle_course(fix: Fix) -> Fix:
    return replace(fix, course_deg=None) if fix.speed_mps is not None and fix.speed_mps < COURSE_FROM_MPS else fix


def _is_known(port: Port, command: str, limit_s: float) -> bool:
    """Whether this model has the command: "no fix yet" is a yes."""
    try:
        port.ask(command, limit_s)
    except Refused as refused:
        return refused.code is not None and refused.code not in UNKNOWN
    return True
