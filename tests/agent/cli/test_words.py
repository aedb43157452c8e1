"""agent.cli.words: plain words for what files and messages say."""

from __future__ import annotations

import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.words import STEPS, basis, form, moment, occasions, only_on_demand, origin, signal_name, signal_names, term, wrapped
from agent.collect.aggregates import KINDS
from agent.collect.transforms import TRANSFORMS


@pytest.mark.parametrize(
    ("signal", "name"),
    [
        ("Vehicle.CurrentLocation", "position"),
        ("Vehicle.Powertrain.CombustionEngine.EngineOil.Level", "engine oil level"),
        ("Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear", "brake pad wear"),
        ("Vehicle.Cabin.Door.Row2.PassengerSide.Window.IsOpen", "door window open"),
        ("Vehicle.Private.DTCCount", "DTC count"),
        ("Vehicle.Cabin", "Vehicle.Cabin"),
    ],
)
def test_a_signal_has_a_name_in_plain_words(signal: str, name: str) -> None:
    """Without the branches that only sort, without places; never nothing."""
    assert signal_name(signal) == name


def test_no_two_shipped_signals_of_a_stream_are_mixed_up() -> None:
    """Names that are the same differ only in the place on the car."""
    for file in load_catalogue(shipped_catalogue()).services.values():
        for stream in file.streams:
            names = [signal_name(signal.id) for signal in stream.signals]
            leaves = {(signal_name(signal.id), signal.id.rsplit(".", 1)[-1]) for signal in stream.signals}
            assert len(leaves) == len(set(names)), stream.id


def test_signals_of_several_places_are_counted() -> None:
    """Each name once."""
    doors = [f"Vehicle.Cabin.Door.Row{row}.DriverSide.IsOpen" for row in (1, 2)]
    assert signal_names([*doors, "Vehicle.TraveledDistance"]) == "door open (2 places), odometer"


def test_every_step_has_words() -> None:
    """Transforms and aggregates, no more and no fewer."""
    assert set(STEPS) == set(TRANSFORMS) | set(KINDS)


def test_a_step_without_words_is_told_by_its_name() -> None:
    """A plug-in of an approved datum conversion."""
    assert form([{"datum:gcj02": True}]) == "datum:gcj02 True"
    assert form([]) == "unchanged"


def test_where_a_value_came_from() -> None:
    """Bus, receiver, or the unit itself."""
    said = [origin("Vehicle.Speed", made_here=False), origin("Vehicle.CurrentLocation", made_here=False), origin("M.X", made_here=True)]
    assert said == ["exact on the bus", "exact from the receiver", "counted by the unit"]
    assert origin("Modicum.Event.Kind", made_here=True) == "seen by the unit"


def test_a_stream_that_only_asking_triggers_is_known() -> None:
    """One other trigger, or none at all, and it is not."""
    assert only_on_demand({"triggers": ["request:place", "order:recall"]}) == "when place is asked or when an order for recall is given"
    assert only_on_demand({"triggers": ["request:place", "periodic"]}) is None
    assert only_on_demand({"triggers": []}) is None


def test_occasions_are_told_in_words() -> None:
    """Period, event by its title, distance, and what has to hold meanwhile."""
    rule = {"triggers": ["periodic", "event:fog_lamp", "event:odd", "distance:1000"], "every_s": 604_800, "while": "parked"}
    said = occasions(rule, load_catalogue(shipped_catalogue()).events, 500)
    assert said == 'every 7 days, at "Fog", at "odd", every 1000 km; while parked; none in the first 500 m nor where earlier trips ended'
    assert occasions({"triggers": ["periodic"], "every_s": 86_400, "while": "any"}, {}) == "every day"


def test_what_is_told_around_an_event_is_told_in_words() -> None:
    """How far back, how far on, how often; and nothing of it where there is none."""
    rule = {"triggers": ["event:odd"], "every_s": 2, "before_s": 10, "after_s": 6, "while": "any"}
    assert occasions(rule, {}) == 'at "odd" and the 10 s before it and the 6 s after it, every 2 s'
    assert occasions(rule | {"before_s": 0}, {}) == 'at "odd" and the 6 s after it, every 2 s'
    assert occasions(rule | {"before_s": 0, "after_s": 0}, {}) == 'at "odd"'


def test_references_moments_and_terms_are_for_people() -> None:
    """No microseconds, no powers of ten."""
    assert [basis("ledger:7"), basis("policy:2026-11"), basis("")] == ["ledger entry 7", "contract, policy 2026-11", "not kept"]
    assert moment("2027-06-01T12:00:00.123456+00:00") == "2027-06-01 12:00:00 UTC"
    assert [term(300), term(2_592_000)] == ["300 s", "30 days"]


def test_long_rows_stand_in() -> None:
    """Within 100 columns."""
    rows = wrapped("word " * 60, 2)
    assert max(map(len, rows)) <= 100
    assert rows[1].startswith("    word")
