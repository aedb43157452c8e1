"""agent.ecall.crash: two consecutive valid frames, or one and a second sign; nothing else, and nothing less."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import pytest

from agent.ecall.crash import BETWEEN_MAX, BOOT_NS, LATCH_NS, PAIR_NS, SIGN_NS, Trigger
from agent.ecall.rules import rules_of
from agent.vehicle import Vehicle, load_vehicle
from hw.bench.car import Car
from hw.bench.crc import sae_j1850
from hw.bench.truth import Drive
from hw.ports import Frame
from tests.support.truth import NS, VEHICLE

CRASH, BELT = 0x1FE, 752
START_NS = 1_795_000_000 * NS
MS = 1_000_000
NOISE, PAIR_EVERY = 1_000_000, 5_000


@cache
def vehicle() -> Vehicle:
    return load_vehicle(VEHICLE)


def new(*, armed: bool = True) -> Trigger:
    frames, signs, findings = rules_of(vehicle())
    assert findings == []
    trigger = Trigger(frames, signs, armed)
    trigger.begin(START_NS)
    return trigger


def crash(t_ms: float, count: int, *, deploy: int = 1, diag: int = 0, test: int = 0, crc: int | None = None) -> Frame:
    """The bench car's crash frame, written here bit by bit: CRC, then CNT and DEPLOY, DIAG and ACTUATOR_TEST, SEVERITY."""
    body = bytes([count & 15 | deploy << 4, diag | test << 1, 70, 0, 0, 0, 0])
    first = sae_j1850(body) if crc is None else crc
    return Frame("pt", CRASH, bytes([first]) + body, START_NS + round(t_ms * MS))


def belt(t_ms: float, tensioner: int) -> Frame:
    return Frame("pt", BELT, bytes([tensioner, 0, 0, 0, 0, 0, 0, 0]), START_NS + round(t_ms * MS))


def fires(trigger: Trigger, *frames: Frame) -> list[bool]:
    return [trigger.feed(frame) for frame in frames]


# -- two frames -------------------------------------------------------------------------------------------------------


def test_two_consecutive_frames_are_a_crash_and_one_is_none() -> None:
    """The second one fires; those that follow say nothing new."""
    assert fires(new(), *(crash(100 * n, n) for n in range(5))) == [False, True, False, False, False]


def test_the_counter_goes_on_at_its_end() -> None:
    """Fifteen is followed by zero."""
    assert fires(new(), crash(0, 15), crash(100, 0)) == [False, True]


@pytest.mark.parametrize("second", [3, 5, 2, 12])
def test_frames_that_do_not_count_on_are_none(second: int) -> None:
    """One that stands still, one of which another was lost, one that goes back."""
    assert fires(new(), crash(0, 3), crash(100, second)) == [False, False]


def test_after_a_lost_frame_the_next_two_are_a_crash() -> None:
    """It costs one period."""
    assert fires(new(), crash(0, 3), crash(100, 5), crash(200, 6)) == [False, False, True]


def test_a_frame_without_its_checksum_counts_for_nothing() -> None:
    """Every wrong one."""
    right = crash(0, 4).data[0]
    for wrong in set(range(256)) - {right}:
        trigger = new()
        assert fires(trigger, crash(0, 3), crash(100, 4, crc=wrong)) == [False, False]


@pytest.mark.parametrize("more", [{"diag": 1}, {"test": 1}, {"deploy": 3}, {"deploy": 0}, {"deploy": 2}])
def test_a_frame_that_is_inhibited_or_says_something_else_counts_for_nothing(more: dict[str, int]) -> None:
    """Diagnosis, a test of the actuators, the value that means invalid, no crash."""
    assert fires(new(), crash(0, 3, **more), crash(100, 4, **more), crash(200, 5, **more)) == [False] * 3
    assert fires(new(), crash(0, 3), crash(100, 4, **more)) == [False] * 2


def test_a_frame_that_is_too_short_counts_for_nothing() -> None:
    """And costs nobody his life."""
    for length in range(8):
        cut = Frame("pt", CRASH, crash(100, 4).data[:length], START_NS + 100 * MS)
        assert fires(new(), crash(0, 3), cut, crash(200, 4)) == [False, False, True]


def test_a_disturbed_frame_in_between_does_not_cost_the_call_but_noise_has_no_chance() -> None:
    """Up to BETWEEN_MAX of them."""
    for count in range(BETWEEN_MAX + 2):
        disturbed = [crash(10 + n, 0, crc=crash(10 + n, 0).data[0] ^ 1) for n in range(count)]
        assert fires(new(), crash(0, 3), *disturbed, crash(100, 4))[-1] is (count <= BETWEEN_MAX)


def test_a_frame_long_after_is_no_second_one() -> None:
    """PAIR_NS."""
    assert fires(new(), crash(0, 3), crash(PAIR_NS / MS, 4)) == [False, True]
    assert fires(new(), crash(0, 3), crash(PAIR_NS / MS + 1, 4)) == [False, False]


