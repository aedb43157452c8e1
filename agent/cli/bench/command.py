"""`modicum bench`: the whole system on the desk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click

from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.device import BusChoice
from agent.cli.bench.page import write_page
from agent.cli.bench.programs import orderly
from agent.cli.bench.report import closing, opening, pulse_line
from agent.cli.bench.stage import BenchRequest, Stage, play, remarks, virtual_bus
from agent.cli.bench.summary import summary_of
from agent.cli.bench.telling import Run
from agent.cli.bench.virtual import play_virtual
from agent.cli.bench.watch import Watch, can_watch
from agent.cli.loading import load_checked_catalogue, load_choice, load_named_vehicle, package_of
from agent.cli.options import Number, decision_options
from agent.cli.words import wrapped
from agent.core.outcome import sorted_lines, write_outcome
from agent.core.tally import Counts
from agent.core.tally import summary_of as summary_of_virtual
from agent.errors import DeviceError, ModicumError, UsageError
from agent.folders import vehicle_folder
from hw.bench.car import Car
from hw.bench.record import WRITERS
from hw.bench.scenario import scenario_names, scenario_path
from hw.bench.truth import Drive
from hw.can.replay import LogCounters
from hw.errors import HwError

LINE_S = 5.0
RECEIVERS = ("nmea", "quectel", "simcom")


class Kept(NamedTuple):
    """What of the bus is kept where, and how much noise is on it."""

    record: Path | None
    noise_per_s: float


@click.command(name="bench")
@click.option("--scenario", default="drive", show_default=True, help=f"{', '.join(scenario_names())}; or a TOML file")
@click.option("--seconds", type=Number(min=5, max=86_400), help="how long; default: as the scenario says (drive: 120)")
@click.option("--seed", type=int, default=0, show_default=True, help="what is random in the drive")
@click.option(
    "--speed", type=click.Choice(["1", "max"]), default="1", show_default=True, help="real time, or one process on a virtual clock"
)
@decision_options(package="navigation_plus", consent="all")
@click.option("--broker", metavar="URL", help="mqtts://HOST:PORT or mqtt://127.0.0.1:PORT instead of the embedded broker")
@click.option("--bus", metavar="IFACE:CHANNEL", help="for example socketcan:vcan0; default: vcan0 where there is one, else udp_multicast")
@click.option("--receiver", type=click.Choice(RECEIVERS), default="nmea", show_default=True, help="NMEA, or a maker's modem asked by AT")
@click.option("--record", type=click.Path(path_type=Path), help=f"keep what was on the bus: {' '.join(WRITERS)}")
@click.option("--noise", type=Number(min=0), default=0.0, help="so many frames a second that no DBC knows")
@click.option("--out", type=click.Path(path_type=Path), help="where page.html, received.jsonl, summary.json, plan.json and envelopes/ go")
@click.option("--plain", is_flag=True, help="in a terminal, too, a line now and then instead of the view")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON")
def bench_command(
    scenario: str,
    seconds: float | None,
    seed: int,
    speed: str,
    package: str,
    consent: str,
    catalogue: Path | None,
    broker: str | None,
    bus: str | None,
    receiver: str,
    record: Path | None,
    noise: float,
    out: Path | None,
    plain: bool,
    as_json: bool,
) -> None:
    """Drive a simulated car past the real daemons, a real broker and the recipients; then say what left and what did not.

    In a terminal it is shown live, with keys to grant, to withdraw, to cut the link and to crash the car. While it runs, another
    terminal can ask and tell the agent: modicum consent withdraw traffic.position --config FILE
    (the bench prints which FILE).
    """
    drive = _checked(scenario, seed, package, catalogue)
    _check_bus(drive, record, noise)
    seconds = drive.seconds if seconds is None else seconds
    if speed == "max":
        if broker or bus or receiver != "nmea":
            what = "the virtual clock has no bus, no broker and no modem"
            raise UsageError(what, "--speed max", "leave out --broker, --bus and --receiver, or --speed max")
        run = _virtually(scenario, seed, seconds, package, consent, catalogue, out, Kept(record, noise))
        _tell(run, out, drive, as_json=as_json)
        return
    watch = Watch(sys.stdin, sys.stdout) if can_watch(sys.stdout, os.environ) and not (plain or as_json) else None
    chosen, remarks_of_bus = _bus(bus)
    request = BenchRequest(
        scenario=scenario,
        seconds=seconds,
        seed=seed,
        package=package_of(package),
        choice=load_choice(consent),
        catalogue=load_checked_catalogue(catalogue),
        catalogue_dir=catalogue,
        bus=chosen,
        broker_url=broker,
        record=record,
        noise_per_s=noise,
        receiver=receiver,
        pulse=watch or (_quiet if as_json else _Teller(seconds)),
        folder=Path(tempfile.mkdtemp(prefix="modicum-bench-")),  # last: what is wrong above leaves none behind
    )
    if not as_json:
        what = f"package {package}, consent {consent}, scenario {scenario}, {seconds:g} s"
        told = [row for remark in remarks_of_bus for row in wrapped(remark, 0)]
        told = [what, f"agent: --config {request.folder / 'agent.toml'}", *told]
        click.echo(opening(str(request.folder), told, viewed=watch is not None))
    with orderly():
        run, drive = _live(request, out, watch or contextlib.nullcontext())
    _tell(run, out, drive, as_json=as_json)


def _tell(run: Run, out: Path | None, drive: Drive, *, as_json: bool) -> None:
    """The end of the run: as a page beside the other results, and as text or JSON."""
    if out is not None:
        write_page(out / "page.html", run, drive)
    click.echo(json.dumps(run.summary) if as_json else closing(run))
    if out is not None and not as_json:
        click.echo(f"page: {out / 'page.html'}")


def _live(request: BenchRequest, out: Path | None, watched: contextlib.AbstractContextManager[object]) -> tuple[Run, Drive]:
    """The run with real processes, written to `out`, and its truth. Its folder goes, but that of a run that failed stays, for its logs."""
    failed = False
    try:
        with watched:
            stage = play(request)
        run = _told(stage)
        if out is not None:
            _write(out, stage, run)
    except (UsageError, BrokenPipeError):  # nothing was started that has a log to look at, or nobody reads on
        raise
    except ModicumError as error:
        failed = True
        bus = request.bus
        advice = f"look at {bus.interface}:{bus.channel} (ip link), or name another bus with --bus; " if bus else ""
        error.hint = f"{error.hint}; {advice}its files stay in {request.folder}"
        raise
    except Exception:
        failed = True
        raise
    finally:
        if not failed:
            shutil.rmtree(request.folder, ignore_errors=True)
    return run, stage.drive


def _told(stage: Stage) -> Run:
    summary, lines = summary_of(stage)
    return Run(lines=lines, summary=summary, chronicle=stage.chronicle, catalogue=stage.request.catalogue, start_ns=stage.start_ns)


def _write(out: Path, stage: Stage, run: Run) -> None:
    """The results, and the device's own files as a thief would find them."""
    assert stage.listeners is not None
    envelopes, keys = stage.listeners.envelopes, stage.device.recipients
    write_outcome(out, lines=run.lines, envelopes=envelopes, plan=stage.plan, summary=run.summary, keys=keys)
    shutil.copytree(stage.device.state, out / "device", dirs_exist_ok=True, ignore=shutil.ignore_patterns("credential", "lock"))


