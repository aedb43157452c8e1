"""modicum-core as a process: how it starts, what stops it from starting, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli.main import main
from agent.daemons.core import _serve_link
from agent.link import Lane, Link, LinkDown, Listener, State, connect, listen
from tests.agent.cli.conftest import ERROR, Agent, write_device

ROOT = Path(__file__).parents[3]


def started(config: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "agent.daemons.core", "--config", str(config)]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=30, cwd=ROOT)


def quietly(listener: Listener, heard: list[object]) -> None:
    """`_serve_link` with an inbox that is a list, until the listener closes."""
    loop: Any = SimpleNamespace(inbox=SimpleNamespace(put=heard.append))
    with contextlib.suppress(LinkDown, OSError):
        _serve_link(listener, loop)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path) -> None:
    """No configuration, no keys, a credential that opens nothing: the exit status of the command line, no traceback."""
    absent = started(tmp_path / "absent.toml")
    assert (absent.returncode, len(absent.stderr.splitlines())) == (2, 1)
    config = write_device(tmp_path)
    keyless = started(config)
    assert keyless.returncode == 2
    assert "modicum keys init" in keyless.stderr
    assert main(["keys", "init", "--config", str(config)]) == 0
    (tmp_path / "state/credential").write_bytes(b"w" * 32)
    wrong = started(config)
    assert wrong.returncode == 1
    for said in (keyless, wrong):
        assert ERROR.match(said.stderr), said.stderr


def test_a_link_of_another_user_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is neither root, nor us, nor of our group never gets into the loop."""
    listener, heard = listen(tmp_path / "link"), list[object]()
    monkeypatch.setattr(Link, "peer", lambda self: (0, os.geteuid() + 1, os.getegid() + 1))
    serving = threading.Thread(target=quietly, args=(listener, heard), daemon=True)
    serving.start()
    with pytest.raises(LinkDown), connect(tmp_path / "link", 5) as stranger:
        stranger.receive(10)
    assert heard == []
    listener.close()


def test_a_day_of_a_core(agent: Agent) -> None:
    """It runs, a second one on the same state is refused, it hears an uplink, and SIGTERM ends it cleanly with its sockets gone."""
    second = started(agent.config)
    assert second.returncode == 2
    assert "another agent" in second.stderr

    agent.ask("policy.accept")
    uplink = connect(agent.folder / "link.sock", 5)
    lanes: set[str] = set()
    while "id:main" not in lanes:
        message = uplink.receive(10)
        assert isinstance(message, Lane)
        lanes.add(message.lane)
    uplink.send(State(lane="id:main", online=True, why="", protocol=5))
    agent.wait_for(lambda: bool(agent.ask("status")["lanes"]["id:main"]["online"]))
    uplink.close()
    agent.wait_for(lambda: not agent.ask("status")["lanes"]["id:main"]["online"])

    assert agent.stop() == 0
    assert "Traceback" not in agent.log()
    assert "WMWTESTCAR" not in agent.log()
    assert not (agent.folder / "control.sock").exists()
    assert not (agent.folder / "link.sock").exists()


def test_what_was_said_before_a_restart_stands_after_it(agent: Agent) -> None:
    """kill -9: policy, driver, grant and trip are there again, the start is counted, and it needs no help."""
    agent.wait_for(lambda: bool(agent.ask("live")["trip"]))
    agent.ask("policy.accept")
    agent.ask("profile.add", name="anna")
    agent.ask("profile.use", name="anna")
    agent.ask("consent.grant", item="traffic.position", trip=True)
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait()
    agent.run()
    agent.wait_for(lambda: bool(agent.ask("live")["ignition"]))
    shown = agent.ask("consent.show")
    assert shown["profile"] == "anna"
    assert [row["state"] for row in shown["items"] if row["item"] == "traffic.position"] == ["YES"]
    assert agent.stop() == 0


def test_the_ignition_that_goes_off_is_noticed(agent: Agent) -> None:
    """From the bus alone, without a rule that wants it."""
    agent.wait_for(lambda: bool(agent.ask("live")["ignition"]))
    agent.ignition = agent.ignition.replace("t130802", "t130800")
    agent.wait_for(lambda: agent.ask("live")["ignition"] is False)


def test_a_bus_that_is_not_there_does_not_stop_it(tmp_path: Path) -> None:
    """The adapter is missing: the agent runs, and `status` says which bus and what to do."""
    agent = Agent(tmp_path)
    try:
        agent.start()
        agent.stop()
        agent.config.write_text(agent.config.read_text().replace('channel = "/dev/pts', 'channel = "/dev/absent/pts'))
        agent.run()
        agent.wait_for(lambda: any(one["code"] == "bus-lost" for one in agent.ask("status")["findings"]))
        assert json.dumps(agent.ask("status")["buses"][0]["problem"])
        assert agent.stop() == 0
        assert "Traceback" not in agent.log()
    finally:
        agent.close()
