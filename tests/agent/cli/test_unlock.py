"""`modicum unlock`, `lock` and `gnss watch` against a running core; and what no diagnosis shows while it is locked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.agent.cli.conftest import Agent, Cli

VIN, REASON = "WMWTESTCAR0000001", "the antenna was changed"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One of this module alone: the audit log of the other is somebody else's."""
    made = Agent(tmp_path_factory.mktemp("unlock"))
    try:
        made.start()
        made.wait_for(lambda: bool(made.ask("live")["trip"]))  # else the ignition becomes known in between, and that ends it
        yield made
    finally:
        made.close()


@pytest.fixture
def unlocked(agent: Agent, cli: Cli) -> Iterator[Agent]:
    said = cli("unlock", "--minutes", "5", "--reason", REASON, "--config", agent.config)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("UNLOCKED: VIN and place are shown for 5 min 0 s")
    yield agent
    assert cli("lock", "--config", agent.config).status == 0


def test_status_shows_the_vin_only_while_it_is_unlocked(unlocked: Agent, cli: Cli) -> None:
    """And says in its first line that it is, and why; so does `live`, which the driver reads."""
    status, live = (cli(verb, "--config", unlocked.config).out.splitlines() for verb in ("status", "live"))
    assert status[0].startswith("UNLOCKED: ")
    assert live[0].startswith("UNLOCKED: ")
    assert REASON in status[0]
    assert f"VIN: {VIN}" in status
    assert cli("status", "--config", unlocked.config, "--json").document["vin"] == VIN
    cli("lock", "--config", unlocked.config)
    assert VIN not in cli("status", "--config", unlocked.config).out
    assert not cli("live", "--config", unlocked.config).out.startswith("UNLOCKED")


def test_it_is_shown_in_the_audit_log(unlocked: Agent, cli: Cli) -> None:
    """By `audit show`, among what left."""
    assert f"(unlocked for a technician for 5 minutes: {REASON})" in cli("audit", "show", "--config", unlocked.config).out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--minutes", "61", "--reason", "x"), "61"),
        (("--minutes", "5"), "reason"),
        (("--reason", "x"), "minutes"),
        (("--minutes", "5", "--reason", "x" * 121), "no reason that can be kept"),
        (("--minutes", "5", "--reason", VIN), "names the car"),
    ],
)
def test_without_a_time_and_a_reason_it_is_refused(agent: Agent, cli: Cli, arguments: tuple[str, ...], word: str) -> None:
    """Exit 2, in one line, which does not repeat a VIN."""
    said = cli("unlock", *arguments, "--config", agent.config).refused(2)
    assert word in said
    assert VIN not in said


def test_watching_the_receiver_of_a_device_that_has_none(agent: Agent, cli: Cli) -> None:
    """A no, and why."""
    said = cli("gnss", "watch", "--seconds", "0.1", "--config", agent.config)
    assert (said.status, said.out) == (1, "nothing has come from the receiver yet\n")
    assert said.err == f"modicum: no receiver is configured ({agent.config}): name its port in [gnss]\n"
    lines = cli("gnss", "watch", "--seconds", "0.1", "--config", agent.config, "--json").out.splitlines()
    assert [json.loads(line) for line in lines] == [{"fixes": 0, "age_s": None}]
