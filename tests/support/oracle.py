"""The oracle: what each recipient must get of a run, no more and no less, from the truth and the catalogue's files alone.

No code of the agent is used. Where the interfaces leave room it is stated here: a value may be as old as the gate's
throttle (min(every_s / 10, 1 s)), the sender's cycle and, in real time, `slack_ns`; a position is that of the last epoch that
had arrived (one more in real time) and stands for at most 5 s; an event has the time of a frame within one cycle of its cause. Undecided
are the moments within WAY_M of the way that trimming asks for, and those while a withdrawal is being carried out.

Trimming as the project decided it: a stream with `trim_trip_m` is silent as a whole until the car has left the secret cell in which the
trip began and has gone that far since ignition on; and inside the cells in which trips began or ended. The cells come from the
device's secret.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hw.bench.receiver import LATENCY_NS
from tests.support.moments import Item, Moment, Run, around, distances, fired, items_of, multiples
from tests.support.people import People
from tests.support.rules import AGGREGATES, ANY, GNSS_SPEED, HEADING, LOCATION, Book, Candidate, after, same
from tests.support.truth import NS, STEP_NS, Heard

FIX_AGE_NS = 5 * NS
FIX_NS = NS + LATENCY_NS
"""From one epoch to the arrival of the next."""
KIND = "Modicum.Event.Kind"
KINDS = {"bucket": "class", "respond_k": "class", "count_s": "count"}
"""Units of what is no longer a measurement."""
SEAT_NS = 1_200_000_000
"""How long whoever sits down may take to say so: until the next epoch."""
STATE_NS = 500_000_000
"""How long speed and gear may take to be known: throttle and cycle."""
WAY_M = 20.0

Answer = bool | None
"""None: it cannot be told from outside."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A sample: it may have any of `values`, or what lies `between` them; without `certain` it may also be missing."""

    stream: str
    signal: str
    lo_ns: int
    hi_ns: int
    values: list[Any] = field(repr=False)
    between: bool
    certain: bool


