"""`modicum replay`: recorded traffic through the real pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from agent.cli.loading import load_checked_catalogue, load_choice, load_named_vehicle, package_of
from agent.cli.options import decision_options
from agent.cli.streams import needs_a_fix, silent, trim_of, withheld
from agent.cli.words import REASONS, counted, occasions, wrapped
from agent.core.outcome import write_outcome
from agent.daemons.replay import Replayed, ReplayRequest, replay
from agent.errors import UsageError


@click.command(name="replay")
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--vehicle", "vehicle_dir", required=True, type=click.Path(path_type=Path), help="folder with vehicle.toml and its DBC files")
@click.option("--nmea", type=click.Path(path_type=Path), help="a receiver's NMEA file")
@click.option("--bus", "buses", multiple=True, metavar="CHANNEL=BUS", help="which bus of the vehicle a log's channel is")
@decision_options(required=True)
@click.option("--out", type=click.Path(path_type=Path), help="where received.jsonl, summary.json, plan.json and envelopes/ go")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON")
def replay_command(
    logs: tuple[Path, ...],
    vehicle_dir: Path,
    nmea: Path | None,
    buses: tuple[str, ...],
    catalogue: Path | None,
    package: str,
    consent: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Send recorded traffic through consent, minimisation, sealing and the recipients.

    Use it to see what a car's data would have become: candump, ASC, BLF, TRC and MF4 logs, and NMEA files.
    """
    if not logs and nmea is None:
        raise UsageError("nothing to replay", "LOG", "name a log, or a receiver's file with --nmea")
    vehicle = load_named_vehicle(vehicle_dir)
    request = ReplayRequest(
        logs=logs,
        nmea=nmea,
        vehicle=vehicle,
        catalogue=load_checked_catalogue(catalogue),
        package=package_of(package),
        choice=load_choice(consent),
        channels=dict(_channel(text, list(vehicle.file.buses)) for text in buses),
    )
    done = replay(request)
    if out is not None:
        envelopes = done.run.received.envelopes
        write_outcome(out, lines=done.lines, envelopes=envelopes, plan=done.plan, summary=done.summary, keys=done.run.keys)
    click.echo(json.dumps(done.summary) if as_json else told(done, nmea))


def _channel(text: str, buses: list[str]) -> tuple[str, str]:
    channel, separator, bus = text.partition("=")
    if not separator or bus not in buses:
        raise UsageError("not a CHANNEL=BUS of this vehicle", f"--bus {text}", f"its buses are {', '.join(buses)}")
    return channel, bus


def told(done: Replayed, nmea: Path | None) -> str:
    """What became of it, in words: sent, allowed without a receiver or an occasion, withheld and why, notes. `nmea`: as it was named."""
    summary: dict[str, Any] = done.summary
    frames, fixes = counted(summary["frames_read"], "frame"), counted(summary["fixes_read"], "fix", "fixes")
    read = f"{frames} and {fixes} over {summary['duration_s']:.1f} s"
    placeless = "no receiver's file was given (--nmea)" if nmea is None else f"{nmea.name} has not one fix"
    rows = [
        f"{read}, {summary['frames_delivered']:,} frames delivered to the pipeline in {summary['cpu_s']} s of CPU",
        f"{_amount(summary)} ({summary['bytes_sealed']:,} bytes) left",
    ]
    rows += [f"  sent      {name}: {_amount(row)}" for name, row in summary["streams"].items()]
    for name, rule in silent(done.plan, done.lines).items():
        when = occasions(rule, done.run.scene.catalogue.events, trim_of(done.plan, name))
        lacked = not summary["fixes_read"] and needs_a_fix(done.plan, name)
        why = placeless if lacked else "there was no occasion for it"
        rows += wrapped(f"silent    {name}: allowed, and {why} ({when})", 2, 12)
    for stream, reason, signals in withheld(done.plan):
        rows += wrapped(f"withheld  {stream}: {REASONS[reason]}: {', '.join(signals)}", 2, 12)
    return "\n".join(rows + [f"  note      {note}" for note in summary["notes"]])


def _amount(totals: dict[str, Any]) -> str:
    return f"{counted(totals['samples'], 'value')} in {counted(totals['messages'], 'sealed message')}"
