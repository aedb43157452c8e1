"""hw.bench.scenario: what loads can be driven, what cannot says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import inspect

from hw.bench.car import Car
from hw.bench.messages import CONTENT
from hw.bench.receiver import Receiver
from hw.bench.scenario import FOLDER, Condition, ScenarioError, load_scenario, scenario_path
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
        ("at_s = 0\nkmh = 0", "at_s = 3\nkmh = 0", "the first point is at 0 s"),
        ("kmh = 0", "kmh = 0\n[[speed]]\nat_s = 0\nkmh = 9", r"speed 2 \(at 0 s\): .* has to grow"),
        ("kmh = 0", "kmh = -4", "kmh"),
        ("wiper_intensity = 2", "wipers = 2", "wipers"),
        ("wiper_intensity = 2", 'driver = "anna"', "nobody is called 'anna'"),
        ("[[route]]", '[[driver]]\nname = "driver"\n[[route]]', "needs? no entry"),
        ("[[route]]", '[[driver]]\nname = "ann"\n[[driver]]\nname = "ann"\n[[route]]', "each name once"),
        ('title = "short"', 'title = "short"\nreceiver_hz = 3', "receiver_hz"),
        ('title = "short"', 'title = "short"\ncrash_s = 120', "the drive is over at 120 s"),
        ("wiper_intensity = 2", "gnss_weeks_back = -1", "from 0 to 2048"),
        ("[[route]]", '[[driver]]\nname = ""\n[[route]]', "1 to 200 characters"),
        ("wiper_intensity = 2", 'wiper_intensity = "much"', "wiper_intensity"),
        ("lat_deg = 39.8", "lat_deg = 139.8", "start: lat_deg is 139.8; write a number from -85 to 85"),
        ('title = "short"', 'title = "short"\nseconds = nan', "seconds is nan; write a number above 0, up to 86400"),
        ('title = "short"', 'title = "short"\nseconds = inf', "seconds is inf"),
        ('title = "short"', 'title = "short"\nbegins = 2026-11-25T23:58:40', "begins is 2026-11-25T23:58:40; .* with its zone"),
        ('title = "short"', 'title = "short"\nbegins = 1901-01-01T00:00:00Z', "2000 to 2099"),
        ("odometer_km = 10", "odometer_km = 10\nalt_m = nan", "alt_m is nan"),
        ("straight_m = 100", "straight_m = 0.001", "route: it is 0.001 m long in all; write 50 m"),
        ("straight_m = 100", "straight_m = 100\nradius_m = 50", "route 1: a leg is either"),
        ("straight_m = 100", "straight_m = 100\n[[route]]\nturn_deg = 90\nradius_m = inf", "route 2: radius_m is inf"),
        ("straight_m = 100", "straight_m = 100\n[[route]]\nturn_deg = 90\nradius_m = 2", "route 2: radius_m is 2; no car turns"),
        ("kmh = 0", "kmh = 0\n[[speed]]\nat_s = inf\nkmh = 9", "at_s is inf"),
        ("kmh = 0", "kmh = 0\n[[speed]]\nat_s = 1\nkmh = 90", r"speed 2 \(at 1 s\): from 0 to 90 km/h in 1 s is 25 m/s2"),
        ("wiper_intensity = 2", "rain_percent = nan", "rain_percent is nan"),
        ("wiper_intensity = 2", "rain_percent = -7", "rain_percent is -7; write a number from 0 to 100"),
        ("wiper_intensity = 2", "gnss_mode = 1", "gnss_mode is 1; write one of 0, 2, 3"),
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


LATER = "\n[[change]]\nat_s = 12\nset = { %s }\n"
ASKED = '\n[[action]]\nat_s = %s\ndo = "%s"\nname = "a.b"\n'
MOVES = "[[speed]]\nat_s = 9\nkmh = 50\n"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (LATER % 'gear = "X"', "change 2 (at 12 s): gear is 'X'; write one of D, N, P, R"),
        (LATER % 'faults = ["P9999"]', "change 2 (at 12 s): faults is 'P9999'; write one of C0035, P0171, P0420"),
        (LATER % 'wipermode = "OFF"', "change 2 (at 12 s): the car has no 'wipermode'; did you mean 'wiper_mode'?"),
        (LATER.replace("at_s = 12", "at_s = 12\nfor_s = 3") % "", "change 2 (at 12 s): there is no key for_s; there are at_s, over_s, set"),
        (LATER.replace("set", "over_s = 2\nset") % 'gear = "N"', "change 2 (at 12 s): gear cannot glide over 2 s"),
        (ASKED % (5, "grnt"), "action 1 (at 5 s): do is 'grnt'; write one of grant, request, withdraw"),
        ('\n[[action]]\nat_s = 4\ndo = "grant"\n', "action 1 (at 4 s): name is missing"),
        ('\n[[driver]]\nname = "ann"\n[[driver]]\nname = "ann"\n', "driver 2: 'ann' is there already; write each name once"),
        (MOVES + LATER % 'gear = "P"', "change 2 (at 12 s): the car moves in gear P"),
    ],
)
def test_the_place_is_found_and_the_right_words_are_given(tmp_path: Path, more: str, says: str) -> None:
    """Which entry as a person counts, when, what stands there, what may; the file; and the document, which has all of it."""
    with pytest.raises(ScenarioError) as caught:
        Drive.load(write(tmp_path, GOOD + more))
    assert says in caught.value.what
    assert caught.value.where.endswith("made.toml")
    assert caught.value.hint.startswith("docs/adding.md")


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (LATER % 'gear = "N"', "change 2 (at 12 s)"),
        (ASKED % (30, "grant"), "action 1 (at 30 s)"),
        ("[[speed]]\nat_s = 12\nkmh = 0\n[[speed]]\nat_s = 13\nkmh = 0\n", "speed 3 (at 13 s)"),
    ],
)
def test_what_lies_after_the_end_is_refused(tmp_path: Path, more: str, place: str) -> None:
    """It would never happen, and nobody would be told."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(tmp_path, f"seconds = 12\n{GOOD}{more}"))
    assert f"{place}: the drive is over at 12 s" in caught.value.what


