"""`modicum audit show` against a running core."""

from __future__ import annotations

from tests.agent.cli.conftest import Agent, Cli


def test_nothing_has_left_a_car_without_an_uplink(agent: Agent, cli: Cli) -> None:
    """None is on record as sent; as text it says so in words."""
    assert cli("audit", "show", "--config", agent.config).out == "nothing has left yet\n"
    assert cli("audit", "show", "--config", agent.config, "--json").document == []


def test_limit_is_a_number_that_makes_sense(agent: Agent, cli: Cli) -> None:
    """One to ten thousand lines."""
    assert cli("audit", "show", "--limit", "1", "--config", agent.config).status == 0
    for limit in ("0", "-1", "10001", "many"):
        said = cli("audit", "show", "--limit", limit, "--config", agent.config)
        assert (said.status, len(said.err.splitlines())) == (2, 1)
