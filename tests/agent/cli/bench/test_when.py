"""agent.cli.bench.when: which moments of a drive were told, and which could not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.bench.journey import Journey
from agent.cli.bench.telling import Run
from agent.cli.bench.when import when
from agent.vss import LOCATION
from hw.bench.scenario import FOLDER
from tests.support.told import PLACE, Parsed, journey, place, plan, played, refusal, rule, told

ACTIONS = """
[[action]]
at_s = 15
do = "withdraw"
name = "traffic.position"
[[action]]
at_s = 30
do = "grant"
name = "traffic.position"
"""
GONE = plan("2", refused=[refusal(LOCATION)])


def shown(run: Run, scenario: str = "drive") -> Parsed:
    return Parsed(when(run, journey(scenario)))


def reports(scenario: str, *times_s: float) -> list[dict[str, object]]:
    """A place at each of these seconds."""
    return [line for n, t_s in enumerate(times_s, 1) for line in place(t_s, journey(scenario).drive, n)]


def test_each_message_has_a_tick() -> None:
    """In percent of the time; a message is one, however many values it has."""
    ticks = [one["x1"] for one in shown(told(reports("drive", 60, 90), 120, (0, plan("1", PLACE)))).of_class("tick")]
    assert [tick for tick in ticks if "%" in str(tick)] == ["50.00%", "75.00%"]


def test_what_the_scenario_withdraws_is_shaded_up_to_its_next_grant(tmp_path: Path) -> None:
    """In a real run, in which somebody in the car did both."""
    path = tmp_path / "acts.toml"
    path.write_text((FOLDER / "drive.toml").read_text() + ACTIONS)
    run, drive = played(str(path), 40)
    parsed = Parsed(when(run, Journey.of(drive, 40)))
    assert parsed.stretches("barred") == [pytest.approx((37.5, 75), abs=2)] * 2  # both streams that rest on this grant


def test_what_ended_otherwise_is_shaded_too() -> None:
    """The scenario says nothing of it: another terminal, a change of driver, a key."""
    plans = (0, plan("1", PLACE)), (60, GONE), (90, plan("3", PLACE)), (102, GONE)
    parsed = shown(told(reports("drive", 50), 120, *plans))
    assert parsed.stretches("barred") == [pytest.approx((50, 75), abs=1), pytest.approx((85, 100), abs=1)]


def test_before_its_first_grant_a_stream_is_shaded() -> None:
    """From the first moment to the grant."""
    run = told(reports("drive", 90), 120, (0, plan("1", refused=[refusal(LOCATION)])), (60, plan("2", PLACE)))
    assert shown(run).stretches("barred") == [pytest.approx((0, 50), abs=1)]


def test_a_stream_that_was_never_allowed_has_a_row_with_the_reason() -> None:
    """Shaded from end to end; one that waits for somebody to ask has none, for it would not have spoken."""
    asked = "teleservices.breakdown"
    parsed = shown(told([], 120, (0, plan("1", refused=[refusal(LOCATION), refusal("Vehicle.Speed", asked)]))))
    assert parsed.stretches("barred") == [(0.0, 100.0)]
    assert "How traffic flows around you, every half minute while you drive" in parsed.text
    assert "nothing: nobody has granted it" in parsed.text


def test_a_stream_that_was_withdrawn_before_it_spoke_has_a_row() -> None:
    """Otherwise nobody would see that it could have spoken; one that was allowed all the time has none."""
    hazard = rule(LOCATION, "real_time_traffic.hazard", triggers=["event:fog_lamp"])
    gone = plan("2", PLACE, refused=[refusal(LOCATION, "real_time_traffic.hazard")])
    parsed = shown(told([], 120, (0, plan("1", PLACE, hazard)), (60, gone)))
    assert parsed.stretches("barred") == [pytest.approx((50, 100), abs=1)]
    assert "A slippery road, heavy rain or fog, where you meet it" in parsed.text
    assert "0 messages" in parsed.text
    assert "How traffic flows" not in parsed.text


def test_a_stream_that_waited_for_the_vin_has_no_row() -> None:
    """It was allowed as soon as the bus had named it, and nobody had forbidden it before."""
    run = told([], 120, (0, plan("1", refused=[refusal(LOCATION)])), (0.7, plan("2", PLACE)))
    assert shown(run).stretches("barred") == []


def test_what_says_that_a_grant_has_ended_is_never_barred() -> None:
    """No plan has its stream, and still it left."""
    notice = {"service": "real_time_traffic", "stream": "basis_ended", "identity": "pairwise", "signal": "Modicum.Basis.Ended"}
    line = {**notice, "seq": 1, "unit": "", "value": ["probe"], "t": reports("drive", 60)[0]["t"]}
    assert shown(told([line], 120, (0, plan("1", PLACE)))).stretches("barred") == []


def test_a_trimmed_stream_is_silent_up_to_its_first_report_and_after_its_last() -> None:
    """Of each trip, with the stop between them as not driving."""
    lines = reports("parking", 60, 90, 450, 480)
    parsed = shown(told(lines, 640, (0, plan("1", PLACE))), "parking")
    (first, first_end_s), (second, _) = journey("parking").trips
    shares = [(first / 6.4, 60 / 6.4), (120 / 6.4, first_end_s / 6.4), (second / 6.4, 450 / 6.4)]
    assert parsed.stretches("trim") == [pytest.approx(share, abs=0.3) for share in shares]
    assert parsed.stretches("parked") == [pytest.approx((first_end_s / 6.4, second / 6.4), abs=0.3)]


def test_after_a_withdrawal_the_last_report_does_not_tell_where_silence_began() -> None:
    """What was not allowed is not called silence."""
    lines = reports("parking", 60, 90)
    parsed = shown(told(lines, 640, (0, plan("1", PLACE)), (130, GONE)), "parking")
    assert parsed.stretches("trim") == [pytest.approx((0, 60 / 6.4), abs=0.3)]
    assert parsed.stretches("barred") == [pytest.approx((130 / 6.4, 100), abs=0.3)]


def test_silence_ends_where_a_withdrawal_begins() -> None:
    """And what comes after the next grant is no start of a trip; nor is it its end before that grant."""
    plans = (0, plan("1", PLACE)), (30, GONE), (45, plan("3", PLACE)), (125, GONE), (135, plan("5", PLACE)), (400, GONE)
    parsed = shown(told(reports("parking", 60, 90), 640, *plans), "parking")
    stop_s = journey("parking").trips[0][1]
    assert parsed.stretches("trim") == [pytest.approx((0, 30 / 6.4), abs=0.3), pytest.approx((135 / 6.4, stop_s / 6.4), abs=0.3)]


def test_a_stream_without_a_rhythm_is_silent_by_the_way_driven() -> None:
    """Nothing triggers it, so that its first report says nothing of where silence ended."""
    events = PLACE | {"triggers": ["event:fog_lamp"]}
    end_s = journey("drive").drive.time_of_distance_s(500)
    assert shown(told(reports("drive", 90), 120, (0, plan("1", events)))).stretches("trim") == [pytest.approx((0, end_s / 1.2), abs=1)]


def test_a_stream_for_the_parked_car_cannot_speak_while_it_is_driven() -> None:
    """The other way round than most."""
    guard = rule("Vehicle.LowVoltageBattery.CurrentVoltage", "teleservices.battery_guard") | {"while": "parked"}
    line = {**reports("parking", 300)[0], "service": "teleservices", "stream": "battery_guard", "signal": guard["signal"]}
    parsed = shown(told([line], 640, (0, plan("1", guard))), "parking")
    assert [kind for kind in ("driving", "parked", "trim", "barred") if parsed.stretches(kind)] == ["driving"]
    assert len(parsed.stretches("driving")) == 2


def test_a_time_that_is_cut_coarsely_is_told_as_one() -> None:
    """Its tick stands where its time says, which is not when it left."""
    days = PLACE | {"time_floor_s": 86_400, "triggers": ["request"]}
    assert "marked where its time, cut to 86400 s, says" in shown(told(reports("drive", 60), 120, (0, plan("1", days)))).text
    assert "cut to" not in shown(told(reports("drive", 60), 120, (0, plan("1", PLACE)))).text


def test_the_legend_explains_what_is_drawn_and_no_more() -> None:
    """A hatching that is nowhere needs no word."""
    text = shown(told(reports("drive", 60), 120, (0, plan("1", PLACE)))).text
    assert "silent start or end" in text
    assert "a message that left" in text
    assert "not allowed" not in text
    assert "a speed that left" not in text
    assert "a message that left" not in shown(told([], 120, (0, plan("1", PLACE)))).text


def test_a_cut_link_is_told_beside_the_moments() -> None:
    """What tells of then left later: a mark is no time of departure."""
    run = told(reports("drive", 60.0), 120, (0, plan("1", PLACE)))
    cut = replace(run, summary={**run.summary, "link_cuts_s": [(6.0, 32.0), (53.0, 56.2)]})
    assert "The link was cut from 0:06 to 0:32 and 0:53 to 0:56. What tells of then waited in the car" in shown(cut).text
    assert "The link was cut" not in shown(run).text
