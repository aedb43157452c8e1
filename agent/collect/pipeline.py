"""Readings in, drafts of records out: triggers, minimisation and windows under one plan, without any input/output.

Promises: driven only by what it is given, in order of time on the clock's axis; the same inputs give the same
drafts. A plan swap takes effect before the next reading: what the new plan does not carry is forgotten, samples in
RAM included. Nothing here blocks, logs a value or raises for what a bus or receiver can send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.catalogue.types import Event
from agent.clock import NS
from agent.collect.cells import on_earth
from agent.collect.channel import Channel
from agent.collect.events import Watch
from agent.collect.latest import FIX_AGE_MAX_NS, Latest
from agent.collect.measure import own, stated
from agent.collect.request import Request, Requests
from agent.collect.respond import Responder
from agent.collect.stream import Stream
from agent.collect.transforms import Context, number
from agent.collect.trip import Trip, ignition_of
from agent.collect.window import Windows
from agent.model import Draft, Plan, Position, Reading, Rule, Sample, Value
from agent.storage.memory import MemoryStore
from agent.vss import EVENT_KIND, GEAR, GNSS_SIGNALS, GNSS_SPEED, HEADING, HEALTH, IGNITION, LOCATION, ODOMETER, SPEED
from hw.ports import Fix

TICK_NS = NS
"""Agent signals, trip ends and missed periods are looked at once a second."""


@dataclass(slots=True)
class Pipeline:
    """The collecting half of core. `agent_signals` gives the current values of `Modicum.Health.*`; `units` are the catalogue's."""

    trip: Trip
    memory: MemoryStore
    responder: Responder
    events: Mapping[str, Event]
    agent_signals: Callable[[], Mapping[str, Value]] = dict
    speed_from_gnss: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    latest: Latest = field(default_factory=Latest)
    windows: Windows = field(default_factory=Windows)
    streams: list[Stream] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    requests: Requests = field(default_factory=Requests)
    samples: int = 0
    due_ns: int = 0
    _wanted: set[str] = field(default_factory=set)
    _by_signal: dict[str, list[tuple[Stream, Channel]]] = field(default_factory=dict)
    _tick_ns: int = 0
    _gnss_speed_ns: int | None = None
    _started: bool = False

    def swap(self, plan: Plan, t_ns: int) -> None:
        """Goes on under `plan`. A rule that stays keeps its state; all that is gone is forgotten at once."""
        kept = {channel.rule.id: channel for stream in self.streams for channel in stream.channels}
        before = {stream.name: stream for stream in self.streams}
        by_stream: dict[str, list[Rule]] = {}
        for rule in plan.rules:
            by_stream.setdefault(rule.name, []).append(rule)
        self.streams = [Stream.of(rules, self.memory) for rules in by_stream.values()]
        self._by_signal = {}
        for stream in self.streams:
            stream.channels = [kept.get(channel.rule.id, channel) for channel in stream.channels]
            stream.arm(t_ns, before.get(stream.name))
            for channel in stream.channels:
                self._by_signal.setdefault(channel.rule.signal, []).append((stream, channel))
        self.windows.drop({rule.id for rule in plan.rules})
        self.windows.plan_id = plan.id
        self._wanted = set(plan.wanted) | ({SPEED} if self.speed_from_gnss and plan.rules else set())
        self.latest.forget(self._wanted)
        self.trip.zones.enabled = any(rule.trim_m is not None for rule in plan.rules)
        self._watch({name.removeprefix("event:") for rule in plan.rules for name in rule.triggers if name.startswith("event:")})
        self._look_at([(s, c) for s in self.streams for c in s.channels if c.rule.id not in kept], t_ns)
        self._reschedule(t_ns)

    def start(self, t_ns: int) -> None:
        """The agent runs: streams with the trigger `start` speak once."""
        self._poll_agent_signals(t_ns)
        if not self._started:
            self._started = True
            self._set_off("start", t_ns, t_ns)

    def ask(self, rules: list[Rule], t_ns: int) -> Request:
        """Somebody asks for the stream of `rules`, which need not be live otherwise; it is answered now or as readings come."""
        self.advance(t_ns - 1)
        request = self.requests.ask(rules, self.memory, t_ns)
        self._answer(t_ns)
        return request

    def read(self, readings: Iterable[Reading]) -> None:
        """Readings of one frame, in order of time with everything else.

        What is due at the very moment of a reading waits for it: a sample at a multiple is the latest reading up to then.
        """
        for reading in readings:
            self.advance(reading.t_ns - 1)
            self._read(reading)

    def fix(self, fix: Fix) -> None:
        """One epoch of the receiver; without a position it only ends the last one's validity by time."""
        self.advance(fix.t_ns - 1)
        place = Position(fix.lat_deg, fix.lon_deg) if fix.lat_deg is not None and fix.lon_deg is not None else None
        if fix.mode < 2 or place is None or not on_earth(place):
            return
        if self.speed_from_gnss and fix.speed_mps is not None:
            self._gnss_speed_ns = fix.t_ns
            self._measured(SPEED, fix.speed_mps, "m/s", fix.t_ns)
        if not self.trip.ignition and not self.requests.want(GNSS_SIGNALS):
            return
        if self.trip.ignition:
            self.trip.locate(place)
        self._read(Reading(LOCATION, place, fix.t_ns))
        if fix.course_deg is not None:
            self._measured(HEADING, fix.course_deg, "degrees", fix.t_ns)
        if fix.speed_mps is not None:
            self._measured(GNSS_SPEED, fix.speed_mps, "m/s", fix.t_ns)

    def ignite(self, on: bool, t_ns: int) -> None:
        """The ignition, where something else than a reading tells it."""
        self.advance(t_ns - 1)
        was = self._standing()
        self._ignite(on, t_ns)
        self._turned(was, t_ns)
        self._reschedule(t_ns)

    def silence(self, signals: Iterable[str], last_frame_ns: int, t_ns: int) -> None:
        """The frame of these signals has not come since `last_frame_ns`."""
        self.advance(t_ns - 1)
        for signal in signals:
            self.latest.silent(signal, last_frame_ns)
            for _, channel in self._by_signal.get(signal, ()):
                if channel.aggregate is not None:
                    channel.aggregate.silent(last_frame_ns)
            if signal == SPEED:
                self.trip.drive(None, t_ns)
            elif signal == IGNITION:
                self.trip.lose_ignition(last_frame_ns)
                self.end_events()
                self._forget_place()

    def advance(self, t_ns: int) -> None:
        """Time passes up to `t_ns`: everything that is due by then happens, in order."""
        while self.due_ns <= t_ns:
            moment = self.due_ns
            if self._tick_ns <= moment:
                self._tick(moment)
            for stream in self.streams:
                self._due(stream, moment)
            self.windows.close(moment)
            self._reschedule(moment)

    def leap(self, from_ns: int, to_ns: int, passed_ns: int) -> None:
        """The axis leapt, of which `passed_ns` really passed. What is open ends, nothing is answered for the gap.

        What was measured from a moment (a trip's stop, the last sample or event) keeps its distance in time that passed.
        """
        moved_ns = to_ns - from_ns - passed_ns
        self.flush()
        self.latest.clear()
        for stream in self.streams:
            stream.leap(to_ns, moved_ns)
        self.end_events()
        for watch in self.watches:
            watch.leap(moved_ns)
        self.trip.leap(to_ns, moved_ns, passed_ns)
        speed_holds = self._gnss_speed_ns is not None and self.trip.speed_kmh is not None
        self._gnss_speed_ns = (self._gnss_speed_ns or 0) + moved_ns if speed_holds else None
        self._tick_ns = to_ns
        self._reschedule(to_ns)

    def end_events(self) -> None:
        """Somebody else drives, or nobody: what was before is not told any more, and no event goes on."""
        self.windows.held.clear()
        for stream in self.streams:
            stream.until_ns = None

    def take(self, *, trusted: bool) -> list[Draft]:
        """The drafts that are complete by now."""
        return self.windows.take(trusted=trusted)

    def flush(self) -> None:
        """Ends all open windows: the run is over."""
        self.windows.close(max((slot.end_ns for slot in self.windows.open.values()), default=0))

    def _read(self, reading: Reading) -> None:
        signal, t_ns = reading.signal, reading.t_ns
        for watch in self.watches:
            if signal in watch.signals:
                watch.pass_by(self.latest, t_ns)
        was = self._standing()
        self._tell_trip(reading)
        asked = self.requests.want([signal])
        if signal not in self._wanted and not asked:
            return
        self.latest.put(reading)
        if asked:
            self._answer(t_ns)
        for stream, channel in self._by_signal.get(signal, ()):
            self._close(stream, channel, t_ns)
            ready = channel.feed(reading, self._context(channel.rule, t_ns))
            if ready is not None and stream.has("on_change"):
                self._on_change(stream, channel, ready, t_ns)
        self._turned(was, t_ns)
        self._happen(signal, t_ns)
        if signal == ODOMETER:
            self._travel(reading)
        self._reschedule(t_ns)

    def _measured(self, signal: str, value: float, unit: str, t_ns: int) -> None:
        for reading in stated(signal, value, unit, t_ns, self.units):
            self._read(reading)

    def _tell_trip(self, reading: Reading) -> None:
        if reading.signal == IGNITION:
            on = ignition_of(reading.value)
            if on is not None:
                self._ignite(on, reading.t_ns)
        elif reading.signal == SPEED:
            self._pass(reading.t_ns)
            self.trip.drive(own(reading, self.units), reading.t_ns)
        elif reading.signal == GEAR:
            gear = number(reading.value)
            self.trip.gear = None if gear is None else int(gear)

    def _ignite(self, on: bool, t_ns: int) -> None:
        self._pass(t_ns)
        self.trip.ignite(on, t_ns)

    def _pass(self, t_ns: int) -> None:
        """Time passes for the trip. Where that ends it, its streams speak before anything new counts: the ignition is not on.

        They say what stood when it went off, for the car may be asleep by now.
        """
        trip, off_ns = self.trip.id, self.trip.off_since_ns
        self.trip.tick(t_ns)
        if trip is not None and self.trip.id is None and off_ns is not None:
            self._set_off("trip_end", t_ns, off_ns)

    def _standing(self) -> tuple[bool | None, bool, bool]:
        return self.trip.ignition, self.trip.driving, self.trip.parked

    def _turned(self, was: tuple[bool | None, bool, bool], t_ns: int) -> None:
        """What it sets off that driving or parking began, or the ignition went off."""
        now = self._standing()
        if was[1:] != now[1:]:
            self._look_again(t_ns)
        if was[0] != now[0]:
            self.end_events()
        if was[0] and now[0] is False:
            self._set_off("ignition_off", t_ns, t_ns)
        self._forget_place()

    def _forget_place(self) -> None:
        """No place is kept, not even in RAM, while nobody drives."""
        if not self.trip.ignition and not self.requests.want(GNSS_SIGNALS):
            self.latest.drop(GNSS_SIGNALS)

    def _set_off(self, trigger: str, t_ns: int, stood_ns: int) -> None:
        for stream in self.streams:
            if stream.has(trigger):
                self._speak(stream, t_ns, t_ns, stood_ns)

    def _happen(self, signal: str, t_ns: int) -> None:
        for watch in self.watches:
            if signal in watch.signals and watch.observe(self.latest, t_ns):
                self.latest.put(Reading(EVENT_KIND, watch.name, t_ns))
                for stream in (one for one in self.streams if one.has(f"event:{watch.name}")):
                    self._tell_event(stream, t_ns)

    def _tell_event(self, stream: Stream, t_ns: int) -> None:
        """What was held before it, and what stands at it."""
        if self._may_speak(stream, t_ns):
            before = self.windows.release(stream.name, t_ns)
            self._collect(before + self._said(stream, t_ns, t_ns, at_event=True), t_ns)
            stream.happened(t_ns)

    def _travel(self, reading: Reading) -> None:
        odometer_km = own(reading, self.units)
        for stream in self.streams:
            if odometer_km is not None and stream.travelled(odometer_km):
                self._speak(stream, reading.t_ns, reading.t_ns)

    def _look_again(self, t_ns: int) -> None:
        """Driving or parking began: what is known already counts as a change for the streams that waited for it."""
        self._look_at([(s, c) for s in self.streams for c in s.channels if s.head.while_ != "any"], t_ns)

    def _look_at(self, waiting: list[tuple[Stream, Channel]], t_ns: int) -> None:
        """The first sample of `on_change` where the value came before anybody might collect it."""
        for stream, channel in waiting:
            current = channel.current(self.latest, t_ns) if stream.has("on_change") else None
            if current is not None:
                self._on_change(stream, channel, current, t_ns)

    def _close(self, stream: Stream, channel: Channel, moment: int) -> None:
        """The windows of an aggregate that end by `moment`; a reading of that very moment is in the next."""
        for result in channel.aggregate.close(moment) if channel.aggregate is not None else ():
            channel.own = result
            if stream.has("on_change"):
                self._on_change(stream, channel, result, result.t_ns)

    def _due(self, stream: Stream, moment: int) -> None:
        for channel in stream.channels:
            self._close(stream, channel, moment)
            if channel.due_ns is not None and channel.due_ns <= moment:
                current = channel.current(self.latest, moment)
                channel.due_ns = None
                if current is not None:
                    self._on_change(stream, channel, current, moment)
        if stream.next_ns is not None and stream.next_ns <= moment:
            multiple = stream.next_ns
            stream.passed(multiple)
            if stream.has("periodic") or stream.follows(multiple):
                self._speak(stream, multiple, moment)
            elif self._may_speak(stream, moment):
                self.windows.hold(stream.name, self._said(stream, multiple, moment), multiple, stream.head.before_s)

    def _on_change(self, stream: Stream, channel: Channel, reading: Reading, t_ns: int) -> None:
        if self._may_speak(stream, t_ns):
            sample = channel.changed(reading, self._context(channel.rule, t_ns))
            self._collect([sample] if sample is not None else [], t_ns)

    def _speak(self, stream: Stream, t_ns: int, now_ns: int, stood_ns: int | None = None) -> bool:
        """A trigger of the whole stream: the value that each rule has now, as of `t_ns`. Whether anything was collected.

        `stood_ns`: a value counts that stood then, though its frame may be silent by now.
        """
        samples = self._said(stream, t_ns, now_ns if stood_ns is None else stood_ns) if self._may_speak(stream, now_ns) else []
        self._collect(samples, now_ns)
        return bool(samples)

    def _said(self, stream: Stream, t_ns: int, stood_ns: int, *, at_event: bool = False) -> list[Sample]:
        return stream.said(self.latest, lambda rule: self._context(rule, t_ns), stood_ns, at_event=at_event)

    def _may_speak(self, stream: Stream, t_ns: int) -> bool:
        """`while`, and for a trimmed stream its trimming: speed and heading alone would lead back to where it began."""
        if not self.trip.allows(stream.head.while_):
            return False
        if stream.trim_m is None:
            return True
        place = self.latest.get(LOCATION, t_ns, 0)
        return place is not None and isinstance(place.value, Position) and self.trip.may_speak(place.value, stream.trim_m)

    def _collect(self, samples: list[Sample], t_ns: int) -> None:
        self.samples += len(samples)
        self.windows.add(samples, t_ns)

    def _tick(self, moment: int) -> None:
        self._tick_ns = moment + TICK_NS
        self._pass(moment)
        if self._gnss_speed_ns is not None and moment - self._gnss_speed_ns > FIX_AGE_MAX_NS:
            self.silence([SPEED], self._gnss_speed_ns, self._gnss_speed_ns)  # no frame that the gate could miss
            self._gnss_speed_ns = None
        self._poll_agent_signals(moment)
        self._answer(moment)
        for stream in self.streams:
            missed_ns = stream.missed_ns
            if missed_ns is not None and stream.owes(self._known(stream, moment), moment) and self._speak(stream, missed_ns, moment):
                stream.made_up()

    def _known(self, stream: Stream, moment: int) -> int:
        """How many of a stream's channels could say something now."""
        able = self._may_speak(stream, moment)
        return sum(channel.current(self.latest, moment) is not None for channel in stream.channels) if able else 0

    def _poll_agent_signals(self, t_ns: int) -> None:
        wanted = [name for name in self._wanted if name.startswith(HEALTH)]
        values = self.agent_signals() if wanted else {}
        known = self.latest.readings
        changed = [name for name in sorted(wanted) if name in values and (name not in known or known[name].value != values[name])]
        for name in changed:  # all of them before the first event looks
            self.latest.put(Reading(name, values[name], t_ns))
        for name in changed:
            self._read(Reading(name, values[name], t_ns))

    def _watch(self, names: set[str]) -> None:
        kept = {watch.name: watch for watch in self.watches if watch.name in names}
        self.watches = [kept.get(name) or Watch.of(name, self.events[name], self.memory) for name in sorted(names) if name in self.events]

    def _answer(self, t_ns: int) -> None:
        """The requests that are complete speak, once; what only they wanted to know is forgotten."""
        said = self.requests.answer(self.latest, lambda rule: replace(self._context(rule, t_ns), asked=True), t_ns)
        for samples in said:
            self._collect(samples, t_ns)
        if said:
            self.latest.forget(self._wanted.union(*(request.signals for request in self.requests.open)))
            self._forget_place()

    def _context(self, rule: Rule, t_ns: int) -> Context:
        return Context(rule, self.trip, self.responder, t_ns)

    def _reschedule(self, t_ns: int) -> None:
        dues = (*(stream.next_due_ns() for stream in self.streams), self.windows.next_due_ns())
        self.due_ns = min([max(self._tick_ns, t_ns), *(due for due in dues if due is not None)])