def test_a_frame_that_takes_it_back_begins_anew() -> None:
    """What a single forged frame said does not wait for the next one."""
    assert fires(new(), crash(0, 3), crash(50, 4, deploy=0), crash(100, 5)) == [False] * 3


def test_the_same_bytes_again_and_again_are_no_crash() -> None:
    """A recorded frame, played back."""
    assert not any(fires(new(), *(crash(20 * n, 7) for n in range(200))))


def test_another_identifier_or_bus_is_not_looked_at() -> None:
    """Whatever it carries."""
    others = [Frame("body", CRASH, crash(0, n).data, START_NS + n) for n in range(9)]
    others += [Frame("pt", CRASH + 1, crash(0, n).data, START_NS + n) for n in range(9)]
    assert not any(fires(new(), *others))


# -- one frame and a sign ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart_ms", [0, 50, SIGN_NS // MS])
def test_one_frame_and_a_second_sign_are_a_crash(apart_ms: float) -> None:
    """Whichever comes first; once."""
    assert fires(new(), belt(0, 0), crash(100, 3), belt(100 + apart_ms, 1), crash(200 + apart_ms, 4)) == [False, False, True, False]
    assert fires(new(), belt(0, 0), belt(100, 1), crash(100 + apart_ms, 3), crash(200 + apart_ms, 4)) == [False, False, True, False]


def test_a_sign_alone_or_too_far_is_none() -> None:
    """Nor one that holds all the time, nor one that was there before anybody looked."""
    far_ms = SIGN_NS / MS + 1
    assert fires(new(), belt(0, 0), belt(100, 1), belt(200, 1)) == [False] * 3
    assert fires(new(), belt(0, 0), belt(100, 1), crash(100 + far_ms, 3)) == [False] * 3
    assert fires(new(), belt(0, 0), crash(100, 3), belt(100 + far_ms, 1)) == [False] * 3
    assert fires(new(), belt(0, 1), belt(90, 1), crash(100, 3)) == [False] * 3


def test_a_sign_does_not_make_an_invalid_frame_one() -> None:
    """The wrong checksum, or inhibited."""
    assert fires(new(), belt(0, 0), belt(100, 1), crash(110, 3, crc=0)) == [False] * 3
    assert fires(new(), belt(0, 0), belt(100, 1), crash(110, 3, diag=1)) == [False] * 3


# -- the beginning, and once ------------------------------------------------------------------------------------------


def test_what_is_said_from_the_first_moment_on_is_no_crash() -> None:
    """A control unit that remembers one: however long it says so, and with a sign too."""
    trigger = new(armed=False)
    frames = [crash(100 * n, n) for n in range(200)]
    assert not any(fires(trigger, *frames, belt(20_000, 0), belt(20_010, 1), crash(20_020, 8)))
    assert not trigger.settled(START_NS + 100 * NS)


def test_once_it_was_taken_back_it_counts() -> None:
    """From then on it is news."""
    assert fires(new(armed=False), crash(0, 0), crash(100, 1), crash(200, 2, deploy=0), crash(300, 3), crash(400, 4))[-2:] == [False, True]


def test_a_frame_that_only_a_crash_brings_counts_after_the_beginning() -> None:
    """Some cars send it then and not before."""
    first_ms = BOOT_NS / MS
    assert fires(new(armed=False), crash(first_ms, 0), crash(first_ms + 50, 1)) == [False, True]


def test_a_restarted_program_needs_no_new_beginning() -> None:
    """The crash may be what made it restart."""
    before = new(armed=False)
    before.feed(crash(0, 3, deploy=0))
    assert not before.settled(START_NS + BOOT_NS - 1)
    assert before.settled(START_NS + BOOT_NS)
    assert fires(new(armed=True), crash(0, 4), crash(100, 5)) == [False, True]


def test_a_restarted_program_is_not_told_of_its_crash_again() -> None:
    """Who has told of a crash that is still said is not past the beginning; its frames go on, until they are taken back."""
    before = new()
    assert fires(before, crash(0, 0, deploy=0), crash(100, 1, deploy=0), crash(200, 2), crash(300, 3))[-1]
    assert not before.settled(START_NS + 3_600 * NS)
    assert not any(fires(new(armed=False), *(crash(100 * n, n) for n in range(1_000))))
    back = new(armed=False)
    assert fires(back, crash(0, 0), crash(100, 1), crash(200, 2, deploy=0), crash(300, 3), crash(400, 4))[-1]


def test_a_program_that_was_told_of_none_finds_one_at_once_when_it_is_back() -> None:
    """Also where a call by hand or a test stands: whoever is armed has told of no crash."""
    assert fires(new(armed=True), crash(0, 0), crash(100, 1)) == [False, True]


