"""Every scenario of config/bench from its beginning to its own end, on the virtual clock, against the oracle."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from hw.bench.scenario import load_scenario, scenario_names, scenario_path
from tests.support.virtual import Played, play

PROBE, HAZARD = "real_time_traffic.probe", "real_time_traffic.hazard"
REPORT, GUARD = "teleservices.service_report", "teleservices.battery_guard"
ASKED = (
    "information_online.place",
    "journey_consulting.call",
    "remote_assistance.find_vehicle",
    "remote_assistance.vehicle_status",
    "service_process.case",
    "teleservices.breakdown",
    "teleservices.breakdown_position",
)
LEAST: dict[str, dict[str, int]] = {
    "battery": {GUARD: 1},
    "city": {PROBE: 9, HAZARD: 1},
    "crash": {PROBE: 4, HAZARD: 1},
    "drive": {PROBE: 6, REPORT: 14},
    "handover": {PROBE: 5},
    "jam": {PROBE: 90},
    "minor": {PROBE: 6, REPORT: 13},
    "motorway": {PROBE: 24},
    "parking": {PROBE: 15},
    "rain": {PROBE: 12, HAZARD: 4},
    "receiver": {PROBE: 9},
    "requests": dict.fromkeys(ASKED, 1) | {"teleservices.service_report": 13},
    "service": {PROBE: 6, REPORT: 28},
    "tunnel": {PROBE: 9},
    "week": {"product_improvement.vehicle": 4, "operations.health": 14},
}
"""What each is there to show: at least so many certain samples of these streams."""


def test_each_scenario_is_there_to_show_something() -> None:
    """A new one is entered above with what it shows."""
    assert sorted(LEAST) == scenario_names()


def test_each_stream_is_shown_by_some_scenario() -> None:
    """But for the emergency call's, the one that only a signed order sets off, and the one whose answers are randomised."""
    catalogue = load_catalogue(shipped_catalogue())
    streams = {f"{name}.{stream.id}" for name, file in catalogue.services.items() for stream in file.streams}
    assert streams - {stream for shown in LEAST.values() for stream in shown} == {
        "ecall.msd",
        "legal.recall",
        "product_improvement.usage",
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LEAST)
def test_a_scenario_gives_exactly_what_its_truth_gives(name: str) -> None:
    """Each sample true, in form and in time; none missing, none besides; and what the scenario is about is among them."""
    played: Played = play(name, load_scenario(scenario_path(name)).seconds)
    assert played.faults() == []
    shown = Counter(sample.stream for sample in played.oracle.expected if sample.certain)
    assert {stream: shown[stream] for stream, least in LEAST[name].items() if shown[stream] < least} == {}
