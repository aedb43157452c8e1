"""agent.cli.bench.what: what left, piece by piece, and what did not."""

from __future__ import annotations

from typing import Any

from agent.cli.bench.telling import Run
from agent.cli.bench.what import what
from agent.vss import LOCATION
from hw.bench.truth import Drive
from tests.support.told import PLACE, PROBE, Parsed, place, plan, played, refusal, rule, told


def shown(run: Run) -> Parsed:
    return Parsed("".join(what(run)))


def lines(**changed: Any) -> list[dict[str, Any]]:
    return place(60, Drive.load("drive"), 1, **changed)


def test_a_table_tells_before_and_after() -> None:
    """The words of the text report, in columns; each cell knows the name of its column, which a phone shows beside it."""
    parsed = shown(told(lines(), 120, (0, plan("1", PLACE))))
    assert (
        "position exact from the receiver centre of a 200 m square, none in the first 500 m "
        "nor where earlier trips ended once" in parsed.text
    )
    assert [one["data-is"] for tag, one in parsed.elements if tag == "td"] == ["What", "In the car", "What left", "How often", "Last value"]


def test_a_stream_is_told_with_recipient_and_reason() -> None:
    """Under which identity, how much of it, and the VIN where it left."""
    text = shown(told(lines(identity="vin", vin="WMWTESTCAR0000001"), 120, (0, plan("1", PLACE)))).text
    assert "To traffic , with the VIN: 2 values in 1 message, times cut to 10 s. The VIN, the car's own number" in text
    assert "WMWTESTCAR0000001. Because entry 1." in text
    assert "the car's own number" not in shown(told(lines(), 120, (0, plan("1", PLACE)))).text


def test_every_stream_is_named() -> None:
    """By its title and its full name, whether it left, was allowed or was withheld."""
    run, _ = played("drive", 120)
    text = shown(run).text
    rules = [*run.chronicle.plan["rules"], *run.chronicle.plan["refused"]]
    names = {f"{one['service']}.{one['stream']}" for one in (*run.lines, *rules)}
    assert len(names) == 15
    assert [name for name in names if name not in text or run.title(name) not in text] == []


def test_what_was_allowed_and_did_not_speak_is_told() -> None:
    """With what it waits for."""
    text = shown(told([], 120, (0, plan("1", PLACE)))).text
    assert "What left, piece by piece Nothing." in text
    assert f"({PROBE}) every 30 s; while driving; none in the first 500 m nor where earlier trips ended" in text
    assert "Nothing: everything that a service could ask for is allowed." in text


def test_what_was_withheld_is_told_with_its_reason() -> None:
    """In words; what was withdrawn during the run, as that."""
    refused = (refusal(LOCATION), refusal("Vehicle.Private.SoftwareLevels", "legal.recall", "no_package"))
    text = shown(told(lines(), 120, (0, plan("1", PLACE)), (90, plan("2", refused=refused)))).text
    assert "position: withdrawn during the run" in text
    assert "software levels: the owner's package does not contain this service" in text
    assert "Because entry 1; withdrawn during the run." in text


def test_many_signals_of_one_row_are_counted() -> None:
    """Their last values would fill the page."""
    names = [f"Vehicle.Chassis.Axle.Row{row}.Wheel.{side}.Brake.PadWear" for row in (1, 2, 3) for side in ("Left", "Right")]
    many = [{**lines()[0], "signal": name, "unit": "percent", "value": 40} for name in names]
    assert "6 values" in shown(told(many, 120, (0, plan("1", *(rule(name) for name in names))))).text


def test_what_somebody_in_the_car_did_is_told() -> None:
    """Each act with what came of it; without one there is no such heading."""
    run = told([], 120, (0, plan("1", PLACE)))
    assert "What somebody" not in shown(run).text
    noted = Run(
        lines=(),
        summary={**run.summary, "notes": ["at 8 s: grant x: done", "bus b"]},
        chronicle=run.chronicle,
        catalogue=run.catalogue,
        start_ns=0,
    )
    assert "What somebody in the car did at 8 s: grant x: done What was allowed" in shown(noted).text
