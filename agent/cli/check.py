"""`modicum check`: every file against its form and against each other, before a car has to find out.

Reads and says; changes nothing. Each finding is one line on stderr, the overview goes to stdout.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from agent.catalogue.check import check_catalogue
from agent.catalogue.check_device import check_buses, check_settings, check_vehicle
from agent.catalogue.load import policies_folder, read_catalogue, shipped_catalogue
from agent.catalogue.types import Catalogue
from agent.cli.check_files import check_files
from agent.ecall.rules import rules_of
from agent.errors import ConfigError, FindingsError, UsageError
from agent.folders import config_folder, vehicle_folder
from agent.settings import Settings, read_settings
from agent.toml import FileFinding, Report
from agent.vehicle import Vehicle, load_vehicle, usable
from agent.vss import GNSS_SIGNALS

PROOF = "agent.plan.prove"
"""Has `prove(catalogue) -> (what was enumerated, broken promises)`; loaded only on demand, it is long work."""


@dataclass(slots=True)
class Examination:
    """What was looked at, in words and figures, and what was found."""

    report: Report = field(default_factory=Report)
    looked_at: list[dict[str, object]] = field(default_factory=list)
    proved: str | None = None


@click.command("check")
@click.option("--vehicle", metavar="DIR", help="a vehicle folder; without any option every folder of config/vehicles")
@click.option("--catalogue", metavar="DIR", help="a catalogue folder, with the policies inside it; default the shipped one")
@click.option("--config", metavar="FILE", help="an agent.toml, with its vehicle and its catalogue")
@click.option("--prove", is_flag=True, help="also compile the plan for every combination of package, consent, policy and fitment")
@click.option("--json", "as_json", is_flag=True, help="one JSON document on stdout")
def check(vehicle: str | None, catalogue: str | None, config: str | None, prove: bool, as_json: bool) -> None:
    """Check catalogue, policies, vehicle and device files. Use it after every edit. Exit 1 when something has to be corrected."""
    done = Examination()
    settings = _settings(Path(config), done) if config else None
    folder = Path(catalogue) if catalogue else (settings.catalogue.dir if settings and settings.catalogue.dir else shipped_catalogue())
    loaded = _catalogue(folder, settings.policies.dir if settings else None, done)
    vehicles = [_vehicle(place, loaded, done) for place in _vehicles(vehicle, catalogue, settings, done)]
    if settings is not None and config is not None:
        check_settings(settings, Path(config).name, loaded, done.report)
        check_files(settings, Path(config).name, done.report)
        for car in vehicles:
            if car is not None:
                check_buses(settings, Path(config).name, car, done.report)
    if prove:
        _prove(loaded, done)
    _tell(done, as_json)
    if done.report.errors:
        raise FindingsError(f"{len(done.report.errors)} to correct", hint="the lines above say where and how")


def _settings(path: Path, done: Examination) -> Settings | None:
    if not path.is_file():
        raise UsageError("no such file", str(path), "name an agent.toml")
    settings = read_settings(path, done.report)
    done.looked_at.append({"kind": "config", "path": str(path)})
    return settings


def _catalogue(folder: Path, policies: Path | None, done: Examination) -> Catalogue:
    reading = read_catalogue(folder, done.report, policies)
    check_catalogue(reading.catalogue, done.report, reading.broken)
    found = reading.catalogue
    streams = [stream for file in found.services.values() for stream in file.streams]
    if not found.policies and not any(name.startswith("policies/") for name in reading.broken):
        _without_policies(folder, policies, done.report)
    counts = {"services": len(found.services), "streams": len(streams), "signals": len(found.signals)}
    done.looked_at.append({"kind": "catalogue", "path": str(folder), **counts, "policies": list(found.policies)})
    return found


def _without_policies(folder: Path, policies: Path | None, report: Report) -> None:
    """A catalogue stands alone: a copy whose policies were left beside it is not one that has them."""
    place, beside = policies or policies_folder(folder), folder.resolve().parent / "policies"
    hint = "everything counts as acknowledged; put there what a driver has to acknowledge first"
    if beside.is_dir() and beside != place.resolve():
        hint += f"; the versions in {beside} are not used"
    report.warning("no-policies", "no policy version", str(place), hint)


def _vehicles(vehicle: str | None, catalogue: str | None, settings: Settings | None, done: Examination) -> list[Path]:
    """The named vehicle; the device's; all shipped ones when nothing was named."""
    if vehicle is not None:
        return [Path(vehicle)]
    if settings is not None:
        folder = vehicle_folder(settings.vehicle.platform)
        if (folder / "vehicle.toml").is_file():
            return [folder]
        hint = "name a folder of config/vehicles, or add one (docs/adding.md)"
        done.report.error("unknown-platform", f"no vehicle {settings.vehicle.platform!r}", "agent.toml: vehicle.platform", hint)
    if catalogue is not None or settings is not None:
        return []
    return sorted(path.parent for path in (config_folder() / "vehicles").glob("*/vehicle.toml"))


