"""agent.cli.bench.strips: what left when, over the time of the drive."""

from __future__ import annotations

import pytest

from agent.cli.bench.journey import Journey, Span
from agent.cli.bench.strips import LABELS, Row, draw_axis, draw_row, draw_speed, legend, patterns
from agent.cli.bench.style import STYLE
from hw.bench.truth import Drive
from tests.support.told import Parsed

JOURNEY = Journey.of(Drive.load("drive"), 120)


def test_a_row_has_its_messages_and_its_shades_in_their_places() -> None:
    """In percent of the time; each says what it is to whoever points at it."""
    row = Row("t", "n", [(30.0, "message at 0:30")], [Span(60.0, 90.0, "barred")])
    parsed = Parsed(draw_row(JOURNEY, row))
    assert [one["x1"] for one in parsed.of_class("tick")] == ["25.00%"]
    assert parsed.stretches("barred") == [(50.0, 75.0)]
    assert parsed.words == ["t: n", "not allowed, 1:00 to 1:30", "not allowed", "message at 0:30"]


def test_a_shade_without_room_has_no_word() -> None:
    """The word would lie over what stands beside it."""
    parsed = Parsed(draw_row(JOURNEY, Row("t", "n", [], [Span(60.0, 70.0, "trim")])))
    assert "text" not in {tag for tag, _ in parsed.elements}


@pytest.mark.parametrize("kind", LABELS)
def test_each_reason_has_a_hatching(kind: str) -> None:
    """Seen also by who sees no colours: the style fills it with a pattern that is in the page."""
    made = {attributes["id"] for tag, attributes in Parsed(patterns()).elements if tag == "pattern"}
    fills = [rule for rule in STYLE.split("}") if f".{kind}" in rule.partition("{")[0].split(",")[-1] or f".{kind}," in rule]
    assert any(f"url(#{name})" in rule for rule in fills for name in made)


def test_speeds_that_left_lie_over_the_true_speed() -> None:
    """A dot for each, at its time, the higher the faster."""
    dots = Parsed(draw_speed(JOURNEY, [(30.0, 80.0), (60.0, 20.0)], "")).of_class("dot")
    assert [dot["cx"] for dot in dots] == ["25.00%", "50.00%"]
    assert float(str(dots[0]["cy"]).rstrip("%")) < float(str(dots[1]["cy"]).rstrip("%"))


@pytest.mark.parametrize("seconds", [5.0, 120.0, 1359.0, 86_400.0])
def test_an_axis_has_few_marks(seconds: float) -> None:
    """So many as a phone can show, the first at the beginning."""
    words = Parsed(draw_axis(Journey.of(Drive.load("drive"), seconds))).words
    assert 2 <= len(words) <= 7
    assert words[0] == "0:00"


def test_a_legend_shows_what_it_explains() -> None:
    """A sample in the class of the picture, and a word."""
    parsed = Parsed(legend(("circle", "exact", "an exact place")))
    assert [tag for tag, attributes in parsed.elements if attributes.get("class") == "exact"] == ["circle"]
    assert parsed.text == "an exact place"
