"""`modicum request` against a running core."""

from __future__ import annotations

from tests.agent.cli.conftest import Agent, Cli


def test_the_answer_is_no_with_the_reason_where_it_may_not_leave(agent: Agent, cli: Cli) -> None:
    """The VIN of this car was never heard on its bus; a position needs its own grant."""
    agent.ask("profile.use", name="anna")
    for stream, reason in (("teleservices.breakdown", "not_on_vehicle"), ("remote_assistance.find_vehicle", "no_consent")):
        said = cli("request", stream, "--config", agent.config)
        assert (said.status, said.out) == (1, "")
        assert said.err == f"modicum: {stream} may not leave: {reason} (request): modicum explain says more\n"


def test_what_cannot_be_asked_for_names_what_can(agent: Agent, cli: Cli) -> None:
    """Exit status 2, in one line."""
    said = cli("request", "real_time_traffic.probe", "--config", agent.config)
    assert said.status == 2
    assert "there are information_online.place, journey_consulting.call" in said.err


def test_nothing_to_be_had_is_said_with_what_was_asked_for(agent: Agent, cli: Cli) -> None:
    """The car says nothing but its ignition: the answer comes at once, is a JSON document, and the exit status says no."""
    said = cli("request", "remote_assistance.vehicle_status", "--config", agent.config, "--json")
    assert said.status == 1
    assert said.document["given"] == []
    assert "Vehicle.Powertrain.Range" in said.document["none"]
    assert "nothing was to be had" in said.err
