"""agent.cli.bench.map: the true way of the car against the places that left."""

from __future__ import annotations

import itertools
import math
from functools import cache

import pytest

from agent.cli.bench.journey import Journey
from agent.cli.bench.map import ANCHORS, ASIDE, LABEL_GAP, LETTER, Report, draw_map, silences
from agent.cli.bench.places import Place
from agent.model import Position
from hw.bench.truth import Drive
from tests.support.told import Parsed


@cache
def journey(scenario: str = "parking") -> Journey:
    drive = Drive.load(scenario)
    return Journey.of(drive, drive.seconds)


def report(
    t_s: float, order: int = 1, width_m: float | None = 200.0, slack_s: float = 0.0, scenario: str = "parking", every_s: float = 30.0
) -> Report:
    """Of where the car was."""
    car = journey(scenario).drive.state(t_s)
    return Report(order, "t", "traffic", Place(t_s, Position(car.lat_deg, car.lon_deg), width_m, "a.b", slack_s, every_s))


def quiet(reports: list[Report], *barred: tuple[float, float]) -> list[tuple[str, float, float]]:
    return [(span.kind, span.begin_s, span.end_s) for span in silences(journey(), reports, barred)]


def drawn(*reports: Report, scenario: str = "parking") -> Parsed:
    way = journey(scenario)
    return Parsed(draw_map(way, reports, silences(way, reports), ""))


def test_silence_is_up_to_the_first_report_and_from_the_last_one_on() -> None:
    """Of each trip; a trip without a report is silent as a whole; a report whose time was cut may have been later."""
    first, second = journey().trips
    assert quiet([report(60.0, slack_s=10.0)]) == [("start", first[0], 60.0), ("end", 70.0, first[1]), ("trip", *second)]


def test_what_was_driven_after_the_last_report_is_not_told() -> None:
    """It is no end of a trip that goes on: the next report may have come a moment later."""
    parts = quiet([report(60.0), report(120.0), report(500.0)])
    assert [kind for kind, *_ in parts] == ["start", "end", "start", "open"]
    assert parts[-1] == ("open", 500.0, journey().seconds)


def test_a_single_report_tells_of_no_way() -> None:
    """Neither one that somebody asked for, nor two that are many periods apart."""
    asked = quiet([report(60.0, every_s=0.0), report(90.0, every_s=0.0)])
    assert asked[:3] == [("start", 0.0, 60.0), ("gap", 60.0, 90.0), ("end", 90.0, journey().trips[0][1])]
    assert ("gap", 20.0, 140.0) in quiet([report(20.0), report(140.0)])
    assert [kind for kind, *_ in quiet([report(20.0), report(50.0), report(140.0)])][:2] == ["start", "end"]


def test_what_was_not_allowed_is_none_of_the_silence() -> None:
    """It is told as barred, and what it cuts off from the start of the trip is no start."""
    parts = quiet([report(100.0), report(120.0), report(500.0)], (40.0, 70.0))
    assert parts[:3] == [("start", 0.0, 40.0), ("barred", 40.0, 70.0), ("gap", 70.0, 100.0)]


def test_a_withdrawal_in_the_middle_of_a_trip_is_a_part_of_its_own() -> None:
    """Up to the end of the trip, also where the run ends in it."""
    assert quiet([report(60.0), report(450.0)], (500.0, 640.0))[-1] == ("barred", 500.0, 640.0)


def test_a_square_is_drawn_once_and_in_scale() -> None:
    """However often it was reported, around its centre, 200 m wide in a plane of metres."""
    parsed = drawn(report(60.0), report(60.0, order=2), report(90.0, order=3))
    widths = [float(str(one["width"])) for one in parsed.of_class("cell")]
    assert widths == [pytest.approx(200, abs=2)] * 2
    assert "1\u2026" in parsed.text
    assert parsed.of_class("exact") == []


def test_a_square_lies_around_its_centre() -> None:
    """The true place is in the middle of the square that was made around it."""
    one = report(60.0)
    start, cell = journey().moments[0], drawn(one).of_class("cell")[0]
    track = str(next(line["points"] for line in drawn(one).of_class("track"))).split()[0].split(",")
    east = float(str(cell["x"])) + float(str(cell["width"])) / 2 - float(track[0]) + start.east_m
    north = float(track[1]) - float(str(cell["y"])) - float(str(cell["height"])) / 2 + start.north_m
    assert (east, north) == pytest.approx(journey().plane(*one.place.position), abs=1)


def test_an_exact_place_is_a_dot() -> None:
    """It has no square that would hide how exact it is."""
    parsed = drawn(report(60.0, width_m=None))
    assert len(parsed.of_class("exact")) == 1
    assert parsed.of_class("cell") == []
    assert "the exact place" in parsed.text


def test_a_dot_and_its_number_stand_where_the_car_was() -> None:
    """On the mark of the start, if it was there."""
    parsed = drawn(report(0.0, width_m=None))
    mark, dot, number = (parsed.of_class(name)[0] for name in ("mark", "exact", "order"))
    assert [float(str(dot[key]).rstrip("%")) for key in ("cx", "cy")] == pytest.approx(
        [float(str(mark[key])[:-1]) for key in ("cx", "cy")], abs=0.1
    )
    assert (number["x"], number["y"]) == (dot["cx"], dot["cy"])


