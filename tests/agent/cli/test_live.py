"""`modicum live` against a running core."""

from __future__ import annotations

import pytest

from tests.agent.cli.conftest import Agent, Cli


def says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"indicator": "off", "profile": "bob", "collecting": {}, "last_sent": {}}
    monkeypatch.setattr("agent.cli.live.asked", lambda config, route: empty)


@pytest.mark.req("R59", control=says_nothing)
def test_live_says_what_is_collected_now(agent: Agent, cli: Cli) -> None:
    """The streams of the plan that may speak now, who drives, and the indicator; as text and as JSON."""
    agent.ask("profile.use", name="bob")
    document = cli("live", "--config", agent.config)
    text = document.out
    assert (document.status, document.err) == (0, "")
    live = agent.ask("live")
    assert "indicator: collecting\n" in text
    assert "driver: bob\n" in text
    planned = {f"{rule['service']}.{rule['stream']}" for rule in agent.ask("plan")["rules"] if rule["while"] == "any"}
    assert set(live["collecting"]) == planned
    assert all(f"  {stream}: " in text for stream in planned)
    said = cli("live", "--config", agent.config, "--json").document
    assert (said["indicator"], said["ignition"], said["trip"]) == ("on", True, True)


def test_the_indicator_says_when_a_position_is_among_it(agent: Agent, cli: Cli) -> None:
    """A granted position that may be asked for at any time shows; withdrawn it does not."""
    agent.ask("profile.use", name="bob")
    agent.ask("consent.grant", item="breakdown.position", trip=True)
    assert cli("live", "--config", agent.config, "--json").document["indicator"] == "position"
    assert "position among it" in cli("live", "--config", agent.config).out
    agent.ask("consent.withdraw", item="breakdown.position")
    assert cli("live", "--config", agent.config, "--json").document["indicator"] == "on"
