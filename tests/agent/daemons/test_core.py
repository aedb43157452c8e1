"""modicum-core as a process: how it starts, what stops it from starting, how it ends."""

from __future__ import annotations

import errno
import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from agent import notify
from agent.audit import Audit
from agent.cli.main import main
from agent.control import server as server_module
from agent.control.protocol import RemoteError, ask
from agent.control.server import ControlServer
from agent.core.assembly import assemble
from agent.core.loop import Loop
from agent.core.power import GONE_STATUS, TOLD
from agent.daemons import core as core_module
from agent.daemons.linking import Linking
from agent.ecall.fixes import FixHearer
from agent.errors import DeviceError
from agent.link import Lane, Listener, State, connect
from agent.settings import load_settings
from hw.can.bus import BusReader
from hw.ports import Fix
from tests.agent.cli.conftest import ERROR, Agent, write_device
from tests.support.wait import until

ROOT = Path(__file__).parents[3]


def started(config: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "agent.daemons.core", "--config", str(config)]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=30, cwd=ROOT)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """agent.toml of a device with keys, for a core in this process."""
    made = write_device(tmp_path, channel="none").read_text().replace('interface = "slcan"', 'interface = "virtual"')
    (tmp_path / "agent.toml").write_text(made)
    assert main(["keys", "init", "--config", str(tmp_path / "agent.toml")]) == 0
    return tmp_path / "agent.toml"


def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path) -> None:
    """No configuration, a platform that is not there: the exit status of the command line, no traceback. Keys that fail are none."""
    absent = started(tmp_path / "absent.toml")
    assert (absent.returncode, len(absent.stderr.splitlines())) == (2, 1)
    config = write_device(tmp_path)
    config.write_text(re.sub(r"platform = .*", 'platform = "nowhere"', config.read_text()))
    homeless = started(config)
    assert homeless.returncode == 2
    assert ERROR.match(homeless.stderr), homeless.stderr


def test_a_control_socket_that_cannot_accept_for_a_while_answers_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE ends neither its thread nor, with it, the agent."""
    monkeypatch.setattr(server_module, "PAUSE_S", 0)
    answer: Future[object] = Future()
    answer.set_result("here")
    server = ControlServer(tmp_path / "control", {"ping": "read"}, lambda *_: answer)
    real, failures = server._socket, [OSError(errno.EMFILE, "no"), OSError(errno.ECONNABORTED, "gone")]

    def accept() -> Any:
        if failures:
            raise failures.pop()
        return real.accept()

    server._socket = SimpleNamespace(accept=accept, shutdown=real.shutdown, close=real.close)  # type: ignore[assignment]  # a faulty one
    server.start()
    assert ask(tmp_path / "control", "ping") == "here"
    assert server.alive()
    server.close()
    server._thread.join(5)
    assert not server.alive()


def ended_by(monkeypatch: pytest.MonkeyPatch, run: Callable[[Loop], None]) -> list[str]:
    """Core's loop does only this; what is closed after it."""
    closed: list[str] = []

    def noted(kind: type, name: str, *, then: Exception | None = None) -> None:
        close = getattr(kind, name)

        def closing(self: Any) -> None:
            closed.append(kind.__name__)
            close(self)
            if then is not None:
                raise then

        monkeypatch.setattr(kind, name, closing)

    for kind in (BusReader, ControlServer, Listener):
        noted(kind, "close", then=OSError("also here"))
    noted(Audit, "close_days")
    monkeypatch.setattr(Loop, "run", run)
    monkeypatch.setattr(core_module, "_stop_on_signal", lambda _: None)
    return closed