def test_start_stop_and_end_have_words() -> None:
    """Each beside a mark; so has each silent part that is long enough to be seen."""
    parsed = drawn(report(60.0), report(120.0), report(500.0))
    assert len(parsed.of_class("mark")) == 3
    assert all(word in parsed.text for word in ("start", "parked here", "end of the run", "silent start", "\u25b2 north"))
    assert len(parsed.of_class("silent")) == 4


def test_a_part_that_was_not_allowed_looks_otherwise() -> None:
    """Who reads the map does not take a withdrawal for the silence that everybody has."""
    reports = [report(60.0), report(450.0)]
    parsed = Parsed(draw_map(journey(), reports, silences(journey(), reports, [(500.0, 640.0)]), ""))
    assert len(parsed.of_class("denied")) == 1
    assert "not allowed" in parsed.text


@pytest.mark.parametrize(
    ("scenario", "reports"), [("parking", (40, 480)), ("parking", (60, 120, 450)), ("city", (150, 200)), ("jam", (60,)), ("drive", (100,))]
)
def test_no_word_lies_on_another(scenario: str, reports: tuple[float, ...]) -> None:
    """On a phone, where letters are widest against the picture."""
    parsed = drawn(*(report(t_s, order=n, scenario=scenario) for n, t_s in enumerate(reports, 1)), scenario=scenario)
    boxes = [box for _, box in _boxes(parsed)]
    assert len(boxes) >= 3
    pairs = itertools.combinations(boxes, 2)
    assert [(one, other) for one, other in pairs if one[0] < other[1] and other[0] < one[1] and abs(one[2] - other[2]) < ASIDE] == []


def test_a_word_stands_beside_what_it_speaks_of() -> None:
    """Not nearer to another part of the way, where there is little room between a stop and the squares around it."""
    way, reports = journey(), [report(t_s, order=n) for n, t_s in enumerate((60, 120, 450), 1)]
    parsed = drawn(*reports)
    starts = [(left, right, y) for word, (left, right, y) in _boxes(parsed) if word == "silent start"]
    lines = [one["points"] for one in parsed.of_class("silent")]
    view = next(str(at["viewbox"]) for tag, at in parsed.elements if tag == "svg" and at.get("class") == "plane").split()
    wide_m, high_m = float(view[2]), float(view[3])
    assert len(way.trips) == len(starts) == 2
    for (left, right, y), points in zip(starts, (lines[0], lines[2]), strict=True):
        places = [(float(east) / wide_m, float(south) / high_m) for east, south in (one.split(",") for one in str(points).split())]
        assert min(max(left - x, x - right, 0) + abs(down - y) for x, down in places) < 3 * ASIDE


def test_a_part_that_is_too_short_for_a_word_has_none() -> None:
    """The dashes tell it; 258 m of a map of 6 km have no room."""
    told = [report(t_s, order=n) for n, t_s in enumerate((60.0, 120.0, 450.0, 540.0, 630.0), 1)]
    words = [word for word, _ in _boxes(drawn(*told))]
    assert sorted(words) == ["end of the run", "parked here", "silent start", "silent start", "start"]


def test_numbers_keep_apart() -> None:
    """Of many squares in a row some have none, but the first and the last have theirs."""
    numbers = drawn(*(report(t_s, order=n) for n, t_s in enumerate(range(450, 640, 5), 1)))
    places = [(float(str(at["x"]).rstrip("%")), float(str(at["y"]).rstrip("%"))) for at in numbers.of_class("order")]
    assert 2 < len(places) < 38
    assert {"1", "38"} <= set(numbers.words)
    assert [pair for pair in itertools.combinations(places, 2) if math.dist(*pair) < 100 * LABEL_GAP] == []


def test_a_wide_square_does_not_make_the_way_small() -> None:
    """It may reach beyond the picture."""
    boxes = [
        next(str(at["viewbox"]) for _, at in drawn(report(60.0, width_m=width_m)).elements if "viewbox" in at)
        for width_m in (200.0, 5000.0)
    ]
    assert boxes[0] == boxes[1]


@pytest.mark.parametrize("scenario", ["parking", "drive"])
def test_the_scale_is_of_a_round_length(scenario: str) -> None:
    """So long as it says, and neither too short to measure with nor in the way."""
    parsed = drawn(scenario=scenario)
    bar, box = parsed.of_class("bar")[0], next(str(at["viewbox"]) for _, at in parsed.elements if "viewbox" in at)
    share = float(str(bar["x2"]).rstrip("%")) / 100 - 0.03
    said = next(word for word in parsed.words if word.endswith((" m", " km")))
    number, _, unit = said.partition(" ")
    assert share * float(box.split()[2]) == pytest.approx(float(number) * {"m": 1, "km": 1000}[unit], rel=0.01)
    assert 0.1 <= share <= 0.25


def _boxes(parsed: Parsed) -> list[tuple[str, tuple[float, float, float]]]:
    """Each word of the map that was given a place: from where to where it reaches, and how far down, in shares."""
    places = [at for tag, at in parsed.elements if tag == "text"]
    boxes = []
    for at, word in zip(places, parsed.words[-len(places) :], strict=True):  # titles come first
        if at.get("class") != "order" and at.get("dy") == "0.35em":
            wide = LETTER * len(word)
            left = float(str(at["x"]).rstrip("%")) / 100 - wide * ANCHORS[str(at["text-anchor"])]
            boxes.append((word, (left, left + wide, float(str(at["y"]).rstrip("%")) / 100)))
    return boxes
