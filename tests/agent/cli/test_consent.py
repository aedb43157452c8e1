"""`modicum consent` against a running core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from agent.cli.consent import consent_group, grant, withdraw
from tests.agent.cli.conftest import Agent, Cli

ITEM, OTHER = "traffic.position", "improvement.usage"
UNTIL = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


@pytest.fixture(autouse=True)
def anna(agent: Agent) -> None:
    """Anna drives and has granted nothing."""
    agent.ask("profile.use", name="anna")
    for item in (ITEM, OTHER):
        agent.ask("consent.withdraw", item=item)


def state_of(agent: Agent, item: str = ITEM) -> str:
    found: str = next(row["state"] for row in agent.ask("consent.show")["items"] if row["item"] == item)
    return found


def test_show_has_every_item_and_what_was_said_to_it(agent: Agent, cli: Cli) -> None:
    """As text and as JSON; nothing is granted by default."""
    document = cli("consent", "show", "--config", agent.config, "--json").document
    assert document["profile"] == "anna"
    rows = {row["item"]: row for row in document["items"]}
    assert len(rows) == 8
    assert rows[ITEM] | {"title": ""} == {"item": ITEM, "title": "", "state": "NOT_SET", "until": None, "trip": False, "sensitive": True}
    text = cli("consent", "show", "--config", agent.config)
    assert (text.status, text.err) == (0, "")
    assert "driver: anna" in text.out
    assert all(item in text.out for item in rows)


def test_grant_until_a_date(agent: Agent, cli: Cli) -> None:
    """The item is YES until then, and its streams are in the plan at once."""
    said = cli("consent", "grant", ITEM, "--until", UNTIL, "--config", agent.config)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"granted: {ITEM} by anna, until {UNTIL}")
    assert state_of(agent) == "YES"
    assert {rule["stream"] for rule in agent.ask("plan")["rules"]} >= {"probe", "hazard"}
    assert UNTIL in cli("consent", "show", "--config", agent.config).out


def test_titles_in_chinese(agent: Agent, cli: Cli) -> None:
    """Of the agent's own catalogue, as text and as JSON."""
    text = cli("consent", "show", "--language", "zh", "--config", agent.config).out
    assert "为路况信息发送粗略、不带身份的位置" in text
    rows = cli("consent", "show", "--language", "zh", "--config", agent.config, "--json").document["items"]
    assert {row["item"]: row["title"] for row in rows}[OTHER].startswith("每周")


def test_a_bare_date_means_to_the_end_of_that_day(agent: Agent, cli: Cli) -> None:
    """The last moment of it, UTC; a date and time means that moment, in its own zone or UTC."""
    for words, end in ((UNTIL, "23:59:59.999"), (f"{UNTIL}T12:00:00", "12:00:00"), (f"{UNTIL}T12:00:00+08:00", "04:00:00")):
        until = cli("consent", "grant", ITEM, "--until", words, "--config", agent.config, "--json").document["until"]
        assert datetime.fromisoformat(until) == datetime.fromisoformat(f"{UNTIL}T{end}+00:00")


def test_dates_for_people_have_no_microseconds(agent: Agent, cli: Cli) -> None:
    """When it is granted and when it is shown, with the zone."""
    assert f"until {UNTIL} 23:59:59 UTC\n" in cli("consent", "grant", ITEM, "--until", UNTIL, "--config", agent.config).out
    assert f"until {UNTIL} 23:59:59 UTC\n" in cli("consent", "show", "--config", agent.config).out


def test_grant_for_the_trip(agent: Agent, cli: Cli) -> None:
    """It has no date; JSON says so."""
    document = cli("consent", "grant", ITEM, "--trip", "--config", agent.config, "--json").document
    assert (document["trip"], document["until"], document["profile"]) == (True, None, "anna")
    assert "for this trip" in cli("consent", "show", "--config", agent.config).out


def needs_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdraw, "params", [*withdraw.params, click.Option(["--reason"], required=True)])


