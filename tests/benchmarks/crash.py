"""The emergency call against the clock: from the frame that makes it a crash to the message, to the broker, to the centre's answer.

The same crashes with nothing else on the device; beside core on a bus as full as it can be and an uplink that uploads a backlog; and
beside these without the real-time priority that the program gives itself, where it may. The figures are the program's own
(`ecall.status`), from the kernel's time stamp of the frame on. Broker, modem, car and centre take their share of the same processors.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.control.protocol import ask
from agent.ecall.happenings import Acknowledged
from tests.benchmarks import backlog
from tests.benchmarks.measure import Pulse, table
from tests.support.airbag import EVERY_S, Airbag
from tests.support.ecall_stage import PACKAGE, Stage, staged
from tests.support.mosquitto import Mosquitto
from tests.support.wait import until

STEPS = {"made": ("to the message's octets", 10), "sent": ("to the connection", None), "acknowledged": ("to the centre's answer", 60)}
"""What `ecall.status` calls a step -> what it is called here, and the goal for p99 in ms."""
IN_BAND_MS = 4000
"""3GPP TS 22.101 and 26.267: the message is with the centre typically within 4 s after the call stands."""
ANSWER_S = 0.05
STARTS = 5
RECORDS_A_CRASH = 130
"""More than what is uploaded meanwhile."""
SEED = 1


class Road(Stage):
    """The stage with a real broker where there is one, whose answers do not wait for an acknowledgement of TCP (40 ms; its default)."""

    server_name = "the bench's embedded broker"

    def _start_broker(self) -> int:
        if shutil.which("mosquitto") is None:
            return super()._start_broker()
        self.server_name = "mosquitto"
        folder = self.folder / "mosquitto"
        folder.mkdir()
        return self._ends.enter_context(Mosquitto(folder, self.authority, self.server, options=("set_tcp_nodelay true",))).port


@dataclass(slots=True)
class Run:
    """What one series of crashes showed; `latency_ms` by step. `begun`: calls that the modem was made to begin."""

    crashes: int
    latency_ms: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})
    sessions: int = 0
    messages: int = 0
    begun: int = 0
    beside: list[str] = field(default_factory=list)


def main(options: Namespace) -> None:
    """Prints the start of the program and both series."""
    with staged(Road, answer_s=ANSWER_S) as road:
        unit = road.airbag()
        starts = [_start(road) for _ in range(STARTS)]
        until((road.folder / "run" / "armed").exists, "the end of its beginning")
        runs = {"alone": _series(road, unit, options.crashes)}
        with _everything_else(road, 2 * options.crashes):
            runs["beside all else"] = _beside(road, unit, options.crashes)
            _queue(road.programs.running["ecall"].pid)
            runs["beside all else, without its priority"] = _beside(road, unit, options.crashes)
    _print(road, starts, runs)


def _start(road: Road) -> tuple[float, float]:
    """Seconds from the start of the process to its first answer, and of the processor until then; it stays."""
    if "ecall" in road.programs.running:
        road.programs.stop("ecall")
    begun_s = time.monotonic()
    road.start("ecall")
    until(road.status, "the program", pause_s=0.005)
    started_s = time.monotonic() - begun_s
    cpu_s = Pulse.of(road.programs.running["ecall"].pid).cpu_s
    until(lambda: road.status()["centre"]["online"], "the connection to the centre")
    return started_s, cpu_s


def _series(road: Road, unit: Airbag, crashes: int) -> Run:
    run, chance = Run(crashes), random.Random(SEED)
    heard, sessions, dials = len(road.heard), len(road.sessions), road.dials
    for _ in range(crashes):
        time.sleep(chance.uniform(EVERY_S, 3 * EVERY_S))
        _crash(road, unit, run)
    run.sessions, run.begun = len(road.sessions) - sessions, road.dials - dials
    run.messages = len({(call.session, call.octets) for call in road.heard[heard:]})
    return run


def _crash(road: Road, unit: Airbag, run: Run) -> None:
    """From the frames to the clear-down; the centre answers at once."""
    unit.crash()
    call, msd = road.message(news=True)
    road.says(Acknowledged(call.session, msd.message_identifier), call)
    until(lambda: "acknowledged" in road.status()["latency_ms"], "the acknowledgement", pause_s=0.02)
    for step, latency_ms in road.status()["latency_ms"].items():
        run.latency_ms[step].append(latency_ms)
    unit.calm()
    until(road.reaches("voice"), "the voice call", pause_s=0.02)
    road.clear_down(call)


def _beside(road: Road, unit: Airbag, crashes: int) -> Run:
    """A series, and what the others did meanwhile."""
    before, begun_s = _core(road), time.monotonic()
    run = _series(road, unit, crashes)
    after, lasted_s = _core(road), time.monotonic() - begun_s
    read, uploaded = (after["buses"][0]["read"] - before["buses"][0]["read"], after["acknowledged"] - before["acknowledged"])
    left = sum(stream["rows"] for stream in after["buffer"].values())
    run.beside = [
        f"core read {read / lasted_s:,.0f} frames/s, {after['plan']['rules']} rules of {PACKAGE}, everything granted",
        f"the uplink uploaded {uploaded:,} messages, {uploaded / lasted_s:.0f}/s, and {left:,} waited still at the end",
    ]
    return run


def _queue(pid: int) -> None:
    """Takes the real-time priority away that the program has given itself, where it was allowed to."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def _everything_else(road: Road, crashes: int) -> Iterator[None]:
    """Core, its receiver, a full bus and an uplink with a backlog for so many crashes."""
    backlog.leave(road.device, PACKAGE, RECORDS_A_CRASH * crashes)
    road.bulk.cut(admit=False)
    road.programs.start("receiver", "hw.bench.receiver", "--link", str(road.device.gnss), "--scenario", "drive")
    for name in ("core", "uplink"):
        road.start(name)
    where = [road.bus.interface, road.bus.channel, str(road.bus.port or 0)]
    bus = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.busy", *where])
    try:
        until(lambda: _core(road).get("buses", [{"read": 0}])[0]["read"] > 1000, "core at work", pause_s=0.2)
        road.bulk.restore()
        until(lambda: _core(road)["acknowledged"] > 100, "the upload")
        yield
    finally:
        bus.terminate()
        bus.wait()