def _virtually(
    scenario: str, seed: int, seconds: float, package: str, consent: str, catalogue: Path | None, out: Path | None, kept: Kept
) -> Run:
    """The run on the virtual clock, written to `out`."""
    began, chronicle, loaded = time.process_time(), Chronicle(), load_checked_catalogue(catalogue)
    try:
        run, epochs, frames = play_virtual(
            scenario=scenario,
            seed=seed,
            seconds=seconds,
            package=package_of(package),
            choice=load_choice(consent),
            catalogue=loaded,
            vehicle=load_named_vehicle(vehicle_folder("bench")),
            chronicle=chronicle,
            record=kept.record,
            noise_per_s=kept.noise_per_s,
        )
    except HwError as error:
        raise DeviceError(error.what, error.where, error.hint) from error
    lines = [dict(line) for line in sorted_lines(run.received.lines)]
    counts = Counts(log=LogCounters(read=frames), epochs=epochs, unknown_id=0, duration_s=seconds, cpu_s=time.process_time() - began)
    summary = summary_of_virtual(run, lines, counts)
    if out is not None:
        write_outcome(out, lines=lines, envelopes=run.received.envelopes, plan=chronicle.plan, summary=summary, keys=run.keys)
    return Run(lines=lines, summary=summary, chronicle=chronicle, catalogue=loaded, start_ns=run.scene.start_ns)


def _checked(scenario: str, seed: int, package: str, catalogue: Path | None) -> Drive:
    """The drive; or what can be wrong before anything is started."""
    packages = load_checked_catalogue(catalogue).packages
    if package_of(package) is not None and package not in packages:
        raise UsageError(f"no package {package}", "--package", f"use none or one of {', '.join(sorted(packages))}")
    if not scenario_path(scenario).is_file():
        known = ", ".join(scenario_names())
        raise UsageError(f"no scenario {scenario}", "--scenario", f"choose one of {known}, or name a TOML file of your own")
    try:
        return Drive.load(scenario, seed)
    except HwError as error:
        raise UsageError(error.what, error.where, error.hint) from error


def _check_bus(drive: Drive, record: Path | None, noise_per_s: float) -> None:
    """Raises UsageError for a recording that cannot be written, and for more noise than a bus carries."""
    if record is not None and record.suffix.lower() not in WRITERS:
        raise UsageError("no recording has such an ending", f"--record {record}", f"use one of {' '.join(WRITERS)}")
    try:
        Car(drive, 0, noise_per_s=noise_per_s)
    except HwError as error:
        raise UsageError(error.what, error.where, error.hint) from error


class _Teller:
    """Prints a line every few seconds, and each thing that somebody did or that became of the emergency call."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next_s, self._told = seconds, 0.0, 0

    def __call__(self, stage: Stage) -> None:
        for note in stage.actions.done[self._told :]:
            self._told += 1
            click.echo(f"  {note}")
        if time.monotonic() >= self._next_s and stage.status:
            self._next_s = time.monotonic() + LINE_S
            received = list(stage.listeners.lines) if stage.listeners else []
            click.echo(pulse_line(stage.elapsed_s, self._seconds, stage.status, received))


def _quiet(_: Stage) -> None:
    """Nothing but JSON goes to stdout."""


def _bus(text: str | None) -> tuple[BusChoice | None, list[str]]:
    """The bus that was named, or vcan0 where there is one, and what to know of it; None where it will be datagrams."""
    bus = virtual_bus() if text is None else _named(text)
    try:
        return bus, remarks(bus) if bus else []
    except HwError as error:
        raise DeviceError(error.what, error.where, error.hint) from error


def _named(text: str) -> BusChoice:
    interface, separator, channel = text.partition(":")
    if not separator or not interface or not channel:
        raise UsageError(f"not a bus: {text}", "--bus", "write IFACE:CHANNEL, for example socketcan:vcan0")
    return BusChoice(interface=interface, channel=channel)
