"""Scenarios of the bench: what a drive is, as TOML in config/bench.

Owns the form of the file and the list of what a scenario may set. Promises that a scenario which loads can be driven:
keys are known, times run forward and lie within the drive, turns have a radius, and the car's bus can say every number.
What is refused is named by its place in the file (`refusal`). Must never hold behaviour: the car is in `truth`.

A scenario's `[[change]]` sets fields of `Condition` at a moment (or, for numbers, glides there over `over_s`), so that
rain, a weak battery, a tunnel, parking or a crash are data and need no code.
"""

from __future__ import annotations

import difflib
import itertools
import math
import pathlib
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hw.bench.refusal import entry, in_words
from hw.errors import HwError

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "config" / "bench"
VIN = "WMWTESTCAR0000001"
"""Of no car that exists."""
DRIVER, GUEST = "driver", "guest"
"""Who drives where a scenario does not say; and whoever drives without saying who it is."""
HINT = "docs/adding.md says what a drive of the bench may hold"
STRAIGHT_M_MAX = 100_000.0
ROUTE_M_MIN = 50.0
"""A day at full speed then goes round some 120,000 times, which a computer can still count."""
RADIUS_M_MIN = 7.0
"""Tighter is no steering wheel's to turn."""
SECONDS_MAX = 86_400.0
PULL_MPS2_MAX = 20.0
"""More is beyond tyres, and beyond the range of the bus."""

Ignition = Literal["OFF", "ACC", "ON", "START"]
Lever = Literal["P", "R", "N", "D"]
OilLevel = Literal["CRITICALLY_LOW", "LOW", "NORMAL", "HIGH", "CRITICALLY_HIGH"]
Fault = Literal["P0171", "P0420", "C0035"]
WiperMode = Literal["OFF", "SLOW", "MEDIUM", "FAST", "INTERVAL", "RAIN_SENSOR"]

Percent = Annotated[float, Meta(ge=0, le=100)]
WholePercent = Annotated[int, Meta(ge=0, le=100)]
Pressure = Annotated[float, Meta(ge=10, le=450)]
Moment = Annotated[float, Meta(ge=0, le=SECONDS_MAX)]


class ScenarioError(HwError):
    """A scenario cannot be read or driven; the person changes the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Everything about the car that is set rather than computed.

    Ranges leave room for what the drive adds to them on the bus.
    Faults are codes of SAE J2012, those that this car can broadcast. `driver`: who sits behind the wheel.
    `gnss_weeks_back`: how far the receiver's date is behind; 1,024 when its week has rolled over.
    """

    vin: Annotated[str, Meta(pattern="^[A-HJ-NPR-Z0-9]{17}$")] = VIN
    driver: str = DRIVER
    ignition: Ignition = "ON"
    gear: Lever = "P"
    gnss_mode: Literal[0, 2, 3] = 3
    gnss_plugged: bool = True
    gnss_garbage: bool = False
    gnss_weeks_back: Annotated[int, Meta(ge=0, le=2048)] = 0
    abs_active: bool = False
    esc_active: bool = False
    wiper_mode: WiperMode = "OFF"
    wiper_intensity: Annotated[int, Meta(ge=0, le=7)] = 0
    washer_low: bool = False
    rain_percent: Percent = 0.0
    low_beam: bool = False
    fog_front: bool = False
    fog_rear: bool = False
    hazard: bool = False
    outside_c: Annotated[float, Meta(ge=-50, le=85)] = 21.0
    cabin_c: Annotated[float, Meta(ge=-50, le=85)] = 22.0
    door_fl_open: bool = False
    door_fr_open: bool = False
    door_rl_open: bool = False
    door_rr_open: bool = False
    trunk_open: bool = False
    locked: bool = True
    window_fl_percent: Percent = 0.0
    window_fr_percent: Percent = 0.0
    window_rl_percent: Percent = 0.0
    window_rr_percent: Percent = 0.0
    battery_rest_v: Annotated[float, Meta(ge=1, le=16)] = 12.5
    coolant_start_c: Annotated[float, Meta(ge=-40, le=120)] = 62.0
    engine_hours_start_h: Annotated[float, Meta(ge=0, le=800_000)] = 812.4
    fuel_full_percent: Percent = 64.0
    service_left_km: Annotated[float, Meta(ge=-20_000, le=30_000)] = 8_400.0
    service_left_days: Annotated[int, Meta(ge=-1000, le=1000)] = 210
    oil_level: OilLevel = "NORMAL"
    tyre_fl_kpa: Pressure = 232.0
    tyre_fr_kpa: Pressure = 231.0
    tyre_rl_kpa: Pressure = 243.0
    tyre_rr_kpa: Pressure = 242.0
    brake_wear_fl_percent: WholePercent = 38
    brake_wear_fr_percent: WholePercent = 40
    brake_wear_rl_percent: WholePercent = 27
    brake_wear_rr_percent: WholePercent = 28
    faults: tuple[Fault, ...] = ()
    deploy: Literal["none", "deployed", "invalid"] = "none"
    crash_severity_percent: WholePercent = 0
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
    alt_m: Annotated[float, Meta(ge=-500, le=9000)] = 40.0


