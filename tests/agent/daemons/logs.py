"""Small vehicles, catalogues and candump logs for replays."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.catalogue.load import load_catalogue
from agent.catalogue.types import Catalogue
from agent.consent.choice import Choice, read_choice
from agent.daemons.replay import Replayed, ReplayRequest, replay
from agent.vehicle import load_vehicle
from tests.agent.catalogue.trees import write
from tests.agent.core.stage import TREE

T_S = 1_800_000_000.0
SPEED_ID, ODOMETER_ID = 0x100, 0x200
DBC = f"""VERSION ""
BU_: A
BO_ {SPEED_ID} MOTION: 8 A
 SG_ SPEED : 0|16@1+ (0.01,0) [0|655.34] "km/h" A
 SG_ LATE : 48|16@1+ (1,0) [0|65534] "" A
BO_ {ODOMETER_ID} ODOMETER: 8 A
 SG_ TOTAL : 7|24@0+ (0.1,0) [0|1677721.4] "km" A
BO_ 768 IDLE: 8 A
 SG_ X : 0|8@1+ (1,0) [0|1] "" A
"""
SIGNALS = {"Vehicle.Speed": "MOTION.SPEED", "Vehicle.TraveledDistance": "ODOMETER.TOTAL"}
ALL = read_choice("all")


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a log."""

    t_s: float
    can_id: int
    data: bytes
    channel: str = "can0"

    def __str__(self) -> str:
        return f"({self.t_s:.6f}) {self.channel} {self.can_id:03X}#{self.data.hex().upper()}\n"


def speed(t_s: float, kmh: float = 50.0, channel: str = "can0") -> Line:
    return Line(T_S + t_s, SPEED_ID, round(kmh * 100).to_bytes(2, "little") + bytes(6), channel)


def odometer(t_s: float, km: float = 1234.5, channel: str = "can0") -> Line:
    return Line(T_S + t_s, ODOMETER_ID, round(km * 10).to_bytes(3, "big") + bytes(5), channel)


def drive(seconds: int, channel: str = "can0") -> list[Line]:
    """Ten speeds and one odometer a second, none at a whole second."""
    lines = []
    for tenth in range(seconds * 10):
        t_s = tenth / 10 + 0.05
        lines += [odometer(t_s, channel=channel)] if tenth % 10 == 0 else []
        lines.append(speed(t_s, 50 + tenth % 7, channel))
    return lines


def log(path: Path, lines: Iterable[Line]) -> Path:
    path.write_text("".join(map(str, lines)))
    return path


def vehicle(folder: Path, buses: Sequence[str] = ("pt",), *, more: str = "") -> Path:
    """A vehicle whose speed is on the first bus and whose odometer is on the last."""
    folder.mkdir(exist_ok=True)
    (folder / "car.dbc").write_text(DBC)
    text = '[vehicle]\ntitle = "Test"\n' + "".join(f'[buses.{bus}]\ndbc = ["car.dbc"]\n' for bus in buses) + "[signals]\n"
    for bus, (name, source) in zip((buses[0], buses[-1]), SIGNALS.items(), strict=True):
        text += f'"{name}" = {{ bus = "{bus}", from = "{source}" }}\n'
    (folder / "vehicle.toml").write_text(text + more)
    return folder


def catalogue(folder: Path) -> Path:
    return write(TREE, folder)


def sentences(start_s: float, seconds: int, *, lat: int = 3112, lon: int = 12124) -> str:
    """A dated RMC and a GGA each second, 50 ms after it, moving north."""
    lines = []
    for second in range(seconds):
        clock = time.gmtime(start_s + second)
        hms, day = time.strftime("%H%M%S.05", clock), time.strftime("%d%m%y", clock)
        where = f"{lat}.{second:04d},N,{lon}.0000,E"
        for body in (f"GPRMC,{hms},A,{where},20.0,0.0,{day},,,A", f"GPGGA,{hms},{where},1,09,0.9,10.0,M,0.0,M,,"):
            checksum = 0
            for character in body:
                checksum ^= ord(character)
            lines.append(f"${body}*{checksum:02X}\r\n")
    return "".join(lines)


def nmea(path: Path, start_s: float, seconds: int) -> Path:
    path.write_text(sentences(start_s, seconds), newline="")
    return path


def played(
    folder: Path,
    *logs: Path,
    receiver: Path | None = None,
    buses: Sequence[str] = ("pt",),
    package: str | None = "two",
    choice: Choice = ALL,
    channels: dict[str, str] | None = None,
    having: Catalogue | None = None,
    car: Path | None = None,
) -> Replayed:
    """A replay of `logs` in this process."""
    return replay(
        ReplayRequest(
            logs=logs,
            nmea=receiver,
            vehicle=load_vehicle(car or vehicle(folder / "vehicle", buses)),
            catalogue=having or load_catalogue(catalogue(folder / "catalogue")),
            package=package,
            choice=choice,
            channels=channels or {},
        )
    )
