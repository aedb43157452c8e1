"""Whether the car has crashed, from the frames that its vehicle file names.

Promises one trigger a crash, and none from a single frame: two consecutive frames that are valid and say so, or one and a second
sign within SIGN_NS. Valid is what has the right checksum and no inhibiting condition; consecutive what counts on from the one before.
What a control unit says from the first moment on is no crash that happens now, and neither is a frame that stands still. No clock, no
socket: frames go in with their own time stamps. Forging two frames with the right counter and checksum is beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.ecall.rules import FrameRule, SignRule, Values, decoded, lookup, said
from agent.ecall.timers import NS
from hw.ports import Frame

PAIR_NS = NS
"""Between two frames that confirm each other, at most."""
BETWEEN_MAX = 2
"""So many frames of the identifier that are no valid ones may lie between them: one that was disturbed does not cost the call, and noise
has no chance to hit twice."""
SIGN_NS = 100_000_000
BOOT_NS = 3 * NS
"""Who says so within this after the beginning, and never said otherwise, has said so before."""
LATCH_NS = 5 * NS
"""Whoever else says so within this of the last one that did means the same crash, and so does a frame that never takes it back."""


@dataclass(slots=True)
class Trigger:
    """Takes frames in the order of their time, says when there is a crash.

    `armed`: an earlier run of the program, since the device was started, was past the beginning and has told of no crash that is still
    said (`settled`). A unit that speaks all the time means the same crash until it takes it back, however long.
    """

    frames: Sequence[FrameRule]
    signs: Sequence[SignRule]
    armed: bool = False
    _begun_ns: int | None = None
    _said_ns: int | None = None
    """When a crash that is told was last said."""

    def ids(self, bus: str) -> frozenset[int]:
        """The identifiers that it needs of a bus."""
        return frozenset([rule.can_id for rule in self.frames if rule.bus == bus] + [rule.can_id for rule in self.signs if rule.bus == bus])

    def settled(self, t_ns: int) -> bool:
        """Whether the beginning is over and no crash is said that is no news: for `armed` of the next run."""
        over = self.armed or (self._begun_ns is not None and t_ns - self._begun_ns >= BOOT_NS)
        return over and not any(rule.since_boot or (rule.told and (rule.cyclic or self._fresh(t_ns))) for rule in self.frames)

    def begin(self, t_ns: int) -> None:
        """The buses are read from now on."""
        if self._begun_ns is None:
            self._begun_ns = t_ns

    def feed(self, frame: Frame) -> bool:
        """Whether this frame makes it a crash. Once until it is over."""
        self.begin(frame.t_ns)
        fires = False
        for rule in self.frames:
            if (rule.bus, rule.can_id) == (frame.bus, frame.can_id):
                fires |= self._frame(rule, decoded(rule.message, frame.data), frame)
        for sign in self.signs:
            if (sign.bus, sign.can_id) == (frame.bus, frame.can_id):
                fires |= self._sign(sign, decoded(sign.message, frame.data), frame.t_ns)
        return fires

    def _frame(self, rule: FrameRule, values: Values | None, frame: Frame) -> bool:
        crash = None if values is None else said(rule, values, frame.data)
        if crash is None or values is None:
            rule.between += 1
            return False
        count = None if rule.counter is None else _whole(values.get(rule.counter[0]))
        before, rule.count = rule.count, count
        between, rule.between = rule.between, 0
        on = between <= BETWEEN_MAX and _counts_on(rule, before, count)
        if not crash:
            self._taken_back(rule, frame.t_ns, on=on)
            return False
        last_ns, rule.last_ns, rule.calm_ns = rule.last_ns, frame.t_ns, None
        if self._is_old(rule, frame.t_ns) or self._is_told(rule, frame.t_ns):
            return False
        confirmed = on and last_ns is not None and frame.t_ns - last_ns <= PAIR_NS
        signed = any(sign.rose_ns is not None and abs(frame.t_ns - sign.rose_ns) <= SIGN_NS for sign in self.signs)
        return self._fire(rule, frame.t_ns) if confirmed or signed else False

    def _sign(self, rule: SignRule, values: Values | None, t_ns: int) -> bool:
        holds = None if values is None else rule.when.value(lookup(values, f"{rule.message.name}."))
        if holds is None:
            return False
        rose = holds and rule.held is False
        rule.held = holds
        if not rose:
            return False
        rule.rose_ns = t_ns
        for frame in self.frames:
            near = frame.last_ns is not None and abs(t_ns - frame.last_ns) <= SIGN_NS
            if near and not frame.since_boot and not frame.told:
                return self._fire(frame, t_ns)
        return False

    def _taken_back(self, rule: FrameRule, t_ns: int, *, on: bool) -> None:
        """It says that there is no crash, or none any more; who says so again and again is a unit that speaks all the time."""
        rule.cyclic |= on and rule.calm_ns is not None and t_ns - rule.calm_ns <= PAIR_NS
        rule.calm_ns, rule.last_ns = t_ns, None
        rule.calm, rule.since_boot, rule.told = True, False, False
        if not any(other.told for other in self.frames):
            self._said_ns = None

    def _is_old(self, rule: FrameRule, t_ns: int) -> bool:
        """Whether it says what it said before anybody listened."""
        if not self.armed and not rule.calm and t_ns - (self._begun_ns or 0) < BOOT_NS:
            rule.since_boot = True
        return rule.since_boot

    def _is_told(self, rule: FrameRule, t_ns: int) -> bool:
        """Whether the crash of which it speaks is told already; then it goes on being said."""
        rule.told = (rule.told and rule.cyclic) or self._fresh(t_ns)
        if rule.told:
            self._said_ns = t_ns
        return rule.told

    def _fresh(self, t_ns: int) -> bool:
        """Whether a crash that is told was said just now, by whomever."""
        return self._said_ns is not None and t_ns - self._said_ns <= LATCH_NS

    def _fire(self, rule: FrameRule, t_ns: int) -> bool:
        rule.told, self._said_ns = True, t_ns
        return True


def _whole(count: object) -> int | None:
    """A counter's value; None where this frame has none."""
    return int(count) if isinstance(count, int | float) else None


def _counts_on(rule: FrameRule, before: int | None, count: int | None) -> bool:
    if rule.counter is None:
        return True
    return before is not None and count is not None and count == (before + 1) % rule.counter[1]