class Leg(_Strict, frozen=True):
    """A piece of road: straight on, or a turn (right positive) of a radius. The route begins again at its end."""

    straight_m: Annotated[float, Meta(ge=0, le=STRAIGHT_M_MAX)] = 0.0
    turn_deg: Annotated[float, Meta(ge=-360, le=360)] = 0.0
    radius_m: Annotated[float, Meta(ge=0, le=STRAIGHT_M_MAX)] = 0.0


class SpeedPoint(_Strict, frozen=True):
    """The speed at a moment; between two points it changes evenly, after the last it stays."""

    at_s: Moment
    kmh: Annotated[float, Meta(ge=0, le=250)]


class Change(_Strict, frozen=True, rename={"set_": "set"}):
    """From `at_s` on these conditions hold; numbers may glide there over `over_s`."""

    at_s: Moment
    set_: dict[str, Any]
    over_s: Moment = 0.0


class Action(_Strict, frozen=True):
    """What somebody in the car does: asks for the stream `name`, or grants (for this trip) or withdraws the item `name`."""

    at_s: Moment
    do: Literal["request", "grant", "withdraw"]
    name: Annotated[str, Meta(min_length=1, max_length=200)]


class Driver(_Strict, frozen=True):
    """Somebody with a profile of their own, which grants nothing at first. The one called `driver` needs no entry."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
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
    crash_s: Moment | None = None
    receiver_hz: Literal[1, 2, 5, 10] = 1
    begins: Annotated[datetime, Meta(tz=True)] | None = None
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
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        scenario = _converted(written)
        check_scenario(scenario)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ScenarioError) as error:
        raise refused(error, path) from error
    return scenario


def refused(error: Exception, path: pathlib.Path) -> ScenarioError:
    """What is wrong with the scenario of a file, with the file and where to read what is right."""
    return ScenarioError(f"no scenario of the bench: {error}", str(path), HINT)


def _converted(written: dict[str, Any]) -> Scenario:
    try:
        return msgspec.convert(written, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(in_words(error, Scenario, written)) from error


def check_scenario(scenario: Scenario) -> None:
    """Raises ScenarioError for what the types cannot say: order of times, radii, conditions of the wrong kind, who is not there."""
    _check_route(scenario.route)
    _check_speed(scenario.speed, scenario.seconds)
    _check_actions(scenario.actions, scenario.seconds)
    if scenario.crash_s is not None:
        _check_within("crash_s", scenario.crash_s, scenario.seconds)
    if scenario.begins is not None and not 2000 <= scenario.begins.year < 2100:
        raise ScenarioError(f"begins is in {scenario.begins.year}; a receiver writes years of two digits, 2000 to 2099")
    people = {DRIVER, GUEST}
    for index, one in enumerate(scenario.drivers):
        if one.name in people:
            why = f"{DRIVER} and {GUEST} need no entry" if one.name in (DRIVER, GUEST) else "write each name once"
            raise ScenarioError(f"{entry('driver', index)}: {one.name!r} is there already; {why}")
        people.add(one.name)
    for index, change in enumerate(scenario.changes):
        _check_change(entry("change", index, change.at_s), change, people, scenario.seconds)


def _check_within(place: str, at_s: float, seconds: float) -> None:
    if at_s >= seconds:
        raise ScenarioError(f"{place}: the drive is over at {seconds:g} s; write an earlier moment, or more seconds")


def _check_route(route: Sequence[Leg]) -> None:
    for index, leg in enumerate(route):
        turns = bool(leg.turn_deg)
        if turns == bool(leg.straight_m) or turns != bool(leg.radius_m):
            raise ScenarioError(f"{entry('route', index)}: a leg is either straight_m, or turn_deg with a radius_m")
        if turns and leg.radius_m < RADIUS_M_MIN:
            raise ScenarioError(f"{entry('route', index)}: radius_m is {leg.radius_m:g}; no car turns tighter than {RADIUS_M_MIN:g}")
    length_m = sum(leg.straight_m + math.radians(abs(leg.turn_deg)) * leg.radius_m for leg in route)
    if length_m < ROUTE_M_MIN:
        raise ScenarioError(f"route: it is {length_m:.3g} m long in all; write {ROUTE_M_MIN:g} m or more")


def _check_speed(points: Sequence[SpeedPoint], seconds: float) -> None:
    """One point may lie behind the end, for the speed changes towards it; what comes after that one would never count."""
    if points[0].at_s != 0:
        raise ScenarioError(f"{entry('speed', 0, points[0].at_s)}: the first point is at 0 s")
    for index, (before, point) in enumerate(itertools.pairwise(points), 1):
        place, span_s = entry("speed", index, point.at_s), point.at_s - before.at_s
        if span_s <= 0:
            raise ScenarioError(f"{place}: the point before is at {before.at_s:g} s; at_s has to grow from point to point")
        if before.at_s >= seconds:
            _check_within(place, point.at_s, seconds)
        pull_mps2 = abs(point.kmh - before.kmh) / 3.6 / span_s
        if pull_mps2 > PULL_MPS2_MAX:
            what = f"from {before.kmh:g} to {point.kmh:g} km/h in {span_s:g} s"
            raise ScenarioError(f"{place}: {what} is {pull_mps2:.0f} m/s2; a car pulls or brakes with {PULL_MPS2_MAX:g} at most")


def _check_actions(actions: Sequence[Action], seconds: float) -> None:
    before_s = 0.0
    for index, action in enumerate(actions):
        place = entry("action", index, action.at_s)
        if action.at_s < before_s:
            raise ScenarioError(f"{place}: the one before is at {before_s:g} s; write them in the order of time")
        _check_within(place, action.at_s, seconds)
        before_s = action.at_s


def _check_change(place: str, change: Change, people: Collection[str], seconds: float) -> None:
    _check_within(place, change.at_s, seconds)
    unknown = set(change.set_) - CONDITIONS
    if unknown:
        close = difflib.get_close_matches(min(unknown), CONDITIONS, n=1)
        raise ScenarioError(f"{place}: the car has no {min(unknown)!r}" + "".join(f"; did you mean {one!r}?" for one in close))
    values = convert_condition(change.set_, place)
    if values.get("driver", DRIVER) not in people:
        raise ScenarioError(f"{place}: nobody is called {values['driver']!r}; add a [[driver]] of that name")
    for name, value in values.items() if change.over_s else ():
        if not isinstance(value, float):
            raise ScenarioError(f"{place}: {name} cannot glide over {change.over_s:g} s; leave out over_s")


def convert_condition(values: dict[str, Any], place: str = "change") -> dict[str, Any]:
    """The values as the types of `Condition` want them. Raises ScenarioError for one of the wrong kind."""
    try:
        whole = msgspec.convert(values, Condition)
    except msgspec.ValidationError as error:
        raise ScenarioError(in_words(error, Condition, values, place)) from error
    return {name: getattr(whole, name) for name in values}