def _core(road: Road) -> dict[str, Any]:
    with contextlib.suppress(Exception):
        found: dict[str, Any] = ask(road.device.control, "status")
        return found
    return {}


def _print(road: Road, starts: list[tuple[float, float]], runs: dict[str, Run]) -> None:
    rows = []
    for name, run in runs.items():
        for step, (what, goal_ms) in STEPS.items():
            spans = sorted(run.latency_ms[step])
            figures = [f"{spans[math.ceil(part * len(spans)) - 1]:.1f}" for part in (0.5, 0.99, 1)]
            rows.append([f"{name}: {what}", *figures, f"p99 <= {goal_ms}" if goal_ms else "-"])
    table(f"{runs['alone'].crashes} crashes each, ms; over TLS and {road.server_name}", ("", "p50", "p99", "max", "goal"), rows)
    print(f"  to compare with: {IN_BAND_MS} ms, the goal of the in-band modem once the call stands (3GPP TS 22.101, 26.267)")
    for name, run in runs.items():
        told = f"{run.sessions} calls and {run.messages} messages at the centre, {run.begun} voice calls"
        print(f"  {name}: of {run.crashes} crashes {told}" + "".join(f"; {line}" for line in run.beside))
    wall, cpu = (" ".join(f"{start:.2f}" for start in each) for each in zip(*starts, strict=True))
    print(f"  start of the program to its first answer, s: {wall} (promised: below 1); of the processor {cpu}")
