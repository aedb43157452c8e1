"""No diagnosis shows who the car is, where it is or how its modem is called: each verb's whole output, beside planted secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.control.protocol import RemoteError
from agent.control.routes import ROUTES
from agent.errors import AgentAbsent, ModicumError
from hw.modem.exchange import Answer
from hw.modem.health import health
from hw.ports import Fix
from tests.agent.cli.conftest import write_device
from tests.agent.core.stage import VIN, Stage
from tests.agent.core.test_numbers import Bench
from tests.agent.ecall.test_loop import Fakes, asked
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
CALL = f"""[modem]
port = "/dev/none"
[ecall]
broker = "main"
number = "{PLANTED.phone}"
test_number = "+8610000002"
recipient = "traffic"
"""
VERBS: tuple[tuple[str, ...], ...] = (("status",), ("doctor",), ("gnss", "watch", "--seconds", "0.1"), ("live",), ("ecall", "status"))
Said = Callable[..., bytes]


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    with Stage(tmp_path / "core") as made:
        yield made


@pytest.fixture
def said(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
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

    for module in ("agent_side", "diagnosis", "status", "ecall"):
        monkeypatch.setattr(f"agent.cli.{module}.ask", answer)
    config = write_device(tmp_path)
    config.write_text(config.read_text() + CALL + f'state = "{tmp_path}/call"\nrun = "{tmp_path}/run"\n')

    def go(*words: str) -> bytes:
        main([*words, "--config", str(config)])
        captured = capsys.readouterr()
        return (captured.out + captured.err).encode()

    return go


def outputs(said: Said) -> Mapping[str, bytes]:
    """Of every verb, as text and as JSON."""
    return {" ".join((*verb, *form)): said(*verb, *form) for verb in VERBS for form in ((), ("--json",))}


def test_no_diagnosis_tells_a_secret(said: Said) -> None:
    """Neither VIN nor place, no number of the modem, the SIM or the centre; and each does say something."""
    told = outputs(said)
    assert all(told.values())
    assert scan(SPELLED, dict(told)) == set()


def test_what_is_masked_of_the_modem_is_told(said: Said) -> None:
    """The secret was there to be told: the model's part of the IMEI is shown, and how it is."""
    assert b"IMEI 49015420*******" in said("doctor")
    assert b'"signal_dbm": -71' in said("ecall", "status", "--json")


def test_the_scanner_finds_what_an_unlocked_device_shows(said: Said, stage: Stage) -> None:
    """The same outputs, once somebody has unlocked it for a reason: VIN and place are there, so they would have been found."""
    stage.core.unlocking.unlock(5, "a test")
    found = {(where.split()[0], marker.split()[0]) for where, marker, _ in scan(SPELLED, dict(outputs(said)))}
    assert found == {("status", "vin"), ("gnss", "position")}
