"""[power] of agent.toml: what it waits for, in words, and whether anything comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.health.going import Waits, power, power_line

ON = {"ignition": True, "ignition_s": 600.0, "low_s": None, "left_s": None}
OFF = {"ignition": False, "ignition_s": 40.0, "low_s": None, "left_s": 260.0}


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    made = tmp_path / "modicum-power.service"
    made.touch()
    return made


def with_drop_in(unit: Path, text: str) -> Path:
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    (folder / "power.conf").write_text(text)
    return unit


@pytest.mark.finding("power-unheard")
def test_a_unit_that_only_starts_core_again_is_found(unit: Path) -> None:
    """Also with a drop-in that says something else."""
    assert [one.code for one in power(ON, unit)] == ["power-unheard"]
    assert [one.code for one in power(ON, with_drop_in(unit, "[Unit]\nDescription=x\n"))] == ["power-unheard"]


def test_what_somebody_acts_on_is_no_fault(unit: Path) -> None:
    """Nor what nobody asked for, nor a device that does without our units."""
    assert power(None, unit) == []
    assert power(ON, unit.with_name("absent.service")) == []
    assert power(ON, with_drop_in(unit, "[Service]\nExecStart=\nExecStart=/bin/systemctl poweroff\n")) == []


def test_the_drop_in_that_is_shipped_counts(unit: Path) -> None:
    """As it stands."""
    shipped = Path(__file__).parents[3] / "systemd" / "examples" / "power.conf"
    assert power(ON, with_drop_in(unit, shipped.read_text())) == []


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        (None, "not asked for"),
        (ON, "ignition on for 10 min"),
        (OFF, "ignition off for 40 s, ends in 4 min"),
        ({**OFF, "low_s": 20.0, "left_s": 40.0}, "ignition off for 40 s, battery low for 20 s, ends in 40 s"),
        ({**OFF, "ignition": None}, "ignition not told for 40 s, ends in 4 min"),
        ({**OFF, "left_s": 0.0}, "ignition off for 40 s, ends once no emergency call and no request is open"),
        ({**OFF, "left_s": None}, "ignition off for 40 s"),
    ],
)
def test_what_it_waits_for_is_said_in_a_line(waits: Waits, said: str) -> None:
    """Of `modicum status`."""
    assert power_line(waits) == said
