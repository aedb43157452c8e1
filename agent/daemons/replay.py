"""Recorded traffic through the same pipeline, in the log's own time, as fast as it goes, in one process."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.catalogue.types import Catalogue
from agent.clock import RELEASE_NS
from agent.consent.choice import Choice
from agent.core.outcome import plan_document, sorted_lines
from agent.core.tally import Counts, summary_of
from agent.core.virtual import Scene, VirtualRun
from agent.errors import UsageError
from agent.plan.subscribe import subscriptions
from agent.vehicle import Vehicle
from hw.can.replay import LogCounters, log_frames
from hw.errors import HwError
from hw.gnss.nmea import Epochs, fixes_in
from hw.ports import Fix, Frame

REPLAY_VIN = "M0D1CUMREPLAY0001"
"""Stands for the VIN of a recorded car, which no log tells: streams with identity `vin` go on, and the note says so."""
CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What to replay. `channels`: a log's channel name to a bus of the vehicle."""

    logs: Sequence[Path]
    nmea: Path | None
    vehicle: Vehicle
    catalogue: Catalogue
    package: str | None
    choice: Choice
    channels: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Traffic:
    """The counters of what was read."""

    log: LogCounters = field(default_factory=LogCounters)
    epochs: Epochs | None = None
    unknown_id: int = 0
    first_ns: int | None = None
    last_ns: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay, ready to be written."""

    run: VirtualRun
    summary: dict[str, object]
    plan: dict[str, object]
    lines: list[dict[str, object]]


def replay(request: ReplayRequest) -> Replayed:
    """Runs everything. Raises UsageError for a log or a receiver file that cannot be read."""
    began = time.process_time()
    traffic, notes = Traffic(), []
    try:
        fixes = read_fixes(request.nmea, traffic) if request.nmea else []
        shift_ns = _shift_ns(request, fixes) if fixes else None
        if shift_ns is not None:
            fixes = [replace(fix, t_ns=fix.t_ns + shift_ns) for fix in fixes]
            notes.append(f"CAN and GNSS do not overlap in time: GNSS was shifted by {shift_ns / 1e9:.3f} s to begin with the CAN log")
        items = _merged(_frames(request, traffic), fixes)
        first = next(items, None)
        if first is None and not traffic.log.read:
            where = str(request.nmea or "")
            raise UsageError("nothing to replay", where, "name a log with frames, or a receiver's file with dated sentences")
        run = VirtualRun(_scene(request, first.t_ns if first is not None else RELEASE_NS))
        if first is not None:
            _drive(run, first, items, request, traffic)
    except HwError as error:
        raise UsageError(error.what, error.where, error.hint) from error
    run.notes += notes
    if any(rule.identity == "vin" for rule in run.core.plan.rules):
        run.notes.append(f"the log tells no VIN: {REPLAY_VIN} stands for it")
    lines = [dict(line) for line in sorted_lines(run.received.lines)]
    wanted = subscriptions(run.core.plan.wanted, request.vehicle)
    plan = plan_document(run.core.plan, wanted)
    counts = Counts(
        log=traffic.log,
        epochs=traffic.epochs,
        unknown_id=traffic.unknown_id + traffic.log.other_channel,
        duration_s=(traffic.last_ns - (traffic.first_ns or 0)) / 1e9,
        cpu_s=time.process_time() - began,
    )
    return Replayed(run, summary_of(run, lines, counts), plan, lines)


def read_fixes(path: Path, traffic: Traffic) -> list[Fix]:
    """The epochs of a receiver's file on its own time; those that never say a date are left out.

    Raises UsageError for a file that cannot be read or has not one valid sentence.
    """
    traffic.epochs = epochs = Epochs()
    try:
        with path.open("rb") as file:
            fixes = list(fixes_in(iter(lambda: file.read(CHUNK_BYTES), b""), epochs))
    except OSError as error:
        raise UsageError("no such receiver file", str(path), "name a file with NMEA sentences") from error
    if not epochs.good:
        raise UsageError("not one valid NMEA sentence", str(path), "name a receiver's file")
    dated = [replace(fix, t_ns=fix.utc_ns) for fix in fixes if fix.utc_ns is not None]
    return sorted(dated, key=lambda fix: fix.t_ns)


def _drive(run: VirtualRun, first: Frame | Fix, items: Iterator[Frame | Fix], request: ReplayRequest, traffic: Traffic) -> None:
    known = request.vehicle.known_ids
    last_ns = first.t_ns
    for item in itertools.chain([first], items):
        if item.t_ns < last_ns:
            item = replace(item, t_ns=last_ns)  # noqa: PLW2901  a log that jumps back stands still meanwhile
        last_ns = item.t_ns
        if isinstance(item, Frame) and item.can_id not in known[item.bus]:
            traffic.unknown_id += 1
        else:
            run.feed(item)
    traffic.first_ns, traffic.last_ns = first.t_ns, last_ns
    run.clock.set(last_ns)
    run.finish()


def _scene(request: ReplayRequest, start_ns: int) -> Scene:
    return Scene(
        catalogue=request.catalogue,
        vehicle=request.vehicle,
        package=request.package,
        choice=request.choice,
        vin=REPLAY_VIN,
        compare_vin=False,
        seed=b"replay",
        start_ns=start_ns,
    )


def _frames(request: ReplayRequest, traffic: Traffic) -> Iterator[Frame]:
    bus_of = channel_bus(request)
    logs = [log_frames(path, bus_of, traffic.log) for path in request.logs]
    return logs[0] if len(logs) == 1 else heapq.merge(*logs, key=lambda frame: frame.t_ns)


def channel_bus(request: ReplayRequest) -> Callable[[str], str | None]:
    """Which bus a log's channel is: the only one, whatever --bus says; else the one of --bus; else that of the channel's own name."""
    buses = list(request.vehicle.file.buses)
    if len(buses) == 1:
        return lambda _: buses[0]
    return lambda channel: request.channels.get(channel, channel if channel in buses else None)


def _shift_ns(request: ReplayRequest, fixes: Sequence[Fix]) -> int | None:
    """How much later the fixes must be to begin with the CAN logs; None where both overlap in time, or there is no log.

    By a pass of its own, which reads no further than it takes to know: logs may be long.
    """
    first_ns = None
    for frame in _frames(request, Traffic()):
        first_ns = frame.t_ns if first_ns is None else first_ns
        if first_ns > fixes[-1].t_ns:
            break
        if frame.t_ns >= fixes[0].t_ns:
            return None
    return None if first_ns is None else first_ns - fixes[0].t_ns


def _merged(frames: Iterator[Frame], fixes: Sequence[Fix]) -> Iterator[Frame | Fix]:
    """Frames and fixes in order of time; at equal times the fix first."""
    at = 0
    for frame in frames:
        while at < len(fixes) and fixes[at].t_ns <= frame.t_ns:
            yield fixes[at]
            at += 1
        yield frame
    yield from fixes[at:]