def test_one_speed_point_may_lie_after_the_end(tmp_path: Path) -> None:
    """The car is on its way to that speed when the drive ends."""
    drive = Drive.load(write(tmp_path, f"seconds = 12\n{GOOD}[[speed]]\nat_s = 24\nkmh = 60\n"))
    assert drive.state(12).speed_kmh == pytest.approx(30)


def extreme(which: str) -> dict[str, object]:
    """Every number of Condition at one end of its range."""
    kinds = {field.name: field.type for field in inspect.type_info(Condition).fields}  # type: ignore[attr-defined]
    numbers = {name: kind for name, kind in kinds.items() if isinstance(kind, (inspect.FloatType, inspect.IntType))}
    return {name: getattr(kind, which) for name, kind in numbers.items()}


@pytest.mark.parametrize("which", ["ge", "le"])
@pytest.mark.parametrize("ignition", ["ON", "OFF"])
def test_the_bus_and_the_receiver_can_say_every_number_that_loads(tmp_path: Path, which: str, ignition: str) -> None:
    """At both ends of every range each message is encoded and each sentence written, for the whole drive."""
    values = ", ".join(f"{name} = {value}" for name, value in extreme(which).items())
    begins = "begins = 2000-01-01T00:00:00Z\nseconds = 30\n"
    drive = Drive.load(write(tmp_path, f'{begins}{GOOD}[[change]]\nat_s = 1\nset = {{ ignition = "{ignition}", {values} }}\n'))
    start_ns = 946_684_800 * 1_000_000_000
    assert len(list(Car(drive, start_ns).frames(start_ns, start_ns + 30_000_000_000))) > 1000
    assert list(Receiver(drive, start_ns).sentences(start_ns, start_ns + 30_000_000_000))


def test_what_a_turn_taken_too_fast_does_is_beyond_the_sensors(tmp_path: Path) -> None:
    """They say the most that they can."""
    tight = GOOD.replace("straight_m = 100", "turn_deg = 360\nradius_m = 8").replace(
        "[[change]]", "[[speed]]\nat_s = 9\nkmh = 250\n[[change]]"
    )
    drive = Drive.load(write(tmp_path, tight))
    said = CONTENT["INERTIA"](drive.state(20))
    assert (said["LATERAL"], said["YAW_RATE"]) == (20, 150)


def test_a_missing_file_is_named() -> None:
    """The error says which file it looked for."""
    with pytest.raises(ScenarioError, match="nowhere"):
        load_scenario(scenario_path("nowhere"))
