"""`modicum doctor` with a running core, without one, and with the faults that can be caused on any computer."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import pty
import re
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli import diagnosis
from agent.control.protocol import RemoteError
from tests.agent.cli.conftest import Agent, Cli, Said, write_device
from tests.agent.health.build import WELL_CORE
from tests.support.fake_broker import FakeBroker

BODY = b"GPRMC,120000.00,V,,,,,,,281126,,,N"
CHECKSUM = b"*%02X" % functools.reduce(operator.xor, BODY)
SENTENCE = b"$" + BODY + CHECKSUM + b"\r\n"


@pytest.fixture
def device(tmp_path: Path, cli: Cli) -> Path:
    """agent.toml of a device with keys and nothing that runs."""
    config = write_device(tmp_path)
    assert cli("keys", "init", "--config", config).status == 0
    return config


@pytest.fixture
def tty_pair() -> Iterator[tuple[int, str]]:
    """A serial line: the receiver's end, and the name of ours."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def with_receiver(config: Path, port: str) -> Path:
    config.write_text(config.read_text() + f'[gnss]\nport = "{port}"\n')
    return config


@contextlib.contextmanager
def saying(master: int, sentence: bytes) -> Iterator[None]:
    """The receiver repeats itself; what came before our port was open is thrown away."""
    over = threading.Event()

    def talk() -> None:
        while not over.wait(0.3):
            os.write(master, sentence)

    thread = threading.Thread(target=talk)
    thread.start()
    yield
    over.set()
    thread.join()


def codes(said: Said) -> dict[str, str]:
    """Code -> its severity."""
    return {one["code"]: one["severity"] for check in said.document["checks"] for one in check["findings"]}


def test_a_running_agent_is_asked_and_looked_at(agent: Agent, cli: Cli) -> None:
    """Its bus by its own word: nobody else may open that adapter. The broker of this device is down, and no uplink runs."""
    agent.wait_for(lambda: bool(agent.ask("status")["buses"][0]["read"]))
    said = cli("doctor", "--config", agent.config, "--json")
    assert (said.status, said.err) == (1, "")
    assert {code for code, severity in codes(said).items() if severity == "error"} == {"uplink-silent", "broker-unreachable"}
    assert codes(said)["at-rest-weak"] == "info"
    checks = {one["check"]: one for one in said.document["checks"]}
    assert checks["modicum-core"]["says"] == "answers"
    assert checks["bus pt"]["findings"] == []
    assert checks["plan"]["says"].endswith("withheld")
    assert checks["keys"]["says"] == "they open; at rest: weak"


def test_the_text_is_a_line_a_check_and_then_what_to_do(agent: Agent, cli: Cli) -> None:
    """For somebody with gloves and a phone: what is bad is seen at the beginning of a line, the worst is told first, how many last."""
    said = cli("doctor", "--config", agent.config)
    lines = said.out.splitlines()
    checks, findings = lines[: lines.index("")], lines[lines.index("") + 1 : -1]
    assert {line[:5] for line in checks} == {"ok   ", "BAD  "}
    assert len(findings) % 2 == 0
    assert all(line.startswith("    do: ") and len(line) > 12 for line in findings[1::2])
    severities = [line.split()[0] for line in findings[::2]]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert lines[-1].startswith(f"Found: {severities.count('error')} error")
    assert cli("status", "--config", agent.config).out.splitlines()[-1].startswith("Found: ")


