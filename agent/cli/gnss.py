"""`modicum gnss`: what a receiver said, as fixes.

`decode` reads a recording or standard input and needs no agent. Values are printed because the person asked for them here;
nothing is stored or sent. `watch` asks the agent for how its receiver does; there the place is masked unless the device is unlocked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import click

from agent.cli.agent_side import asked, config_option
from agent.cli.words import counted
from agent.errors import AgentAbsent, FindingsError, ModicumError, UsageError
from agent.health.buses import HEARD_S_MAX, receiver
from agent.health.facts import ReceiverFacts
from hw.gnss.nmea import Epochs, fixes_in
from hw.ports import Fix

CHUNK_BYTES = 65_536
WATCH_S = 0.25
"""Receivers tell once a second."""
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


@click.group()
def gnss() -> None:
    """Satellite receiver: recordings to fixes."""


@gnss.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one per epoch; the last one is the summary.")
def decode(file: str, *, as_json: bool) -> None:
    """Turn NMEA, or a modem's answers to AT commands, in FILE (or - for standard input) into fixes.

    Use it to see what a receiver or a log really says: one line per epoch, void ones among them, then what was wrong.
    Exit 1 when nothing in it was written by a receiver or a modem.
    """
    epochs = Epochs()
    for fix in fixes_in(_chunks(file), epochs):
        click.echo(json.dumps(_document(fix)) if as_json else _text(fix))
    summary = epochs.counters()
    click.echo(json.dumps({"summary": summary}) if as_json else _summary_text(summary))
    if not summary["good"] + summary["bad_checksum"]:
        raise FindingsError("not one NMEA sentence and no AT answer", file, "is it a recording of a receiver, at the right baud rate?")


@gnss.command()
@click.option("--seconds", type=click.FloatRange(0), help="end after so long; else with Ctrl-C")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one per epoch.")
@config_option
def watch(seconds: float | None, *, as_json: bool, config: Path) -> None:
    """How the agent's receiver does, epoch by epoch: satellites, kind of fix, precision, age, a class of speed. No place.

    Use it with the antenna in hand. After `modicum unlock` the place and the speed are shown too, to root and the agent's user.
    Exit 1 when nothing came from the receiver.
    """
    seen, heard, end_s = -1, False, None if seconds is None else time.monotonic() + seconds
    while end_s is None or time.monotonic() < end_s:
        told = _watched(config)
        heard |= told["age_s"] is not None and told["age_s"] <= HEARD_S_MAX
        if told["fixes"] != seen:
            seen = told["fixes"]
            click.echo(json.dumps(told) if as_json else _watched_text(told))
        time.sleep(WATCH_S)
    if not heard:
        raise _deaf(config)


def _deaf(config: Path) -> FindingsError:
    """Why nothing came, in doctor's words."""
    facts = asked(config, "status")["receiver"]
    if facts is None:
        return FindingsError("no receiver is configured", str(config), "name its port in [gnss]")
    for found in receiver(ReceiverFacts(**facts)).findings:
        return FindingsError(found.text, facts["port"], f"{found.hint}; more: modicum doctor")
    return FindingsError("nothing came from the receiver", facts["port"], "it may have just begun: try again, then modicum doctor")


def _watched(config: Path) -> dict[str, Any]:
    """With the place where the device is unlocked and this user may see it."""
    try:
        told: dict[str, Any] = asked(config, "gnss.plain")
    except (AgentAbsent, UsageError):
        raise
    except ModicumError:  # locked, or not for this user
        told = asked(config, "gnss")
    return told


def _watched_text(told: dict[str, Any]) -> str:
    if told["age_s"] is None:
        return "nothing has come from the receiver yet"
    satellites = "satellites not told" if told["satellites"] is None else counted(told["satellites"], "satellite")
    precision = "" if told["hdop"] is None else f"  hdop {told['hdop']:.1f}"
    kind = f"{told['mode']}D" if told["mode"] else "no position"
    said = f"{kind}  {satellites}{precision}  {told['age_s']:.1f} s old  {told['speed']}"
    plain = told.get("lat") is not None
    return f"{said}  {told['lat']:.6f} {told['lon']:.6f}" if plain else said


def _chunks(file: str) -> Iterator[bytes]:
    try:
        if file == "-":
            yield from _read(sys.stdin.buffer)
            return
        with Path(file).open("rb") as stream:
            yield from _read(stream)
    except OSError as error:
        raise UsageError("cannot read the recording", file, error.strerror or "give a file of NMEA sentences") from error


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _document(fix: Fix) -> dict[str, object]:
    return {
        "t": _utc_text(fix),
        "lat": fix.lat_deg,
        "lon": fix.lon_deg,
        "alt_m": fix.alt_m,
        "speed_mps": None if fix.speed_mps is None else round(fix.speed_mps, 3),
        "course_deg": fix.course_deg,
        "hdop": fix.hdop,
        "satellites": fix.satellites,
        "mode": fix.mode,
        "time_trusted": fix.time_trusted,
        "talker": fix.talker,
        "source": fix.source,
    }


def _utc_text(fix: Fix) -> str | None:
    if fix.utc_ns is None:
        return None
    utc = _1970 + timedelta(microseconds=fix.utc_ns // 1000)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(fix: Fix) -> str:
    time = (_utc_text(fix) or "time unknown") + ("" if fix.time_trusted or fix.utc_ns is None else " (date not believed)")
    if fix.lat_deg is None or fix.lon_deg is None:
        return f"{time}  no position  {fix.talker}"
    parts = [time, f"{fix.lat_deg:.6f} {fix.lon_deg:.6f}", f"{fix.mode}D"]
    if fix.speed_mps is not None:
        parts.append(f"{fix.speed_mps * 3.6:.1f} km/h")
    if fix.course_deg is not None:
        parts.append(f"{fix.course_deg:.0f} deg")
    return "  ".join([*parts, fix.talker])


def _summary_text(summary: dict[str, int]) -> str:
    return (
        f"{counted(summary['fixes'], 'fix', 'fixes')}, {counted(summary['void'], 'epoch')} without position; "
        f"{counted(summary['lines'], 'line')}: {summary['good']} good, "
        f"{summary['bad_checksum']} with a wrong checksum, {summary['malformed']} malformed"
    )
