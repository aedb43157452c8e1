"""`modicum status` against a running core."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.cli import status
from tests.agent.cli.conftest import Agent, Cli


def test_status_as_text(agent: Agent, cli: Cli) -> None:
    """Clock, bus, plan, lanes and findings, one line each."""
    agent.wait_for(lambda: bool(agent.ask("status")["buses"][0]["read"]))
    said = cli("status", "--config", agent.config)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "clock: system"
    assert any(line.startswith("bus pt (gated by software): ") and "0 lost" in line for line in lines)
    assert any(line.startswith("plan: ") for line in lines)
    assert any(line.startswith("ledger: policy ") and line.endswith("ledger whole, audit log whole") for line in lines)
    assert any(line.startswith("lane id:main: offline") for line in lines)


def test_status_as_json(agent: Agent, cli: Cli) -> None:
    """One document with counters; no lane is online without an uplink, nothing counts as acknowledged."""
    document = cli("status", "--config", agent.config, "--json").document
    assert document["clock"] == {"source": "system", "trusted": True}
    assert not any(lane["online"] for lane in document["lanes"].values())
    assert document["acknowledged"] == 0
    assert document["plan"]["rules"] + document["plan"]["refused"] > 50
    assert {"code", "severity", "text", "hint"} >= {key for finding in document["findings"] for key in finding}


def test_frames_that_no_rule_wants_are_counted_and_not_delivered(agent: Agent, cli: Cli) -> None:
    """The ignition does not change, so its frames are read and none is delivered again."""
    first = cli("status", "--config", agent.config, "--json").document["buses"][0]
    agent.wait_for(lambda: bool(agent.ask("status")["buses"][0]["read"] >= first["read"] + 3))
    second = cli("status", "--config", agent.config, "--json").document["buses"][0]
    assert second["delivered"] - first["delivered"] <= 1
    assert second["read"] >= first["read"] + 3


def test_status_holds_no_vin(agent: Agent, cli: Cli) -> None:
    """Nothing that names the car."""
    assert "WMWTESTCAR" not in cli("status", "--config", agent.config, "--json").out


def test_what_the_emergency_call_finds_counts(agent: Agent, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the last line, which is what is read at a glance; and where it cannot be asked, that is said there."""
    agent.wait_for(lambda: bool(agent.ask("status")["buses"][0]["read"]))
    own = {"code": "ecall-modem", "severity": "error", "text": "no modem", "hint": "see it"}
    told = {"state": "ready", "enabled": True, "checks": {"modem": own, "sim": None}}
    alone = cli("status", "--config", agent.config).out.splitlines()[-1]
    monkeypatch.setattr(status, "settings_of", lambda _: SimpleNamespace(ecall=SimpleNamespace(run=agent.config.parent)))
    monkeypatch.setattr(status, "ask", lambda *_: told)
    *lines, last = cli("status", "--config", agent.config).out.splitlines()
    found = lines.index("error ecall-modem: emergency call: no modem")  # what else is found, such as a quiet bus, comes after it
    assert lines[found + 1] == "    do: see it"
    assert ("1 error" in last, "error" in alone) == (True, False)
    monkeypatch.undo()
    monkeypatch.setattr(status, "settings_of", lambda _: SimpleNamespace(ecall=SimpleNamespace(run=agent.config.parent / "none")))
    assert "does not answer" in cli("status", "--config", agent.config).out.splitlines()[-1]


def test_who_may_not_read_agent_toml_is_told_how_to(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not permitted, and not a wrong argument: the file holds the VIN and is its group's."""
    config = tmp_path / "agent.toml"
    config.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "group modicum" in cli("status", "--config", config).refused(4)
