"""agent.cli.bench.seat: who sits behind the wheel of the simulated car confirms the trip."""

from __future__ import annotations

from typing import Any

import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.seat import kinds_of
from agent.cli.bench.virtual import play_virtual
from agent.consent import choice, state
from agent.core.virtual import VirtualRun
from agent.vehicle import load_vehicle
from hw.bench import scenario
from hw.bench.scenario import load_scenario, scenario_path
from tests.support.truth import VEHICLE


def played(name: str, seconds: float) -> VirtualRun:
    run, _, _ = play_virtual(
        scenario=name,
        seed=1,
        seconds=seconds,
        package="navigation_plus",
        choice=choice.Choice(True, None),
        catalogue=load_catalogue(shipped_catalogue()),
        vehicle=load_vehicle(VEHICLE),
    )
    return run


def uses(run: VirtualRun) -> list[Any]:
    """Who confirmed, in the order of the ledger."""
    return [entry["profile"] for entry in run.core.parts.ledger.history() if entry["kind"] == "profile_use"]


def test_the_bench_and_the_agent_call_the_first_driver_and_a_guest_alike() -> None:
    """The simulated car knows nothing of the agent, so the two words stand twice."""
    assert (scenario.DRIVER, scenario.GUEST) == (choice.DRIVER, state.GUEST)


def test_a_minor_of_the_scenario_is_a_minor_of_the_ledger() -> None:
    """And anybody else an adult."""
    assert kinds_of(load_scenario(scenario_path("minor"))) == {"kim": "minor"}
    assert kinds_of(load_scenario(scenario_path("handover"))) == {"anna": "adult"}


def test_each_trip_is_confirmed_by_whoever_drives_it() -> None:
    """The first trip by one, the second by the other; each once."""
    run = played("handover", 400)
    assert uses(run) == ["driver", "anna"]
    assert run.core.profile == "anna"


def test_who_takes_over_on_the_way_confirms_the_same_trip(capsys: pytest.CaptureFixture[str]) -> None:
    """And what the minor tried to allow was refused, in words."""
    run = played("minor", 200)
    assert uses(run) == ["kim", "driver"]
    assert [note for note in run.notes if note.startswith("at 60 s: grant traffic.position: a minor's profile has no sensitive items")]


def test_a_guest_confirms_nothing(tmp_path: Any) -> None:
    """Nobody says who drives: the ledger has no confirmation, and nothing that needs one leaves."""
    file = tmp_path / "guest.toml"
    text = scenario_path("drive").read_text(encoding="utf-8")
    file.write_text(text + '\n[[change]]\nat_s = 0\nset = { driver = "guest" }\n', encoding="utf-8")
    run = played(str(file), 120)
    assert uses(run) == []
    assert {line["service"] for line in run.received.lines} <= {"teleservices", "operations"}
