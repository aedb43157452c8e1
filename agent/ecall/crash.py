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
"""After the last frame that said so, or as soon as it is taken back, another crash can be told."""


@dataclass(slots=True)
class Trigger:
    """Takes frames in the order of their time, says when there is a crash.

    `armed`: an earlier run of the program, since the device was started, was past the beginning (`settled`). `told`: it has told of a
    crash whose call still stands, so that frames that go on saying so are no news.
    """

    frames: Sequence[FrameRule]
    signs: Sequence[SignRule]
    armed: bool = False
    told: bool = False
    _begun_ns: int | None = None
    _fired: FrameRule | None = None

    def ids(self, bus: str) -> frozenset[int]:
        """The identifiers that it needs of a bus."""
        return frozenset([rule.can_id for rule in self.frames if rule.bus == bus] + [rule.can_id for rule in self.signs if rule.bus == bus])

    def settled(self, t_ns: int) -> bool:
        """Whether the beginning is over and nothing was said since then: for `armed` of the next run."""
        over = self.armed or (self._begun_ns is not None and t_ns - self._begun_ns >= BOOT_NS)
        return over and not any(rule.since_boot for rule in self.frames)

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
        count = None if rule.counter is None else int(values[rule.counter[0]])
        before, rule.count = rule.count, count
        between, rule.between = rule.between, 0
        if not crash:
            rule.calm, rule.since_boot, rule.last_ns = True, False, None
            self.told, self._fired = False, None if self._fired is rule else self._fired
            return False
        last_ns, rule.last_ns = rule.last_ns, frame.t_ns
        if self._is_old(rule, frame.t_ns) or self._is_told(rule, frame.t_ns, last_ns):
            return False
        confirmed = last_ns is not None and frame.t_ns - last_ns <= PAIR_NS and between <= BETWEEN_MAX and _counts_on(rule, before, count)
        signed = any(sign.rose_ns is not None and abs(frame.t_ns - sign.rose_ns) <= SIGN_NS for sign in self.signs)
        return self._fire(rule) if confirmed or signed else False

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
            if frame.last_ns is not None and abs(t_ns - frame.last_ns) <= SIGN_NS and not frame.since_boot and self._fired is None:
                return self._fire(frame)
        return False

    def _is_old(self, rule: FrameRule, t_ns: int) -> bool:
        """Whether it says what it said before anybody listened."""
        if not self.armed and not rule.calm and t_ns - (self._begun_ns or 0) < BOOT_NS:
            rule.since_boot = True
        return rule.since_boot

    def _is_told(self, rule: FrameRule, t_ns: int, last_ns: int | None) -> bool:
        """Whether this crash was told already."""
        if self.told:
            self.told, self._fired = False, rule if t_ns - (self._begun_ns or 0) <= LATCH_NS else None
            return self._fired is rule
        if self._fired is None:
            return False
        if last_ns is None or t_ns - last_ns <= LATCH_NS:
            return True
        self._fired = None
        return False

    def _fire(self, rule: FrameRule) -> bool:
        self._fired = rule
        return True


def _counts_on(rule: FrameRule, before: int | None, count: int | None) -> bool:
    if rule.counter is None:
        return True
    return before is not None and count is not None and count == (before + 1) % rule.counter[1]
