"""No diagnosis shows who the car is, where it is or how its modem is called: each verb's whole output, beside planted secrets."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import can
import click
import pytest

from agent.cli.main import cli, main
from agent.control.protocol import RemoteError
from agent.control.routes import ROUTES
from agent.errors import AgentAbsent, ModicumError
from hw.can.listen import listen
from hw.modem.exchange import Answer
from hw.modem.health import health
from hw.ports import Fix
from tests.agent.cli.conftest import write_device
from tests.agent.core.stage import VIN, Stage
from tests.agent.core.test_numbers import Bench
from tests.agent.ecall.test_loop import Fakes, asked
from tests.agent.health.build import INTERFACE
from tests.support.markers import Planted, scan

PLACE = (31.23456789, 121.47654321)
PLANTED = Planted(vin=VIN, places=(PLACE,))
SPELLED = list(PLANTED.spelled())
ANSWERS = {
    "AT+CPIN?": Answer(result=b"OK", lines=(b"+CPIN: READY",)),
    "AT+CREG?": Answer(result=b"OK", lines=(b"+CREG: 0,1",)),
    "AT+CSQ": Answer(result=b"OK", lines=(b"+CSQ: 21,99",)),
    "AT+CGSN": Answer(result=b"OK", lines=(PLANTED.imei.encode(),)),
}
BUS = '[[bus]]\nname = "pt"\ninterface = "socketcan"\nchannel = "can0"\n'
CALL = f"""[modem]
port = "/dev/none"
[ecall]
broker = "main"
number = "{PLANTED.phone}"
test_number = "+8610000002"
recipient = "traffic"
"""
VERBS: dict[str, tuple[str, ...]] = {
    "check": (),
    "status": (),
    "doctor": (),
    "can list": ("--seconds", "0.2"),
    "can rates": ("--seconds", "0.2"),
    "gnss watch": ("--seconds", "0.1"),
    "live": (),
    "plan": (),
    "explain": ("Vehicle.Speed",),
    "consent show": (),
    "consent history": (),
    "profile list": (),
    "policy show": (),
    "audit show": (),
    "ecall status": (),
    "keys show": (),
    "unlock": ("--minutes", "1", "--reason", "a test"),
    "lock": (),
}
"""What tells of this device, and how it is asked; what unlocks it comes last."""
NO_DIAGNOSIS = {
    "works on files that its caller names": {"replay", "bench", "open", "gnss decode", "ecall decode", "ecall encode"},
    "does something, and says that it is done": {
        *("consent grant", "consent withdraw", "profile add", "profile use", "policy accept", "request"),
        *("ecall cancel", "ecall off", "ecall on", "ecall sos", "ecall test", "keys init", "keys rotate", "factory-reset"),
    },
}
CHANNEL = "diagnostics"
PAYLOAD = VIN.encode() + bytes(3)
"""A whole VIN in a frame of CAN FD."""
Said = Callable[..., bytes]


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    with Stage(tmp_path / "core") as made:
        yield made


@pytest.fixture
def car() -> Iterator[None]:
    """Says its VIN, over and over, with an identifier of its DBC."""
    over = threading.Event()

    def drive() -> None:
        with can.Bus(interface="virtual", channel=CHANNEL, protocol=can.CanProtocol.CAN_FD) as bus:
            while not over.wait(0.01):
                bus.send(can.Message(arbitration_id=0x130, is_extended_id=False, is_fd=True, data=PAYLOAD))

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def said(car: None, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """What a verb prints, of a car with a fix, in the middle of nothing; the programs answer as they do on their sockets."""
    bench, fakes = Bench(stage, monkeypatch), Fakes(health=health(ANSWERS))
    stage.ignition(on=True)
    stage.core.fix(Fix(stage.clock.now_ns(), mode=3, lat_deg=PLACE[0], lon_deg=PLACE[1], speed_mps=9.0, satellites=9, hdop=0.8))
    bench.wait(1)

    def answer(_: Path, route: str, **args: object) -> Any:
        if not route.startswith("ecall."):
            try:
                return json.loads(json.dumps(ROUTES[route].run(stage.core, args)))
            except ModicumError as error:
                raise RemoteError(error.what, error.where, error.hint, error.exit_status) from error
        if route != "ecall.status":
            raise AgentAbsent("not here", "", "")
        return json.loads(json.dumps(asked(fakes, route)))

    for module in ("agent_side", "diagnosis", "status", "ecall", "can_"):
        monkeypatch.setattr(f"agent.cli.{module}.ask", answer)
    for module in ("diagnosis", "can_"):
        monkeypatch.setattr(f"agent.cli.{module}.listen", lambda *_: listen("virtual", CHANNEL, 0.2))
        monkeypatch.setattr(f"agent.cli.{module}.interface_of", lambda _: INTERFACE)
    config = write_device(tmp_path)
    config.write_text(config.read_text() + BUS + CALL + f'state = "{tmp_path}/call"\nrun = "{tmp_path}/run"\n')
    main(["keys", "init", "--config", str(config)])
    capsys.readouterr()

    def go(*words: str) -> bytes:
        main([*words, "--config", str(config)])
        captured = capsys.readouterr()
        return (captured.out + captured.err).encode()

    return go


def outputs(said: Said) -> Mapping[str, bytes]:
    """Of every verb, as text and as JSON."""
    return {" ".join((verb, *form)): said(*verb.split(), *more, *form) for verb, more in VERBS.items() for form in ((), ("--json",))}


def verbs(command: click.Command, *names: str) -> Iterator[str]:
    """Every verb that the command line has."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from verbs(found, *names, name)
    else:
        yield " ".join(names)


def test_every_verb_is_looked_at_or_is_no_diagnosis() -> None:
    """A new one has to be put into one of the tables."""
    assert sorted(verbs(cli)) == sorted([*VERBS, *set[str]().union(*NO_DIAGNOSIS.values())])


def test_no_diagnosis_tells_a_secret(said: Said) -> None:
    """Neither VIN nor place, no number of the modem, the SIM or the centre; and each does say something."""
    told = outputs(said)
    assert not [verb for verb, text in told.items() if not text or text.startswith(b"modicum: ")]
    assert scan(SPELLED, dict(told)) == set()


def test_what_is_masked_of_the_modem_is_told(said: Said) -> None:
    """The secret was there to be told: the model's part of the IMEI is shown, and how it is."""
    assert b"IMEI 49015420*******" in said("doctor")
    assert b'"signal_dbm": -71' in said("ecall", "status", "--json")


def test_what_is_heard_of_a_bus_is_told_without_what_it_says(said: Said) -> None:
    """The frames with the VIN came: identifier and name are shown, and how the bus is."""
    assert b"130  IGN  wanted" in said("can", "list", "--seconds", "0.2")
    assert re.search(rb"ok   bus pt: can0, error-active, 500 kbit/s, \d+ frames heard", said("doctor"))


def test_the_scanner_finds_what_an_unlocked_device_shows(said: Said, stage: Stage) -> None:
    """The same outputs, once somebody has unlocked it for a reason: VIN and place are there, so they would have been found."""
    stage.core.unlocking.unlock(5, "a test")
    found = {(where.split(" --")[0], marker.split()[0]) for where, marker, _ in scan(SPELLED, dict(outputs(said)))}
    assert found == {("status", "vin"), ("gnss watch", "position")}
