"""KUKSA mapping files: read as they are, with their formulas and tables, and what is wrong with them named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.collect.decode import Decoder
from agent.errors import ConfigError, UsageError
from agent.kuksa import read_mapping
from agent.vehicle import Vehicle, load_vehicle
from hw.ports import Frame

DBC = """VERSION ""
BU_: ECU
BO_ 256 BODY: 8 ECU
 SG_ SPEED : 0|9@1+ (1,0) [0|510] "" ECU
 SG_ DOOR : 16|4@1+ (1,0) [0|15] "" ECU
 SG_ TILT : 24|8@1+ (0.02,0) [0|5] "V" ECU
 SG_ HEAT : 32|8@1+ (1,-40) [-40|200] "C" ECU
VAL_ 256 SPEED 510 "SNA" ;
VAL_ 256 DOOR 0 "UNKNOWN" 1 "OPEN" 2 "CLOSED" ;
"""
VEHICLE = '[vehicle]\ntitle = "T"\n[buses.a]\ndbc = ["a.dbc"]\n[kuksa]\nmapping = ["m.json"]\n'
DOORS = [{"from": "OPEN", "to": True}, {"from": "CLOSED", "to": False}]
LEAVES: dict[str, dict[str, Any]] = {
    "Speed": {"unit": "km/h", "dbc2vss": {"interval_ms": 100, "on_change": True, "signal": "SPEED"}},
    "IsOpen": {"dbc2vss": {"signal": "DOOR", "transform": {"mapping": DOORS}}},
    "Tilt": {"unit": "percent", "dbc2vss": {"signal": "TILT", "transform": {"math": "floor((x*40)-100)"}}, "vss2dbc": {"signal": "TILT"}},
    "Heat": {"unit": "celsius", "dbc2vss": {"signal": "HEAT"}},
}


def write(folder: Path, leaves: dict[str, Any], more: str = "") -> Vehicle:
    (folder / "a.dbc").write_text(DBC)
    (folder / "m.json").write_text(json.dumps({"Vehicle": {"type": "branch", "children": leaves}}))
    (folder / "vehicle.toml").write_text(VEHICLE + more)
    return load_vehicle(folder)


def read(vehicle: Vehicle, data: bytes, **units: str) -> dict[str, object]:
    decoder = Decoder(vehicle, frozenset(vehicle.sources), {f"Vehicle.{name}": unit for name, unit in units.items()})
    return {one.signal.removeprefix("Vehicle."): one.value for one in decoder.decode(Frame("a", 256, data, 0))}


def test_values_become_what_the_file_says(tmp_path: Path) -> None:
    """As it is, by a table of the DBC's texts, by a formula; in VSS's unit, converted to the catalogue's where it has another."""
    data = (88).to_bytes(2, "little") + bytes([1, 165, 60, 0, 0, 0])
    vehicle = write(tmp_path, LEAVES)
    assert vehicle.findings == []
    assert read(vehicle, data) == {"Speed": 88, "IsOpen": True, "Tilt": 32, "Heat": 20}
    assert read(vehicle, data, Speed="m/s")["Speed"] == pytest.approx(88 / 3.6)


def test_a_value_with_a_name_is_no_measurement(tmp_path: Path) -> None:
    """ "Not available" is never published as a speed, and a text that the table leaves out has no value."""
    data = (510).to_bytes(2, "little") + bytes([0, 165, 60, 0, 0, 0])
    assert read(write(tmp_path, LEAVES), data).keys() == {"Tilt", "Heat"}


def test_a_table_of_numbers_takes_numbers_only(tmp_path: Path) -> None:
    """1 is not true and not "1"; of two rows for one value the first counts."""
    rows = [{"from": 1, "to": 7}, {"from": 1, "to": 8}, {"from": "2", "to": 9}]
    vehicle = write(tmp_path, {"N": {"dbc2vss": {"signal": "DOOR", "transform": {"mapping": rows}}}})
    assert read(vehicle, bytes([0, 0, 1, 0, 0, 0, 0, 0])) == {"N": 7}
    assert read(vehicle, bytes([0, 0, 2, 0, 0, 0, 0, 0])) == {}


def test_a_line_of_the_vehicle_file_goes_before_the_mapping(tmp_path: Path) -> None:
    """The integrator's own word on a signal."""
    vehicle = write(tmp_path, LEAVES, '[signals]\n"Vehicle.Speed" = { bus = "a", from = "BODY.HEAT" }\n')
    assert vehicle.sources["Vehicle.Speed"].dbc.name == "HEAT"


def test_a_signal_that_no_dbc_has_costs_itself_only(tmp_path: Path) -> None:
    """Named with what may have been meant."""
    vehicle = write(tmp_path, LEAVES | {"Lost": {"dbc2vss": {"signal": "SPEEED"}}})
    assert [(one.severity, "SPEEED" in one.text, one.hint) for one in vehicle.findings] == [("warning", True, "did you mean 'SPEED'?")]
    assert len(vehicle.sources) == 4


@pytest.mark.finding("kuksa-empty")
def test_a_file_without_one_entry_is_said(tmp_path: Path) -> None:
    """A misspelt dbc2vss maps nothing, which would look like a file in order."""
    (one,) = write(tmp_path, {"Speed": {"unit": "km/h", "dbc2vsss": {"signal": "SPEED"}}}).findings
    assert (one.code, one.severity) == ("kuksa-empty", "error")
    assert one.text.endswith("m.json: no leaf has a dbc2vss entry")


@pytest.mark.finding("kuksa-unreadable")
def test_a_file_that_is_not_there_costs_its_signals_only(tmp_path: Path) -> None:
    """The vehicle is loaded without them, and says so."""
    (tmp_path / "a.dbc").write_text(DBC)
    (tmp_path / "vehicle.toml").write_text(VEHICLE)
    assert [one.code for one in load_vehicle(tmp_path).findings] == ["kuksa-unreadable"]
    with pytest.raises(UsageError):
        read_mapping(tmp_path / "m.json")


@pytest.mark.parametrize(
    "leaf",
    [
        {"dbc2vss": {}},
        {"dbc2vss": {"signal": 1}},
        {"dbc2vss": {"signal": "SPEED", "transform": {"code": "x"}}},
        {"dbc2vss": {"signal": "SPEED", "transform": {"math": "x", "mapping": []}}},
        {"dbc2vss": {"signal": "SPEED", "transform": {"math": "__import__('os')"}}},
        {"dbc2vss": {"signal": "SPEED", "transform": {"mapping": [{"from": 1}]}}},
        {"dbc2vss": {"signal": "SPEED", "transform": {"mapping": [{"from": [], "to": 1}]}}},
        {"dbc2vss": {"signal": "SPEED", "transform": {"mapping": 5}}},
    ],
)
def test_a_leaf_that_cannot_be_meant_is_named(tmp_path: Path, leaf: dict[str, Any]) -> None:
    """With its path, in a finding; the DBC's other signals go on."""
    vehicle = write(tmp_path, {"Bad": leaf})
    assert [one.code for one in vehicle.findings] == ["kuksa-unreadable"]
    assert "Vehicle.Bad" in vehicle.findings[0].text


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "[" * 10_000])
def test_what_is_no_mapping_file_is_refused(tmp_path: Path, text: str) -> None:
    """In one line."""
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ConfigError, match="KUKSA"):
        read_mapping(tmp_path / "m.json")
