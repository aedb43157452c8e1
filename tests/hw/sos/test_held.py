"""The SOS button's rules: held once per press, bounces are nothing, what nobody saw begin does not count."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.sos.held import BOUNCE_NS, HELD_NS, STUCK_NS, Hold

MS = 1_000_000
LONG_NS = 3600 * 1000 * MS
lasts_ns = st.one_of(
    st.integers(1, BOUNCE_NS - 1),
    st.integers(BOUNCE_NS, HELD_NS - 1),
    st.integers(HELD_NS, 2 * HELD_NS),
    st.sampled_from([BOUNCE_NS - 1, BOUNCE_NS, HELD_NS - 1, HELD_NS, HELD_NS + 1]),
)
"""How long a level stays: a bounce, a short press or pause, a long one, and the borders between them."""
levels_ns = st.lists(lasts_ns, max_size=12)
"""How long each level lasts, the first being the one that the line was found with; the one after the last stays."""


def held_at_ns(found: bool, lasts: list[int], looks: list[int] | None = None, end_ns: int = LONG_NS) -> list[int]:
    """The moments that are told to somebody who looks at `looks` and whenever something is due, as the driver does."""
    hold = Hold(active=found, t_ns=0)
    edges = list(accumulate(lasts))
    told, active, t_ns = [], found, 0
    waiting = sorted(looks or [])
    for until_ns, is_edge in [*((t, True) for t in edges), (end_ns, False)]:
        while True:
            t_ns = min([until_ns, *(due for due in [hold.due_ns()] if due is not None), *waiting[:1]])
            if t_ns >= until_ns:
                break
            waiting = [t for t in waiting if t > t_ns]
            if hold.passed(t_ns):
                told.append(t_ns)
            assert (hold.due_ns() or end_ns) > t_ns, "whoever waits for it would wait no time, again and again"
        active = active != is_edge
        if hold.edge(active=active, t_ns=until_ns) if is_edge else hold.passed(until_ns):
            told.append(until_ns)
    return told


def reference(found: bool, lasts: list[int]) -> list[int]:
    """The rules said the other way round: with the whole story at hand. Levels that last are kept, the others belong to the one before."""
    starts = [0, *accumulate(lasts)]
    raw = [(at, found != bool(n % 2), to) for n, (at, to) in enumerate(pairwise([*starts, LONG_NS]))]
    presses: list[list[int]] = []  # begin, end
    level = found
    for at, active, to in raw:
        if to - at >= BOUNCE_NS and active != level:
            level = active
            if active:
                presses.append([at, LONG_NS])
            elif presses:
                presses[-1][1] = at
    told = []
    for begin, end in presses:
        seen = [max(at, begin + HELD_NS) for at, active, to in raw if active and begin <= at < end and to >= begin + HELD_NS]
        told += seen[:1]
    return told


@given(found=st.booleans(), lasts=levels_ns)
def test_it_tells_what_the_whole_story_says(found: bool, lasts: list[int]) -> None:
    """Edge by edge, without knowing what comes, the same as somebody says who sees all of it."""
    assert held_at_ns(found, lasts) == reference(found, lasts)


@given(found=st.booleans(), lasts=levels_ns, looks=st.lists(st.integers(0, 12 * HELD_NS), max_size=12))
def test_looking_changes_nothing(found: bool, lasts: list[int], looks: list[int]) -> None:
    """However often somebody looks in between."""
    assert held_at_ns(found, lasts, looks) == held_at_ns(found, lasts)


@given(found=st.booleans(), lasts=levels_ns)
def test_one_who_comes_late_finds_as_many(found: bool, lasts: list[int]) -> None:
    """A thread that was held up and reads all edges at once misses no hold and invents none."""
    hold = Hold(active=found, t_ns=0)
    told = [hold.edge(active=found == bool(n % 2), t_ns=t_ns) for n, t_ns in enumerate(accumulate(lasts))]
    assert sum([*told, hold.passed(LONG_NS)]) == len(reference(found, lasts))


@pytest.mark.parametrize(("pressed_ns", "told"), [(HELD_NS - 1, []), (HELD_NS, [1000 + HELD_NS]), (HELD_NS + 1, [1000 + HELD_NS])])
def test_held_is_one_and_a_half_seconds(pressed_ns: int, told: list[int]) -> None:
    """Told when they are over, not at the release; not one nanosecond less."""
    assert HELD_NS == 1_500 * MS
    assert held_at_ns(False, [1000, pressed_ns]) == told


def test_each_press_is_told_once() -> None:
    """A finger that stays for a minute calls once, and may call again."""
    assert len(held_at_ns(False, [1000, 60_000 * MS])) == 1
    assert len(held_at_ns(False, [1000, 60_000 * MS, 500 * MS, 60_000 * MS])) == 2


def test_a_button_that_was_down_before_anybody_looked_calls_nobody() -> None:
    """Nor does it for its bounces, nor ever; let go once, it is a button again."""
    assert held_at_ns(True, []) == []
    assert held_at_ns(True, [2 * HELD_NS, BOUNCE_NS - 1, 2 * HELD_NS, BOUNCE_NS - 1]) == []
    assert len(held_at_ns(True, [100 * MS, BOUNCE_NS, HELD_NS])) == 1


def test_a_bounce_does_not_begin_the_hold_anew() -> None:
    """A shaken finger calls as soon as a calm one; let go for longer, it begins anew."""
    assert held_at_ns(False, [0, 700 * MS, BOUNCE_NS - 1]) == [HELD_NS]
    assert held_at_ns(False, [0, 700 * MS, BOUNCE_NS]) == [700 * MS + BOUNCE_NS + HELD_NS]


def test_in_a_bounce_nothing_is_held_yet() -> None:
    """It might be the release; the edge that ends it says that it was none."""
    assert held_at_ns(False, [0, HELD_NS - 1 * MS, 20 * MS]) == [HELD_NS + 19 * MS]
    assert held_at_ns(False, [0, HELD_NS - 1 * MS]) == []


def test_a_wire_that_hums_is_no_finger() -> None:
    """50 Hz from the mains or the alternator, for ten seconds: neither held nor stuck."""
    assert held_at_ns(False, [1000, *[10 * MS] * 1001]) == []


@pytest.mark.parametrize("found", [False, True])
def test_stuck_is_longer_than_anybody_presses(found: bool) -> None:
    """Seen to begin or found so; a bounce does not hide it, and a release ends it."""
    hold = Hold(active=found, t_ns=0)
    if not found:
        hold.edge(active=True, t_ns=0)
    assert not hold.stuck(STUCK_NS)
    assert hold.stuck(STUCK_NS + 1)
    hold.edge(active=False, t_ns=STUCK_NS + 2)
    assert hold.stuck(STUCK_NS + 3)
    assert not hold.stuck(STUCK_NS + 2 + BOUNCE_NS)


def test_an_edge_that_changes_nothing_is_a_bounce() -> None:
    """The kernel came too late to see the other level: the hold goes on, and without a press there is none."""
    hold = Hold(active=False, t_ns=0)
    assert not hold.edge(active=False, t_ns=HELD_NS)
    assert hold.due_ns() is None
    assert not hold.edge(active=True, t_ns=2 * HELD_NS)
    assert not hold.edge(active=True, t_ns=2 * HELD_NS + 700 * MS)
    assert hold.passed(3 * HELD_NS)


def test_a_press_begins_after_its_bounces() -> None:
    """So a wire that hums too fast for the kernel to see the other level is no finger either."""
    hold = Hold(active=False, t_ns=0)
    assert not any(hold.edge(active=True, t_ns=n * 10 * MS) for n in range(1000))
    assert not hold.passed(1000 * 10 * MS)
