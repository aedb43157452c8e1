"""Scenarios of the bench: what a drive is, as TOML in config/bench.

Owns the form of the file and the list of what a scenario may set. Promises that a scenario which loads can be driven:
keys are known, times run forward, turns have a radius. Must never hold behaviour: the car is in `truth`.

A scenario's `[[change]]` sets fields of `Condition` at a moment (or, for numbers, glides there over `over_s`), so that
rain, a weak battery, a tunnel, parking or a crash are data and need no code.
"""

from __future__ import annotations

import pathlib
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hw.errors import HwError

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "config" / "bench"
VIN = "WMWTESTCAR0000001"
"""Of no car that exists."""
DRIVER, GUEST = "driver", "guest"
"""Who drives where a scenario does not say; and whoever drives without saying who it is."""
STRAIGHT_M_MAX = 100_000.0
SECONDS_MAX = 86_400.0

Ignition = Literal["OFF", "ACC", "ON", "START"]
Lever = Literal["P", "R", "N", "D"]
OilLevel = Literal["CRITICALLY_LOW", "LOW", "NORMAL", "HIGH", "CRITICALLY_HIGH"]
Fault = Literal["P0171", "P0420", "C0035"]
WiperMode = Literal["OFF", "SLOW", "MEDIUM", "FAST", "INTERVAL", "RAIN_SENSOR"]


class ScenarioError(HwError):
    """A scenario cannot be read or driven; the person changes the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Everything about the car that is set rather than computed.

    Percent are 0 to 100; faults are codes of SAE J2012, those that this car can broadcast. `driver`: who sits behind the wheel.
    `gnss_weeks_back`: how far the receiver's date is behind; 1,024 when its week has rolled over.
    """

    vin: str = VIN
    driver: str = DRIVER
    ignition: Ignition = "ON"
    gear: Lever = "P"
    gnss_mode: int = 3
    gnss_plugged: bool = True
    gnss_garbage: bool = False
    gnss_weeks_back: int = 0
    abs_active: bool = False
    esc_active: bool = False
    wiper_mode: WiperMode = "OFF"
    wiper_intensity: int = 0
    washer_low: bool = False
    rain_percent: float = 0.0
    low_beam: bool = False
    fog_front: bool = False
    fog_rear: bool = False
    hazard: bool = False
    outside_c: float = 21.0
    cabin_c: float = 22.0
    door_fl_open: bool = False
    door_fr_open: bool = False
    door_rl_open: bool = False
    door_rr_open: bool = False
    trunk_open: bool = False
    locked: bool = True
    window_fl_percent: float = 0.0
    window_fr_percent: float = 0.0
    window_rl_percent: float = 0.0
    window_rr_percent: float = 0.0
    battery_rest_v: float = 12.5
    coolant_start_c: float = 62.0
    engine_hours_start_h: float = 812.4
    fuel_full_percent: float = 64.0
    service_left_km: float = 8_400.0
    service_left_days: int = 210
    oil_level: OilLevel = "NORMAL"
    tyre_fl_kpa: float = 232.0
    tyre_fr_kpa: float = 231.0
    tyre_rl_kpa: float = 243.0
    tyre_rr_kpa: float = 242.0
    brake_wear_fl_percent: int = 38
    brake_wear_fr_percent: int = 40
    brake_wear_rl_percent: int = 27
    brake_wear_rr_percent: int = 28
    faults: tuple[Fault, ...] = ()
    deploy: Literal["none", "deployed", "invalid"] = "none"
    crash_severity_percent: int = 0
    crash_diagnosis: bool = False
    actuator_test: bool = False
    belt_tensioner: bool = False
    belt_driver: bool = True
    belt_passenger: bool = False


