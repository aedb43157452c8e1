"""config/vehicles/bench: the bench's car has what the shipped catalogue asks for, in forms that the agent reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cantools.database.can import Message

from agent.expression import parse
from agent.units import conversion
from agent.vehicle import Vehicle, load_vehicle
from agent.vss import GNSS_SIGNALS
from hw.bench.car import load_database
from hw.bench.messages import (
    CHECK_SERVICE,
    CHECK_TYRE,
    CHECK_WASHER,
    CONTENT,
    CONTENT_IN_TURN,
    FAULT_BITS,
    LEVERS,
    OIL_LEVELS,
    TERMINALS,
    WIPER_MODES,
)
from hw.bench.truth import Drive
from tests.hw.bench.scenes import scene

CONFIG = Path(__file__).parents[2] / "config"
EMERGENCY = {"BELT", "CRASH"}
"""The emergency call's alone."""
NOISE = {"STEERING", "WHEELS", "INERTIA", "CLIMATE", "DISPLAY", "NETWORK", "POWER_STEERING", "SUSPENSION", "TURBO", "RADAR"}
NOISE |= {"LANE_CAMERA", "PARK_BRAKE", "SUNROOF", "ALTERNATOR", "EXHAUST", "SEATS", "REAR_CLIMATE", "RADIO", "MIRRORS"}
"""Nobody's business."""
STRANGE_CARS: list[dict[str, Any]] = [
    {"gear": "R", "locked": False, "cabin_c": 31.0, "gnss_mode": 0, "faults": ["P0171"]},
    {"gear": "D", "rain_percent": 95.0, "outside_c": -9.0, "cabin_c": -3.0, "low_beam": True, "fog_rear": True, "belt_passenger": True},
    {"gear": "P", "ignition": "OFF", "belt_driver": False},
]
NOT_ON_THIS_CAR = {
    "Vehicle.Private.SoftwareLevels",
    "Vehicle.Private.PartNumbers",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    "Vehicle.Powertrain.TractionBattery.Range",
    "Vehicle.Powertrain.TractionBattery.StateOfHealth",
    "Vehicle.Powertrain.TractionBattery.Temperature.Average",
}
"""No traction battery; software levels and part numbers are asked for by diagnosis, not broadcast."""


@pytest.fixture(scope="module")
def vehicle() -> Vehicle:
    return load_vehicle(CONFIG / "vehicles" / "bench")


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    signals: dict[str, Any] = tomllib.loads((CONFIG / "catalogue" / "signals.toml").read_text(encoding="utf-8"))["signals"]
    return {name: entry for name, entry in signals.items() if entry.get("source") != "agent" and name not in GNSS_SIGNALS}


def test_it_loads_without_a_finding(vehicle: Vehicle) -> None:
    """Every line of [signals] finds its message and signal in the DBC."""
    assert vehicle.findings == []
    assert set(vehicle.sources) == set(vehicle.file.signals)
    assert len(vehicle.sources) > 45


def test_it_has_every_signal_of_the_catalogue_that_such_a_car_can_have(vehicle: Vehicle, catalogue: dict[str, Any]) -> None:
    """Nothing is missing but what is listed, so that a signal renamed on either side is noticed."""
    assert set(catalogue) - set(vehicle.sources) <= NOT_ON_THIS_CAR


def test_units_convert_to_the_catalogue_s(vehicle: Vehicle, catalogue: dict[str, Any]) -> None:
    """A unit here and a unit there measure the same thing."""
    pairs = {name: (source.unit or "", catalogue[name]["unit"]) for name, source in vehicle.sources.items() if name in catalogue}
    assert {name: pair for name, pair in pairs.items() if conversion(*pair) is None} == {}


def test_units_are_those_of_the_dbc(vehicle: Vehicle) -> None:
    """Where a value is a number, the unit in vehicle.toml is the one that the DBC states."""
    numbers = {name: source for name, source in vehicle.sources.items() if source.values is None}
    assert {name: (s.unit, s.dbc.unit) for name, s in numbers.items() if s.unit != (s.dbc.unit or "")} == {}


@pytest.mark.parametrize(
    ("signal", "table"),
    [
        ("Vehicle.LowVoltageSystemState", {raw: name for name, raw in TERMINALS.items()}),
        ("Vehicle.Powertrain.CombustionEngine.EngineOil.Level", {raw: name for name, raw in OIL_LEVELS.items()}),
        ("Vehicle.Body.Windshield.Front.Wiping.Mode", {raw: name for name, raw in WIPER_MODES.items()}),
        ("Vehicle.Powertrain.Transmission.SelectedGear", dict(zip(LEVERS.values(), (126, -1, 0, 127), strict=True))),
        ("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", {0: False, 1: True}),
    ],
)
def test_raw_values_mean_what_the_car_means(vehicle: Vehicle, signal: str, table: dict[int, Any]) -> None:
    """The value table of vehicle.toml is the inverse of what the simulated car encodes."""
    assert vehicle.sources[signal].values == table


