"""agent.cli.bench.where: where the car was, and what of it left."""

from __future__ import annotations

import re
from dataclasses import replace

from agent.cli.bench.journey import Journey
from agent.cli.bench.telling import Run
from agent.cli.bench.where import where
from agent.vss import LOCATION
from tests.support.told import PLACE, Parsed, journey, place, plan, played, refusal, rule, told

FIND = "remote_assistance.find_vehicle"


def shown(run: Run, scenario: str = "drive") -> Parsed:
    return Parsed(where(run, journey(scenario)))


def cells(parsed: Parsed) -> int:
    """Squares of the map, without the sample of the legend."""
    return sum(one["width"] != "17" for one in parsed.of_class("cell"))


def test_the_squares_are_those_that_were_received() -> None:
    """One for each place that a recipient of a real run read, and none besides; each touches the true way."""
    run, drive = played("drive", 120)
    halves = [line["value"] for line in run.lines if line["signal"].startswith(f"{LOCATION}.L")]
    squares = set(zip(halves[::2], halves[1::2], strict=True))
    way = Journey.of(drive, 120)
    assert cells(Parsed(where(run, way))) == len(squares) > 0
    for lat, lon in squares:
        east, north = way.plane(lat, lon)
        assert min(max(abs(east - one.east_m), abs(north - one.north_m)) for one in way.moments) < 101


def test_each_recipient_is_told_with_what_it_learnt() -> None:
    """How wide its squares are, how many reports and of how many squares."""
    drive = journey("drive").drive
    text = shown(told([*place(60, drive, 1), *place(60, drive, 2), *place(90, drive, 3)], 120, (0, plan("1", PLACE)))).text
    assert "The recipient \u201ctraffic\u201d got no place, only in which square of 200 m the car was: 3 reports of 2 squares" in text
    assert "the third, and again later" in text


def test_a_report_whose_time_was_cut_may_have_been_later() -> None:
    """Silence is not called longer than it was for sure; a rhythm that falls on the cut times tells the very moment."""
    drive, cut = journey("parking").drive, PLACE | {"every_s": 25}
    lines = [line for n, t_s in enumerate((60, 120, 450), 1) for line in place(t_s, drive, n)]
    assert "before the car was parked (2:10 to" in shown(told(lines, 640, (0, plan("1", cut))), "parking").text
    assert "before the car was parked (2:00 to" in shown(told(lines, 640, (0, plan("1", PLACE))), "parking").text


def test_the_legend_explains_what_is_in_the_map_and_no_more() -> None:
    """A way on which everything but a withdrawn part was told has no silence."""
    drive = journey("drive").drive
    plans = (0, plan("1", PLACE)), (60, plan("2", refused=[refusal(LOCATION)]))
    parsed = shown(told([*place(0, drive, 1), *place(60, drive, 2)], 120, *plans))
    assert "a part of it on which no place was allowed to leave" in parsed.text
    assert "a part of it of which no place left" not in parsed.text


def test_an_exact_place_is_told_and_drawn_as_one() -> None:
    """Somebody asked for it, and it is no square."""
    exact = rule(LOCATION, FIND, recipient="assistance", triggers=["request"], time_floor_s=0)
    parsed = shown(told(place(60, journey("drive").drive, 1, FIND), 120, (0, plan("1", exact))))
    assert "The recipient \u201cassistance\u201d got the exact place: 1 report" in parsed.text
    assert (cells(parsed), len(parsed.of_class("exact"))) == (0, 2)
    assert "Silence hides" not in parsed.text


def test_the_silent_parts_are_told_in_metres_and_minutes() -> None:
    """Up to the first report of each trip and from the last one on."""
    drive = journey("parking").drive
    lines = [line for n, t_s in enumerate((60, 120, 450), 1) for line in place(t_s, drive, n)]
    text = shown(told(lines, 640, (0, plan("1", PLACE))), "parking").text
    first, stop = drive.distance_m(60), drive.distance_m(journey("parking").trips[0][1]) - drive.distance_m(120)
    assert f"No place left of the first {first:,.0f} m of a trip (0:00 to 1:00), the last {stop:,.0f} m before the car was parked" in text
    assert "Silence hides where trips begin, and where earlier ones ended." in text


def test_a_withdrawal_is_told_and_drawn_where_it_was() -> None:
    """As what it is, and not as a silence that everybody has."""
    lines = [*place(50, journey("drive").drive, 1), *place(118, journey("drive").drive, 2)]
    plans = (0, plan("1", PLACE)), (60, plan("2", refused=[refusal(LOCATION)])), (90, plan("3", PLACE))
    parsed = shown(told(lines, 120, *plans))
    assert "while it was not allowed (1:00 to 1:30)" in parsed.text
    assert len(parsed.of_class("denied")) == 2


def test_what_another_stream_was_allowed_does_not_hide_a_withdrawal() -> None:
    """A place that anybody may ask for, and nobody did, told nothing."""
    asked = rule(LOCATION, FIND, triggers=["request"])
    plans = (0, plan("1", PLACE, asked)), (60, plan("2", asked, refused=[refusal(LOCATION)]))
    assert "while it was not allowed (1:00 to 2:00)" in shown(told(place(50, journey("drive").drive, 1), 120, *plans)).text


def test_without_a_grant_it_says_that_no_position_left() -> None:
    """With the reason for each stream that has one, the whole way as silent, and no square."""
    asked = rule(LOCATION, FIND, triggers=["request"])
    parsed = shown(told([], 120, (0, plan("1", asked, refused=[refusal(LOCATION), refusal("Vehicle.Speed")]))))
    assert "No position left the car: nobody was told where it was." in parsed.text
    assert parsed.of_class("cell") == parsed.of_class("order") == []
    assert "no place left" in parsed.text
    assert "nobody has granted it, or no valid order asks for it How traffic flows around you" in parsed.text
    assert "allowed when asked; while driving Where the car is, once, when you look for it" in parsed.text


def test_what_was_withdrawn_before_it_told_a_place_is_told_as_that() -> None:
    """Somebody had granted it."""
    text = shown(told([], 120, (0, plan("1", PLACE)), (10, plan("2", refused=[refusal(LOCATION)])))).text
    assert "nobody was told where it was. withdrawn during the run How traffic flows around you" in text
    assert "nobody has granted it" not in text


def test_a_moment_before_the_driver_is_known_is_no_withdrawal() -> None:
    """The start of the trip stays its start; where the car stood nothing is said of its way."""
    lines = [line for n, t_s in enumerate((60, 90), 1) for line in place(t_s, journey("parking").drive, n)]
    plans = (0, plan("1", refused=[refusal(LOCATION)])), (0.2, plan("2", PLACE))
    text = shown(told(lines, 640, *plans), "parking").text
    assert "m of a trip (0:00 to 1:00)" in text
    assert "not allowed" not in text
    assert not re.search(r"\b0 m", text)


def test_what_the_emergency_centre_was_told_is_not_left_out() -> None:
    """Where no service was told a place, and where one was."""
    notes = {"notes": ["at 39.5 s: emergency call: the centre has message 1 and acknowledges it: an automatic call"]}
    asked = rule(LOCATION, FIND, triggers=["request"])
    silent = told([], 120, (0, plan("1", asked)))
    assert "but to the emergency centre" in shown(replace(silent, summary={**silent.summary, **notes})).text
    spoke = told(place(50, journey("drive").drive, 1), 120, (0, plan("1", PLACE)))
    assert "Beside that, the emergency call told its centre" in shown(replace(spoke, summary={**spoke.summary, **notes})).text
