"""One live stream: its rules as channels, and the triggers that make it speak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import NS
from agent.collect.channel import Channel
from agent.collect.latest import Latest
from agent.collect.transforms import Context
from agent.model import Rule, Sample
from agent.storage.memory import MemoryStore
from agent.vss import EVENT_KIND

DAY_S = 86400
MISSED_WAIT_NS = 60 * NS
"""So long a missed multiple waits for the stream's other signals, once one of them could speak."""


@dataclass(slots=True)
class Stream:
    """The channels of one stream. `next_ns`: the multiple of `every_s` to be answered next; `missed_ns`: one to be made up.

    `able_ns`: since when something could be said to the missed multiple; `until_ns`: how long an event that happened goes on.
    """

    name: str
    channels: list[Channel]
    memory: MemoryStore
    next_ns: int | None = None
    distance_km: float | None = None
    missed_ns: int | None = None
    able_ns: int | None = None
    until_ns: int | None = None

    @classmethod
    def of(cls, rules: list[Rule], memory: MemoryStore) -> Stream:
        """The stream of `rules`, which share service and stream."""
        distance = next((t.removeprefix("distance:") for t in rules[0].triggers if t.startswith("distance:")), None)
        return cls(rules[0].name, [Channel.of(rule) for rule in rules], memory, distance_km=float(distance) if distance else None)

    @property
    def head(self) -> Rule:
        """A rule to read the stream's own attributes from."""
        return self.channels[0].rule

    @property
    def every_ns(self) -> int:
        """The period in nanoseconds."""
        return int(self.head.every_s * NS)

    @property
    def basis(self) -> bytes:
        """The ledger entry or the like that the stream rests on."""
        return self.head.basis_ref.encode()

    @property
    def trim_m(self) -> float | None:
        """How far the trip has to be from its start; None where the stream is not trimmed."""
        return self.head.trim_m

    @property
    def around(self) -> bool:
        """Whether it also tells what was before or after its events, each `every_s`."""
        return self.head.before_s > 0 or self.head.after_s > 0

    def happened(self, t_ns: int) -> None:
        """One of its events: what comes within `after_s` belongs to it; a multiple of this very moment is spoken for."""
        self.until_ns = t_ns + int(self.head.after_s * NS)
        if self.around and self.next_ns == t_ns:
            self.passed(t_ns)

    def follows(self, t_ns: int) -> bool:
        """Whether this moment lies within `after_s` of an event."""
        return self.until_ns is not None and t_ns <= self.until_ns

    def has(self, trigger: str) -> bool:
        """Whether the stream has this trigger."""
        return trigger in self.head.triggers

    def said(self, latest: Latest, context_of: Callable[[Rule], Context], stood_ns: int, *, at_event: bool) -> list[Sample]:
        """What each rule has that stood at `stood_ns`, minimised. Around an event, which one it was is said at it alone."""
        speak = (one for one in self.channels if at_event or not self.around or one.rule.signal != EVENT_KIND)
        found = [(channel, channel.current(latest, stood_ns)) for channel in speak]
        samples = (channel.sample(reading, context_of(channel.rule)) for channel, reading in found if reading is not None)
        return [sample for sample in samples if sample is not None]

    def arm(self, t_ns: int, before: Stream | None) -> None:
        """Sets the next multiple; one of a day or more that was missed while off is to be made up once.

        `before`: the same stream under the plan until now; its multiples go on, so that none is answered twice or left out.
        """
        periodic = self.has("periodic")
        if not (periodic or self.around) or self.every_ns <= 0:
            return
        if before is not None and before.next_ns is not None and (before.every_ns, before.basis) == (self.every_ns, self.basis):
            self.next_ns, self.missed_ns, self.able_ns = before.next_ns, before.missed_ns, before.able_ns
            self.until_ns = before.until_ns
            return
        index = t_ns // self.every_ns
        self.next_ns = (index + 1) * self.every_ns
        if self.head.every_s < DAY_S or not periodic:
            if t_ns % self.every_ns == 0:
                self.next_ns = t_ns
            return
        answered = self._remembered(self._period_key)
        if answered is None:
            self._answered(index)
        elif answered < index:
            self.missed_ns = index * self.every_ns

    def leap(self, to_ns: int, moved_ns: int) -> None:
        """The axis leapt to `to_ns`, moved by `moved_ns`: the next multiple is after it, aggregates begin anew."""
        self.next_ns = self.missed_ns = self.able_ns = self.until_ns = None
        self.arm(to_ns, None)
        for channel in self.channels:
            channel.own = None
            channel.sent_ns = None if channel.sent_ns is None else channel.sent_ns + moved_ns
            channel.due_ns = None if channel.due_ns is None else channel.due_ns + moved_ns
            if channel.aggregate is not None:
                channel.aggregate.restart()

    def passed(self, multiple_ns: int) -> None:
        """The multiple was answered."""
        self.next_ns = multiple_ns + self.every_ns
        if self.head.every_s >= DAY_S:
            self._answered(multiple_ns // self.every_ns)

    def owes(self, known: int, t_ns: int) -> bool:
        """Whether the missed multiple is to be answered now, when `known` of the channels could: all, or some for long enough."""
        if self.missed_ns is None or not known:
            self.able_ns = None
            return False
        self.able_ns = t_ns if self.able_ns is None else self.able_ns
        return known == len(self.channels) or t_ns - self.able_ns >= MISSED_WAIT_NS

    def made_up(self) -> None:
        """The missed multiple was answered late."""
        if self.missed_ns is not None:
            self._answered(self.missed_ns // self.every_ns)
            self.missed_ns = self.able_ns = None

    def travelled(self, odometer_km: float) -> bool:
        """`distance:`: whether the odometer has passed a multiple since the last one answered on this basis."""
        if self.distance_km is None:
            return False
        index = int(odometer_km // self.distance_km)
        key = f"distance/{self.name}"
        answered = self._remembered(key)
        if answered != index:
            self._remember(key, index)
        return answered is not None and index > answered

    def next_due_ns(self) -> int | None:
        """The earliest moment at which this stream has to look again by itself."""
        moments = [self.next_ns] if self.next_ns is not None else []
        for channel in self.channels:
            if channel.due_ns is not None:
                moments.append(channel.due_ns)
            if channel.aggregate is not None and channel.aggregate.end_ns is not None:
                moments.append(channel.aggregate.end_ns)
        return min(moments, default=None)

    @property
    def _period_key(self) -> str:
        return f"periodic/{self.name}"

    def _answered(self, index: int) -> None:
        self._remember(self._period_key, index)

    def _remembered(self, key: str) -> int | None:
        """The multiple answered last; None on a basis of which none was: what lies before a grant is not owed."""
        index, _, basis = (self.memory.get(key) or b"").partition(b" ")
        return int(index) if index and basis == self.basis else None

    def _remember(self, key: str, index: int) -> None:
        self.memory.set(key, b"%d %s" % (index, self.basis))