def test_sets_of_bits_are_spelled_out(vehicle: Vehicle) -> None:
    """Every combination of trouble codes and of cluster messages has its list of texts."""
    checks = {"WASHER_FLUID_LOW": CHECK_WASHER, "TYRE_PRESSURE_LOW": CHECK_TYRE, "SERVICE_DUE": CHECK_SERVICE}
    for signal, bits in (("Vehicle.Diagnostics.DTCList", FAULT_BITS), ("Vehicle.Private.CheckControlMessages", checks)):
        expected = {raw: tuple(name for name, bit in bits.items() if raw & bit) for raw in range(8)}
        assert vehicle.sources[signal].values == expected


def test_nobody_reads_the_noise(vehicle: Vehicle) -> None:
    """Steering, wheels, inertia and the like are on the bus and mapped to no signal; every other message is read."""
    read = {source.message.name for source in vehicle.sources.values()}
    assert read == {message.name for message in load_database().messages} - NOISE - EMERGENCY


def test_the_dbc_says_itself_what_is_noise() -> None:
    """The comment that stands over the whole file names exactly the messages that nobody reads."""
    text = (CONFIG / "vehicles" / "bench" / "bench.dbc").read_text(encoding="utf-8")
    comment = next(line for line in text.splitlines() if line.startswith('CM_ "'))
    assert set(re.findall(r"[A-Z]{2}[A-Z_]+", comment.partition(": ")[2])) == NOISE


def test_noise_follows_the_car() -> None:
    """No signal stands still over strange cars and a drive, but two: bends are arcs, and a wished warmth is set once."""
    drives = [Drive(scene([(0, 0)], **conditions)) for conditions in STRANGE_CARS] + [Drive(scene([(0, 0), (20, 130), (70, 0)]))]
    states = [drive.state(at_s) for drive in drives for at_s in range(80)]
    for name in NOISE:
        said = [CONTENT[name](state) if name in CONTENT else CONTENT_IN_TURN[name](state, k) for k, state in enumerate(states)]
        still = {f"{name}.{signal}" for signal in said[0] if len({values[signal] for values in said}) == 1}
        assert still <= {"STEERING.RATE", "CLIMATE.WISHED"}


def test_it_is_a_whole_car() -> None:
    """About forty messages."""
    assert len(load_database().messages) == 40


@pytest.mark.parametrize("message", load_database().messages, ids=lambda message: message.name)
def test_each_message_is_whole(message: Message) -> None:
    """A cycle time of 10 ms to 1 s, a range for every signal, and no range that takes all ones of a byte or more for a value."""
    assert 10 <= (message.cycle_time or 0) <= 1000
    for signal in message.signals:
        assert signal.minimum is not None
        assert signal.maximum is not None
        if signal.length >= 8 and not signal.is_signed and signal.name not in {"CRC", "ALIVE"}:
            all_ones = ((1 << signal.length) - 1) * signal.scale + signal.offset
            assert signal.maximum < all_ones, signal.name


def test_the_dbc_has_one_of_every_kind() -> None:
    """A multiplexed message, a CAN FD frame, a 29-bit identifier, both byte orders."""
    messages = load_database().messages
    assert [m.name for m in messages if m.is_multiplexed()] == ["TYRES"]
    assert [(m.name, m.length) for m in messages if m.is_fd] == [("ENVIRONMENT", 16)]
    assert [m.name for m in messages if m.is_extended_frame] == ["TROUBLE"]
    assert {signal.byte_order for m in messages for signal in m.signals} == {"little_endian", "big_endian"}


def test_the_crash_frame_is_described_by_its_own_signals(vehicle: Vehicle) -> None:
    """Conditions, counter and CRC of [crash] name signals of that message; a second sign is on the same bus."""
    (frame,) = vehicle.file.crash.frames
    (sign,) = vehicle.file.crash.signs
    message = next(m for m in load_database().messages if m.frame_id == frame.id)
    named = {name for text in (frame.when, *frame.inhibit) for name in parse(text).signals}
    assert message.name == "CRASH"
    assert frame.counter is not None
    assert frame.crc is not None
    assert named | {frame.counter.signal, frame.crc.signal} <= {s.name for s in message.signals}
    assert frame.counter.modulo == 1 << message.get_signal_by_name("CNT").length
    assert (message.get_signal_by_name("CRC").start, message.length, frame.crc.covers) == (0, 8, (1, 7))
    assert parse(sign.when).signals == {"BELT.TENSIONER"}
