"""`modicum ecall decode` and `encode`: the document of the interface, and a clear word for what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from agent.cli.ecall import ecall_group
from agent.control.protocol import RemoteError
from agent.ecall.msd import AdditionalData, encode
from agent.errors import AgentAbsent, FindingsError, UsageError
from tests.agent.daemons.test_ecall import CONFIG
from tests.agent.ecall.build import VIN, msd

KEYS = [
    *("version", "messageIdentifier", "automaticActivation", "testCall", "positionCanBeTrusted", "vehicleType", "vin", "propulsion"),
    *("timestamp", "latitude_mas", "longitude_mas", "latitude_deg", "longitude_deg", "vehicleDirection"),
    *("recentVehicleLocationN1", "recentVehicleLocationN2", "numberOfOccupants", "additionalData"),
]
FULL = encode(msd(3, additional_data=AdditionalData("8.1", b"\xab\xcd"))).hex()


def said(*arguments: str, stdin: str | None = None, status: int = 0) -> str:
    result = CliRunner().invoke(ecall_group, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == status
    return result.stdout


def document(octets: str = FULL) -> dict[str, Any]:
    loaded = json.loads(said("decode", octets, "--json"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_document_has_the_keys_of_the_interface() -> None:
    """In milliarcseconds and in degrees; additional data in hex."""
    found = document()
    assert list(found) == KEYS
    assert (found["latitude_mas"], found["latitude_deg"], found["recentVehicleLocationN1"]) == (143_646_840, 39.9019, [-12, 7])
    assert (found["propulsion"], found["additionalData"]) == (["gasolineTankPresent"], {"oid": "8.1", "data": "ABCD"})


def test_what_was_decoded_is_encoded_again(tmp_path: Path) -> None:
    """From a file and from standard input."""
    path = tmp_path / "msd.json"
    path.write_text(json.dumps(document()))
    assert said("encode", str(path)).strip() == FULL.upper()
    assert said("encode", "-", stdin=path.read_text()).strip() == FULL.upper()


def test_a_position_may_be_given_in_degrees_alone() -> None:
    """Null is an unknown one."""
    given = document()
    del given["latitude_mas"], given["longitude_mas"]
    assert said("encode", "-", stdin=json.dumps(given)).strip() == FULL.upper()
    unknown = given | {"latitude_deg": None, "longitude_deg": None}
    assert document(said("encode", "-", stdin=json.dumps(unknown)).strip())["latitude_mas"] == 2_147_483_647


def test_a_person_reads_what_the_numbers_mean() -> None:
    """The moment, the direction, yes and no."""
    text = said("decode", FULL)
    assert "2023-11-14 22:13:20 UTC" in text
    assert "45  (90 degrees)" in text
    assert "positionCanBeTrusted     yes" in text
    assert "additionalData           8.1 ABCD" in text
    unknown = said("decode", encode(msd(2, timestamp_s=0, vehicle_direction=255, number_of_occupants=None)).hex())
    assert "0  (the clock had failed)" in unknown
    assert "255  (unknown)" in unknown
    assert "numberOfOccupants        not given" in unknown


@pytest.mark.parametrize("octets", ["xyz", "0", "", "04", FULL[:-2]])
def test_what_is_no_message_is_refused(octets: str) -> None:
    """Not hexadecimal, of an unknown version, cut off: exit status 2."""
    with pytest.raises(UsageError):
        said("decode", octets)


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("vehicleDirection", {"vehicleDirection": 200}),
        ("latitude_deg", {"latitude_deg": 39.0}),
        ("latitude_deg", {"latitude_deg": "north"}),
        ("longitude_mas", {"longitude_mas": 648_000_001, "longitude_deg": 648_000_001 / 3_600_000}),
        ("speed", {"speed": 5}),
        ("additionalData", {"additionalData": {"oid": "8.1", "data": "X"}}),
        ("additionalData", {"additionalData": {"oid": "8.1", "data": "00" * 120}}),
        ("vin", {"vin": 5}),
    ],
)
def test_what_cannot_be_encoded_is_refused_by_its_name(field: str, changed: dict[str, Any]) -> None:
    """Exit status 2, and nothing is printed."""
    with pytest.raises(UsageError, match=field):
        said("encode", "-", stdin=json.dumps(document() | changed))


def test_a_position_that_is_not_given_is_not_unknown() -> None:
    """Whoever leaves it out has forgotten it."""
    given = document()
    del given["latitude_mas"], given["latitude_deg"]
    with pytest.raises(UsageError, match="latitude_mas: missing"):
        said("encode", "-", stdin=json.dumps(given))


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_what_is_no_document_is_refused(text: str) -> None:
    """With a word on where to see one."""
    with pytest.raises(UsageError, match="no document"):
        said("encode", "-", stdin=text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It does not exist."""
    with pytest.raises(UsageError, match="cannot read"):
        said("encode", str(tmp_path / "none.json"))


