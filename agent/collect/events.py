"""Events: named conditions over readings, fired on their rising edge, seldom enough.

The last decided state of each event and when it fired are remembered over a restart, so that a condition that became
true while the agent was off fires once, one that stayed true does not fire again, and a restart shortens no gap. A state that
changed without firing is written at most every PERSIST_NS, so that a signal that flaps does not wear out the medium.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.catalogue.types import Event
from agent.clock import NS
from agent.collect.latest import Latest
from agent.expression import Expression, parse
from agent.storage.memory import MemoryStore

PERSIST_NS = 5 * NS


@dataclass(slots=True)
class Watch:
    """One event being watched."""

    name: str
    when: Expression
    recent: Expression | None
    within_ns: int
    min_gap_ns: int
    memory: MemoryStore
    held: bool = False
    fired_ns: int | None = None
    recent_ns: int | None = None
    written_ns: int | None = None
    """When the state was last written by this process."""
    unwritten: bool = False

    @classmethod
    def of(cls, name: str, event: Event, memory: MemoryStore) -> Watch:
        """Parses the event's conditions; ConfigError when one cannot be read."""
        recent = parse(event.recent.when) if event.recent else None
        within_ns = int(event.recent.within_s * NS) if event.recent else 0
        watch = cls(name, parse(event.when), recent, within_ns, int(event.min_gap_s * NS), memory)
        stored = memory.get(watch.key) or b""
        watch.held, watch.fired_ns = stored[:1] == b"\x01", int.from_bytes(stored[1:], "big") or None
        return watch

    @property
    def key(self) -> str:
        """Where the last decided state is remembered."""
        return f"event/{self.name}"

    @property
    def signals(self) -> frozenset[str]:
        """The signals that this event needs."""
        return self.when.signals | (self.recent.signals if self.recent else frozenset())

    def observe(self, latest: Latest, t_ns: int) -> bool:
        """Whether the event happens now. Call it after every change of one of its signals."""
        if self.recent is not None and self.recent.value(latest.value):
            self.recent_ns = t_ns
        now = self.when.value(latest.value)
        fires = False
        if now is not None and now != self.held:
            self.held, self.unwritten = now, True
            fires = now and self._lately(t_ns) and not self._just_fired(t_ns)
            self.fired_ns = t_ns if fires else self.fired_ns
        if self.unwritten and (fires or not self._just_written(t_ns)):
            self.memory.set(self.key, bytes([self.held]) + (self.fired_ns or 0).to_bytes(8, "big"))
            self.written_ns, self.unwritten = t_ns, False
        return fires

    def pass_by(self, latest: Latest, t_ns: int) -> None:
        """Keeps "lately" true up to the moment before a signal changes."""
        if self.recent is not None and self.recent.value(latest.value):
            self.recent_ns = t_ns

    def leap(self, moved_ns: int) -> None:
        """The axis leapt: what was measured from a moment keeps its distance."""
        self.fired_ns = None if self.fired_ns is None else max(self.fired_ns + moved_ns, 0)
        self.recent_ns = None if self.recent_ns is None else self.recent_ns + moved_ns

    def _just_fired(self, t_ns: int) -> bool:
        return self.fired_ns is not None and 0 <= t_ns - self.fired_ns < self.min_gap_ns

    def _just_written(self, t_ns: int) -> bool:
        return self.written_ns is not None and 0 <= t_ns - self.written_ns < PERSIST_NS

    def _lately(self, t_ns: int) -> bool:
        return self.recent is None or (self.recent_ns is not None and t_ns - self.recent_ns <= self.within_ns)
