"""The daemons at work: CPU, wake-ups and memory while the bench's car drives and while its bus is silent; and how fast they start.

Beside core runs the plainest logger on the same bus (python-can, cantools, JSON lines), so both see the same traffic on
the same machine at the same time. Core also runs its databases, decisions and the link; the logger only writes.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.stage import BenchRequest, Stage, default_bus, play
from agent.consent.choice import Choice
from agent.control.protocol import RemoteError
from agent.errors import AgentAbsent
from tests.benchmarks.measure import Pulse, memory_kib, table
from tests.benchmarks.replay import VEHICLE

SETTLE_S = 5.0
MEASURE_S = 30.0
STARTS = 5
START_S_MAX = 20.0
POLL_S = 0.01
Use = dict[str, tuple[float, float, float, float]]
"""Process -> (percent of one core, wake-ups a second, PSS MiB, RSS MiB)."""


@dataclass(slots=True)
class Found:
    """What one run showed."""

    driving: Use = field(default_factory=dict)
    silent: Use = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    frames: int = 0


def main(_options: Namespace) -> None:
    """Plays the bench for about a minute and a half."""
    found = Found()
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-") as name:
        bus = default_bus()
        request = BenchRequest(
            scenario="drive",
            seconds=SETTLE_S,
            seed=1,
            package="navigation_plus",
            choice=Choice(True, None),
            catalogue=load_catalogue(shipped_catalogue()),
            catalogue_dir=None,
            bus=bus,
            broker_url=None,
            folder=Path(name),
            pulse=lambda stage: _measure(stage, found),
        )
        play(request)
    _print(found)


def _measure(stage: Stage, found: Found) -> None:
    """Once, when the drive has settled; `play` waits meanwhile and asks nothing, so that nobody is woken by being asked."""
    if stage.elapsed_s < SETTLE_S - 1 or found.driving:
        return
    pids = {name: stage.programs.running[name].pid for name in ("core", "uplink")}
    with _logger(stage) as logger:
        before = stage.ask("status")["buses"][0]["read"]
        found.driving = _used({**pids, "plain logger": logger.pid})
        found.frames = stage.ask("status")["buses"][0]["read"] - before
        stage.programs.stop("car")
        stage.programs.stop("receiver")
        time.sleep(1)
        found.silent = _used({**pids, "plain logger": logger.pid})
    for _ in range(STARTS):
        for name in ("uplink", "core"):
            stage.programs.stop(name)
        for name, module, ready in (("core", "agent.daemons.core", _answers), ("uplink", "agent.daemons.uplink", _online)):
            found.starts.setdefault(name, []).append(_start(stage, name, module, ready))


@contextlib.contextmanager
def _logger(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    bus = stage.request.bus
    assert bus is not None
    where = ["-m", "tests.benchmarks.peer", "-", str(VEHICLE / "bench.dbc"), str(stage.request.folder / "plain.jsonl")]
    process = subprocess.Popen([sys.executable, *where, bus.interface, bus.channel, str(bus.port or 0)], stdout=subprocess.DEVNULL)
    try:
        time.sleep(2)
        yield process
    finally:
        process.terminate()
        process.wait()


def _used(pids: dict[str, int]) -> Use:
    before = {name: Pulse.of(pid) for name, pid in pids.items()}
    time.sleep(MEASURE_S)
    used = {name: Pulse.of(pid).since(before[name]) for name, pid in pids.items()}
    memory = {name: [memory_kib(pid, "smaps_rollup", what) / 1024 for what in ("Pss", "Rss")] for name, pid in pids.items()}
    return {name: (*used[name], memory[name][0], memory[name][1]) for name in pids}


def _start(stage: Stage, name: str, module: str, ready: Callable[[Stage], bool]) -> float:
    """Seconds from starting the process to `ready`."""
    began = time.monotonic()
    stage.programs.start(name, module, "--config", str(stage.device.config))
    while time.monotonic() < began + START_S_MAX:
        with contextlib.suppress(AgentAbsent, RemoteError):
            if ready(stage):
                return time.monotonic() - began
        time.sleep(POLL_S)
    raise RuntimeError(f"{name} was not ready after {START_S_MAX} s")


def _answers(stage: Stage) -> bool:
    return bool(stage.ask("status"))


def _online(stage: Stage) -> bool:
    lanes = stage.ask("status")["lanes"]
    return bool(lanes) and all(lane["online"] for lane in lanes.values())


def _print(found: Found) -> None:
    rate = found.frames / MEASURE_S
    for title, use in ((f"The car drives, {rate:.0f} frames/s, {MEASURE_S:g} s", found.driving), ("The bus is silent", found.silent)):
        logger = use["plain logger"]
        rows = []
        for name, (cpu, wakes, pss, rss) in use.items():
            ratios = [f"{logger[0] / cpu:.2f} x" if cpu else "-", f"{logger[1] / wakes:.2f} x" if wakes else "-"]
            rows.append([name, f"{cpu:.2f}", f"{wakes:.1f}", f"{pss:.1f}", f"{rss:.1f}", *ratios])
        heads = ("", "% of a core", "wake-ups/s", "PSS MiB", "RSS MiB", "logger : it, CPU", "logger : it, wake-ups")
        table(title, heads, rows)
    rows = [[name, f"{statistics.median(spans):.2f}", f"{min(spans):.2f}", f"{max(spans):.2f}"] for name, spans in found.starts.items()]
    table("From the start of the process, s (core: answers; uplink: all lanes online)", ("", "median", "best", "worst"), rows)
