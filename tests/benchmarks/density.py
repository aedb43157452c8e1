"""Bytes a sample where a catalogue asks for much: 30 signals once a second, and ten signals at every change.

Ours are whole sealed envelopes, signed and padded. The peers hold the same samples with time, name and value, one message a
window, and protect nothing.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cbor2

from agent.catalogue.load import load_catalogue
from agent.consent.choice import Choice
from agent.daemons.replay import ReplayRequest, replay
from agent.envelope import open_envelope, received_lines
from agent.vehicle import load_vehicle
from tests.benchmarks import traffic
from tests.benchmarks.measure import table
from tests.benchmarks.replay import VEHICLE
from tests.sources import ROOT

SECONDS = 240.0
WINDOWS_S = (10, 60)
POWER = "Vehicle.Powertrain"
ENGINE = f"{POWER}.CombustionEngine"
QUICK = (
    "Vehicle.Speed",
    "Vehicle.TraveledDistance",
    f"{ENGINE}.Speed",
    f"{ENGINE}.EngineCoolant.Temperature",
    f"{ENGINE}.EngineOil.Temperature",
    f"{POWER}.Transmission.Temperature",
    f"{POWER}.FuelSystem.RelativeLevel",
    f"{POWER}.FuelSystem.Range",
    "Vehicle.LowVoltageBattery.CurrentVoltage",
    "Vehicle.Exterior.AirTemperature",
)
WHEELS = ("Row1.Wheel.Left", "Row1.Wheel.Right", "Row2.Wheel.Left", "Row2.Wheel.Right")
DOORS = ("Row1.DriverSide", "Row1.PassengerSide", "Row2.DriverSide", "Row2.PassengerSide")
THIRTY = (
    *QUICK,
    *(f"Vehicle.Chassis.Axle.{wheel}.{part}" for wheel in WHEELS for part in ("Tire.Pressure", "Brake.PadWear")),
    *(f"Vehicle.Cabin.Door.{door}.Window.Position" for door in DOORS),
    f"{ENGINE}.EngineHours",
    f"{ENGINE}.IsRunning",
    f"{POWER}.Range",
    "Vehicle.Service.DistanceToService",
    "Vehicle.Service.TimeToService",
    "Vehicle.Body.Raindetection.Intensity",
    "Vehicle.Body.Windshield.Front.Wiping.Mode",
    "Vehicle.Body.Lights.Beam.Low.IsOn",
)
Asked = tuple[tuple[str, ...], str, float]
"""Signals, trigger, and how often at most, s."""
STREAMS: dict[str, Asked] = {"thirty": (THIRTY, "periodic", 1.0), "change": (QUICK, "on_change", 0.1)}


@dataclass(slots=True)
class Sizes:
    """One stream: how many samples, and how many bytes they are in each form."""

    samples: int = 0
    messages: int = 0
    bytes_in: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, payload: bytes, body: bytes, lines: list[dict[str, object]]) -> None:
        """One message and its samples in every other form."""
        plain = [{key: line[key] for key in ("t", "signal", "value")} for line in lines]
        text = "".join(json.dumps(line) + "\n" for line in plain).encode()
        self.samples += len(lines)
        self.messages += 1
        forms = {
            "sealed": payload,
            "body": body,
            "json": text,
            "json+zlib": zlib.compress(text),
            "cbor+zlib": zlib.compress(cbor2.dumps(plain)),
        }
        for name, data in forms.items():
            self.bytes_in[name] += len(data)


def main(_options: Namespace) -> None:
    """Prints a table of smooth and of noisy values."""
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-") as name:
        folder = Path(name)
        write_catalogue(folder, STREAMS, WINDOWS_S)
        own = list(traffic.car(SECONDS))
        rows = []
        for kind, shake in (("smooth", list), ("noisy", lambda frames: list(traffic.noisy(frames)))):
            log = folder / f"{kind}.log"
            traffic.candump(shake(own), log)
            rows += [_row(kind, stream, sizes) for stream, sizes in sorted(_sizes(folder, log).items())]
    heads = (
        "bytes a sample",
        "samples",
        "a message",
        "sealed",
        "body",
        "JSON lines",
        "JSON+zlib",
        "CBOR+zlib",
        "JSON : sealed",
        "CBOR+zlib : sealed",
    )
    table(f"A dense catalogue, {SECONDS:g} s: 30 signals at 1 Hz; 10 signals at each change, at most 10 a second", heads, rows)


def _row(kind: str, stream: str, sizes: Sizes) -> list[str]:
    each = {name: size / sizes.samples for name, size in sizes.bytes_in.items()}
    forms = [f"{each[name]:.2f}" for name in ("sealed", "body", "json", "json+zlib", "cbor+zlib")]
    ratios = [f"{each[name] / each['sealed']:.1f} x" for name in ("json", "cbor+zlib")]
    return [f"{kind} {stream.partition('.')[2]}", f"{sizes.samples:,}", f"{sizes.samples / sizes.messages:.0f}", *forms, *ratios]


def _sizes(folder: Path, log: Path) -> dict[str, Sizes]:
    request = ReplayRequest(
        logs=[log],
        nmea=None,
        vehicle=load_vehicle(VEHICLE),
        catalogue=load_catalogue(folder),
        package="dense",
        choice=Choice(True, None),
    )
    run = replay(request).run
    found: dict[str, Sizes] = defaultdict(Sizes)
    for order, (stream, _, payload) in enumerate(run.received.envelopes, 1):
        opened = open_envelope(payload, run.keys["desk"])
        found[stream].add(payload, opened.body, list(received_lines(opened, order)))
    return found


def write_catalogue(folder: Path, streams: Mapping[str, Asked], windows_s: Iterable[int]) -> None:
    """The vehicle's signals, the shipped purposes, and a service that asks for much: each of the streams with each window."""
    shutil.copy(ROOT / "config" / "catalogue" / "purposes.toml", folder)
    units = {name: entry.unit or "" for name, entry in load_vehicle(VEHICLE).file.signals.items()}
    declared = [f'[signals."{name}"]\nunit = "{unit}"\ncategory = "status"\n' for name, unit in units.items()]
    (folder / "signals.toml").write_text("".join(declared), encoding="utf-8")
    (folder / "consent.toml").write_text("[items]\n", encoding="utf-8")
    (folder / "packages.toml").write_text('[packages.dense]\ntitle = "Dense"\nservices = ["dense"]\n', encoding="utf-8")
    (folder / "services").mkdir()
    text = ['[service]\nid = "dense"\ntitle = "Dense"\n']
    for name, (signals, trigger, every_s) in streams.items():
        text += [_stream(f"{name}_{window_s}", signals, trigger, every_s, window_s) for window_s in windows_s]
    (folder / "services" / "dense.toml").write_text("".join(text), encoding="utf-8")


def _stream(name: str, signals: Iterable[str], trigger: str, every_s: float, window_s: int) -> str:
    head = f'[[stream]]\nid = "{name}"\npurpose = "operations"\nbasis = "contract"\nidentity = "pairwise"\nrecipient = "desk"\n'
    rate = f'triggers = ["{trigger}"]\nevery_s = {every_s}\nwindow_s = {window_s}\nkeep = "7d"\n'
    return head + rate + "".join(f'[[stream.signal]]\nid = "{signal}"\n' for signal in signals)
