"""`modicum profile` against a running core."""

from __future__ import annotations

import uuid

from tests.agent.cli.conftest import Agent, Cli


def test_list_use_and_add(agent: Agent, cli: Cli) -> None:
    """A driver is added, confirmed and listed; guest is always possible."""
    name = f"d{uuid.uuid4().hex[:8]}"
    assert cli("profile", "add", name, "--config", agent.config).out == f"added: {name}\n"
    assert cli("profile", "use", name, "--config", agent.config).out == f"driving: {name}\n"
    document = cli("profile", "list", "--config", agent.config, "--json").document
    assert document["current"] == name
    assert {"name": name, "kind": "adult"} in document["profiles"]
    text = cli("profile", "list", "--config", agent.config).out
    assert f"* {name} (adult)" in text
    assert text.endswith(f"driving: {name}\n")
    assert cli("profile", "use", "guest", "--config", agent.config, "--json").document == {"current": "guest"}


def test_a_minor_is_marked_and_may_not_grant_what_is_sensitive(agent: Agent, cli: Cli) -> None:
    """Without a guardian reference: exit 2 for a position, 0 for a rounded counter."""
    name = f"m{uuid.uuid4().hex[:8]}"
    cli("profile", "add", name, "--minor", "--config", agent.config)
    cli("profile", "use", name, "--config", agent.config)
    assert f"{name} (minor)" in cli("profile", "list", "--config", agent.config).out
    assert "minor" in cli("consent", "grant", "traffic.position", "--trip", "--config", agent.config).refused(2)
    assert cli("consent", "grant", "improvement.usage", "--trip", "--config", agent.config).status == 0


def test_grants_stay_with_their_driver(agent: Agent, cli: Cli) -> None:
    """What anna granted is not bob's, and is anna's again when she is confirmed again."""
    cli("profile", "use", "anna", "--config", agent.config)
    cli("consent", "grant", "information.place", "--trip", "--config", agent.config)

    def state() -> str:
        items = cli("consent", "show", "--config", agent.config, "--json").document["items"]
        found: str = next(row["state"] for row in items if row["item"] == "information.place")
        return found

    cli("profile", "use", "bob", "--config", agent.config)
    assert state() == "NOT_SET"
    cli("profile", "use", "anna", "--config", agent.config)
    assert state() == "YES"


def test_refusals_are_one_line(agent: Agent, cli: Cli) -> None:
    """An unknown driver, one that exists, guest, no name, a name that is none."""
    assert "no profile nobody" in cli("profile", "use", "nobody", "--config", agent.config).refused(2)
    for name in ("anna", "guest"):
        assert f"a profile {name} exists" in cli("profile", "add", name, "--config", agent.config).refused(2)
    for name in ("", "a\nb", "x" * 300):
        cli("profile", "add", name, "--config", agent.config).refused(2)
