"""`modicum can`: which messages are on the buses, and how often. A payload is never read: the kernel keeps it, or it is dropped at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from agent.cli.agent_side import asked, config_option, json_option, printed, settings_of
from agent.cli.doctor import said
from agent.control.protocol import ask
from agent.errors import AgentAbsent, DeviceError, ModicumError, UsageError
from agent.folders import vehicle_folder
from agent.health.buses import bus as examined
from agent.health.facts import BusFacts
from agent.model import Finding
from agent.sections import Bus
from agent.settings import Settings
from agent.vehicle import load_vehicle
from hw.can.interface import KERNEL_INTERFACES, Interface, interface_of
from hw.can.listen import SHARED_INTERFACES, Heard, listen
from hw.errors import DeviceLost
from hw.ports import EXTENDED_ID

seconds_option = click.option("--seconds", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="how long to listen")
WORDS = {True: "wanted", False: "not wanted", None: "?"}
Row = dict[str, Any]


@click.group(name="can")
def can_group() -> None:
    """What is on the buses: identifiers and rates, never payloads."""


@can_group.command(name="list")
@seconds_option
@config_option
@json_option
def list_command(seconds: float, config: Path, as_json: bool) -> None:
    """Every identifier that comes, its name in the DBC, and whether a rule wants it.

    Use it to see whether the vehicle file fits this car. It listens by a socket of its own, so the agent goes on undisturbed; of an
    adapter that cannot be shared it is refused while modicum-core runs.
    """
    buses, lines = _heard(config, seconds), []
    for bus in buses:
        lines += [*_head(bus), *(f"  {_id(row)}  {row['name'] or '(in no DBC)'}  {WORDS[row['wanted']]}" for row in bus["ids"])]
    _told(seconds, buses, lines, as_json=as_json)


@can_group.command(name="rates")
@seconds_option
@config_option
@json_option
def rates_command(seconds: float, config: Path, as_json: bool) -> None:
    """How often each identifier comes and how full the bus is, the most frequent first.

    Use it where a bus is loaded or frames are lost. The load is an estimate: stuff bits depend on payloads, which are not read.
    """
    buses, lines = _heard(config, seconds), []
    for bus in buses:
        ids = sorted(bus["ids"], key=lambda row: -row["per_s"])
        lines += [*_head(bus), *(f"  {_id(row)}  {row['per_s']:8.1f}/s  {row['name'] or '(in no DBC)'}" for row in ids)]
        lines += [f"  error frames, {name}: {number}" for name, number in bus["errors"].items()]
    _told(seconds, buses, lines, as_json=as_json)


def _told(seconds: float, buses: list[Row], lines: list[str], *, as_json: bool) -> None:
    """Exit 1 where nothing came from any bus."""
    printed({"seconds": seconds, "buses": buses}, as_json=as_json, text="\n".join(lines) or "no bus is configured")
    if not any(bus["ids"] for bus in buses):
        raise click.exceptions.Exit(1)


def _heard(config: Path, seconds: float) -> list[Row]:
    """A document of each bus. Raises DeviceError where one cannot be heard, or must not while core reads it."""
    settings = settings_of(config)
    _leave_to_core(settings)
    names = _names(settings.vehicle.platform)
    wanted = _wanted(config)
    with ThreadPoolExecutor() as hands:
        return list(hands.map(lambda bus: _document(bus, _listened(bus, seconds), names, wanted), settings.bus))


def _leave_to_core(settings: Settings) -> None:
    """Raises DeviceError where core runs, and a bus of its own would be disturbed."""
    alone = [bus for bus in settings.bus if bus.interface not in SHARED_INTERFACES]
    if not alone:
        return
    try:
        ask(settings.control.socket, "ping")
    except AgentAbsent:
        return
    where = f"{alone[0].interface}:{alone[0].channel}"
    hint = "see modicum status; or stop modicum.target first, and start it afterwards"
    raise DeviceError(f"bus {alone[0].name}: modicum-core reads it, and a second program would take frames from it", where, hint)


def _listened(bus: Bus, seconds: float) -> Heard:
    interface = _interface(bus)
    if interface is not None and not interface.up:
        [found] = examined(BusFacts(name=bus.name, where=str(bus.channel), interface=interface)).findings
        raise DeviceError(found.text, f"{bus.interface}:{bus.channel}", found.hint)
    try:
        return listen(bus.interface, str(bus.channel), seconds, bus.options)
    except DeviceLost as error:
        raise DeviceError(error.what, error.where, error.hint) from error


def _interface(bus: Bus) -> Interface | None:
    return interface_of(str(bus.channel)) if bus.interface in KERNEL_INTERFACES else None


def _names(platform: str) -> dict[tuple[str, int], str]:
    """Message names by bus and identifier; none where the vehicle file cannot be read, which `check` explains."""
    try:
        known = load_vehicle(vehicle_folder(platform)).known_ids
    except ModicumError:
        return {}
    return {(bus, can_id): name for bus, ids in known.items() for can_id, name in ids.items()}


def _wanted(config: Path) -> set[tuple[str, int]] | None:
    """What the plan in force subscribes to; None where the agent does not say."""
    try:
        plan = asked(config, "plan")
    except UsageError:
        raise
    except ModicumError:
        return None
    return {(one["bus"], one["id"] | (EXTENDED_ID if one["extended"] else 0)) for one in plan["subscriptions"]}


def _document(bus: Bus, heard: Heard, names: dict[tuple[str, int], str], wanted: set[tuple[str, int]] | None) -> Row:
    interface = _interface(bus)
    bit_rate = interface.bit_rate if interface else None
    load = heard.load(bit_rate)
    facts = BusFacts(name=bus.name, where=str(bus.channel), interface=interface, good=heard.frames, errors=heard.error_frames)
    return {
        "name": bus.name,
        "channel": f"{bus.interface}:{bus.channel}",
        "frames_per_s": round(heard.frames / heard.seconds, 1),
        "bit_rate": bit_rate,
        "load": None if load is None else round(load, 3),
        "error_frames": heard.error_frames,
        "errors": heard.errors,
        "findings": [] if heard.frames else [asdict(finding) for finding in examined(facts).findings],
        "ids": [
            {
                "id": can_id & ~EXTENDED_ID,
                "extended": bool(can_id & EXTENDED_ID),
                "name": names.get((bus.name, can_id)),
                "per_s": round(count.frames / heard.seconds, 2),
                "bytes": count.length,
                "wanted": None if wanted is None else (bus.name, can_id) in wanted,
            }
            for can_id, count in sorted(heard.ids.items())
        ],
    }


def _head(bus: Row) -> list[str]:
    """What came, and where nothing did what that means."""
    load = (
        ", load not known without a bit rate"
        if bus["load"] is None
        else f", load about {bus['load']:.0%} of {bus['bit_rate'] / 1000:g} kbit/s"
    )
    errors = f", {bus['error_frames']} error frames" if bus["error_frames"] else ""
    head = f"bus {bus['name']} ({bus['channel']}): {len(bus['ids'])} identifiers, {bus['frames_per_s']:g} frames/s{load}{errors}"
    return [head, *(f"  {line}" for one in bus["findings"] for line in (*said(Finding(**one)), "    more: modicum doctor"))]


def _id(row: Row) -> str:
    return f"{row['id']:08X}" if row["extended"] else f"{row['id']:03X}".rjust(8)
