"""hw.bench.scenario: what loads can be driven, what cannot says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.bench.scenario import FOLDER, ScenarioError, load_scenario, scenario_path
from hw.bench.truth import Drive

GOOD = """
title = "short"
[start]
lat_deg = 39.8
lon_deg = 116.4
odometer_km = 10
[[route]]
straight_m = 100
[[speed]]
at_s = 0
kmh = 0
[[change]]
at_s = 0
set = { gear = "D", wiper_intensity = 2 }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "made.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_can_be_driven(path: Path) -> None:
    """It loads, and the car has a state from the first moment to the last."""
    drive = Drive.load(path.stem)
    assert all(drive.state(drive.seconds * i / 50).odometer_km >= drive.state(0).odometer_km for i in range(51))


def test_a_name_is_a_file_of_the_folder_and_a_path_is_itself(tmp_path: Path) -> None:
    """`drive` and a path both lead to a file."""
    assert scenario_path("drive") == FOLDER / "drive.toml"
    assert scenario_path(str(tmp_path / "made.toml")) == tmp_path / "made.toml"
    assert load_scenario(write(tmp_path, GOOD)).title == "short"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("straight_m = 100", "straight_m = 100\nlanes = 2", "lanes"),
        ("straight_m = 100", "turn_deg = 90", "radius_m"),
        ("straight_m = 100", "straight_m = 100\nturn_deg = 5\nradius_m = 9", "either"),
        ("at_s = 0\nkmh = 0", "at_s = 3\nkmh = 0", "begin with 0"),
        ("kmh = 0", "kmh = 0\n[[speed]]\nat_s = 0\nkmh = 9", "grow"),
        ("kmh = 0", "kmh = -4", "kmh"),
        ("wiper_intensity = 2", "wipers = 2", "wipers"),
        ("wiper_intensity = 2", 'driver = "anna"', "nobody is called 'anna'"),
        ("[[route]]", '[[driver]]\nname = "driver"\n[[route]]', "needs? no entry"),
        ("[[route]]", '[[driver]]\nname = "ann"\n[[driver]]\nname = "ann"\n[[route]]', "each name once"),
        ('title = "short"', 'title = "short"\nreceiver_hz = 3', "receiver_hz"),
        ('title = "short"', 'title = "short"\ncrash_s = 120', "the drive is over at 120 s"),
        ("wiper_intensity = 2", "gnss_weeks_back = -1", "weeks that have passed"),
        ("[[route]]", '[[driver]]\nname = ""\n[[route]]', "length >= 1"),
        ("wiper_intensity = 2", 'wiper_intensity = "much"', "wiper_intensity"),
        ('gear = "D"', 'gear = "X"', "gear"),
        ("wiper_intensity = 2", 'faults = ["P9999"]', "faults"),
        ("lat_deg = 39.8", "lat_deg = 139.8", "lat_deg"),
        ('title = "short"', "title = ", "no scenario"),
    ],
)
def test_a_scenario_that_cannot_be_driven_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Unknown keys, wrong kinds, times that run backwards and turns without a radius are named, with the file."""
    assert old in GOOD
    with pytest.raises(ScenarioError, match=says) as caught:
        load_scenario(write(tmp_path, GOOD.replace(old, new)))
    assert "made.toml" in str(caught.value)


def test_actions_stand_in_the_order_of_time(tmp_path: Path) -> None:
    """Two at the same moment are done as they stand; one before its predecessor is refused, for it would come late."""
    actions = '\n[[action]]\nat_s = {}\ndo = "grant"\nname = "a.b"\n'
    assert [action.at_s for action in load_scenario(write(tmp_path, GOOD + actions.format(5) * 2)).actions] == [5, 5]
    with pytest.raises(ScenarioError, match="order of time"):
        load_scenario(write(tmp_path, GOOD + actions.format(5) + actions.format(4)))


def test_what_is_no_number_cannot_glide(tmp_path: Path) -> None:
    """A gear has nothing in between."""
    path = write(tmp_path, GOOD + '\n[[change]]\nat_s = 5\nover_s = 2\nset = { gear = "N" }\n')
    with pytest.raises(ScenarioError, match="glide"):
        Drive.load(path)


def test_a_missing_file_is_named() -> None:
    """The error says which file it looked for."""
    with pytest.raises(ScenarioError, match="nowhere"):
        load_scenario(scenario_path("nowhere"))
