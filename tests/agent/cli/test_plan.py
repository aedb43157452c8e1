"""`modicum plan`: what it prints is the decision, as interfaces promise it, from files and from the running agent."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.folders import config_folder
from agent.plan import compile as compiler
from agent.plan.compile import REASONS
from agent.vehicle import load_vehicle
from agent.vss import IGNITION
from tests.agent.catalogue.trees import small, write
from tests.agent.cli.conftest import Agent, Cli

ALL = ("--package", "navigation_plus", "--consent", "all")
BASIC = {"teleservices.service_report", "teleservices.battery_guard", "teleservices.breakdown", "operations.health"}


def streams(document: Any) -> set[str]:
    return {f"{rule['service']}.{rule['stream']}" for rule in document["rules"]}


def planned(cli: Cli, *arguments: object) -> Any:
    said = cli("plan", *arguments, "--json")
    assert (said.status, said.err) == (0, "")
    return said.document


def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage: the plan refuses nothing but what the car does not have."""
    monkeypatch.setattr(compiler, "CHECKS", compiler.CHECKS[-1:])


def test_json_is_one_document_with_the_promised_keys(cli: Cli) -> None:
    """id, rules, refused {service, stream, signal, reason}, subscriptions, valid_until."""
    document = planned(cli, *ALL)
    assert document.keys() == {"id", "rules", "refused", "subscriptions", "valid_until"}
    assert all(no.keys() == {"service", "stream", "signal", "reason"} for no in document["refused"])
    assert {"service", "stream", "signal", "purpose", "basis", "recipient", "because", "transforms"} <= document["rules"][0].keys()
    assert {"bus", "id", "mask"} <= document["subscriptions"][0].keys()
    assert document["valid_until"] > 1_700_000_000
    assert document["refused"]
    assert {no["reason"] for no in document["refused"]} <= set(REASONS)


@pytest.mark.req("R04", "R06", "T02", control=without_checks)
def test_basic_without_grants_is_teleservices_and_operations(cli: Cli) -> None:
    """--package basic --consent none; the rest is withheld, each with its reason."""
    document = planned(cli, "--package", "basic", "--consent", "none")
    assert streams(document) == BASIC
    reasons = Counter(no["reason"] for no in document["refused"])
    assert set(reasons) == {"no_package", "no_consent"}


@pytest.mark.req("R22", "R25", "T01", control=without_checks)
def test_nothing_bought_and_nothing_accepted_is_the_ignition_alone(cli: Cli) -> None:
    """--package none --consent unaccepted: no rule, one subscription."""
    document = planned(cli, "--package", "none", "--consent", "unaccepted")
    assert document["rules"] == []
    ignition = load_vehicle(config_folder() / "vehicles/bench").sources[IGNITION]
    (only,) = document["subscriptions"]
    assert (only["bus"], only["id"]) == (ignition.bus, ignition.can_id)
    assert document["valid_until"] is None


def test_text_says_what_is_sent_and_what_is_withheld(cli: Cli) -> None:
    """Every live stream with recipient and reason, every signal, sent or withheld and why, every subscription."""
    document, said = planned(cli, *ALL), cli("plan", *ALL)
    assert (said.status, said.err) == (0, "")
    assert all(f"  {name} to " in said.out for name in streams(document))
    assert all(f"sent      {rule['signal']}" in said.out for rule in document["rules"])
    assert all(no["reason"] in said.out and no["signal"] in said.out for no in document["refused"])
    assert "withheld  legal.recall: Vehicle.Private.SoftwareLevels, Vehicle.Private.PartNumbers," in said.out
    assert said.out.count("  subscribed ") == len(document["subscriptions"])


