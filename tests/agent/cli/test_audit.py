"""`modicum audit show` against a running core."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.cli.conftest import Agent, Cli

MESSAGE = {"kind": "disclosure", "stream": "a.long_name", "recipient": "r", "identity": "vin", "samples": 14, "basis_ref": "policy:2026-11"}
LOG = [
    {"kind": "disclosure_day", "stream": "b.c", "recipient": "traffic", "identity": "none", "messages": 3, "samples": 9}
    | {"basis_ref": "ledger:7", "day": "2026-12-01", "open": True},
    MESSAGE | {"t": "2026-12-01T12:00:00.250Z", "seq": 1},
    {"kind": "compacted", "entries": 40, "t": "2026-12-01T00:00:00.000Z"},
    {"kind": "erased", "entry": 4},
]


def test_what_left_is_a_table(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header, a row for each message or day in the same columns, and a word for entries that had to go."""
    monkeypatch.setattr("agent.cli.audit.asked", lambda *_, **__: LOG)
    rows = cli("audit", "show").out.splitlines()
    assert rows[0].split() == ["time", "stream", "recipient", "identity", "messages", "values", "basis"]
    assert rows[1].split() == ["2026-12-01", "so", "far", "b.c", "traffic", "none", "3", "9", "ledger", "entry", "7"]
    assert rows[2].split() == ["2026-12-01", "12:00:00", "UTC", "a.long_name", "r", "vin", "1", "14", "contract,", "policy", "2026-11"]
    assert len({row.index(word) for row, word in zip(rows, ("stream", "b.c", "a.long"), strict=False)}) == 1
    assert "40 older entries" in rows[3]
    assert "erased" in rows[4]


def test_json_is_the_log_as_it_is(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is rounded or left out for programs."""
    monkeypatch.setattr("agent.cli.audit.asked", lambda *_, **__: LOG)
    assert cli("audit", "show", "--config", tmp_path, "--json").document == LOG


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


def test_a_date_that_nobody_believes_has_a_mark(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a message, of a day and of an unlocking; others have none."""
    day, single = LOG[0], LOG[1]
    unlocked = {"kind": "unlocked", "minutes": 5, "reason": "r", "t": "1970-01-01T00:00:07.000Z"}
    log = [entry | {"trusted": trusted} for entry in (day, single, unlocked) for trusted in (False, True)]
    monkeypatch.setattr("agent.cli.audit.asked", lambda *_, **__: log)
    rows = cli("audit", "show").out.splitlines()[1:-1]
    assert ["(not believed)" in row for row in rows] == [True, False] * 3