def _vehicle(folder: Path, catalogue: Catalogue, done: Examination) -> Vehicle | None:
    try:
        vehicle = load_vehicle(folder)
    except ConfigError as error:
        done.report.error("vehicle", error.what, error.where, error.hint)
        done.looked_at.append({"kind": "vehicle", "path": str(folder)})
        return None
    check_vehicle(vehicle, str(vehicle.folder / "vehicle.toml"), catalogue, done.report)
    for finding in rules_of(vehicle)[2]:
        done.report.error(finding.code, finding.text, str(vehicle.folder / "vehicle.toml"), finding.hint)
    asked = {name for name, signal in catalogue.signals.items() if signal.source == "vehicle"} - GNSS_SIGNALS
    mapped = len(asked & usable(vehicle, catalogue.units())[0])
    done.looked_at.append({"kind": "vehicle", "path": str(folder), "mapped": mapped, "signals": len(asked)})
    return vehicle


def _prove(catalogue: Catalogue, done: Examination) -> None:
    if done.report.errors:
        raise UsageError("nothing to prove yet", done.report.errors[0].where, "correct the errors first: " + done.report.errors[0].what)
    try:
        proof = importlib.import_module(PROOF)
    except ModuleNotFoundError as error:
        raise UsageError("this version cannot prove a catalogue", PROOF, "use a version that has it") from error
    done.proved, broken = proof.prove(catalogue)
    for promise in broken:
        done.report.error("promise-broken", str(promise), "plan", "report it: the compiler or the catalogue is wrong")


def _tell(done: Examination, as_json: bool) -> None:
    findings = done.report.findings
    for finding in findings:
        click.echo(_line(finding), err=True)
    if as_json:
        answer = {"ok": not done.report.errors, "checked": done.looked_at, "findings": [asdict(f) for f in findings], "proved": done.proved}
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    for entry in done.looked_at:
        click.echo(_overview(entry))
    if done.proved is not None:
        click.echo(f"proved: {done.proved}")
    errors = len(done.report.errors)
    click.echo(f"{errors} to correct, {len(findings) - errors} to look at" if findings else "nothing to correct")


def _line(finding: FileFinding) -> str:
    """One line as every message of the command line, with the word warning where it is one."""
    text = str(finding.error())
    return text.replace("modicum: ", "modicum: warning: ", 1) if finding.severity == "warning" else text


def _overview(entry: dict[str, object]) -> str:
    kind, path = entry["kind"], entry["path"]
    if kind == "catalogue":
        versions = entry["policies"]
        policies = ", ".join(versions) if isinstance(versions, list) and versions else "none, everything counts as acknowledged"
        return f"{kind} {path}: {entry['services']} services, {entry['streams']} streams, {entry['signals']} signals; policies: {policies}"
    if kind == "vehicle" and "mapped" in entry:
        return f"{kind} {path}: {entry['mapped']} of {entry['signals']} signals mapped"
    return f"{kind} {path}"
