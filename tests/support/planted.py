"""A car that tells secrets: a copy of config/ whose vehicle maps a text for each marker, and a stream that reads them all."""

from __future__ import annotations

import shutil
from pathlib import Path

import can

from agent.cli.bench.device import BusChoice
from agent.folders import config_folder
from hw.bench.car import open_bus
from tests.support.markers import Planted

FIRST_ID = 0x6E0
BYTES = 32
"""A CAN FD frame of this length carries each text."""
SERVICE, STREAM = "teleservices", "planted"
TEXTS = {name: text for name, text in Planted().texts().items() if text.isascii()}
"""Those that a bus can spell; the others come as names of profiles."""
NAMES = [text for text in Planted().texts().values() if not text.isascii()]


def signal_of(marker: str) -> str:
    """Nothing in the name says what it holds."""
    return f"Vehicle.Private.Text{sorted(TEXTS).index(marker)}"


def config_with_secrets(folder: Path) -> Path:
    """`config/` with one more DBC file, mapped text signals, and the stream that sends them to the workshop."""
    made = Path(shutil.copytree(config_folder(), folder / "config"))
    bench = made / "vehicles" / "bench"
    messages = [
        f'BO_ {FIRST_ID + n} TEXT{n}: {BYTES} GATEWAY\n SG_ SPELLED : 7|{BYTES * 8}@0+ (1,0) [0|0] "" HEADUNIT\n' for n in _numbers()
    ]
    (bench / "planted.dbc").write_text('VERSION "1"\n\nBS_:\n\nBU_: GATEWAY HEADUNIT\n\n' + "\n".join(messages), encoding="utf-8")
    _edit(bench / "vehicle.toml", 'dbc = ["bench.dbc"]', 'dbc = ["bench.dbc", "planted.dbc"]')
    mapped = [f'"{signal_of(name)}" = {{ bus = "pt", from = "TEXT{n}.SPELLED", unit = "", encoding = "ascii" }}' for n, name in _named()]
    _edit(bench / "vehicle.toml", "[signals]\n", "[signals]\n" + "\n".join(mapped) + "\n")
    declared = [f'[signals."{signal_of(name)}"]\nunit = ""\ncategory = "status"\n' for name in TEXTS]
    _append(made / "catalogue" / "signals.toml", *declared)
    head = f'[[stream]]\nid = "{STREAM}"\npurpose = "service"\nbasis = "contract"\nidentity = "pairwise"\nrecipient = "teleservices"\n'
    head += 'triggers = ["periodic"]\nevery_s = 1\nkeep = "1h"\npriority = 5\n'
    _append(
        made / "catalogue" / "services" / f"{SERVICE}.toml", head, *(f'[[stream.signal]]\nid = "{signal_of(name)}"\n' for name in TEXTS)
    )
    return made


def tell(bus: BusChoice) -> None:
    """Every text once, as the bus would carry it."""
    with open_bus(bus.interface, bus.channel, bus.port) as wire:
        for n, name in _named():
            data = TEXTS[name].encode().ljust(BYTES, b"\0")
            wire.send(can.Message(arbitration_id=FIRST_ID + n, is_extended_id=False, is_fd=True, data=data))


def _named() -> list[tuple[int, str]]:
    return list(enumerate(sorted(TEXTS)))


def _numbers() -> range:
    return range(len(TEXTS))


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new), encoding="utf-8")


def _append(path: Path, *parts: str) -> None:
    path.write_text("\n".join([path.read_text(encoding="utf-8"), *parts]), encoding="utf-8")