CONDITIONS = frozenset(item.name for item in fields(Condition))


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, and a key that is not declared is an error."""


class Start(_Strict, frozen=True):
    """Where and how the drive begins. WGS-84; heading clockwise from north."""

    lat_deg: Annotated[float, Meta(ge=-85, le=85)]
    lon_deg: Annotated[float, Meta(ge=-180, le=180)]
    odometer_km: Annotated[float, Meta(ge=0, le=1_600_000)]
    heading_deg: Annotated[float, Meta(ge=0, lt=360)] = 0.0
    alt_m: float = 40.0


class Leg(_Strict, frozen=True):
    """A piece of road: straight on, or a turn (right positive) of a radius. The route begins again at its end."""

    straight_m: Annotated[float, Meta(ge=0, le=STRAIGHT_M_MAX)] = 0.0
    turn_deg: Annotated[float, Meta(ge=-360, le=360)] = 0.0
    radius_m: Annotated[float, Meta(ge=0)] = 0.0


class SpeedPoint(_Strict, frozen=True):
    """The speed at a moment; between two points it changes evenly, after the last it stays."""

    at_s: Annotated[float, Meta(ge=0)]
    kmh: Annotated[float, Meta(ge=0, le=250)]


class Change(_Strict, frozen=True, rename={"set_": "set"}):
    """From `at_s` on these conditions hold; numbers may glide there over `over_s`."""

    at_s: Annotated[float, Meta(ge=0)]
    set_: dict[str, Any]
    over_s: Annotated[float, Meta(ge=0)] = 0.0


class Action(_Strict, frozen=True):
    """What somebody in the car does: asks for the stream `name`, or grants (for this trip) or withdraws the item `name`."""

    at_s: Annotated[float, Meta(ge=0)]
    do: Literal["request", "grant", "withdraw"]
    name: str


class Driver(_Strict, frozen=True):
    """Somebody with a profile of their own, which grants nothing at first. The one called `driver` needs no entry."""

    name: Annotated[str, Meta(min_length=1)]
    minor: bool = False


class Scenario(_Strict, frozen=True, rename={"changes": "change", "actions": "action", "drivers": "driver"}):
    """One drive.

    `speed_jitter_kmh`: how far the seed may move the speed where the file says a constant one. `begins`: its first moment on the
    virtual clock, where that matters. `crash_s`: the car crashes at that moment and stays there, whatever the file says of later.
    """

    title: str
    start: Start
    route: Annotated[tuple[Leg, ...], Meta(min_length=1)]
    speed: Annotated[tuple[SpeedPoint, ...], Meta(min_length=1)]
    seconds: Annotated[float, Meta(gt=0, le=SECONDS_MAX)] = 120.0
    changes: tuple[Change, ...] = ()
    actions: tuple[Action, ...] = ()
    drivers: tuple[Driver, ...] = ()
    crash_s: Annotated[float, Meta(ge=0)] | None = None
    receiver_hz: Literal[1, 2, 5, 10] = 1
    begins: datetime | None = None
    speed_jitter_kmh: Annotated[float, Meta(ge=0, le=10)] = 0.0


def scenario_names() -> list[str]:
    """The scenarios of config/bench."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def scenario_path(name: str) -> pathlib.Path:
    """The file of a scenario given by its name in config/bench or by a path."""
    path = pathlib.Path(name)
    return path if path.suffix == ".toml" else FOLDER / f"{name}.toml"


def load_scenario(path: pathlib.Path) -> Scenario:
    """The scenario of a file. Raises ScenarioError."""
    try:
        scenario = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Scenario)
        check_scenario(scenario)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, ScenarioError) as error:
        raise ScenarioError(f"no scenario of the bench: {error}", str(path), "see config/bench/drive.toml") from error
    return scenario


def check_scenario(scenario: Scenario) -> None:
    """Raises ScenarioError for what the types cannot say: order of times, radii, conditions of the wrong kind, who is not there."""
    times = [point.at_s for point in scenario.speed]
    if times[0] != 0 or times != sorted(set(times)):
        raise ScenarioError("speed: at_s has to begin with 0 and to grow from point to point")
    actions = [action.at_s for action in scenario.actions]
    if actions != sorted(actions):
        raise ScenarioError("action: at_s may not go back from one action to the next; write them in the order of time")
    for leg in scenario.route:
        if bool(leg.turn_deg) == bool(leg.straight_m) or (leg.turn_deg and leg.radius_m <= 0):
            raise ScenarioError("route: each leg is either straight_m, or turn_deg with a radius_m")
    if scenario.crash_s is not None and scenario.crash_s >= scenario.seconds:
        raise ScenarioError(f"crash_s: the drive is over at {scenario.seconds:g} s")
    people = {DRIVER, GUEST, *(one.name for one in scenario.drivers)}
    if len(people) < 2 + len(scenario.drivers):
        raise ScenarioError(f"driver: write each name once; {DRIVER} and {GUEST} need no entry")
    for change in scenario.changes:
        _check_change(change, people)


def _check_change(change: Change, people: Collection[str]) -> None:
    at = f"change at {change.at_s} s"
    unknown = set(change.set_) - CONDITIONS
    if unknown:
        raise ScenarioError(f"{at}: the car has no {min(unknown)!r}")
    values = convert_condition(change.set_)
    if values.get("driver", DRIVER) not in people:
        raise ScenarioError(f"{at}: nobody is called {values['driver']!r}; add a [[driver]] of that name")
    if values.get("gnss_weeks_back", 0) < 0:
        raise ScenarioError(f"{at}: gnss_weeks_back counts weeks that have passed; write 0 or more")


def convert_condition(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the types of `Condition` want them. Raises ScenarioError for one of the wrong kind."""
    try:
        whole = msgspec.convert(values, Condition)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"change: {error}") from error
    return {name: getattr(whole, name) for name in values}
