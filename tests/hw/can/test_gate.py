"""The software gate keeps the contract of CAN_BCM RX_SETUP."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw.can.gate import Gate
from hw.ports import Frame, Mux, Silence, Subscription

BUS = "pt"


def wish(can_id: int = 0x10, mask: int = 0xFF, throttle_ns: int = 0, timeout_ns: int = 0, mux: Mux | None = None) -> Subscription:
    return Subscription(BUS, can_id, mask, throttle_ns, timeout_ns, mux)


def frame(t_ns: int, data: bytes, can_id: int = 0x10) -> Frame:
    return Frame(BUS, can_id, data, t_ns)


def told(gate: Gate, *frames: Frame) -> list[Frame | Silence]:
    """What the gate tells when it is asked before each frame, as a reader does."""
    out: list[Frame | Silence] = []
    for one in frames:
        out += gate.due(one.t_ns)
        passed = gate.feed(one)
        out += [] if passed is None else [passed]
    return out


# -- the contract, point by point ----------------------------------------------------------------------------------------


def test_first_frame_passes_and_an_unchanged_one_does_not() -> None:
    """The first frame of an identifier is delivered, its repetition is not."""
    first = frame(1, b"\x05")
    assert told(Gate([wish()]), first, frame(2, b"\x05"), frame(3, b"\x05\xff")) == [first]


def test_only_bits_under_the_mask_matter() -> None:
    """A change outside the mask is not delivered, one inside is."""
    first, second = frame(1, b"\x00\x00"), frame(3, b"\x10\x07")
    assert told(Gate([wish(mask=0x00F0)]), first, frame(2, b"\x0f\xff"), second) == [first, second]


def test_missing_bytes_count_as_zero() -> None:
    """A shorter frame passes only where its missing bytes were not zero."""
    first, shorter = frame(1, b"\x01\x02"), frame(3, b"\x01")
    gate = Gate([wish(mask=0xFFFF)])
    assert told(gate, first, frame(2, b"\x01\x02\x03"), shorter, frame(4, b"\x01\x00")) == [first, shorter]


def test_a_word_of_which_a_frame_has_nothing_is_not_compared() -> None:
    """As in the kernel: an empty frame says nothing, and a CAN FD frame nothing of the eighths that it lacks wholly."""
    gate, whole = Gate([wish(mask=0xFF | 0xFF << 128)]), bytes([1, *([0] * 15), 2])
    first, changed = frame(1, whole), frame(4, b"\x03")
    assert told(gate, first, frame(2, b""), frame(3, b"\x01"), changed, frame(5, whole[:16])) == [first, changed, frame(5, whole[:16])]


def test_throttle_delivers_the_newest_change_at_its_end_with_its_own_time() -> None:
    """Changes inside the throttle wait; the newest comes out at its end, stamped with its arrival."""
    gate = Gate([wish(throttle_ns=100)])
    first, newest = frame(0, b"\x01"), frame(60, b"\x03")
    assert told(gate, first, frame(30, b"\x02"), newest) == [first]
    assert gate.next_due_ns() is not None
    assert gate.due(99) == []
    assert gate.due(100) == [newest]


def test_change_undone_within_the_throttle_is_told_as_one_and_one() -> None:
    """1-2-1 within one throttle delivers 1-1, as the kernel does."""
    gate = Gate([wish(throttle_ns=100)])
    back = frame(60, b"\x01")
    told(gate, frame(0, b"\x01"), frame(30, b"\x02"), back)
    assert gate.due(1000) == [back]


def test_a_long_gap_needs_no_throttle() -> None:
    """A change that comes a throttle or more after the last delivery passes at once."""
    later = frame(100, b"\x02")
    assert told(Gate([wish(throttle_ns=100)]), frame(0, b"\x01"), later)[-1] == later


def test_time_that_jumps_back_holds_nothing_back() -> None:
    """A log whose time jumps back does not make a change wait for a moment that may never come."""
    gate, earlier = Gate([wish(throttle_ns=100)]), frame(1_000, b"\x02")
    assert told(gate, frame(10**12, b"\x01"), frame(10**12 + 1, b"\x03"), earlier)[-1] == earlier
    assert gate.due(10**13) == [], "what was held before the jump gave way to the newer frame"


def test_silence_is_told_once_and_the_next_frame_passes_unchanged() -> None:
    """One Silence per silence, at the moment the time-out ran off; then the unchanged frame is news again."""
    gate = Gate([wish(timeout_ns=50)])
    told(gate, frame(10, b"\x01"), frame(40, b"\x01"))
    assert gate.due(89) == []
    assert gate.due(200) == [Silence(BUS, 0x10, 90)]
    assert gate.due(10_000) == []
    again = frame(10_010, b"\x01")
    assert gate.feed(again) == again


def test_a_frame_that_never_came_is_a_silence_too() -> None:
    """A subscription whose frame never arrives tells one Silence after its time-out."""
    gate = Gate()
    gate.swap([wish(timeout_ns=50)], 1000)
    assert gate.due(1050) == [Silence(BUS, 0x10, 1050)]


def test_multiplexed_contents_are_compared_within_their_own_case() -> None:
    """Each wanted multiplexer value has its own first frame and its own changes; an absent one is not wanted."""
    gate = Gate([wish(mask=0, mux=Mux(0x0F, {1: 0xFF00, 2: 0xFF00}))])
    one, two, changed = frame(1, b"\x01\x09"), frame(2, b"\x02\x09"), frame(5, b"\x01\x08")
    assert told(gate, one, two, frame(3, b"\x03\x55"), frame(4, b"\x01\x09"), changed) == [one, two, changed]


def test_setting_up_a_changed_subscription_delivers_its_unchanged_frame_again() -> None:
    """A new or changed subscription delivers its next frame; an unchanged one keeps what it has seen."""
    gate = Gate([wish(0x10), wish(0x20)])
    told(gate, frame(1, b"\x01", 0x10), frame(1, b"\x01", 0x20))
    gate.swap([wish(0x10), wish(0x20, mask=0x0F)], 2)
    again = frame(3, b"\x01", 0x20)
    assert told(gate, frame(3, b"\x01", 0x10), again) == [again]


def swap_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw.can.gate.Gate.swap", lambda self, subscriptions, t_ns: None)


@pytest.mark.req("R29", control=swap_nothing)
def test_a_withdrawn_subscription_delivers_nothing_more_not_even_what_was_held() -> None:
    """After the swap no frame of a withdrawn identifier comes out, held ones included, and no silence of it."""
    gate = Gate([wish(throttle_ns=100, timeout_ns=500)])
    told(gate, frame(0, b"\x01"), frame(10, b"\x02"))
    gate.swap([], 20)
    assert gate.feed(frame(30, b"\x03")) is None
    assert gate.due(10**9) == []
    assert gate.next_due_ns() is None


def let_all_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw.can.gate.Gate.feed", lambda self, one: one)


@pytest.mark.req("R25", control=let_all_pass)
def test_a_frame_that_nobody_wants_leaves_no_trace_but_a_count() -> None:
    """An identifier without a subscription, or of another bus, is never delivered; only its number is kept."""
    gate = Gate([wish(0x10)])
    assert gate.feed(frame(1, b"secret", 0x11)) is None
    assert gate.feed(Frame("body", 0x10, b"secret", 1)) is None
    assert (gate.unwanted, gate.wanted, gate.delivered) == (2, 0, 0)


def test_two_subscriptions_of_one_identifier_are_refused() -> None:
    """The kernel would let the second replace the first in silence; the gate refuses."""
    with pytest.raises(ValueError, match="merge"):
        Gate([wish(mask=1), wish(mask=2)])


def test_a_frame_that_got_lost_comes_again_with_the_next_unchanged_one() -> None:
    """After `forget` the next frame of the identifier is delivered, the one after it is not."""
    gate, again = Gate([wish()]), frame(2, b"\x05")
    gate.forget(told(gate, frame(1, b"\x05"))[0])
    assert told(gate, again, frame(3, b"\x05")) == [again]
    assert gate.delivered == 1


def test_a_lost_case_of_a_multiplexed_frame_comes_again_alone() -> None:
    """Only the multiplexer value that got lost is delivered again."""
    gate = Gate([wish(mask=0, mux=Mux(0x0F, {1: 0xFF00, 2: 0xFF00}))])
    one, two, again = frame(1, b"\x01\x09"), frame(2, b"\x02\x09"), frame(3, b"\x01\x09")
    told(gate, one, two)
    gate.forget(one)
    assert told(gate, frame(3, b"\x02\x09"), again) == [again]


@pytest.mark.parametrize(("timeout_ns", "again_ns"), [(50, 50), (3_600 * 10**9, 10**9)])
def test_a_silence_that_got_lost_is_told_again(timeout_ns: int, again_ns: int) -> None:
    """A second later, or a time-out later where that is shorter; once it was kept, no more."""
    gate = Gate()
    gate.swap([wish(timeout_ns=timeout_ns)], 0)
    (lost,) = gate.due(timeout_ns)
    gate.forget(lost)
    assert gate.due(timeout_ns + again_ns - 1) == []
    assert gate.due(timeout_ns + again_ns) == [Silence(BUS, 0x10, timeout_ns + again_ns)]
    assert gate.due(10**15) == []


def test_what_is_not_wanted_any_more_cannot_be_forgotten() -> None:
    """A lost item of a withdrawn identifier changes nothing."""
    gate = Gate()
    gate.forget(frame(1, b"\x05"))
    gate.forget(Silence(BUS, 0x10, 1))
    assert (gate.delivered, gate.next_due_ns()) == (0, None)


def test_a_frame_that_ends_before_the_last_wanted_bit_is_short() -> None:
    """Counted each time, delivered or not; one that lacks only what nobody wants is not; nor is an identifier nobody wants."""
    gate = Gate([wish(mask=0x01FF00)])
    told(gate, frame(1, b"\x01\x02"), frame(2, b"\x01\x02"), frame(3, b""), frame(4, b"\x01\x02\x03"), frame(5, b"\x01", 0x11))
    assert gate.short == 3


def test_a_multiplexed_frame_is_short_by_its_own_case() -> None:
    """A case that ends early is whole; one that is not wanted lacks nothing."""
    gate = Gate([wish(mask=0xFFFF00, mux=Mux(0x0F, {1: 0xFF00, 2: 0xFF0000}))])
    told(gate, frame(1, b"\x01\x09"), frame(2, b"\x02\x09"), frame(3, b"\x03"), frame(4, b"\x01"))
    assert gate.short == 2


# -- against a slow model ------------------------------------------------------------------------------------------------


@dataclass
class SlowWatch:
    wanted: Subscription
    idle_for: int = 0
    silent: bool = False
    last_told: int | None = None
    seen: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, Frame] = field(default_factory=dict)


class SlowGate:
    """Lives through every single nanosecond and looks at every watch in each; bits are compared one by one."""

    def __init__(self) -> None:
        self.now = 0
        self.watches: dict[int, SlowWatch] = {}

    def live_until(self, t_ns: int) -> list[Frame | Silence]:
        out: list[Frame | Silence] = []
        while self.now < t_ns:
            self.now += 1
            for can_id in sorted(self.watches):
                watch = self.watches[can_id]
                if watch.waiting and watch.last_told is not None and self.now - watch.last_told == watch.wanted.throttle_ns:
                    out += sorted(watch.waiting.values(), key=lambda one: one.t_ns)
                    watch.waiting, watch.last_told = {}, self.now
            for can_id in sorted(self.watches):
                watch = self.watches[can_id]
                watch.idle_for += 1
                if watch.idle_for == watch.wanted.timeout_ns and not watch.silent:
                    out.append(Silence(BUS, can_id, self.now))
                    watch.silent, watch.seen = True, {}
        return out

    def arrive(self, one: Frame) -> list[Frame]:
        watch = self.watches.get(one.can_id)
        if watch is None:
            return []
        watch.idle_for, watch.silent = 0, False
        bits = [bool(one.data[n // 8] >> (n % 8) & 1) if n // 8 < len(one.data) else False for n in range(64)]
        value = sum(1 << n for n, bit in enumerate(bits) if bit)
        mux, selector, mask = watch.wanted.mux, 0, watch.wanted.mask
        if mux is not None:
            selector = value & mux.selector_mask
            if selector not in mux.cases:
                return []
            mask = mux.cases[selector]
        content = sum(1 << n for n, bit in enumerate(bits) if bit and mask >> n & 1)
        if selector in watch.seen and (watch.seen[selector] == content or not one.data):
            return []
        watch.seen[selector] = content
        if watch.last_told is not None and self.now - watch.last_told < watch.wanted.throttle_ns:
            watch.waiting[selector] = one
            return []
        watch.last_told = self.now
        return [one]

    def swap(self, wishes: list[Subscription]) -> None:
        kept = self.watches
        self.watches = {}
        for one in wishes:
            old = kept.get(one.can_id)
            self.watches[one.can_id] = old if old is not None and old.wanted == one else SlowWatch(one)


IDS = (1, 2, 3)
WISHES = st.lists(
    st.builds(
        wish,
        can_id=st.sampled_from(IDS),
        mask=st.sampled_from((0, 1, 3, 0xFF, 0xFF00)),
        throttle_ns=st.sampled_from((0, 1, 7, 20)),
        timeout_ns=st.sampled_from((0, 1, 9, 30)),
    )
    | st.builds(
        wish,
        can_id=st.sampled_from(IDS),
        mask=st.just(0),
        throttle_ns=st.sampled_from((0, 7)),
        timeout_ns=st.sampled_from((0, 9)),
        mux=st.just(Mux(0x03, {1: 0xFF00, 2: 0x0F00})),
    ),
    max_size=3,
    unique_by=lambda one: one.can_id,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from((0, 1, 2, 6, 7, 9, 13, 20, 30)),
        st.sampled_from(IDS),
        st.lists(st.sampled_from((0, 1, 2, 5)), max_size=2).map(bytes) | WISHES,
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(WISHES, STEPS)
@example([wish(1, throttle_ns=20, timeout_ns=9)], [(0, 1, b"\x01"), (1, 1, b"\x02"), (25, 1, b"\x02")])
def test_the_gate_does_what_the_slow_model_does(
    wishes: list[Subscription], steps: list[tuple[int, int, bytes | list[Subscription]]]
) -> None:
    """Any course of frames, pauses and swaps gives exactly what the nanosecond-by-nanosecond model gives."""
    gate, model = Gate(), SlowGate()
    gate.swap(wishes, 0)
    model.swap(wishes)
    for pause, can_id, what in steps:
        t_ns = model.now + pause
        wake = gate.next_due_ns()
        due = model.live_until(t_ns)
        assert not due or (wake is not None and wake <= t_ns), "next_due_ns came too late"
        assert gate.due(t_ns) == due
        if isinstance(what, list):
            gate.swap(what, t_ns)
            model.swap(what)
            continue
        arrived = Frame(BUS, can_id, what, t_ns)
        passed = gate.feed(arrived)
        assert ([] if passed is None else [passed]) == model.arrive(arrived)
    assert gate.due(model.now + 100) == model.live_until(model.now + 100)
