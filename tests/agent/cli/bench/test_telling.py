"""agent.cli.bench.telling: the words that the text and the page share. Most of them are read in test_report and test_what."""

from __future__ import annotations

import pytest

from agent.cli.bench import telling
from agent.cli.bench.telling import kinds, listed, pieces, trim_ever
from agent.vss import LOCATION
from hw.bench.truth import Drive
from tests.support.told import PLACE, PROBE, place, plan, refusal, rule, told


@pytest.mark.parametrize(("texts", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_a_list_reads_as_a_sentence(texts: list[str], said: str) -> None:
    """None, one, two and more."""
    assert listed(texts) == said


def test_a_piece_is_what_there_was_and_what_is_left() -> None:
    """A position is one signal of two values."""
    run = told(place(60, Drive.load("drive"), 1, value=39.5), 120, (0, plan("1", PLACE)))
    (piece,) = pieces(run, PROBE, run.lines)
    assert piece.signals == [LOCATION]
    assert piece.before == "exact from the receiver"
    assert piece.after == "centre of a 200 m square, none in the first 500 m nor where earlier trips ended"
    assert (piece.often, piece.last) == ("once", "39.5 39.5 degrees")


def test_kinds_of_message_are_counted_once() -> None:
    """One that left and was withdrawn did leave; one of which a single signal was refused was allowed; a notice is none of them."""
    asked, recall = rule("Vehicle.Speed", "teleservices.breakdown"), refusal("Vehicle.VersionVSS", "legal.recall")
    refused = [refusal(LOCATION), refusal("Vehicle.TraveledDistance", "teleservices.breakdown"), recall]
    lines = [*place(60, Drive.load("drive"), 1), *place(95, Drive.load("drive"), 1, "real_time_traffic.basis_ended")]
    assert kinds(told(lines, 120, (0, plan("1", PLACE, asked)), (90, plan("2", asked, refused=refused)))) == (1, 1, 1)


def test_the_longest_trim_of_a_run_is_told() -> None:
    """A stream that was withdrawn at the end was silent near the ends of its trips all the same."""
    run = told([], 120, (0, plan("1", PLACE)), (90, plan("2")))
    assert trim_ever(run, PROBE) == 500
    assert trim_ever(run, "teleservices.breakdown") is None


def test_what_the_emergency_centre_was_told_is_said_and_no_more() -> None:
    """A call of which it has read nothing told nothing; a message without a place told none."""
    spoken = "at 3 s: emergency call: the centre speaks with the car"
    blind = "at 4 s: emergency call: the centre has message 1 and acknowledges it: a test, VIN X, place not known, gasoline"
    whole = "at 9 s: emergency call: the centre has message 2 and acknowledges it: a test, VIN X, at 1, 2 (trusted), gasoline"
    assert (telling.beside([spoken]), telling.place_told([spoken])) == ("", False)
    assert "and no place" in telling.beside([spoken, blind])
    assert not telling.place_told([spoken, blind])
    assert "exact place" in telling.beside([spoken, blind, whole])
    assert telling.called([spoken, "at 5 s: the car crashed", "bus pt"]) == ["at 3 s: the centre speaks with the car"]
