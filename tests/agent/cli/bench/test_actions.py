"""What somebody in the car does during a drive: once, in its time, and told at the end whatever came of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.bench.actions import NO_CALL, ROUTE_OF, Actions, asking
from agent.control.routes import ROUTES
from hw.bench.scenario import Action, ScenarioError, load_scenario
from tests.agent.cli.conftest import Agent
from tests.support.virtual import play
from tests.support.wait import until

DRIVE = """
title = "Asking"
seconds = 30
[start]
lat_deg = 31.0
lon_deg = 121.0
odometer_km = 10.0
[[route]]
straight_m = 900
[[speed]]
at_s = 0
kmh = 0
[[change]]
at_s = 0
set = {{ ignition = "ON" }}
{actions}
"""


def scenario(folder: Path, *actions: tuple[float, str, str]) -> Path:
    told = "".join(f'[[action]]\nat_s = {at_s}\ndo = "{do}"\nname = "{name}"\n' for at_s, do, name in actions)
    path = folder / "asking.toml"
    path.write_text(DRIVE.format(actions=told))
    return path


def test_an_action_is_due_once_and_in_its_order() -> None:
    """Not before its time; late is not never."""
    actions = Actions(
        [Action(at_s=5, do="grant", name="b"), Action(at_s=3, do="request", name="a.b"), Action(at_s=9, do="withdraw", name="c")]
    )
    assert actions.due(2.9) == []
    assert [action.name for action in actions.due(6)] == ["b", "a.b"]
    assert actions.due(6) == []
    assert [action.name for action in actions.due(100)] == ["c"]


def test_every_kind_of_action_has_a_route_that_exists() -> None:
    """With the argument that the route takes; a grant is for this trip."""
    assert {route for route, _ in ROUTE_OF.values()} <= ROUTES.keys()
    assert asking(Action(at_s=1, do="grant", name="x.y")) == ("consent.grant", {"item": "x.y", "trip": True})
    assert asking(Action(at_s=1, do="request", name="a.b")) == ("request", {"stream": "a.b"})


def test_what_was_done_is_told_in_the_notes(tmp_path: Path) -> None:
    """What was collected, what was refused and why, what was withdrawn; and it had its effect."""
    path = scenario(
        tmp_path,
        (5, "request", "remote_assistance.vehicle_status"),
        (8, "withdraw", "assistance.position"),
        (10, "request", "remote_assistance.find_vehicle"),
    )
    played = play(str(path), 30)
    notes = played.run.notes
    assert "at 5 s: request remote_assistance.vehicle_status: 16 collected" in notes
    assert "at 8 s: withdraw assistance.position: done" in notes
    assert any(note.startswith("at 10 s: request remote_assistance.find_vehicle: ") and "no_consent" in note for note in notes)
    streams = {f"{line['service']}.{line['stream']}" for line in played.lines}
    assert "remote_assistance.vehicle_status" in streams
    assert "remote_assistance.find_vehicle" not in streams


@pytest.mark.parametrize("action", [(-1.0, "request", "a.b"), (1.0, "honk", "a.b")])
def test_an_action_that_cannot_be_meant_is_refused(tmp_path: Path, action: tuple[float, str, str]) -> None:
    """Before the beginning, or nothing that somebody can do."""
    with pytest.raises(ScenarioError):
        load_scenario(scenario(tmp_path, action))


def test_on_a_running_agent_an_action_holds_nobody_up(agent: Agent) -> None:
    """It is asked in a thread of its own; what came of it is noted."""
    agent.ask("profile.use", name="bob")
    actions = Actions(
        [Action(at_s=0, do="request", name="remote_assistance.vehicle_status"), Action(at_s=0, do="withdraw", name="nothing")]
    )
    actions.act_live(agent.folder / "control.sock", 1.0)
    until(lambda: len(actions.done) == 2, within_s=10)
    assert any(note.endswith("vehicle_status: 0 collected") for note in actions.done)
    assert any("no consent item nothing" in note for note in actions.done)


def test_taking_back_what_nobody_granted_is_told_as_that(tmp_path: Path) -> None:
    """The first time something ended, the second time nothing was there."""
    path = scenario(tmp_path, (5, "withdraw", "assistance.position"), (8, "withdraw", "assistance.position"))
    notes = play(str(path), 15).run.notes
    assert "at 5 s: withdraw assistance.position: done" in notes
    assert "at 8 s: withdraw assistance.position: nothing was granted" in notes


def test_what_is_done_without_the_agent_is_noted_alike() -> None:
    """In the form that the end report knows."""
    actions = Actions([])
    actions.note(12.5, "cut the link")
    assert actions.done == ["at 12.5 s: cut the link: done"]


def test_who_takes_the_wheel_is_noted_once() -> None:
    """Not who sat there from the beginning."""
    actions = Actions([])
    for t_s, name in ((0.2, "driver"), (3.0, "driver"), (40.04, "anna"), (41.0, "anna"), (90.0, "driver")):
        actions.drives(t_s, name)
    assert actions.done == ["at 40 s: anna takes the wheel", "at 90 s: driver takes the wheel"]


def test_a_crash_is_noted_once_when_it_has_been() -> None:
    """With what came of it, where nobody else tells that."""
    actions = Actions([])
    actions.crashed(None, 60.0)
    actions.crashed(61.0, 60.0)
    assert actions.done == []
    for t_s in (39.6, 60.0):
        actions.crashed(39.5, t_s, f": {NO_CALL}")
    assert actions.done == ["at 39.5 s: the car crashed: no emergency call is made on the virtual clock"]
