"""Events: rising edges, seldom enough, remembered, and undecidable is no edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.catalogue.types import Event
from agent.catalogue.types import Recent as RecentWhen
from agent.storage.memory import DictMemory
from agent.vss import EVENT_KIND, LOCATION, SPEED
from tests.agent.collect.build import ELSEWHERE, Rig, ns, plan, rule

WIPER = "Test.Wiper"
RAIN = Event(when="Test.Wiper >= 3", min_gap_s=60)
FAST_RAIN = Event(when="Test.Wiper >= 3", min_gap_s=0, recent=RecentWhen(when="Vehicle.Speed > 30", within_s=60))


def rig(event: Event = RAIN, **changes: object) -> Rig:
    """One stream that says which event happened."""
    return Rig((rule(EVENT_KIND, triggers=("event:rain",)),), events={"rain": event}, **changes)  # type: ignore[arg-type]  # a Rig's fields


def times(one: Rig) -> list[float]:
    return [t for t, value in one.of(EVENT_KIND) if value == "rain"]


def test_a_rising_edge_fires() -> None:
    """Once for as long as it stays true, at the reading's own time."""
    one = rig()
    for t, value in enumerate((0, 1, 3, 4, 5, 3)):
        one.put(WIPER, value, t)
    assert times(one) == [2]


def sabotage_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collect.events.Watch._just_fired", lambda *_: False)


@pytest.mark.req("R24", control=sabotage_gap)
def test_not_more_often_than_the_gap() -> None:
    """An edge inside `min_gap_s` is lost, not late; the next one after it fires; a restart shortens nothing."""
    one = rig()
    for t in (0, 10, 59, 60, 130):
        one.put(WIPER, 5, t).put(WIPER, 0, t + 0.5)
    assert times(one) == [0, 60, 130]
    again = rig(memory=one.memory, start_s=140)
    again.put(WIPER, 5, 141).put(WIPER, 0, 142).put(WIPER, 5, 200)
    assert times(again) == [200]


def test_a_condition_that_stayed_true_over_a_restart_does_not_fire_again() -> None:
    """What was decided last is remembered."""
    one = rig()
    one.put(WIPER, 5, 0)
    again = rig(memory=one.memory, start_s=1000)
    again.put(WIPER, 5, 1001)
    assert times(again) == []


def test_a_condition_that_became_true_while_off_fires_once() -> None:
    """As does one that is true the first time it is ever seen."""
    one = rig()
    one.put(WIPER, 0, 0)
    again = rig(memory=one.memory, start_s=1000)
    again.put(WIPER, 5, 1001).put(WIPER, 6, 1002)
    first = rig()
    first.put(WIPER, 5, 7)
    assert (times(again), times(first)) == ([1001], [7])


class Counted(DictMemory):
    """Counts the writes of the event's state."""

    written = 0

    def set(self, key: str, value: bytes) -> None:
        self.written += key == "event/rain"
        super().set(key, value)


def test_a_flapping_signal_is_not_written_at_every_edge() -> None:
    """Ten edges a second for ten seconds: written when it fires and at most every 5 s else, and the last state in the end."""
    one = rig(memory=(memory := Counted()))
    for edge in range(100):
        one.put(WIPER, 5 * (edge % 2 == 0), edge / 10)
    assert memory.written <= 3
    one.put(WIPER, 0, 20)
    assert (memory.get("event/rain") or b"")[:1] == b"\x00"


def test_undecidable_is_no_edge() -> None:
    """Silence, or a value that cannot be compared, neither fires nor makes the next true an edge."""
    one = rig(Event(when="Test.Wiper >= 3", min_gap_s=0))
    one.put(WIPER, 5, 0).silence(WIPER, 1, 6).put(WIPER, 5, 7).put(WIPER, "broken", 8).put(WIPER, 5, 9)
    assert times(one) == [0]


def test_half_known_conditions_follow_three_valued_logic() -> None:
    """`or` needs one known true part, `and` all of them."""
    either = rig(Event(when="Test.Wiper >= 3 or Test.Fog == true", min_gap_s=0))
    either.put(WIPER, 5, 1)
    both = rig(Event(when="Test.Wiper >= 3 and Test.Fog == true", min_gap_s=0))
    both.put(WIPER, 5, 1).put("Test.Fog", True, 2)
    assert (times(either), times(both)) == ([1], [2])


@pytest.mark.parametrize(("slow_at", "rain_at", "fires"), [(100, 160, True), (100, 161, False), (100, 99, True)])
def test_recent_must_have_held_lately(slow_at: float, rain_at: float, fires: bool) -> None:
    """Counted from when it last held, which is up to the moment the speed fell."""
    one = rig(FAST_RAIN)
    story = sorted([(1.0, SPEED, 80), (float(slow_at), SPEED, 0), (float(rain_at), WIPER, 4), (0.5, WIPER, 0)])
    for t, signal, value in story:
        one.put(signal, value, t)
    assert times(one) == ([rain_at] if fires else [])


def test_speed_of_a_condition_is_the_receivers_where_the_bus_tells_none() -> None:
    """Without a rule that has the speed among its signals."""
    one = rig(FAST_RAIN, speed_from_gnss=True)
    plain = plan(one.rules, {WIPER})
    one.pipeline.swap(replace(plain, wanted={name: want for name, want in plain.wanted.items() if name != SPEED}), ns(0))
    one.ignition("ON", 0).fix(ELSEWHERE, 1, speed_kmh=50).put(WIPER, 5, 2)
    assert times(one) == [2]


def test_recent_that_never_held_fires_nothing() -> None:
    """Rain in the garage."""
    one = rig(FAST_RAIN)
    one.put(SPEED, 10, 0).put(WIPER, 5, 1)
    assert times(one) == []


def test_an_event_brings_the_other_signals_of_its_stream() -> None:
    """Its kind and what is known at that moment, with the ignition on."""
    stream = {"stream": "hazard", "triggers": ("event:rain",)}
    rules = (rule(EVENT_KIND, **stream), rule(LOCATION, ("grid_m", 200), category="position", **stream))
    one = Rig(rules, events={"rain": RAIN})
    one.ignition("ON", 0).fix(ELSEWHERE, 1).put(WIPER, 5, 2)
    assert [row.signal for row in one.rows] == [EVENT_KIND, LOCATION]


def test_an_event_of_another_stream_is_not_this_ones() -> None:
    """Streams hear the events that they name."""
    rules = (rule(EVENT_KIND, stream="rain", triggers=("event:rain",)), rule(EVENT_KIND, stream="fog", triggers=("event:fog",)))
    one = Rig(rules, events={"rain": RAIN, "fog": Event(when="Test.Fog == true", min_gap_s=0)})
    one.put(WIPER, 5, 0).put("Test.Fog", True, 1)
    assert [(row.stream, row.value) for row in one.rows] == [("tests.rain", "rain"), ("tests.fog", "fog")]
