"""The one time axis: whom it believes, and when it may run backwards."""

from __future__ import annotations

import ctypes
import errno
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import clock
from agent.clock import NS, RELEASE_NS, Saved, SetClock, SystemClock, kernel_synchronised

YEAR_NS = 365 * 86_400 * NS


@dataclass
class Kernel:
    """What the kernel says: time since boot, the system's date, whether it is synchronised."""

    boot_ns: int = 1000 * NS
    wall_ns: int = RELEASE_NS + YEAR_NS
    synchronised: bool = False
    suspended_ns: int = 0

    def passes(self, ns: int) -> None:
        self.boot_ns += ns
        self.wall_ns += ns

    @property
    def gnss(self) -> int:
        """What a right receiver would say now: here, the system's date is right too."""
        return self.wall_ns


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(clock.SystemClock, "_mono_ns", staticmethod(lambda: made.boot_ns))
    monkeypatch.setattr(clock.SystemClock, "_awake_ns", staticmethod(lambda: made.boot_ns - made.suspended_ns))
    monkeypatch.setattr(time, "time_ns", lambda: made.wall_ns)
    monkeypatch.setattr(clock, "kernel_synchronised", lambda: made.synchronised)
    return made


def test_a_fresh_device_begins_at_the_release_date(kernel: Kernel) -> None:
    """Nobody vouches for a date: the axis begins where no time before it can be right, and is not trusted."""
    made = SystemClock()
    assert (made.now_ns(), made.trusted(), made.source) == (RELEASE_NS, False, "unsure")


def test_an_unsure_clock_goes_on_from_the_saved_time(kernel: Kernel) -> None:
    """After a restart without any source the axis continues at the last committed time and moves on with it."""
    made = SystemClock(saved_ns=RELEASE_NS + 5 * NS)
    kernel.passes(7 * NS)
    assert made.now_ns() == RELEASE_NS + 12 * NS
    assert not made.trusted()


def test_a_saved_time_before_the_release_is_not_believed(kernel: Kernel) -> None:
    """The later of both is the beginning."""
    assert SystemClock(saved_ns=5 * NS).now_ns() == RELEASE_NS


@pytest.mark.parametrize(
    ("sources", "synchronised", "expected"),
    [
        ({"ntp", "gnss"}, False, "unsure"),
        ({"ntp", "gnss"}, True, "ntp"),
        ({"gnss"}, True, "unsure"),
        ({"system"}, False, "system"),
        ({"system", "ntp"}, True, "system"),
        (set(), True, "unsure"),
    ],
)
def test_only_a_source_that_was_chosen_is_believed(kernel: Kernel, sources: set[str], synchronised: bool, expected: str) -> None:
    """The kernel's word counts where `ntp` was chosen, the host's clock where `system` was, else neither."""
    kernel.synchronised = synchronised
    made = SystemClock(frozenset(sources))
    assert made.source == expected
    assert made.trusted() is (expected != "unsure")
    assert made.now_ns() == (kernel.wall_ns if made.trusted() else RELEASE_NS)


def test_ntp_that_comes_later_is_a_step_forward(kernel: Kernel) -> None:
    """Once the kernel is synchronised the axis is the system's date."""
    made = SystemClock()
    kernel.passes(60 * NS)
    kernel.synchronised = True
    made.poll()
    assert (made.source, made.now_ns()) == ("ntp", kernel.wall_ns)


def test_gnss_is_believed_after_three_fixes_that_agree(kernel: Kernel) -> None:
    """Two are not enough; the third sets the axis."""
    made = SystemClock()
    for expected in (False, False, True):
        kernel.passes(NS)
        made.observe_gnss(kernel.gnss, satellites=5)
        assert made.trusted() is expected
    assert (made.source, made.now_ns()) == ("gnss", kernel.gnss)


def test_gnss_fixes_that_disagree_are_not_believed(kernel: Kernel) -> None:
    """A receiver whose time jumps about never sets the axis."""
    made = SystemClock()
    for jump in (0, 60, 0, 60, 0, 60):
        kernel.passes(NS)
        made.observe_gnss(kernel.gnss + jump * NS, satellites=9)
    assert not made.trusted()


@pytest.mark.parametrize(
    ("satellites", "late_ns", "sources"),
    [(3, 0, {"gnss"}), (9, -2 * YEAR_NS, {"gnss"}), (9, 0, {"ntp"})],
    ids=["few", "before-release", "not-chosen"],
)
def test_gnss_that_is_not_believed(kernel: Kernel, satellites: int, late_ns: int, sources: set[str]) -> None:
    """Fewer than four satellites, a date before the release (a rolled-over week), or a source that was not chosen."""
    made = SystemClock(frozenset(sources))
    for _ in range(6):
        kernel.passes(NS)
        made.observe_gnss(kernel.gnss + late_ns, satellites)
    assert (made.source, made.now_ns()) == ("unsure", RELEASE_NS + 6 * NS)


