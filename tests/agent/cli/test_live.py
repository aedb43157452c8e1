"""`modicum live` against a running core."""

from __future__ import annotations

import pytest

from tests.agent.cli.conftest import Agent, Cli


def says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = {"left_s": 0, "reason": ""}
    empty = {"indicator": "off", "profile": "bob", "collecting": {}, "last_sent": {}, "last_sent_unsure": [], "unlocked": locked}
    monkeypatch.setattr("agent.cli.live.asked", lambda config, route: empty)


def asked_for(triggers: list[str]) -> bool:
    return all(trigger.startswith(("request:", "order:")) for trigger in triggers)


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
    rules = [rule for rule in agent.ask("plan")["rules"] if rule["while"] == "any" and not asked_for(rule["triggers"])]
    planned = {f"{rule['service']}.{rule['stream']}" for rule in rules}
    assert set(live["collecting"]) == planned
    assert all(f"  {stream}: " in text for stream in planned)
    said = cli("live", "--config", agent.config, "--json").document
    assert (said["indicator"], said["ignition"], said["trip"]) == ("on", True, True)


def test_a_position_that_is_only_asked_for_does_not_count_as_collected(agent: Agent, cli: Cli) -> None:
    """Granted, and nobody has asked: nothing is being collected of it, so the indicator does not say so."""
    agent.ask("profile.use", name="bob")
    agent.ask("consent.grant", item="breakdown.position", trip=True)
    said = cli("live", "--config", agent.config, "--json").document
    assert said["indicator"] == "on"
    assert "teleservices.breakdown_position" not in said["collecting"]
    agent.ask("consent.withdraw", item="breakdown.position")


def test_a_last_time_that_nobody_believes_has_the_mark_of_the_audit_log(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was not believed then; the other stream's was."""
    sent = dict.fromkeys(("a.b", "a.c"), "1970-01-01T00:00:07+00:00")
    told = {"indicator": "on", "profile": "bob", "collecting": {"a.b": ["X"], "a.c": ["X"]}, "last_sent": sent, "last_sent_unsure": ["a.b"]}
    monkeypatch.setattr("agent.cli.live.asked", lambda *_: told | {"unlocked": {"left_s": 0, "reason": ""}})
    assert cli("live").out.splitlines()[2:] == [
        "  a.b: X (last sent 1970-01-01 00:00:07 UTC (not believed))",
        "  a.c: X (last sent 1970-01-01 00:00:07 UTC)",
    ]
