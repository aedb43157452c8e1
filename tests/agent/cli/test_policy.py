"""`modicum policy` against a running core: the notice, its languages, and what it changes when it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.folders import config_folder
from agent.policy.versions import notice_hash
from tests.agent.cli.conftest import Agent, Cli

VERSION = "2026-11"
TEXTS = config_folder() / "policies" / VERSION


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Agent]:
    """A car in which nobody has said anything yet."""
    made = Agent(tmp_path)
    try:
        made.start()
        made.wait_for(lambda: bool(made.ask("live")["trip"]))
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_show_gives_the_text_in_the_language_asked_for(agent: Agent, cli: Cli, language: str) -> None:
    """Word for word as it was published."""
    text = (TEXTS / f"policy.{language}.md").read_text(encoding="utf-8")
    said = cli("policy", "show", "--language", language, "--config", agent.config)
    assert (said.status, said.err) == (0, "")
    assert said.out == f"{text}\nversion {VERSION}, acknowledged: {VERSION}\n"
    document = cli("policy", "show", "--language", language, "--version", VERSION, "--config", agent.config, "--json").document
    assert document == {"version": VERSION, "accepted": VERSION, "text": text, "versions": [VERSION]}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_accept_notes_which_text_was_read(agent: Agent, cli: Cli, language: str) -> None:
    """The entry keeps language and hash of the text, and it is no consent to anything."""
    text = (TEXTS / f"policy.{language}.md").read_text(encoding="utf-8")
    said = cli("policy", "accept", "--language", language, "--config", agent.config)
    assert (said.status, said.out) == (0, f"acknowledged: {VERSION}\n")
    entry = agent.ask("consent.history")[-1]
    assert (entry["kind"], entry["language"], entry["notice"]) == ("policy_accept", language, notice_hash(text).hex())
    assert "dpv" not in entry


def test_an_unknown_version_or_language_is_one_line(agent: Agent, cli: Cli) -> None:
    """Exit 2, and it says which there are."""
    for verb in ("show", "accept"):
        assert VERSION in cli("policy", verb, "--version", "1999-01", "--config", agent.config).refused(2)
        said = cli("policy", verb, "--language", "de", "--config", agent.config)
        assert (said.status, len(said.err.splitlines())) == (2, 1)


def test_before_the_policy_is_accepted_nothing_can_be_granted_or_collected(new: Agent, cli: Cli) -> None:
    """A new car: no rule for anybody, no grant; accepting wakes the contract's streams and only those."""
    assert new.ask("plan")["rules"] == []
    assert cli("policy", "show", "--config", new.config).out.endswith("acknowledged: none\n")
    cli("profile", "add", "anna", "--config", new.config)
    cli("profile", "use", "anna", "--config", new.config)
    assert "policy" in cli("consent", "grant", "traffic.position", "--trip", "--config", new.config).refused(2)
    assert cli("policy", "accept", "--config", new.config).status == 0
    assert {rule["basis"] for rule in new.ask("plan")["rules"]} == {"contract"}
    assert cli("consent", "grant", "traffic.position", "--trip", "--config", new.config).status == 0