def test_gnss_does_not_overrule_ntp(kernel: Kernel) -> None:
    """A spoofed receiver cannot move a clock that the network has set."""
    kernel.synchronised = True
    made = SystemClock()
    for _ in range(5):
        kernel.passes(NS)
        made.observe_gnss(kernel.gnss + YEAR_NS, satellites=12)
    assert (made.source, made.now_ns()) == ("ntp", kernel.wall_ns)


def test_small_differences_do_not_move_the_axis(kernel: Kernel) -> None:
    """Jitter of half a second and less is not followed, so that intervals stay intervals."""
    kernel.synchronised = True
    made = SystemClock()
    before = made.now_ns()
    kernel.wall_ns += NS // 2
    made.poll()
    assert made.now_ns() == before


def test_a_larger_difference_is_one_step(kernel: Kernel) -> None:
    """More than half a second is taken over at once."""
    kernel.synchronised = True
    made = SystemClock()
    kernel.wall_ns += 3 * NS
    made.poll()
    assert made.now_ns() == kernel.wall_ns


def test_a_trusted_clock_that_is_set_back_does_not_run_backwards(kernel: Kernel) -> None:
    """The system's date goes an hour back: the axis goes on."""
    kernel.synchronised = True
    made = SystemClock()
    before = made.now_ns()
    kernel.wall_ns -= 3600 * NS
    made.poll()
    assert made.now_ns() >= before


def test_a_first_source_earlier_than_the_unsure_axis_sets_it_back(kernel: Kernel) -> None:
    """The saved time was ahead of the truth: it was a floor only until somebody was believed. The loop hears of it."""
    made = SystemClock(saved_ns=kernel.wall_ns + 3600 * NS)
    for _ in range(4):
        kernel.passes(NS)
        made.observe_gnss(kernel.gnss, satellites=9)
    assert (made.trusted(), made.now_ns()) == (True, kernel.gnss)
    leap = made.leapt()
    assert leap is not None
    assert (leap.to_ns - leap.from_ns, leap.passed_ns) == (-3596 * NS, 4 * NS)
    assert made.leapt() is None


def test_a_false_future_does_not_outlive_the_next_belief(kernel: Kernel) -> None:
    """A receiver that said +14 years was believed and saved; the next boot starts there, untrusted, until a source says more."""
    poisoned = SystemClock(boot_id="a")
    for _ in range(3):
        poisoned.observe_gnss(kernel.gnss + 14 * YEAR_NS, satellites=9)
    assert poisoned.trusted()
    kernel.synchronised = True
    poisoned.poll()
    assert (poisoned.trusted(), poisoned.now_ns()) == (False, kernel.wall_ns + 14 * YEAR_NS), "not back within a run, but not believed"
    kernel.synchronised = False
    made = SystemClock(boot_id="b", earlier=Saved.decoded(poisoned.state()))
    assert (made.trusted(), made.continued) == (False, False)
    kernel.synchronised = True
    made.poll()
    assert (made.trusted(), made.now_ns()) == (True, kernel.wall_ns)
    again = SystemClock(boot_id="c", earlier=Saved.decoded(made.state()))
    assert again.now_ns() == kernel.wall_ns


def test_gnss_moves_a_believed_axis_by_minutes_at_most(kernel: Kernel) -> None:
    """Four minutes are followed, four more are not, nor a year: until the receiver agrees again nothing is trusted."""
    made = SystemClock()

    def say(off_ns: int) -> tuple[int, bool]:
        for _ in range(3):
            kernel.passes(NS)
            made.observe_gnss(kernel.gnss + off_ns, satellites=9)
        return (made.now_ns() - kernel.wall_ns) // NS, made.trusted()

    assert say(0) == (0, True)
    assert say(240 * NS) == (240, True)
    assert say(480 * NS) == (240, False)
    assert say(YEAR_NS) == (240, False)
    assert say(240 * NS) == (240, True)


def test_a_fast_oscillator_is_held_still_not_mistrusted(kernel: Kernel) -> None:
    """Drift against GNSS in steps below 2 s: the axis stands still and stays trusted."""
    made = SystemClock()
    for drift in range(40):
        before = made.now_ns()
        kernel.passes(NS)
        made.observe_gnss(kernel.gnss - drift * NS // 10, satellites=9)
        assert made.now_ns() >= before or drift < 3
    assert made.trusted()
    assert abs(made.now_ns() - (kernel.wall_ns - 39 * NS // 10)) < NS


def test_the_same_boot_goes_on_with_its_offset(kernel: Kernel) -> None:
    """A crash without any source: the axis goes on as if nothing had happened; another boot starts from the saved time."""
    first = SystemClock(boot_id="a", saved_ns=RELEASE_NS + 5 * NS)
    left = first.state()
    kernel.passes(60 * NS)
    made = SystemClock(boot_id="a", earlier=Saved.decoded(left))
    assert (made.now_ns(), made.continued, made.trusted()) == (first.now_ns(), True, False)
    other = SystemClock(boot_id="b", earlier=Saved.decoded(left))
    assert (other.now_ns(), other.continued) == (RELEASE_NS + 5 * NS, False)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(None, Saved()), (b"17", Saved(17)), (b"17 ab -3", Saved(17, "ab", -3)), (b"x", Saved()), (b"\xff 1", Saved())],
)
def test_what_was_saved_is_read(stored: bytes | None, expected: Saved) -> None:
    """The plain number of an earlier version, the value of this one, and nothing from what is neither."""
    assert Saved.decoded(stored) == expected


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pass", "wall", "sync", "unsync", "gnss", "poll"]),
        st.integers(-YEAR_NS, YEAR_NS),
    ),
    max_size=25,
)