def test_a_unit_that_goes_on_saying_so_means_the_same_crash() -> None:
    """Also after its bus has slept, as long as it has never taken it back; a unit that never does is believed again after a while."""
    asleep_ms = LATCH_NS / MS + 1_000
    flagged = new()
    assert fires(flagged, crash(0, 0, deploy=0), crash(100, 1, deploy=0), crash(200, 2), crash(300, 3))[-1]
    assert not any(fires(flagged, crash(300 + asleep_ms, 5), crash(400 + asleep_ms, 6), crash(500 + asleep_ms, 7)))
    brought = new()
    assert fires(brought, crash(0, 0), crash(100, 1))[-1]
    assert fires(brought, crash(100 + asleep_ms, 5), crash(200 + asleep_ms, 6)) == [False, True]


def test_another_unit_that_joins_means_the_same_crash_and_later_one_of_its_own() -> None:
    """The first fires and falls silent; what the second says an hour later is another crash."""
    frames, signs, _ = rules_of(vehicle())
    trigger = Trigger([frames[0], replace(frames[0], bus="body")], signs, armed=True)

    def body(frame: Frame) -> Frame:
        return replace(frame, bus="body")

    fires(trigger, crash(0, 0, deploy=0), body(crash(0, 0, deploy=0)))
    assert fires(trigger, crash(100, 1), crash(200, 2), body(crash(300, 1)), body(crash(400, 2)), body(crash(500, 3, deploy=0)))[1:] == [
        True,
        False,
        False,
        False,
    ]
    hour_ms = 3_600_000
    assert fires(trigger, body(crash(hour_ms, 4)), body(crash(hour_ms + 100, 5))) == [False, True]


def test_a_frame_that_lacks_its_counter_ends_nothing() -> None:
    """A multiplexed message whose other part has none."""
    trigger = new()
    trigger.frames[0].counter = ("NOT_IN_THIS_FRAME", 16)
    assert fires(trigger, *(crash(100 * n, n) for n in range(5))) == [False] * 5


def test_another_crash_counts_once_the_first_was_taken_back_or_has_faded() -> None:
    """Not while it goes on."""
    trigger = new()
    assert fires(trigger, crash(0, 0), crash(100, 1), crash(200, 2), crash(300, 3, deploy=0), crash(400, 4), crash(500, 5))[-1]
    later_ms = 500 + LATCH_NS / MS + 1
    assert fires(trigger, crash(later_ms, 0), crash(later_ms + 100, 1)) == [False, True]
    assert fires(trigger, crash(later_ms + 900, 0), crash(later_ms + 1000, 1)) == [False, False]


# -- a whole car, and noise -------------------------------------------------------------------------------------------


def test_the_bench_car_crashes_once_and_at_the_second_frame() -> None:
    """A drive with a crash, frame by frame; the same drive without one is silent."""
    for crash_s, expected in ((20.0, 1), (None, 0)):
        drive = Drive.load("drive", 1)
        if crash_s is not None:
            drive.crash(crash_s)
        trigger = new(armed=False)
        fired = [frame.t_ns for frame in Car(drive, START_NS).frames(START_NS, START_NS + 40 * NS) if trigger.feed(frame)]
        assert len(fired) == expected
        assert crash_s is None or 0 <= (fired[0] - START_NS) / NS - crash_s <= 0.3


@dataclass
class Noise:
    """Random and mutated frames of the crash identifiers, without two valid ones in a row, a hundred a second."""

    source: random.Random
    count: int = 0

    def frames(self, number: int) -> Iterable[Frame]:
        for n in range(number):
            yield self._frame(10.0 * n)

    def _frame(self, t_ms: float) -> Frame:
        kind = self.source.random()
        t_ns = START_NS + round(t_ms * MS)
        if kind < 0.4:
            return Frame("pt", CRASH, self.source.randbytes(8), t_ns)
        if kind < 0.6:
            return Frame("pt", CRASH, self.source.randbytes(self.source.randrange(8)), t_ns)
        self.count += 1
        right = crash(t_ms, self.count)
        bits = int.from_bytes(right.data)
        for bit in self.source.sample(range(64), 1 if kind < 0.8 else 2):
            bits ^= 1 << bit
        return Frame("pt", CRASH, bits.to_bytes(8), t_ns)


def test_a_million_random_and_mutated_frames_are_no_crash() -> None:
    """Not one of them."""
    trigger, noise = new(), Noise(random.Random(510))
    assert sum(trigger.feed(frame) for frame in noise.frames(NOISE)) == 0


def test_every_valid_pair_among_them_is_one() -> None:
    """At random places, each fires exactly once."""
    source = random.Random(511)
    trigger, noise = new(), Noise(random.Random(512))
    fired, expected, next_at = 0, 0, PAIR_EVERY
    for n, frame in enumerate(noise.frames(NOISE // 10)):
        fired += trigger.feed(frame)
        if n == next_at:
            first = source.randrange(16)
            t_ms = (frame.t_ns - START_NS) / MS
            fired += trigger.feed(crash(t_ms + 1, first)) + trigger.feed(crash(t_ms + 2, first + 1))
            expected += 1
            next_at += source.randrange(600, 2 * PAIR_EVERY)
    assert expected > 10
    assert fired == expected
