"""What `check` finds in a vehicle's ignition: whichever file says it, its words are known and tell on from off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.catalogue.check_device import check_vehicle
from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.toml import Report
from agent.vehicle import load_vehicle
from agent.vss import IGNITION

DBC = """VERSION ""
BU_: ECU
BO_ 256 BODY: 8 ECU
 SG_ KEY : 0|2@1+ (1,0) [0|3] "" ECU
VAL_ 256 KEY 0 "out" 1 "first" 2 "second" ;
"""
HEAD = '[vehicle]\ntitle = "T"\n[buses.a]\ndbc = ["a.dbc"]\n'


def found(folder: Path, more: str) -> list[tuple[str, str, str, str]]:
    (folder / "a.dbc").write_text(DBC)
    (folder / "vehicle.toml").write_text(HEAD + more)
    report = Report()
    check_vehicle(load_vehicle(folder), "vehicle.toml", load_catalogue(shipped_catalogue()), report)
    return [(one.code, one.severity, one.what, f"{one.where}: {one.hint}") for one in report.findings]


def written(folder: Path, values: str) -> list[tuple[str, str, str, str]]:
    return found(folder, f'[signals]\n"{IGNITION}" = {{ bus = "a", from = "BODY.KEY", unit = "", values = {values} }}\n')


def mapped(folder: Path, transform: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    (folder / "m.json").write_text(json.dumps({IGNITION: {"dbc2vss": {"signal": "KEY", "transform": transform}}}))
    return found(folder, '[kuksa]\nmapping = ["m.json"]\n')


def rows(**table: str | bool) -> dict[str, Any]:
    return {"mapping": [{"from": before, "to": after} for before, after in table.items()]}


def test_an_ignition_of_a_kuksa_mapping_is_one(tmp_path: Path) -> None:
    """Its table says on and off, in words or as truth values."""
    assert mapped(tmp_path, rows(out="OFF", second="ON")) == []
    assert mapped(tmp_path, rows(out=False, second=True)) == []


@pytest.mark.parametrize("transform", [{"math": "x"}, rows(out="UNDEFINED"), rows(out="OFF"), rows(out="OFF", third="ON")])
def test_a_mapping_that_never_says_on_is_said(tmp_path: Path, transform: dict[str, Any]) -> None:
    """A number, other words, and a row for a text that the DBC does not have: an error that names the place."""
    ((code, severity, what, rest),) = mapped(tmp_path, transform)
    assert (code, severity) == ("ignition-unnamed", "error")
    assert what.startswith("an ignition that never says on")
    assert rest.startswith("vehicle.toml: kuksa.mapping: map KEY to names with ON, START")


@pytest.mark.parametrize(("word", "meant"), [("AN", "ON"), ("on", "ON"), ("OF", "OFF"), ("Started", "START"), ("Undefined", "UNDEFINED")])
def test_a_word_that_no_ignition_says_is_an_error(tmp_path: Path, word: str, meant: str) -> None:
    """With the nearest that there is, besides words that are known."""
    errors = written(tmp_path, f'{{ 0 = "OFF", 1 = "{word}", 2 = "ON" }}')
    assert [(code, severity, what) for code, severity, what, _ in errors] == [
        ("ignition-word", "error", f"no state of an ignition: {word!r}")
    ]
    assert f"did you mean {meant!r}? known: ON, START, OFF, LOCK, ACC, UNDEFINED" in errors[0][3]


def test_a_word_near_nothing_is_told_what_there_is(tmp_path: Path) -> None:
    """Without a guess."""
    ((_, _, _, rest),) = written(tmp_path, '{ 0 = "OFF", 1 = "KL15", 2 = "ON" }')
    assert rest.endswith("values: known: ON, START, OFF, LOCK, ACC, UNDEFINED")


def test_a_misspelt_on_is_also_an_ignition_that_never_says_on(tmp_path: Path) -> None:
    """Both are said: the word, and what it costs."""
    assert [code for code, *_ in written(tmp_path, '{ 0 = "OFF", 2 = "AN" }')] == ["ignition-word", "ignition-unnamed"]


def test_an_ignition_without_off_is_doubtful(tmp_path: Path) -> None:
    """A trip still ends when the frame stays away, so it is a warning that says what is missing."""
    ((code, severity, what, _),) = written(tmp_path, '{ 2 = "ON" }')
    assert (code, severity, what) == ("ignition-unnamed", "warning", "an ignition that never says off")


def test_every_state_of_vss_is_known(tmp_path: Path) -> None:
    """The six of Vehicle.LowVoltageSystemState, UNDEFINED among them."""
    states = ("UNDEFINED", "LOCK", "OFF", "ACC", "ON", "START")
    assert written(tmp_path, "{ " + ", ".join(f'{raw} = "{state}"' for raw, state in enumerate(states)) + " }") == []
