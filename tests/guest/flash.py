"""Told by tests/benchmarks/flash.py: a drive, its databases on the guest's disk, once for each way of collecting. Runs in the guest.

Simulated time passes as fast as it can; each durable transaction waits for the disk as it would in a car. Nothing is sent, so that
every record stays. What the disk was given is counted at the block device, with the file system's own journal in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlite_utils import Database

from agent.buffer.store import Buffer
from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.clock import NS
from agent.consent.choice import Choice
from agent.core import virtual
from agent.core.loop import CLOCK_SAVE_S, TICK_S
from agent.core.virtual import Scene, VirtualRun
from agent.model import Draft
from agent.seal.keyring import Keyring
from agent.storage.memory import Memory
from agent.storage.sqlite import open_database
from agent.vehicle import load_vehicle
from hw.bench.arriving import arriving
from hw.bench.car import Car
from hw.bench.receiver import Receiver
from hw.bench.scenario import VIN
from hw.bench.truth import Drive
from hw.gnss.nmea import Epochs
from hw.ports import Fix, Frame
from tests.benchmarks.density import STREAMS, write_catalogue
from tests.benchmarks.replay import VEHICLE
from tests.benchmarks.traffic import START_NS

DISK = Path("/sys/block/ubda/stat")
SECTOR_BYTES, SECTORS_WRITTEN = 512, 6
"""Documentation/block/stat.rst of the kernel."""
WINDOWS_S = (0, 1, 5, 10, 30, 60, 120)


@dataclass(slots=True)
class Offline(VirtualRun):
    """Nobody takes anything; `oldest_s`: how old the oldest sample of a transaction was when it became durable, for each."""

    oldest_s: list[float] = field(default_factory=list)

    def deliver(self) -> None: ...


def played(name: str, catalogue: Path, package: str, items: Sequence[Frame | Fix]) -> dict[str, Any]:
    """A whole drive; what it cost."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(dir="/var/lib")))
        for patched in _on_disk(folder):
            ends.enter_context(patched)
        scene = Scene(
            catalogue=load_catalogue(catalogue),
            vehicle=load_vehicle(VEHICLE),
            package=package,
            choice=Choice(True, None),
            vin=VIN,
            seed=b"flash",
            start_ns=START_NS,
        )
        run = Offline(scene)
        _watch(run)
        os.sync()
        before = _written()
        _drive(run, items)
        os.sync()
        hours = (items[-1].t_ns - items[0].t_ns) / NS / 3600
        held = run.core.parts.buffer.statistics().values()
        return {
            "name": name,
            "worst_s": max(run.oldest_s, default=0.0),
            "mean_s": sum(age_s**2 / 2 for age_s in run.oldest_s) / hours / 3600,
            "commits_h": len(run.oldest_s) / hours,
            "records_h": sum(row["rows"] for row in held) / hours,
            "sealed_mib_h": sum(row["bytes"] for row in held) / 2**20 / hours,
            "flash_mib_h": (_written() - before) / 2**20 / hours,
        }


def _on_disk(folder: Path) -> list[Any]:
    """A virtual run has its keys and databases in RAM; here they lie where a device has them."""
    opened: dict[str, Database] = {}
    create = Keyring.create

    def on_disk(_: Path | None, key: bytes, name: str) -> Database:
        opened[name] = open_database(folder / f"{name}.db", key, name)
        return opened[name]

    return [
        patch.object(virtual, "open_database", on_disk),
        patch.object(virtual, "STEP_NS", round(TICK_S * NS)),
        patch.object(virtual, "DictMemory", lambda: Memory(opened["ledger"])),
        patch.object(Keyring, "create", lambda _, *arguments, **named: create(folder, *arguments, **named)),
    ]


def _watch(run: Offline) -> None:
    buffer: Buffer = run.core.parts.buffer
    append = buffer.append

    def watched(drafts: Sequence[Draft]) -> list[int]:
        ns = append(drafts)
        run.oldest_s.append((run.clock.now_ns() - min(sample.t_ns for draft in drafts for sample in draft.samples)) / NS)
        return ns

    buffer.append = watched  # type: ignore[method-assign]


def _drive(run: Offline, items: Sequence[Frame | Fix]) -> None:
    saved_ns = run.clock.now_ns()
    for item in items:
        run.feed(item)
        if item.t_ns - saved_ns >= CLOCK_SAVE_S * NS:  # what the loop of a device does besides
            saved_ns = item.t_ns
            run.core.parts.memory.set("clock/saved", str(saved_ns).encode())


def _written() -> int:
    return int(DISK.read_text(encoding="ascii").split()[SECTORS_WRITTEN]) * SECTOR_BYTES


def main(out: Path, seconds: float) -> None:
    """Writes a JSON line for each."""
    drive, stop_ns = Drive.load("drive", 1), START_NS + int(seconds * NS)
    items = list(arriving(Car(drive, START_NS).frames(START_NS, stop_ns), Receiver(drive, START_NS), START_NS, stop_ns, Epochs()))
    with out.open("w", encoding="utf-8") as file, tempfile.TemporaryDirectory(dir="/var/lib") as name:
        runs = [("shipped catalogue", shipped_catalogue(), "navigation_plus")]
        for window_s in WINDOWS_S:
            folder = Path(name) / str(window_s)
            folder.mkdir()
            write_catalogue(folder, {"thirty": STREAMS["thirty"]}, (window_s,))
            runs.append((f"30 signals at 1 Hz, window {window_s} s", folder, "dense"))
        for title, catalogue, package in runs:
            file.write(json.dumps(played(title, catalogue, package, items)) + "\n")
            file.flush()


if __name__ == "__main__":
    main(Path(os.environ["SCRATCH"]) / "flash.jsonl", float(sys.argv[1]))
