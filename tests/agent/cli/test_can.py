"""`modicum can list` and `rates` on a bus of python-can's in this process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import can
import pytest

from hw.can.interface import Interface
from hw.can.listen import Heard, Seen
from hw.ports import EXTENDED_ID
from tests.agent.cli.conftest import Agent, Cli, write_device

CHANNEL = "test-can-list"
SECRET = bytes.fromhex("5EC7E70FCA7B10AD")
IGNITION, STRANGER = 0x130, 0x18DAF110


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A device whose bus is one of this process."""
    made = write_device(tmp_path)
    made.write_text(made.read_text() + f'[[bus]]\nname = "pt"\ninterface = "virtual"\nchannel = "{CHANNEL}"\n')
    return made


@pytest.fixture
def car() -> Iterator[None]:
    """Says an identifier of the DBC two times as often as one of nobody's."""
    over = threading.Event()

    def drive() -> None:
        with can.Bus(interface="virtual", channel=CHANNEL) as bus:
            for n in itertools.count():
                if over.wait(0.005):
                    return
                stranger = n % 3 == 2
                bus.send(can.Message(arbitration_id=STRANGER if stranger else IGNITION, is_extended_id=stranger, data=SECRET))

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("car")
@pytest.mark.parametrize("verb", ["list", "rates"])
def test_identifiers_are_told_and_no_payload(config: Path, cli: Cli, verb: str) -> None:
    """With the name that the DBC has; as text and as one document."""
    said = cli("can", verb, "--seconds", "0.3", "--config", config)
    assert (said.status, said.err) == (0, "")
    assert "18DAF110" in said.out
    assert "130" in said.out
    assert "IGN" in said.out
    assert "(in no DBC)" in said.out
    document = cli("can", verb, "--seconds", "0.3", "--config", config, "--json")
    [bus] = document.document["buses"]
    by_id = {row["id"]: row for row in bus["ids"]}
    assert (by_id[IGNITION]["name"], by_id[IGNITION]["extended"], by_id[IGNITION]["bytes"]) == ("IGN", False, 8)
    assert (by_id[STRANGER]["name"], by_id[STRANGER]["extended"]) == (None, True)
    for out in (said.out, document.out):
        assert not any(SECRET[at : at + 3].hex() in out.lower() for at in range(6))


@pytest.mark.usefixtures("car")
def test_rates_are_those_that_were_sent(config: Path, cli: Cli) -> None:
    """The most frequent first; the load is not known without a bit rate."""
    [bus] = cli("can", "rates", "--seconds", "0.5", "--config", config, "--json").document["buses"]
    rates = {row["id"]: row["per_s"] for row in bus["ids"]}
    assert rates[IGNITION] == pytest.approx(2 * rates[STRANGER], rel=0.2)
    assert (bus["load"], bus["error_frames"]) == (None, 0)
    text = cli("can", "rates", "--seconds", "0.3", "--config", config).out.splitlines()
    assert text[0].startswith("bus pt (virtual:test-can-list): 2 identifiers, ")
    assert text[0].endswith(" frames/s, load not known without a bit rate")
    assert [line.split()[0] for line in text[1:]] == ["130", "18DAF110"]


@pytest.mark.usefixtures("car")
def test_without_an_agent_nobody_says_what_is_wanted(config: Path, cli: Cli) -> None:
    """Not "not wanted"."""
    [bus] = cli("can", "list", "--seconds", "0.2", "--config", config, "--json").document["buses"]
    assert {row["wanted"] for row in bus["ids"]} == {None}


def test_what_the_plan_wants_is_told(config: Path, cli: Cli, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the plan in force of the agent whose socket this is, from a bus that others may hear as well."""
    text = config.read_text().replace('socket = "control.sock"', f'socket = "{agent.folder}/control.sock"')
    config.write_text(text.replace('"virtual"', '"udp_multicast"'))
    heard = Heard(seconds=1.0)
    for can_id in (IGNITION, EXTENDED_ID | STRANGER):
        heard.take(Seen(can_id, 8))
    monkeypatch.setattr("agent.cli.can_.listen", lambda *_: heard)
    [bus] = cli("can", "list", "--config", config, "--json").document["buses"]
    assert {row["id"]: row["wanted"] for row in bus["ids"]} == {IGNITION: True, STRANGER: False}


@pytest.mark.parametrize("verb", ["list", "rates"])
def test_an_adapter_that_core_reads_is_not_opened(cli: Cli, agent: Agent, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Here a serial one: a second handle takes frames, and resets it. Exit 5, with the way to hear it all the same."""
    monkeypatch.setattr("agent.cli.can_.listen", lambda *_: pytest.fail("opened"))
    said = cli("can", verb, "--config", agent.config).refused(5)
    assert "bus pt: modicum-core reads it, and a second program would take frames from it (slcan:/dev/" in said
    assert "stop modicum.target first" in said


def test_a_bus_that_cannot_be_heard_is_a_fault_of_the_device(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 5, one line, in doctor's words where the interface is missing or down."""
    made = write_device(tmp_path)
    made.write_text(made.read_text() + '[[bus]]\nname = "pt"\nchannel = "no-such-if"\n')
    said = cli("can", "list", "--seconds", "0.1", "--config", made).refused(5)
    assert said.startswith("modicum: bus pt: there is no interface no-such-if (socketcan:no-such-if): plug the adapter in")
    monkeypatch.setattr("agent.cli.can_.interface_of", lambda _: Interface(there=True, up=False))
    said = cli("can", "rates", "--seconds", "0.1", "--config", made).refused(5)
    assert said.startswith("modicum: bus pt: the interface no-such-if is down (socketcan:no-such-if): bring it up with its bit rate")
    monkeypatch.setattr("agent.cli.can_.interface_of", lambda _: Interface(there=True, up=True))
    assert "cannot be heard (socketcan:no-such-if)" in cli("can", "list", "--seconds", "0.1", "--config", made).refused(5)


@pytest.mark.parametrize("verb", ["list", "rates"])
def test_a_bus_that_says_nothing_is_a_no(config: Path, cli: Cli, verb: str) -> None:
    """With what that usually means and where to look next; as JSON with doctor's finding."""
    said = cli("can", verb, "--seconds", "0.3", "--config", config)
    assert (said.status, said.err) == (1, "")
    assert said.out.splitlines()[1:] == [
        "  warning bus-silent: bus pt: no frame comes",
        "      do: usual while the car sleeps: switch the ignition on; else see bit rate and wiring",
        "      more: modicum doctor",
    ]
    document = cli("can", verb, "--seconds", "0.3", "--config", config, "--json")
    assert (document.status, [one["code"] for one in document.document["buses"][0]["findings"]]) == (1, ["bus-silent"])