def test_what_core_has_not_read_yet_is_not_known(device: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver was added and a broker renamed since it started: it has to start anew, and what can be looked at is."""
    config = with_receiver(device, "/dev/no-receiver")
    config.write_text(config.read_text().replace("brokers.main", "brokers.other").replace('"main"', '"other"'))
    told = WELL_CORE | {"receiver": None, "lanes": {"id:main": {"broker": "main", "recipients": ["maker"], "online": True, "why": ""}}}
    monkeypatch.setattr(diagnosis, "ask", lambda *_: told)
    checks = {one["check"]: one for one in cli("doctor", "--config", config, "--json").document["checks"]}
    for name in ("receiver", "broker main (id:main)"):
        assert (checks[name]["known"], checks[name]["says"]) == (False, f"not known: {diagnosis.CHANGED}")
    assert [one["code"] for one in checks["broker other (id:other)"]["findings"]] == ["broker-unreachable"]


@pytest.mark.finding("settings-unusable")
@pytest.mark.parametrize(("text", "where"), [("[gnss\n", "agent.toml, line"), ("[gnss]\nport = 5\n", "gnss.port")])
def test_with_settings_that_cannot_be_used_it_looks_at_the_rest(
    device: Path, cli: Cli, text: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the fault stands and what to do; then interfaces, clock, disk, and what a core that still runs has found."""
    own = {"code": "receiver-lost", "severity": "error", "text": "t", "hint": "h"}
    monkeypatch.setattr(diagnosis, "ask", lambda *_: WELL_CORE | {"findings": [own]})
    monkeypatch.setattr(diagnosis, "can_interfaces", lambda: ["can7"])
    device.write_text(device.read_text() + text)
    said = cli("doctor", "--config", device, "--json")
    checks = {one["check"]: one["findings"] for one in said.document["checks"]}
    assert (said.status, said.err) == (1, "")
    assert list(checks) == ["agent.toml", "modicum-core", "modicum-uplink", "bus can7", "clock", "disk", "swap", "what core has found"]
    [unusable] = checks["agent.toml"]
    assert where in unusable["text"]
    assert {"bus-missing", "receiver-lost"} <= codes(said).keys()


@pytest.mark.finding("core-silent")
def test_without_core_it_looks_from_outside(device: Path, cli: Cli) -> None:
    """That it does not answer is a finding; what only it knows is said to be unknown, and the rest is looked at."""
    said = cli("doctor", "--config", device, "--json")
    assert said.status == 1
    assert set(codes(said)) == {"core-silent", "broker-unreachable"}
    assert [one["check"] for one in said.document["checks"] if not one["known"]] == ["modicum-uplink", "plan", "ledger", "buffer"]


@pytest.mark.finding("core-silent")
@pytest.mark.parametrize("content", ["wmwtestcar0000001", None])
def test_a_vin_with_which_core_cannot_start_is_told_as_the_reason(device: Path, cli: Cli, content: str | None) -> None:
    """With what to write there, and without what stands there."""
    file = device.parent / "vin"
    device.write_text(re.sub("(?m)^vin = .*$", 'vin_file = "vin"', device.read_text()))
    if content is not None:
        file.write_text(content)
    [silent] = [one for check in cli("doctor", "--config", device, "--json").document["checks"] for one in check["findings"]][:1]
    assert (silent["code"], "it cannot start: " in silent["text"], str(file) in silent["text"]) == ("core-silent", True, True)
    assert "wmwtestcar" not in silent["text"]
    file.write_text("WMWTESTCAR0000001\n")
    assert "it cannot start" not in cli("doctor", "--config", device, "--json").out


@pytest.mark.finding("key-missing")
@pytest.mark.parametrize("lost", ["credential", "keys.block"])
def test_a_key_that_is_gone(device: Path, cli: Cli, lost: str) -> None:
    """The credential or the block that it opens."""
    (device.parent / "state" / lost).unlink()
    assert codes(cli("doctor", "--config", device, "--json"))["key-missing"] == "error"


@pytest.mark.finding("key-wrong")
def test_a_credential_of_another_device(device: Path, cli: Cli) -> None:
    """It opens nothing."""
    (device.parent / "state" / "credential").write_bytes(b"another credential of some length")
    assert codes(cli("doctor", "--config", device, "--json"))["key-wrong"] == "error"


@pytest.mark.finding("key-missing")
def test_a_credential_that_is_too_short(device: Path, cli: Cli) -> None:
    """That is none."""
    (device.parent / "state" / "credential").write_bytes(b"short")
    assert codes(cli("doctor", "--config", device, "--json"))["key-missing"] == "error"


@pytest.mark.finding("key-open")
def test_a_credential_that_everybody_can_read(device: Path, cli: Cli) -> None:
    """It is named."""
    (device.parent / "state" / "credential").chmod(0o644)
    assert codes(cli("doctor", "--config", device, "--json"))["key-open"] == "error"


def test_a_credential_that_systemd_keeps_is_not_missed(device: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but modicum-core and root has it: that is how it should be, and not known to be wrong."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    device.write_text(device.read_text().replace('provider = "file"', 'provider = "systemd"'))
    said = cli("doctor", "--config", device, "--json")
    assert not {code for code in codes(said) if code.startswith("key-")}
    [keys] = [one for one in said.document["checks"] if one["check"] == "keys"]
    assert not keys["known"]


@pytest.mark.finding("disk-unusable")
def test_a_state_folder_that_is_gone(tmp_path: Path, cli: Cli) -> None:
    """As before `keys init`, or where its disk is not mounted."""
    assert codes(cli("doctor", "--config", write_device(tmp_path), "--json"))["disk-unusable"] == "error"


@pytest.mark.finding("receiver-lost")
def test_a_receiver_that_is_not_plugged_in(device: Path, cli: Cli) -> None:
    """Its port is not there."""
    assert "receiver-lost" in codes(cli("doctor", "--config", with_receiver(device, "/dev/no-receiver"), "--json"))


@pytest.mark.finding("receiver-silent")
def test_a_receiver_that_says_nothing(device: Path, cli: Cli, tty_pair: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port opens."""
    monkeypatch.setattr(diagnosis, "RECEIVER_S", 0.3)
    assert "receiver-silent" in codes(cli("doctor", "--config", with_receiver(device, tty_pair[1]), "--json"))


@pytest.mark.finding("receiver-no-fix")
def test_a_receiver_under_a_roof(device: Path, cli: Cli, tty_pair: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It speaks, and is void."""
    monkeypatch.setattr(diagnosis, "RECEIVER_S", 1.5)
    with saying(tty_pair[0], SENTENCE):
        assert "receiver-no-fix" in codes(cli("doctor", "--config", with_receiver(device, tty_pair[1]), "--json"))


@pytest.mark.finding("receiver-garbled")
def test_a_receiver_at_another_baud_rate(device: Path, cli: Cli, tty_pair: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come, and none can be read."""
    monkeypatch.setattr(diagnosis, "RECEIVER_S", 1.5)
    with saying(tty_pair[0], SENTENCE.replace(CHECKSUM, b"*00")):
        assert "receiver-garbled" in codes(cli("doctor", "--config", with_receiver(device, tty_pair[1]), "--json"))


@pytest.mark.finding("clock-past")
def test_a_clock_in_1970(device: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a battery and without a network."""
    monkeypatch.setattr("agent.cli.diagnosis.time", SimpleNamespace(time=lambda: 100.0))
    assert "clock-past" in codes(cli("doctor", "--config", device, "--json"))


@pytest.mark.finding("ecall-silent")
def test_an_emergency_call_that_does_not_answer(device: Path, cli: Cli) -> None:
    """Where the vehicle has one and agent.toml describes it."""
    call = '[ecall]\nbroker = "main"\nnumber = "+8610000001"\ntest_number = "+8610000002"\nrecipient = "traffic"\n'
    device.write_text(device.read_text() + call + f'state = "{device.parent}/call"\nrun = "{device.parent}/run"\n')
    assert codes(cli("doctor", "--config", device, "--json"))["ecall-silent"] == "error"


@pytest.mark.finding("broker-region")
def test_a_broker_where_nothing_may_be_sent_is_not_spoken_to(device: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even to see whether it answers."""

    def spoken(*_: Any) -> None:
        raise AssertionError("spoken to")

    monkeypatch.setattr(diagnosis, "probe", spoken)
    monkeypatch.setattr(diagnosis, "reached", spoken)
    device.write_text(device.read_text().replace('url = "mqtt://127.0.0.1:1"\nregion = "CN"', 'url = "mqtt://127.0.0.1:1"\nregion = "US"'))
    assert codes(cli("doctor", "--config", device, "--json"))["broker-region"] == "warning"


def test_a_broker_without_a_lane_is_not_connected_to(device: Path, cli: Cli) -> None:
    """Before the policy is accepted, say: it is there, and hears nothing."""
    with FakeBroker() as broker:
        device.write_text(device.read_text().replace("127.0.0.1:1", f"127.0.0.1:{broker.port}"))
        said = cli("doctor", "--config", device, "--json")
    assert "broker-unreachable" not in codes(said)
    assert broker.heard == []


def test_who_may_not_ask_is_told_so(device: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a diagnosis would pass for a whole one."""

    def denied(*_: object) -> None:
        raise RemoteError("this user may not talk to the agent", "control.sock", "use the user or group of the agent", 4)

    monkeypatch.setattr(diagnosis, "ask", denied)
    cli("doctor", "--config", device).refused(4)