@given(STEPS, st.integers(0, 2 * RELEASE_NS), st.sets(st.sampled_from(["ntp", "gnss", "system"])))
def test_never_backwards_whatever_happens(steps: list[tuple[str, int]], saved_ns: int, sources: set[str]) -> None:
    """Clocks set forward and back, sources coming and going: the axis only moves on, but for the first belief."""
    kernel, patch = Kernel(), pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(clock.SystemClock, "_mono_ns", staticmethod(lambda: kernel.boot_ns))
        context.setattr(time, "time_ns", lambda: kernel.wall_ns)
        context.setattr(clock, "kernel_synchronised", lambda: kernel.synchronised)
        made = SystemClock(frozenset(sources), saved_ns)
        last = made.now_ns()
        for kind, ns in steps:
            believed = made.source != "unsure"
            match kind:
                case "pass":
                    kernel.passes(abs(ns))
                case "wall":
                    kernel.wall_ns += ns
                case "sync" | "unsync":
                    kernel.synchronised = kind == "sync"
                case "gnss":
                    for _ in range(3):
                        made.observe_gnss(kernel.gnss + ns, satellites=8)
                case _:
                    made.poll()
            assert made.now_ns() >= last or not believed
            last = made.now_ns()


def test_set_clock_ignores_an_earlier_time() -> None:
    """The clock of replays and tests keeps the same promise."""
    made = SetClock(10)
    made.set(20)
    made.set(15)
    assert made.now_ns() == 20


def test_the_real_clock_moves_on_with_boot_time() -> None:
    """Against the real kernel: a boot id of 32 hex digits, and time that passes."""
    made = SystemClock(frozenset({"system"}))
    assert len(made.boot_id) == 32
    assert int(made.boot_id, 16) > 0
    assert abs(time.time_ns() - made.now_ns()) < NS
    assert made.now_ns() <= made.now_ns()
    assert kernel_synchronised() in (True, False)


class Refusing:
    """A C library in a sandbox: the question is refused, or answered."""

    def __init__(self, state: int, number: int = 0) -> None:
        self.state, self.number = state, number

    def adjtimex(self, _: object) -> int:
        ctypes.set_errno(self.number)
        return self.state


@pytest.mark.parametrize(
    ("state", "number", "told", "synchronised"),
    [
        (0, 0, False, True),
        (5, 0, True, False),
        (-1, errno.EPERM, True, True),
        (-1, errno.EPERM, False, False),
        (-1, errno.EFAULT, True, False),
    ],
)
def test_where_the_question_is_refused_timesyncd_is_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: int, number: int, told: bool, synchronised: bool
) -> None:
    """And only there: what the kernel says comes first."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing(state, number))
    monkeypatch.setattr(clock, "TIMESYNCD", tmp_path / "synchronized")
    if told:
        (tmp_path / "synchronized").touch()
    assert kernel_synchronised() is synchronised


def test_the_unit_says_which_start_of_the_device_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the kernel's own form or in systemd's; without a unit it is the kernel's."""
    monkeypatch.delenv(clock.BOOT_VARIABLE, raising=False)
    own = clock.boot_id()
    assert int(own, 16) > 0
    monkeypatch.setenv(clock.BOOT_VARIABLE, "01234567-89ab-cdef-0123-456789abcdef")
    assert clock.boot_id() == SystemClock().boot_id == "0123456789abcdef" * 2


def test_a_stamp_of_another_clock_counts_as_of_now() -> None:
    """From the future, or of an adapter that counts from its own start; one of the host's is as old as it is."""
    assert 400_000_000 < clock.age_ns(time.time() - 0.5) < 1_500_000_000
    assert [clock.age_ns(stamp_s) for stamp_s in (0.0, 12.5, time.time() + 60)] == [0, 0, 0]


def test_a_suspend_is_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For who keeps connections up: five seconds are none yet, and each is told once."""
    suspended = [100 * NS]
    monkeypatch.setattr(clock, "suspended_ns", lambda: suspended[0])
    sleep = clock.Sleep(suspended[0])
    assert not sleep.over()
    suspended[0] += 5 * NS
    assert not sleep.over()
    suspended[0] += 5 * NS + 1
    assert (sleep.over(), sleep.over()) == (True, False)


def test_this_device_has_been_suspended_for_no_negative_time() -> None:
    """The kernel's own two clocks."""
    assert clock.suspended_ns() >= 0