class Oracle:
    """Knows what a run has to give."""

    def __init__(self, run: Run) -> None:
        self.run, self.truth, self.book = run, run.truth, Book(run.catalogue)
        self.begin_ns, self.end_ns = run.begin_ns, run.end_ns
        self._fired: dict[str, list[Moment]] = {}
        self.people = People(run, self.book)
        self.live = self._living(self.people.first.union(item for _, do, item in run.said if do == "grant"))
        """What somebody could have let leave at some time."""

    def _living(self, granted: frozenset[str]) -> list[Candidate]:
        run, mapped = self.run, frozenset(self.truth.sources)
        return [
            one
            for one in self.book.candidates()
            if self.book.lives(one, package=run.package, accepted=run.accepted, granted=granted, mapped=mapped)
        ]

    @cached_property
    def rules(self) -> set[tuple[str, str]]:
        """The (stream, signal) that are live at the end: a guest drives where no trip is."""
        ended = self.people.began(self.end_ns) is None
        granted = frozenset[str]() if ended else self.people.granted(self.run.driver(self.end_ns), self.end_ns)
        return {(one.name, one.signal["id"]) for one in self._living(granted)}

    @property
    def refused(self) -> set[tuple[str, str]]:
        """All others."""
        return {(one.name, one.signal["id"]) for one in self.book.candidates()} - self.rules

    def _allowed(self, one: Candidate, lo_ns: int, hi_ns: int) -> Answer:
        """Whether whoever drives has granted it: a trip is a guest's, or the driver's before, until its own has said so."""
        item = one.stream.get("consent") if one.stream["basis"] == "consent" else None
        if item is None:
            return True
        seated = any(hi_ns - t_ns >= 0 and lo_ns - t_ns <= SEAT_NS for t_ns in self.people.seated)
        moments = (lo_ns - self.run.slack_ns - seated * SEAT_NS, hi_ns)
        answers = {item in self.people.granted(self.run.driver(t_ns), t_ns) for t_ns in moments}
        end_ns = hi_ns + int(one.stream.get("window_s", 0) * NS)
        dropped = any((do, what) == ("withdraw", item) and hi_ns <= at_ns <= end_ns for at_ns, do, what in self.run.said)
        return answers.pop() if len(answers) == 1 and not dropped else None

    def _around(self, one: Candidate, event: Moment) -> Iterator[Moment]:
        """What is told around an event that may be told itself, as long as the same person drives. Which it was is not said there."""
        told = self._speaks(one, event) if one.signal["id"] != KIND else False
        for moment in around(event, one.stream) if told is not False else ():
            between = min(moment.lo_ns, event.lo_ns), max(moment.hi_ns, event.hi_ns)
            drives = _all([told, self._unturned(*between)])
            if drives is not False:
                yield Moment(moment.lo_ns, moment.hi_ns, certain=bool(moment.certain and drives))

    def _unturned(self, lo_ns: int, hi_ns: int) -> Answer:
        """Whether neither the ignition turned nor anybody else sat down meanwhile; undecided at the very edges."""
        turns = [*self.people.seated, *(off_ns for _, off_ns in self.people.on)]
        if any(lo_ns + SEAT_NS < turn_ns < hi_ns - SEAT_NS for turn_ns in turns):
            return False
        return None if any(lo_ns - SEAT_NS <= turn_ns <= hi_ns + SEAT_NS for turn_ns in turns) else True

    @cached_property
    def expected(self) -> list[Expected]:
        """Everything but `on_change`, in the order of time."""
        found = []
        for one in self.live:
            for moment in self._moments(one):
                speaks = self._speaks(one, moment)
                heard = self._heard(one, moment) if speaks is not False else Heard()
                values = [value for raw in heard.values if (value := raw if raw is ANY else after(_plain(one), raw)) is not None]
                if values:
                    certain = bool(moment.certain and speaks and heard.certain)
                    found.append(Expected(one.name, one.signal["id"], moment.lo_ns, moment.hi_ns, values, not one.steps, certain))
        return sorted(found, key=lambda sample: (sample.lo_ns, not sample.certain))

    def faults(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        """What is wrong with what was received; empty when it is exactly what it has to be. Names no value of a position."""
        lines = list(lines)
        items, found = items_of(lines), [*self._misattributed(lines)]
        for sample in self.expected:
            floor_ns = int(self._stream(sample.stream).get("time_floor_s", 0) * NS) or 1_000_000
            lo_ns, hi_ns = (t_ns - t_ns % floor_ns for t_ns in (sample.lo_ns, sample.hi_ns))
            fits = [
                item
                for item in items
                if (item.stream, item.signal) == (sample.stream, sample.signal) and lo_ns <= item.t_ns <= hi_ns and not item.met
            ]
            if fits:
                fits[0].met = True
                if not _given(fits[0].value, sample.values, sample.between):
                    found.append(f"{_where(sample, self.begin_ns)}: a value that the truth does not give{_shown(fits[0], sample.values)}")
            elif sample.certain:
                found.append(f"{_where(sample, self.begin_ns)}: missing")
        for one in self.live:
            if "on_change" in one.stream["triggers"]:
                found += self._changes(one, [item for item in items if (item.stream, item.signal) == (one.name, one.signal["id"])])
        return found + [f"{_where(item, self.begin_ns)}: unexpected" for item in items if not item.met]

    def _misattributed(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Purpose, identity and unit are the catalogue's; of a class or a count it is no longer the signal's."""
        for line in lines:
            name, signal = f"{line['service']}.{line['stream']}", str(line["signal"]).removesuffix(".Latitude").removesuffix(".Longitude")
            stream = self._stream(name)
            said = (line["purpose"], line["identity"], line["unit"])
            if said != (stream["purpose"], stream["identity"], self._unit(name, signal)):
                yield f"{name} {signal}: purpose, identity or unit is {said}"

    def _unit(self, name: str, signal: str) -> str:
        steps = next((one.steps for one in self.book.candidates() if (one.name, one.signal["id"]) == (name, signal)), [])
        made = [KINDS[step] for step, _ in steps if step in KINDS]
        return made[-1] if made else str(self.book.signals[signal]["unit"])

    def _stream(self, name: str) -> dict[str, Any]:
        return next(one.stream for one in self.book.candidates() if one.name == name)

    # -- when a stream may speak ---------------------------------------------------------------------------------------

    def _moments(self, one: Candidate) -> list[Moment]:
        found: list[Moment] = []
        for trigger in one.stream["triggers"]:
            kind, _, argument = trigger.partition(":")
            if kind == "periodic":
                found += multiples(self.run, one.stream["every_s"])
            elif kind == "start":
                found.append(Moment(*self.run.started))
            elif kind == "event":
                if argument not in self._fired:
                    self._fired[argument] = list(fired(self.run, self.book, argument))
                found += self._fired[argument]
                found += _once(moment for event in self._fired[argument] for moment in self._around(one, event))
            elif kind == "distance":
                found += distances(self.run, float(argument))
            elif kind == "request":
                found += [self._asked(t_ns) for t_ns in self.run.asked.get(one.name, ())]
        return [moment for each in found if (moment := self._unless_withdrawn(one, each))]

    def _asked(self, t_ns: int) -> Moment:
        """At once; in a parked car, which holds no place, with the next epoch of the receiver."""
        parked = self.truth.state(t_ns).ignition not in ("ON", "START")
        return Moment(t_ns, t_ns + (FIX_NS if parked else 0) + self.run.slack_ns)

    def _unless_withdrawn(self, one: Candidate, moment: Moment) -> Moment | None:
        begun_ns, returned_ns = self.run.withdrawn.get(one.stream.get("consent", ""), (None, None))
        if begun_ns is None or returned_ns is None:
            return moment
        under_way_ns = int(one.stream.get("window_s", 0) * NS) + 3 * NS
        if moment.lo_ns >= returned_ns:
            return None
        return moment if moment.hi_ns < begun_ns - under_way_ns else Moment(moment.lo_ns, moment.hi_ns, moment.kind, certain=False)

    def _speaks(self, one: Candidate, moment: Moment) -> Answer:
        lo_ns, hi_ns = moment.lo_ns - self.run.slack_ns, moment.hi_ns
        while_ = one.stream.get("while", "any")
        speaks = [self._kept(one, moment), self._allowed(one, lo_ns, hi_ns)]
        if while_ != "any":
            speaks.append(self._driving(lo_ns, hi_ns) if while_ == "driving" else self._parked(lo_ns, hi_ns))
        in_person = all(trigger.startswith("request:") for trigger in one.stream["triggers"])
        if one.signal["id"].startswith(LOCATION) and not in_person:
            speaks.append(self._ignition(lo_ns, hi_ns))
        trims = [dict(other.steps)["trim_trip_m"] for other in self.live if other.name == one.name and "trim_trip_m" in dict(other.steps)]
        return _all([*speaks, *(self._clear(one, metres, lo_ns, hi_ns) for metres in trims)])

    def _kept(self, one: Candidate, moment: Moment) -> Answer:
        """With the ignition off no position is kept: a record that is still being collected then is never sent."""
        window_ns = int(one.stream.get("window_s", 0) * NS)
        carries = any(other.name == one.name and other.signal["id"] == LOCATION for other in self.live)
        off_ns = next((off_ns for on_ns, off_ns in self.people.on if on_ns <= moment.lo_ns < off_ns), None)
        if not (window_ns and carries and off_ns):
            return True
        end_ns = -(-moment.hi_ns // window_ns) * window_ns  # one taken at the very end may stand in either record
        if end_ns == moment.hi_ns and off_ns < end_ns + window_ns + STATE_NS:
            return None
        return None if abs(off_ns - end_ns) < STATE_NS + self.run.slack_ns else off_ns > end_ns

    def _ignition(self, lo_ns: int, hi_ns: int) -> Answer:
        return self._over(lambda t_ns: self.truth.state(t_ns).ignition in ("ON", "START"), lo_ns, hi_ns)

    def _parked(self, lo_ns: int, hi_ns: int) -> Answer:
        return self._over(lambda t_ns: self.truth.state(t_ns).ignition not in ("ON", "START"), lo_ns, hi_ns)

    def _driving(self, lo_ns: int, hi_ns: int) -> Answer:
        trip = self.people.trip(hi_ns)
        moved = _all([trip is not None, self._over(lambda t_ns: trip is not None and self._moved(trip[0], t_ns), lo_ns, hi_ns)])
        geared = self._over(lambda t_ns: self.truth.state(t_ns).gear != "P", lo_ns, hi_ns)
        return _all([self._ignition(lo_ns, hi_ns), moved, geared])

    def _moved(self, since_ns: int, t_ns: int) -> bool:
        return self.truth.distance_m(t_ns) > self.truth.distance_m(since_ns) + 0.5

    def _over(self, holds: Callable[[int], bool], lo_ns: int, hi_ns: int) -> Answer:
        """Over the time that it may have taken to become known."""
        seen = {holds(t_ns) for t_ns in [*range(lo_ns - STATE_NS, hi_ns, STEP_NS), hi_ns]}
        return seen.pop() if len(seen) == 1 else None

    def _clear(self, one: Candidate, metres: float, lo_ns: int, hi_ns: int) -> Answer:
        """Trimming: left the start cell, gone `metres` since ignition on, outside every cell in which a trip began or ended.

        Who takes over on the way has begun there, and has cells of their own. Before a grant on the way nobody counts how far it is.
        """
        trip = self.people.trip(hi_ns)
        if trip is None:
            return False
        driver, seats = self.run.driver(hi_ns), self.people.seats
        began_ns = max([trip[0], *(t_ns for t_ns in seats if t_ns <= hi_ns)])
        home = self._cell_at(began_ns, driver)
        left_ns = next((t_ns for t_ns in range(began_ns, hi_ns, NS) if self._cell_at(t_ns, driver) != home), None)
        if left_ns is None:
            return False
        gone_m = self.truth.distance_m(hi_ns) - self.truth.distance_m(self.people.counts_from(one.stream.get("consent"), began_ns, hi_ns))
        room_m = WAY_M + (NS + self.run.slack_ns) / NS * 70
        far: Answer = gone_m >= metres if abs(gone_m - metres) > room_m else None
        edges = [(t_ns, t_ns + SEAT_NS) for t_ns in self.people.seated] + [(off_ns, off_ns - SEAT_NS) for off_ns in trip[1]]
        zones = {self._cell_at(t_ns, driver) for t_ns, inside_ns in edges if t_ns <= hi_ns and self.run.driver(inside_ns) == driver}
        places, cell = self._places(lo_ns, hi_ns), self.run.cell_of(driver)
        outside = {cell(place) not in zones for place in places.values}
        return _all([far, outside.pop() if len(outside) == 1 and places.certain else None])

    def _cell_at(self, t_ns: int, driver: str) -> Hashable:
        state = self.truth.state(t_ns)
        return self.run.cell_of(driver)((state.lat_deg, state.lon_deg))

    # -- what it may say -----------------------------------------------------------------------------------------------

    def _heard(self, one: Candidate, moment: Moment) -> Heard:
        name, lo_ns, hi_ns = one.signal["id"], min(moment.lo_ns, self.end_ns), min(moment.hi_ns, self.end_ns)
        if name == LOCATION:
            return self._places(lo_ns, hi_ns)
        if name in (HEADING, GNSS_SPEED):
            return self._fixes(lo_ns, hi_ns, lambda fix: fix.course_deg if name == HEADING else fix.speed_mps * 3.6)
        if name == KIND:
            return Heard([moment.kind])
        if name.startswith("Modicum."):
            return Heard([ANY])
        for step, argument in one.steps:
            if step in AGGREGATES:
                return self._aggregate(name, step, int(argument * NS), hi_ns)
        return self._last(one, name, lo_ns, hi_ns)

    def _last(self, one: Candidate, name: str, lo_ns: int, hi_ns: int) -> Heard:
        every_s = one.stream.get("every_s", 0)
        age_ns = int(min(every_s / 10, 1.0) * NS) + self.truth.sources[name].cycle_ns + self.run.slack_ns
        return self.truth.said(name, lo_ns - age_ns, hi_ns, int(max(3 * every_s, 5) * NS))

    def _places(self, lo_ns: int, hi_ns: int) -> Heard:
        return self._fixes(lo_ns, hi_ns, lambda fix: (fix.lat_deg, fix.lon_deg))

    def _fixes(self, lo_ns: int, hi_ns: int, part: Callable[[Any], Any]) -> Heard:
        fixes = self.truth.fixes(lo_ns - NS - self.run.slack_ns, hi_ns)
        values = [part(fix) for fix in fixes if fix.lat_deg is not None and part(fix) is not None]
        if values:
            return Heard(values, len(values) == len(fixes))
        older = self.truth.fixes(lo_ns - FIX_AGE_NS - NS, hi_ns)
        return Heard([part(fix) for fix in older if fix.lat_deg is not None and part(fix) is not None], certain=False)

    def _aggregate(self, name: str, kind: str, window_ns: int, t_ns: int) -> Heard:
        """Over an aligned window, seen up to a cycle late: nine values from the least possible to the greatest."""
        end_ns, late_ns = t_ns - t_ns % window_ns, self.truth.sources[name].cycle_ns + self.run.slack_ns
        fold: dict[str, Callable[[list[float]], float]] = {"mean_s": lambda v: sum(v) / len(v), "min_s": min, "max_s": max}
        results = []
        for shift_ns in (0, late_ns):
            seen = [self.truth.at(name, t - shift_ns) for t in range(end_ns - window_ns, end_ns, STEP_NS)]
            if None in seen:
                return Heard([ANY], certain=False)
            results.append(fold[kind](seen))
        room = 2 * float(self.truth.sources[name].factor)
        low, high = min(results) - room, max(results) + room
        return Heard([low + (high - low) * part / 8 for part in range(9)], end_ns - window_ns - late_ns >= self.begin_ns)

    def _changes(self, one: Candidate, items: list[Item]) -> Iterator[str]:
        """`on_change`: true, different from the one before, no sooner than `every_s`; and never behind by more than that."""
        every_ns, name = int(one.stream.get("every_s", 0) * NS), one.signal["id"]
        for index, item in enumerate(items):
            item.met = True
            allowed = [after(_plain(one), raw) for raw in self._last(one, name, item.t_ns, item.t_ns + 1_000_000).values]
            if not _given(item.value, allowed, not one.steps):
                yield f"{_where(item, self.begin_ns)}: a change that the truth does not give{_shown(item, allowed)}"
            if index and (same(item.value, items[index - 1].value) or item.t_ns - items[index - 1].t_ns < every_ns - 1_000_000):
                yield f"{_where(item, self.begin_ns)}: repeated or too soon"
        for t_ns in range(self.begin_ns + every_ns + 3 * NS, self.end_ns - self.run.slack_ns, NS // 4):
            if self._speaks(one, Moment(t_ns - every_ns - 2 * NS, t_ns)) is not True:
                continue
            sent = [item.value for item in items if item.t_ns <= t_ns][-1:]
            allowed = [after(_plain(one), raw) for raw in self._last(one, name, t_ns - every_ns, t_ns).values]
            if allowed and not any(same(value, other) for value in sent for other in allowed):
                yield f"{one.name} {name} at {(t_ns - self.begin_ns) / NS:.2f} s: what was last sent is no longer true"
                return


def _once(moments: Iterable[Moment]) -> list[Moment]:
    """A multiple near two events is told once; for sure where one of them is sure of it."""
    found: dict[int, Moment] = {}
    for moment in moments:
        if moment.lo_ns not in found or moment.certain:
            found[moment.lo_ns] = moment
    return list(found.values())


def _given(value: Any, values: list[Any], between: bool) -> bool:
    """Frames come oftener than the truth is looked at here: a value that no step coarsened may lie between two of them."""
    if any(other is ANY or same(value, other) for other in values):
        return True
    return between and all(type(one) in (int, float) for one in (value, *values)) and min(values) <= value <= max(values)


def _plain(one: Candidate) -> list[tuple[str, Any]]:
    return [step for step in one.steps if step[0] not in AGGREGATES]


def _all(answers: Iterable[Answer]) -> Answer:
    answers = list(answers)
    return False if False in answers else None if None in answers else True


def _where(one: Expected | Item, begin_ns: int) -> str:
    t_ns = one.t_ns if isinstance(one, Item) else one.lo_ns
    return f"{one.stream} {one.signal} at {(t_ns - begin_ns) / NS:.2f} s"


def _shown(item: Item, values: list[Any]) -> str:
    return "" if item.signal.startswith(LOCATION) else f": {item.value!r}, not of {values[:4]!r}"