def test_a_file_of_grants_is_obeyed(cli: Cli, tmp_path: Path) -> None:
    """Only the granted item's streams are added; an end beyond the longest term is cut, with a note on stderr."""
    path = tmp_path / "grants.toml"
    path.write_text('[grants]\n"traffic.position" = { state = "YES", until = 2099-01-01T00:00:00Z }\n', encoding="utf-8")
    said = cli("plan", "--package", "navigation_plus", "--consent", path, "--json")
    assert said.status == 0
    traffic = {"real_time_traffic.probe", "real_time_traffic.hazard"}
    assert streams(said.document) == BASIC | {"remote_assistance.vehicle_status"} | traffic
    assert "traffic.position: the end was cut" in said.err


def test_another_catalogue_stands_alone(cli: Cli, tmp_path: Path) -> None:
    """--catalogue: its packages and streams, none of the shipped ones."""
    document = planned(cli, "--catalogue", write(small(), tmp_path), "--package", "one", "--consent", "all")
    assert {rule["service"] for rule in document["rules"]} | {no["service"] for no in document["refused"]} == {"a"}


def test_another_vehicle_bounds_it(cli: Cli, tmp_path: Path) -> None:
    """A vehicle without any signal: what is left is what the receiver and the agent give."""
    (tmp_path / "vehicle.toml").write_text('[vehicle]\ntitle = "T"\n[buses]\n', encoding="utf-8")
    document = planned(cli, "--vehicle", tmp_path, *ALL)
    assert document["subscriptions"] == []
    assert all(rule["signal"].startswith(("Vehicle.CurrentLocation", "Modicum.")) for rule in document["rules"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--package", "basic"),
        ("--consent", "all"),
        ("--vehicle", "anywhere"),
        ("--package", "everything", "--consent", "all"),
        ("--package", "basic", "--consent", "no such file"),
        ("--package", "basic", "--consent", "all", "--vehicle", "nowhere"),
        ("--package", "basic", "--consent", "all", "--catalogue", "nowhere"),
        ("--config", "nowhere.toml"),
        ("--sideways",),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Nothing on stdout, no traceback, what to do about it."""
    said = cli("plan", *arguments)
    assert (said.status, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert said.err.startswith("modicum: ")


def test_a_consent_file_that_is_none_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Another key, another state, an unknown item: exit 2 and the file's name or the item's."""
    for text in ("[grant]\n", '[grants]\n"traffic.position" = { state = "MAYBE" }\n', '[grants]\n"a.b" = { state = "YES" }\n', "not toml"):
        path = tmp_path / "grants.toml"
        path.write_text(text, encoding="utf-8")
        said = cli("plan", "--package", "basic", "--consent", path)
        assert (said.status, len(said.err.splitlines())) == (2, 1), text


def test_an_agent_that_does_not_answer_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    """Without options the agent is asked; nobody is there."""
    shipped = (config_folder() / "agent.toml").read_text(encoding="utf-8")
    config = tmp_path / "agent.toml"
    config.write_text(shipped, encoding="utf-8")
    said = cli("plan", "--config", config)
    assert (said.status, said.out) == (3, "")
    assert len(said.err.splitlines()) == 1


@pytest.mark.req("R59", control=without_checks)
def test_the_running_agent_tells_its_own_plan(agent: Agent, cli: Cli) -> None:
    """The plan in force, word for word; a guest's has no stream that rests on a grant."""
    agent.ask("profile.use", name="guest")
    said = cli("plan", "--config", agent.config, "--json")
    assert said.status == 0
    assert said.document == agent.ask("plan")
    assert {rule["basis"] for rule in said.document["rules"]} == {"contract"}
    assert {rule["basis"] for rule in planned(cli, "--package", "navigation_plus", "--consent", "none")["rules"]} == {"contract"}


def test_two_runs_of_the_same_moment_say_the_same(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apart from the clock nothing outside the files goes in."""
    monkeypatch.setattr("agent.cli.plan.time.time_ns", lambda: 1_800_000_000_000_000_000)
    one, two = cli("plan", *ALL, "--json").out, cli("plan", *ALL, "--json").out
    assert json.loads(one)
    assert one == two
