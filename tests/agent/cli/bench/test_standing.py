"""agent.cli.bench.standing: how each stream stands at a moment of a drive."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.cli.bench.standing import barred, idle, left, trimmed_m
from tests.support.known import ran, withdrawn

PROBE = "How traffic flows around you, every half minute while you drive"
HAZARD = "A slippery road, heavy rain or fog, where you meet it"
COUNTERS = "Counters of the telematics unit"


def test_what_was_sent_last_comes_first() -> None:
    """With whom it went to and how long ago; one that the agent does not speak of comes last."""
    run = ran(75.0)
    now_s = run.start_ns / 1e9 + 75
    sent = {"real_time_traffic.probe": datetime.fromtimestamp(now_s - 12, UTC).isoformat(), "operations.health": ""}
    first, *others = left(run, sent, now_s)
    assert (first.title, first.words, first.ago) == (PROBE, "4 values to traffic, without any identity", "12 s ago")
    assert {row.ago for row in others} == {""}
    assert any(row.title.startswith(COUNTERS) for row in others)


def test_the_newest_value_of_each_signal_is_told_with_its_unit() -> None:
    """A position is one thing of two numbers; a counter has no unit."""
    rows = {row.title: row.newest for row in left(ran(75.0), {}, 0.0)}
    assert rows[PROBE].startswith("position 39.8")
    assert "speed 80 km/h" in rows[PROBE]
    assert "starts 1" in next(newest for title, newest in rows.items() if title.startswith(COUNTERS)).split("; ")


def test_the_vin_is_told_where_it_left() -> None:
    """Of whose messages it is part."""
    assert any(row.words.endswith("to teleservices, with the VIN") for row in left(ran(75.0), {}, 0.0))


def test_what_was_withdrawn_comes_first_among_what_is_withheld() -> None:
    """With both its streams; what this car does not have is told by signal, and last."""
    why = list(barred(withdrawn(ran(75.0))).items())
    assert why[0] == ("withdrawn during the run", [HAZARD, PROBE])
    assert any("; withdrawn during the run" in row.words for row in left(withdrawn(ran(75.0)), {}, 0.0))
    assert why[-1][0].startswith("this vehicle does not have the signal")
    assert "charge level, of: Whether the car is closed and how far it can go, when you ask" in why[-1][1]


def test_a_stream_is_left_withheld_or_idle() -> None:
    """Nothing of the catalogue that the plan speaks of is forgotten, and what is idle has not spoken."""
    run = ran(75.0)
    spoke = {row.title for row in left(run, {}, 0.0)}
    waits = {row.title for row in idle(run)}
    plan = run.chronicle.plan
    every = {run.title(f"{one['service']}.{one['stream']}") for one in (*plan["rules"], *plan["refused"])}
    assert not spoke & waits
    assert every == spoke | waits | {title for titles in barred(run).values() for title in titles if ", of: " not in title}


def test_the_silent_start_is_that_of_the_plan() -> None:
    """None where no stream is trimmed."""
    assert trimmed_m(ran(75.0).chronicle.plan) == 500
    assert trimmed_m(ran(75.0, granted=False).chronicle.plan) == 0
