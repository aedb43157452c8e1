"""A request: somebody in the car asks for a stream; it speaks once, when the readings that have to be fresh have come.

Promises: nothing is collected that the rules given with the request do not carry, and nothing after it was answered; after
WAIT_NS_MAX the answer is what there is, "none" for each signal that is not fresh. A position is taken also with the ignition off:
it was asked for, once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from agent.clock import NS
from agent.collect.channel import Channel
from agent.collect.latest import Latest
from agent.collect.stream import Stream
from agent.collect.transforms import Context
from agent.model import Reading, Rule, Sample
from agent.storage.memory import MemoryStore
from agent.vss import GNSS_SIGNALS

WAIT_NS_MAX = 30 * NS


@dataclass(slots=True)
class Request:
    """One asking. `given`: the signals that were collected, once `answered`."""

    stream: Stream
    asked_ns: int
    answered: bool = False
    given: tuple[str, ...] = ()

    @property
    def signals(self) -> frozenset[str]:
        """What it is about."""
        return frozenset(channel.rule.signal for channel in self.stream.channels)

    def told(self) -> dict[str, object]:
        """The answer for people and programs: what was collected and what was not to be had; no value."""
        return {"stream": self.stream.name, "given": sorted(self.given), "none": sorted(self.signals - {*self.given})}

    def ready(self, latest: Latest, t_ns: int) -> bool:
        """Whether everything that has to be fresh is, or the wait is over."""
        waits = (channel for channel in self.stream.channels if channel.rule.fresh_s is not None)
        return t_ns - self.asked_ns >= WAIT_NS_MAX or all(current(channel, latest, t_ns) is not None for channel in waits)


@dataclass(slots=True)
class Requests:
    """Those that wait for an answer."""

    open: list[Request] = field(default_factory=list)

    def ask(self, rules: list[Rule], memory: MemoryStore, t_ns: int) -> Request:
        """A new one, for the stream of `rules`, which need not be live otherwise."""
        request = Request(Stream.of(rules, memory), t_ns)
        self.open.append(request)
        return request

    def want(self, signals: Collection[str]) -> bool:
        """Whether one waits for any of these."""
        return any(not request.signals.isdisjoint(signals) for request in self.open)

    def withdraw(self, live: set[str]) -> None:
        """Those of which a rule is not among the `live` ones end without an answer: nothing of them is collected any more."""
        for request in self.open:
            request.answered = not live.issuperset(channel.rule.id for channel in request.stream.channels)
        self.open = [request for request in self.open if not request.answered]

    def answer(self, latest: Latest, context_of: Callable[[Rule], Context], t_ns: int) -> list[list[Sample]]:
        """What those that are complete collect, each once."""
        ready = [request for request in self.open if request.ready(latest, t_ns)]
        said = [_spoken(request, latest, context_of, t_ns) for request in ready]
        self.open = [request for request in self.open if not request.answered]
        return said


def _spoken(request: Request, latest: Latest, context_of: Callable[[Rule], Context], t_ns: int) -> list[Sample]:
    samples = []
    for channel in request.stream.channels:
        reading = current(channel, latest, t_ns)
        sample = channel.sample(reading, context_of(channel.rule)) if reading is not None else None
        samples += [sample] if sample is not None else []
    request.given, request.answered = tuple(sample.rule.signal for sample in samples), True
    return samples


def current(channel: Channel, latest: Latest, t_ns: int) -> Reading | None:
    """The reading that a request at `t_ns` takes: as it stands, or not older than its `fresh_s`.

    A frame that arrives unchanged is not delivered again, so what a bus says is as fresh as its last frame.
    """
    fresh_s, signal = channel.rule.fresh_s, channel.rule.signal
    if fresh_s is None:
        return channel.current(latest, t_ns)
    reading = latest.readings.get(signal)
    if reading is None:
        return None
    heard_ns = reading.t_ns if signal in GNSS_SIGNALS else latest.unseen_since_ns.get(signal, t_ns)
    return reading if t_ns - max(heard_ns, reading.t_ns) <= fresh_s * NS else None
