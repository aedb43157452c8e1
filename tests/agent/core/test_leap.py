"""Leaps of the axis: a first belief or a suspend is not lived through second by second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from agent import clock as module
from agent.body import unpack
from agent.clock import NS, RELEASE_NS, Saved, SystemClock
from agent.collect.pipeline import Pipeline
from agent.core.core import Core
from hw.ports import Frame, Silence
from tests.agent.core import stage as staging
from tests.agent.core.stage import Stage, vehicle

H14_S = 14 * 3600
START_NS = RELEASE_NS + 86_400 * NS


@dataclass
class Car:
    """A stage on the clock of a running agent, over a kernel that the test sets. `ticks`: how often the pipeline ticked."""

    folder: Path
    boot_ns: int = 1000 * NS
    wall_ns: int = START_NS
    suspended_ns: int = 0
    synchronised: bool = False
    earlier: Saved = field(default_factory=lambda: Saved(START_NS))
    ticks: int = 0
    saved: list[Saved] = field(default_factory=list)
    stage: Stage = field(init=False)

    def start(self) -> None:
        self.stage = Stage(self.folder, start_ns=START_NS)
        self.stage.loop.save_clock = lambda _: self.saved.append(Saved.decoded(self.clock.state()))

    @property
    def clock(self) -> SystemClock:
        return cast("SystemClock", self.stage.clock)

    def passes(self, seconds: float) -> None:
        self.boot_ns += round(seconds * NS)
        self.wall_ns += round(seconds * NS)

    def frame(self, name: str, *, at_ns: int | None = None, **signals: float) -> None:
        message = next(source.message for source in vehicle().sources.values() if source.message.name == name)
        values: dict[str, float] = {signal.name: 0 for signal in message.signals}
        data = message.encode(values | signals, scaling=True, strict=False)
        self.stage.loop.take(Frame("pt", message.frame_id, data, self.clock.now_ns() if at_ns is None else at_ns))

    def turn(self) -> None:
        self.stage.loop._polled_s = 0.0
        self.stage.loop.turn(0)

    def drive(self, seconds: int) -> None:
        for _ in range(seconds):
            self.passes(0.5)
            self.frame("IGN", KL=2)
            self.frame("MOTION", SPEED=50.0)
            self.passes(0.5)
            self.turn()

    def begin(self) -> str:
        """Ten seconds of a trip of anna's, who granted her speed for this trip."""
        self.drive(1)
        self.stage.ledger.add_profile("anna")
        trip = self.stage.core.trip.id
        assert trip is not None
        self.stage.ledger.use_profile("anna", trip)
        self.stage.grant("anna", "x.speed", trip=True)
        self.stage.core.decide()
        self.drive(10)
        return trip

    def look(self) -> tuple[int, float, int]:
        """Samples, metres, ticks so far."""
        return self.stage.core.pipeline.samples, self.stage.core.trip.distance_m, self.ticks


@pytest.fixture
def car(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Car]:
    made = Car(tmp_path)
    tick = Pipeline._tick

    def counted(pipeline: Pipeline, moment: int) -> None:
        made.ticks += 1
        tick(pipeline, moment)

    monkeypatch.setattr(SystemClock, "_mono_ns", staticmethod(lambda: made.boot_ns))
    monkeypatch.setattr(SystemClock, "_awake_ns", staticmethod(lambda: made.boot_ns - made.suspended_ns))
    monkeypatch.setattr(time, "time_ns", lambda: made.wall_ns)
    monkeypatch.setattr(module, "kernel_synchronised", lambda: made.synchronised)
    monkeypatch.setattr(Pipeline, "_tick", counted)
    monkeypatch.setattr(staging, "StageClock", lambda _: SystemClock(boot_id="ab" * 16, earlier=made.earlier))
    made.start()
    yield made
    made.stage.close()


def believe(car: Car, seconds: float) -> None:
    """The kernel is synchronised, and its date is `seconds` from the axis."""
    car.wall_ns = car.clock.now_ns() + round(seconds * NS)
    car.synchronised = True


@pytest.mark.parametrize("seconds", [720, H14_S, -H14_S, -20])
def test_a_first_belief_invents_nothing_and_the_trip_goes_on(car: Car, seconds: int) -> None:
    """No sample, no way, no work for the gap; the open minute becomes a record; each gate is opened anew; anna drives on."""
    trip = car.begin()
    samples, metres, ticks = car.look()
    told = len(car.stage.subscribed)
    believe(car, seconds)
    car.turn()
    after = car.look()
    assert car.clock.now_ns() == car.wall_ns
    assert after[0] == samples
    assert after[1] - metres < 20
    assert after[2] - ticks < 3
    assert car.stage.stored().get("a.minute", 0) == 1, "and keeps the rest of its hour"
    assert () in car.stage.subscribed[told:]
    assert car.stage.subscribed[-1] == car.stage.core.wanted()
    assert (car.stage.core.trip.id, car.stage.core.trip.ignition, car.stage.core.trip.off_since_ns) == (trip, True, None)
    assert car.stage.core.profile != "guest"
    assert car.saved[-1].offset_ns == car.clock.offset_ns
    car.drive(5)
    assert 4 <= car.stage.core.pipeline.samples - samples <= 15, "and it is collected again, once for each second and stream"
    assert car.stage.core.trip.id == trip
    assert car.stage.core.trip.distance_m - metres < 6 * 50 / 3.6 + 1


