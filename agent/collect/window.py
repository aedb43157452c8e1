"""Samples into drafts of records: what one stream collects in `window_s`, or at once; and what is held in case an event comes.

Windows lie on multiples of `window_s`. A rule with the step `last` leaves only its newest sample in a record.
Until a draft is handed over its samples are in RAM only: that is the loss window of a power cut. What is held is minimised as
everything else, becomes part of no draft until it is released, and is gone within a tick of `before_s` after it was taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.clock import NS
from agent.model import Draft, Sample

SAMPLES_MAX = 4096
"""A record never holds more; the window is cut short instead."""


@dataclass(slots=True)
class _Open:
    end_ns: int
    samples: list[Sample]


@dataclass(slots=True)
class Windows:
    """The open windows, one for each (stream, basis). `boot_for`: what a recipient is told of this boot."""

    plan_id: bytes = b""
    boot_for: Callable[[str], bytes] = lambda _: b""
    open: dict[tuple[str, str], _Open] = field(default_factory=dict)
    done: list[tuple[Sample, ...]] = field(default_factory=list)
    held: dict[str, deque[tuple[int, list[Sample]]]] = field(default_factory=dict)
    """By stream: until when, and what; oldest first."""

    def add(self, samples: list[Sample], t_ns: int) -> None:
        """Samples of one trigger of one stream, taken at `t_ns`."""
        if not samples:
            return
        rule, samples = samples[0].rule, _newest(samples)
        window_ns = int(rule.window_s * NS)
        if not window_ns:
            self.done.append(tuple(samples))
            return
        key = (rule.name, rule.basis_ref)
        slot = self.open.get(key)
        if slot is None:
            slot = self.open[key] = _Open((t_ns // window_ns + 1) * window_ns, [])
        slot.samples = [*_superseded(slot.samples, samples), *samples]
        if len(slot.samples) >= SAMPLES_MAX:
            self.done.append(tuple(self.open.pop(key).samples))

    def hold(self, stream: str, samples: list[Sample], t_ns: int, before_s: float) -> None:
        """What a stream says at `t_ns`, in case an event comes within `before_s`."""
        if samples:
            self.held.setdefault(stream, deque()).append((t_ns + int(before_s * NS), samples))

    def release(self, stream: str, t_ns: int) -> list[Sample]:
        """What is held of a stream for an event at `t_ns`, oldest first; nothing of it is held any more."""
        return [sample for until_ns, samples in self.held.pop(stream, ()) if t_ns <= until_ns for sample in samples]

    def next_due_ns(self) -> int | None:
        """When the next window ends."""
        return min((slot.end_ns for slot in self.open.values()), default=None)

    def close(self, t_ns: int) -> None:
        """Ends every window whose time has come; forgets what was held for long enough."""
        for key in [key for key, slot in self.open.items() if slot.end_ns <= t_ns]:
            self.done.append(tuple(self.open.pop(key).samples))
        for held in self.held.values():
            while held and held[0][0] < t_ns:
                held.popleft()

    def drop(self, live: set[str]) -> None:
        """Forgets the samples of every rule that is not live any more."""
        for key, slot in list(self.open.items()):
            slot.samples = [sample for sample in slot.samples if sample.rule.id in live]
            if not slot.samples:
                del self.open[key]
        self.done = [tuple(sample for sample in samples if sample.rule.id in live) for samples in self.done]
        for name, held in self.held.items():
            self.held[name] = deque((until_ns, [one for one in samples if one.rule.id in live]) for until_ns, samples in held)

    def take(self, *, trusted: bool) -> list[Draft]:
        """The drafts that are complete."""
        drafts = [Draft(samples, self.plan_id, self._boot_of(samples), trusted) for samples in self.done if samples]
        self.done = []
        return drafts

    def _boot_of(self, samples: tuple[Sample, ...]) -> bytes:
        rule = samples[0].rule
        return b"" if rule.identity == "none" else self.boot_for(rule.recipient)


def _newest(samples: list[Sample]) -> list[Sample]:
    """Of a rule with the step `last` its newest sample only."""
    last = {sample.rule.id: sample for sample in samples if any(step.name == "last" for step in sample.rule.transforms)}
    return [sample for sample in samples if last.get(sample.rule.id, sample) is sample] if last else samples


def _superseded(old: list[Sample], new: Iterable[Sample]) -> list[Sample]:
    replaced = {sample.rule.id for sample in new if any(step.name == "last" for step in sample.rule.transforms)}
    return [sample for sample in old if sample.rule.id not in replaced] if replaced else old