@pytest.mark.req("R29", control=needs_a_reason)
def test_withdrawing_never_needs_more_words_than_granting(agent: Agent, cli: Cli) -> None:
    """No more arguments or required options than `grant`, no question, no further confirmation: these words do it."""
    granting = ["consent", "grant", ITEM, "--trip", "--config", agent.config]
    withdrawing = ["consent", "withdraw", ITEM, "--config", agent.config]
    assert len(withdrawing) < len(granting)
    assert cli(*granting).status == 0
    said = cli(*withdrawing)
    assert (said.status, said.out, said.err) == (0, f"withdrawn: {ITEM} by anna\n", "")
    assert state_of(agent) == "NOT_SET"
    assert not any(option.required for option in withdraw.params if isinstance(option, click.Option))
    assert len(withdraw.params) < len(grant.params)


def test_withdraw_as_json_names_what_ended(agent: Agent, cli: Cli) -> None:
    """The ledger reference of the grant that ended; none when nothing was granted, which is said and is no error."""
    entry = agent.ask("consent.grant", item=ITEM, trip=True)["entry"]
    assert cli("consent", "withdraw", ITEM, "--config", agent.config, "--json").document["ended"] == [f"ledger:{entry}"]
    again = cli("consent", "withdraw", ITEM, "--config", agent.config)
    assert (again.status, again.out) == (0, f"nothing was granted: {ITEM} by anna\n")


def test_history_has_both_and_never_forgets(agent: Agent, cli: Cli) -> None:
    """Grants and withdrawals in their order, with time and driver."""
    before = len(agent.ask("consent.history"))
    cli("consent", "grant", OTHER, "--until", UNTIL, "--config", agent.config)
    cli("consent", "withdraw", OTHER, "--config", agent.config)
    entries = cli("consent", "history", "--config", agent.config, "--json").document
    assert [(entry["kind"], entry["item"], entry["profile"]) for entry in entries[before:]] == [
        ("grant", OTHER, "anna"),
        ("withdraw", OTHER, "anna"),
    ]
    text = cli("consent", "history", "--config", agent.config).out
    assert len(text.splitlines()) == len(entries)
    assert "kind=withdraw" in text.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ([ITEM], "a grant needs an end"),
        ([ITEM, "--until", UNTIL, "--trip"], "one end is enough"),
        ([ITEM, "--until", "always"], "not a date"),
        ([ITEM, "--until", ""], "a grant needs an end"),
        ([ITEM, "--until", "2020-01-01"], "the end has passed"),
        (["no.such.item", "--trip"], "no consent item"),
        (["", "--trip"], "no consent item"),
        (["\x00", "--trip"], "no consent item"),
        ([], "Missing argument"),
    ],
)
def test_a_grant_that_is_refused_is_one_line_and_changes_nothing(agent: Agent, cli: Cli, words: list[str], about: str) -> None:
    """Exit 2, what, where and what to do."""
    entries = len(agent.ask("consent.history"))
    said = cli("consent", "grant", *words, "--config", agent.config)
    assert (said.status, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert said.err.startswith(f"modicum: {about}")
    assert len(agent.ask("consent.history")) == entries
    assert state_of(agent) == "NOT_SET"


def test_an_end_beyond_the_longest_term_is_cut(agent: Agent, cli: Cli) -> None:
    """There is no always: ten thousand years become the item's longest term."""
    until = cli("consent", "grant", ITEM, "--until", "9999-12-31", "--config", agent.config, "--json").document["until"]
    assert datetime.fromisoformat(until) - datetime.now(UTC) <= timedelta(days=365)


def test_a_guest_can_grant_nothing(agent: Agent, cli: Cli) -> None:
    """Without a confirmed driver there is nobody whose word it would be."""
    agent.ask("profile.use", name="guest")
    assert "a guest grants nothing" in cli("consent", "grant", ITEM, "--trip", "--config", agent.config).refused(2)


def test_every_verb_has_help_without_an_agent(cli: Cli) -> None:
    """`--help` says what it is for."""
    for verb in consent_group.commands:
        said = cli("consent", verb, "--help")
        assert said.status == 0
        assert said.out.startswith("Usage:")