def running(monkeypatch: pytest.MonkeyPatch, folder: Path, answer: dict[str, Any]) -> list[str]:
    """An agent.toml whose emergency call answers so; what it was asked."""
    (folder / "agent.toml").write_text(CONFIG.format(vin=VIN, more=""))
    asked = list[str]()

    def ask(socket: Path, route: str) -> dict[str, Any]:
        assert socket == folder / "run" / "control.sock"
        asked.append(route)
        return answer

    monkeypatch.setattr("agent.cli.ecall.ask", ask)
    return asked


ANSWER = {
    "state": "voice",
    "enabled": True,
    "session": {"kind": "automatic", "messages": 2, "acknowledged": False, "voice": True, "dials": 1},
    "checks": {"bus": None, "sim": {"code": "ecall-sim", "severity": "error", "text": "no SIM", "hint": "insert one"}},
    "latency_ms": {"made": 3.2, "sent": 4.0, "acknowledged": 41.4},
    "places": 3,
    "problems": {"Send": "OSError: gone"},
    "frames": 1,
}


def test_a_person_reads_how_the_call_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The call, each check, and every problem; as JSON the answer itself."""
    running(monkeypatch, tmp_path, ANSWER)
    config = ("--config", str(tmp_path / "agent.toml"))
    assert said("status", *config, status=1).splitlines() == [
        "state: voice",
        "call: automatic, 2 messages, not acknowledged yet, dialled 1 time",
        "last crash: message made 3.2 ms, acknowledged 41.4 ms after the frame that told of it",
        "read: 1 crash frame; in memory: 3 places",
        "  bus  ok",
        "  sim  error ecall-sim: no SIM: insert one",
        "problem: Send: OSError: gone",
    ]
    assert json.loads(said("status", "--json", *config, status=1)) == ANSWER


def test_what_switching_off_means_is_said_before_it_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing happens without a yes; with one it is said again."""
    asked = running(monkeypatch, tmp_path, {"enabled": False})
    config = ("--config", str(tmp_path / "agent.toml"))
    with pytest.raises(FindingsError, match="nothing has changed"):
        said("off", *config, stdin="n\n")
    assert asked == ["ecall.may_off"]
    assert "After a crash nobody will be called and no message sent" in said("off", "--yes", *config)
    assert said("on", *config) == "emergency call: on\n"
    assert asked == ["ecall.may_off", "ecall.may_off", "ecall.off", "ecall.on"]


def test_whoever_may_not_switch_off_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Refused before the question, with the program's own word."""
    running(monkeypatch, tmp_path, {})
    refusal = RemoteError("not permitted: ecall.may_off", "control socket", "only root may: use sudo", 4)
    monkeypatch.setattr("agent.cli.ecall.ask", Mock(side_effect=refusal))
    monkeypatch.setattr("click.confirm", Mock(side_effect=AssertionError("asked")))
    with pytest.raises(RemoteError, match="only root may"):
        said("off", "--config", str(tmp_path / "agent.toml"))


def test_what_is_asked_for_is_asked_of_the_program_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On its own socket; what it then is, is said, how to take it back, and what of it cannot be had."""
    config, well = ("--config", str(tmp_path / "agent.toml")), {"checks": {"sos": None}}
    asked = running(monkeypatch, tmp_path, {"state": "countdown", **well})
    assert said("sos", *config) == "emergency call: countdown; modicum ecall cancel takes it back, as long as it counts down\n"
    assert said("cancel", *config) == "emergency call: countdown\n"
    running(monkeypatch, tmp_path, {"state": "sending", "checks": ANSWER["checks"]})
    assert said("test", *config) == "emergency call: sending\nbut error ecall-sim: no SIM: insert one\n"
    assert asked == ["ecall.sos", "ecall.status", "ecall.cancel"]


def test_a_program_that_does_not_answer_is_called_by_its_name(tmp_path: Path) -> None:
    """It is not core that has to be started."""
    (tmp_path / "agent.toml").write_text(CONFIG.format(vin="WMWTESTCAR0000001", more=""))
    with pytest.raises(AgentAbsent, match="modicum-ecall does not answer"):
        said("status", "--config", str(tmp_path / "agent.toml"))


def test_a_device_without_an_emergency_call_says_so(tmp_path: Path) -> None:
    """By its file."""
    (tmp_path / "agent.toml").write_text('[vehicle]\nplatform = "bench"\n[regions]\nallowed = ["CN"]\n')
    with pytest.raises(UsageError, match=r"no \[ecall\] section"):
        said("status", "--config", str(tmp_path / "agent.toml"))