def test_a_short_stop_keeps_its_length_over_a_belief(car: Car) -> None:
    """Ignition off for a minute when the axis moves by 14 h: the trip goes on if the stop was short in time that passed."""
    trip = car.begin()
    car.frame("IGN", KL=0)
    for _ in range(60):
        car.passes(1)
        car.turn()
    believe(car, H14_S)
    car.turn()
    car.drive(2)
    assert car.stage.core.trip.id == trip


@pytest.mark.parametrize(("seconds", "same"), [(600, False), (100, True)])
def test_a_suspend_with_the_ignition_on_loses_it(car: Car, seconds: int, same: bool) -> None:
    """Nobody knows what happened: unknown until a frame says on; the trip stands from where the time began."""
    trip = car.begin()
    samples, metres, ticks = car.look()
    car.passes(seconds)
    car.suspended_ns += seconds * NS
    car.turn()
    assert (car.stage.core.trip.ignition, car.stage.core.trip.ignition_lost) == (None, True)
    assert car.look()[0] == samples
    assert car.ticks - ticks < 3
    assert (car.stage.core.trip.id == trip) is same
    if same:
        assert car.stage.core.trip.distance_m == pytest.approx(metres, abs=20)
    car.drive(2)
    assert ((car.stage.core.trip.id == trip), car.stage.core.trip.ignition) == (same, True)


def test_what_was_queued_before_a_leap_is_not_believed(car: Car) -> None:
    """A frame of the old axis and the silence that a gate sees in the leap: neither changes anything."""
    trip = car.begin()
    old_ns = car.clock.now_ns()
    believe(car, H14_S)
    car.turn()
    metres = car.stage.core.trip.distance_m
    car.frame("IGN", KL=0, at_ns=old_ns)
    car.stage.loop.take(Silence("pt", 0x130, car.clock.now_ns()))
    assert (car.stage.core.trip.id, car.stage.core.trip.ignition) == (trip, True)
    car.drive(1)
    assert car.stage.core.trip.distance_m - metres < 30


def test_a_trip_goes_on_after_a_crash_in_the_same_boot(car: Car) -> None:
    """No source is believed, before or after: boot id and boot time tell how long core was away."""
    trip = car.begin()
    car.earlier = Saved.decoded(car.clock.state())
    before_ns = car.clock.now_ns()
    car.stage.close()
    car.passes(8)
    car.start()
    assert (car.clock.now_ns(), car.clock.trusted()) == (before_ns + 8 * NS, False)
    assert car.stage.core.trip.id == trip
    car.drive(2)
    assert (car.stage.core.trip.id, car.stage.core.profile != "guest") == (trip, True)


def test_a_trip_does_not_go_on_in_another_boot_without_trust(car: Car) -> None:
    """How long the device was off is not known."""
    car.begin()
    car.earlier = Saved(car.clock.now_ns(), "cd" * 16, car.clock.offset_ns)
    car.stage.close()
    car.start()
    assert car.stage.core.trip.id is None


def test_what_waits_in_the_inbox_at_a_leap_is_not_believed(car: Car, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the leap takes to write: old frames are gone, and a request among them is answered."""
    car.begin()
    metres, old_ns = car.stage.core.trip.distance_m, car.clock.now_ns()
    message = next(source.message for source in vehicle().sources.values() if source.message.name == "MOTION")
    data = message.encode({signal.name: 0 for signal in message.signals} | {"SPEED": 50.0}, strict=False)
    for _ in range(3):
        car.stage.loop.inbox.put(Frame("pt", message.frame_id, data, old_ns))
    answer = car.stage.loop.submit("ping", {})
    believe(car, H14_S)
    car.clock.poll()
    with monkeypatch.context() as late:
        later_s = time.monotonic() + 5
        late.setattr(Core, "_save_trip", lambda _: late.setattr(time, "monotonic", lambda: later_s))  # the last that a leap does
        car.stage.loop._look()
        assert not car.stage.loop._outdated(Frame("pt", 1, b"", car.clock.now_ns()))
        assert car.stage.loop._outdated(Frame("pt", 1, b"", old_ns))
    while not car.stage.loop.inbox.empty():
        car.stage.loop.take(car.stage.loop.inbox.get())
    assert answer.result(0)
    assert car.stage.core.trip.distance_m == pytest.approx(metres, abs=20)


def test_a_stall_of_the_process_loses_no_frame(car: Car) -> None:
    """Ten seconds on a slow disk: the frames that waited are rightly stamped, so they are samples; the ignition stays known."""
    trip = car.begin()
    samples = car.stage.core.pipeline.samples
    stamps = [car.clock.now_ns() + second * NS for second in range(1, 11)]
    car.passes(10.2)
    for t_ns in stamps:
        car.frame("MOTION", at_ns=t_ns, SPEED=60.0)
    car.turn()
    assert (car.stage.core.trip.id, car.stage.core.trip.ignition) == (trip, True)
    assert car.stage.core.pipeline.samples - samples >= 10


@pytest.mark.parametrize("seconds", [H14_S, -H14_S])
def test_what_is_buffered_keeps_the_rest_of_its_life(car: Car, seconds: int) -> None:
    """An hour of keep is an hour that passes, whichever way the axis is moved; the moved record says that its time was a guess."""
    car.begin()
    believe(car, seconds)
    car.turn()
    assert car.stage.stored()["a.minute"] == 1
    [stored] = [one for one in car.stage.buffer.waiting(100, set()) if one.stream == "a.minute"]
    assert unpack(car.stage.buffer.body_of(stored)).trusted is False
    for _ in range(70):
        car.passes(60)
        car.suspended_ns += 60 * NS
        car.turn()
    assert "a.minute" not in car.stage.stored()