def test_a_full_disk_at_the_stop_leaves_nothing_open(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the loop's end and each closing raise: sockets gone, devices closed, and the audit log's days at last."""

    def full(_: Loop) -> None:
        raise DeviceError("the disk is full")

    closed = ended_by(monkeypatch, full)
    with pytest.raises(OSError, match="also here"):
        core_module.run(load_settings(config), config)
    assert closed == ["Listener", "ControlServer", "BusReader", "Audit"]
    assert not (config.parent / "link.sock").exists()
    assert not (config.parent / "control.sock").exists()


def test_every_thread_votes(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of devices, sockets and the link: the first vote finds all at work, a later one the thread that has ended."""
    told: list[str] = []

    def look(loop: Loop) -> None:
        loop.vote()
        done.set()
        until(lambda: not any(thread.name == "link" for thread in threading.enumerate()), "the end of the thread")
        cast("Any", loop.vote).__self__._due_s = 0.0
        with pytest.raises(DeviceError, match="a thread has ended: link"):
            loop.vote()

    done = threading.Event()
    ended_by(monkeypatch, look)
    monkeypatch.setattr(notify, "tell", told.append)
    monkeypatch.setattr(Linking, "_accept", lambda *_: done.wait(10))
    with pytest.raises(OSError, match="also here"):
        core_module.run(load_settings(config), config)
    assert told == ["READY=1\nSTATUS=running\nWATCHDOG=1", "STATUS=a thread has ended: link"]


@pytest.mark.parametrize("holds", [True, False])
def test_nothing_is_sent_that_could_not_be_entered(config: Path, monkeypatch: pytest.MonkeyPatch, holds: bool) -> None:
    """With a broken audit log the delivery stands still, and the log stays the evidence that it is."""
    may: list[bool] = []
    closed = ended_by(monkeypatch, lambda loop: may.append(loop.core.delivery.may_send))
    monkeypatch.setattr(core_module, "assemble", lambda settings: replace(assemble(settings), audit_holds=holds))
    with pytest.raises(OSError, match="also here"):
        core_module.run(load_settings(config), config)
    assert may == [holds]
    assert ("Audit" in closed) == holds


@pytest.mark.parametrize("why", ["low-voltage", None])
def test_a_core_that_ends_by_itself_leaves_word_why(
    config: Path, monkeypatch: pytest.MonkeyPatch, why: Literal["low-voltage"] | None
) -> None:
    """The unit that acts on it finds it, and a status of its own; one that was told to stop leaves none, and an earlier run's is gone.

    That run had gone: until the car tells its ignition it counts as off.
    """
    (config.parent / TOLD).write_text("ignition-off\n")

    def end(loop: Loop) -> None:
        assert loop.core.parts.power.ignition is False
        loop.core.parts.power.why = why

    monkeypatch.setattr(Loop, "run", end)
    monkeypatch.setattr(core_module, "_stop_on_signal", lambda _: None)
    assert core_module.run(load_settings(config), config) == (GONE_STATUS if why else 0)
    assert [path.read_text() for path in config.parent.glob(TOLD)] == ([f"{why}\n"] if why else [])


def test_a_core_that_does_not_come_up_leaves_no_word_of_an_earlier_end(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start is slow, or fails: who stops it then must not put the device to sleep."""

    def fails(_: object) -> Any:
        assert not (config.parent / TOLD).exists()
        raise DeviceError("the disk is full")

    (config.parent / TOLD).write_text("ignition-off\n")
    monkeypatch.setattr(core_module, "assemble", fails)
    with pytest.raises(DeviceError):
        core_module.run(load_settings(config), config)


def test_the_emergency_call_is_looked_for_where_it_is_kept(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As [ecall] run says."""
    ecall = f'[ecall]\nbroker = "main"\nnumber = "+861"\ntest_number = "+862"\nrecipient = "emergency"\nrun = "{tmp_path / "ram"}"\n'
    config.write_text(config.read_text() + ecall)
    seen: list[bool] = []

    def look(loop: Loop) -> None:
        stands = loop.core.parts.power.call_stands
        seen.append(stands())
        (tmp_path / "ram").mkdir()
        (tmp_path / "ram" / "call").touch()
        seen.append(stands())

    monkeypatch.setattr(Loop, "run", look)
    monkeypatch.setattr(core_module, "_stop_on_signal", lambda _: None)
    core_module.run(load_settings(config), config)
    assert seen == [False, True]


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


@pytest.fixture
def calling(agent: Agent, tmp_path: Path) -> Agent:
    """A device with an emergency call."""
    call = f'[ecall]\nbroker = "main"\nnumber = "1"\ntest_number = "2"\nrun = "{tmp_path}"\naudit = "{tmp_path / "audit.sock"}"\n'
    agent.stop()
    agent.config.write_text(f"{agent.config.read_text()}\n{call}")
    agent.run()
    return agent


def of_call(agent: Agent, route: str, **args: object) -> Any:
    """Asked where the emergency call asks."""
    return ask(agent.config.parent / "audit.sock", route, **args)


def test_the_emergency_call_may_ask_for_its_own_route_alone(calling: Agent) -> None:
    """At a socket of its own; at the other one nobody finds that route."""
    with pytest.raises(RemoteError, match="no route 'live'"):
        of_call(calling, "live")
    with pytest.raises(RemoteError, match=r"no route 'audit\.ecall'"):
        calling.ask("audit.ecall", session="0123456789abcdef", kind="automatic", messages=1)


def test_an_emergency_call_is_entered_once(calling: Agent) -> None:
    """However often it is told; and shown to the owner, with what it rested on and without what it said."""
    said = {"session": "0123456789abcdef", "kind": "automatic", "told": True, "voice": True, "messages": 2, "lasted_s": 61.0}
    for _ in range(2):
        assert of_call(calling, "audit.ecall", **said) == {}
    entries = calling.ask("audit.show")
    assert [(entry["stream"], entry["recipient"], entry["samples"], entry["basis_ref"]) for entry in entries] == [
        ("ecall.msd", "emergency", 1, "vital:automatic")
    ] * 2


def test_what_no_call_says_is_not_entered(calling: Agent) -> None:
    """Nobody writes a text of his own into the log."""
    with pytest.raises(RemoteError, match="not the record"):
        of_call(calling, "audit.ecall", session="0123456789abcdef", kind="he drove to his doctor", messages=1)
    assert calling.ask("audit.show") == []


def test_each_fix_goes_to_the_emergency_call_from_the_receivers_own_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the moment that it is of, on the clock that both have; also while core's loop takes nothing any more."""
    text = write_device(tmp_path, channel="none").read_text()
    call = f'[ecall]\nbroker = "main"\nnumber = "1"\ntest_number = "2"\nrun = "{tmp_path}"\n'
    (tmp_path / "agent.toml").write_text(f'{text}\n[gnss]\nport = "none"\n{call}')
    deliver = list[Callable[[Fix], object]]()
    monkeypatch.setattr(core_module, "driver", lambda *_: lambda _port, **given: deliver.append(given["deliver"]))
    loop = SimpleNamespace(inbox=queue.Queue(1))
    clock = SimpleNamespace(now_ns=lambda: 5_000_000_000)
    core_module._open_receiver(load_settings(tmp_path / "agent.toml"), cast("Any", SimpleNamespace(clock=clock)), cast("Any", loop))
    heard: queue.SimpleQueue[Fix] = queue.SimpleQueue()
    hearer = FixHearer(tmp_path, heard.put)
    hearer.start()
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    deliver[0](Fix(4_000_000_000, 3, 39.9, 116.4))
    with pytest.raises(queue.Full):
        deliver[0](Fix(4_000_000_000, 3, 39.8, 116.4))
    first, second = heard.get(timeout=5), heard.get(timeout=5)
    hearer.close()
    assert (first.lat_deg, second.lat_deg) == (39.9, 39.8)
    assert 0 <= first.t_ns + 1_000_000_000 - before_ns < 1_000_000_000
