"""`periodic` and `on_change` against a slow reference that knows every frame of the bus.

The product is told what a gate would tell it: frames whose content changed, and silences. The reference is written from
interfaces alone: it walks over the time in steps and looks each time at all frames up to then.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.collect.channel import Channel
from agent.collect.transforms import Context
from agent.model import Reading, Sample
from tests.agent.collect.build import Rig, rule

STEP_S = 0.5
GATE_TIMEOUT_S = 5.0
TAIL_S = 40.0
ROUND = 10


@dataclass(frozen=True)
class Sent:
    """One frame on the bus."""

    t: float
    value: int


Traffic = list[Sent]


@st.composite
def traffic(draw: st.DrawFn) -> Traffic:
    """A cyclic signal with gaps, values that change now and then, at steps of half a second."""
    t, value, frames = draw(st.integers(0, 5)) * STEP_S, 0, []
    for _ in range(draw(st.integers(1, 25))):
        value = draw(st.one_of(st.just(value), st.integers(-40, 40)))
        frames.append(Sent(t, value))
        t += STEP_S * draw(st.sampled_from([1, 1, 1, 2, 3, 4, 9, 10, 11, 30, 60]))
    return frames


def play(frames: Traffic, rig: Rig) -> float:
    """What a gate passes on, in order of time; the end of the story."""
    told: int | None = None
    for i, frame in enumerate(frames):
        if frame.value != told:
            rig.put("Test.A", frame.value, frame.t)
            told = frame.value
        following = frames[i + 1].t if i + 1 < len(frames) else frame.t + TAIL_S
        if following - frame.t > GATE_TIMEOUT_S:
            rig.silence("Test.A", frame.t, frame.t + GATE_TIMEOUT_S)
            told = None
    end_s = frames[-1].t + TAIL_S
    rig.advance(end_s)
    return end_s


def standing(frames: Traffic, t: float, every_s: float) -> int | None:
    """The value that stands at `t`: the latest frame's, unless the signal has been missing for too long."""
    known = [frame for frame in frames if frame.t <= t]
    return known[-1].value if known and t - known[-1].t < max(3 * every_s, GATE_TIMEOUT_S) else None


def rounded(value: int) -> int:
    """Nearest ten, halves away from zero, by counting."""
    tens = (abs(value) + ROUND // 2) // ROUND * ROUND
    return tens if value >= 0 else -tens


def periodic(frames: Traffic, every_s: float, end_s: float) -> list[tuple[float, int]]:
    """At each multiple the value that stands."""
    found = []
    k = 0
    while k * every_s <= end_s:
        value = standing(frames, k * every_s, every_s)
        if value is not None:
            found.append((k * every_s, rounded(value)))
        k += 1
    return found


def on_change(frames: Traffic, every_s: float, end_s: float) -> list[tuple[float, int]]:
    """Step by step: the first, and every different one, not sooner than `every_s` after the one before."""
    found: list[tuple[float, int]] = []
    for step in range(int(end_s / STEP_S) + 1):
        t = step * STEP_S
        value = standing(frames, t, every_s)
        if value is None or (found and (rounded(value) == found[-1][1] or t < found[-1][0] + every_s)):
            continue
        found.append((t, rounded(value)))
    return found


def sabotage_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes leave as they come."""

    def changed(self: Channel, reading: Reading, context: Context) -> Sample | None:
        sample = self.sample(reading, context)
        if sample is None or sample.value == self.sent:
            return None
        self.sent = sample.value
        return sample

    monkeypatch.setattr(Channel, "changed", changed)


@given(traffic(), st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]))
@settings(max_examples=150)
def test_periodic_is_what_the_reference_says(frames: Traffic, every_s: float) -> None:
    """Multiple for multiple."""
    rig = Rig((rule("Test.A", ("round_to", ROUND), every_s=every_s, triggers=("periodic",)),))
    end_s = play(frames, rig)
    assert rig.of("Test.A") == periodic(frames, every_s, end_s)


@pytest.mark.req("R24", "T10", control=sabotage_hold)
@given(traffic(), st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5, 10.0]))
@settings(max_examples=150)
def test_on_change_is_what_the_reference_says(frames: Traffic, every_s: float) -> None:
    """Sample for sample, held changes included."""
    rig = Rig((rule("Test.A", ("round_to", ROUND), every_s=every_s),))
    end_s = play(frames, rig)
    assert rig.of("Test.A") == on_change(frames, every_s, end_s)


@pytest.mark.req("R24", "T10", control=sabotage_hold)
@given(traffic(), st.sampled_from([1.0, 2.0, 10.0]), st.sampled_from([("on_change",), ("periodic",), ("periodic", "on_change")]))
@settings(max_examples=250, derandomize=True)  # always the same examples: the control must find its fault among them
def test_never_faster_than_the_rate(frames: Traffic, every_s: float, triggers: tuple[str, ...]) -> None:
    """In any stretch of time at most one sample a period and trigger, and every value is its own coarse form."""
    rig = Rig((rule("Test.A", ("round_to", ROUND), every_s=every_s, triggers=triggers),))
    end_s = play(frames, rig)
    rows = rig.of("Test.A")
    times = [t for t, _ in rows]
    for start in times:
        for length in (every_s, 5 * every_s, end_s):
            assert sum(start <= t < start + length for t in times) <= len(triggers) * round(length / every_s + 0.5)
    assert all(isinstance(value, int) and value % ROUND == 0 for _, value in rows)
