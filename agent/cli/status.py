"""`modicum status`: health at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from agent.cli.agent_side import asked, config_option, json_option, printed, settings_of
from agent.cli.doctor import told
from agent.cli.unlock import unlocked_line
from agent.cli.words import counted
from agent.control.protocol import ask
from agent.errors import AgentAbsent, ModicumError
from agent.health.buses import receiver
from agent.health.facts import ReceiverFacts
from agent.health.going import power_line
from agent.health.reach import call_line, ledger_line, self_test
from agent.health.saying import age, counted_bytes
from agent.model import Finding
from agent.settings import Settings

Document = dict[str, Any]
GATES = {"kernel": "the kernel", "software": "software"}


@click.command(name="status")
@config_option
@json_option
def status_command(config: Path, as_json: bool) -> None:
    """Programs, clock, buses, receiver, plan, buffer, connections, the emergency call and findings. Never a value or a place.

    Use it to see whether all is well; `modicum doctor` looks closer, also where the agent does not answer. Exit 0 whatever is
    found: whether something is wrong is doctor's exit status.
    """
    result: Document = asked(config, "status")
    result["emergency_call"] = _call(settings_of(config))
    if result["unlocked"]["left_s"]:
        result |= _vin(config)
    printed(result, as_json=as_json, text="\n".join(_lines(result)))


def _call(settings: Settings) -> Document | None:
    """How the emergency call stands, in one line; None where none is configured."""
    if settings.ecall is None:
        return None
    try:
        told = ask(settings.ecall.run / "control.sock", "ecall.status")
        return {"answers": True, "says": call_line(told), "findings": [asdict(one) for one in self_test(told)]}
    except AgentAbsent:
        return {"answers": False, "says": "modicum-ecall does not answer", "findings": []}
    except ModicumError as error:
        return {"answers": True, "says": error.what, "findings": []}


def _vin(config: Path) -> Document:
    """What only an unlocked device shows, to those who may see it."""
    try:
        return {"vin": asked(config, "vin")["vin"]}
    except ModicumError:
        return {}


def _lines(result: Document) -> Iterator[str]:
    if line := unlocked_line(result["unlocked"]):
        yield line
    if "vin" in result:
        yield f"VIN: {result['vin'] or 'not configured'}"
    yield f"clock: {result['clock']['source']}{'' if result['clock']['trusted'] else ', believed by nobody'}"
    yield f"at rest: {result['at_rest']}"
    yield f"power: {power_line(result['power'])}"
    for bus in result["buses"]:
        problem = f"; {bus['problem']}" if bus["problem"] else ""
        gaps = f", {counted(bus['losses'], 'gap')}" if bus["losses"] else ""
        errors = f", {counted(bus['error_frames'], 'error frame')}" if bus["error_frames"] else ""
        read = f"{bus['read']} frames read, {bus['delivered']} delivered, {bus['lost']} lost"
        yield f"bus {bus['name']} (gated by {GATES[bus['engine']]}): {read}{gaps}{errors}{problem}"
    yield f"receiver: {receiver(result['receiver'] and ReceiverFacts(**result['receiver'])).says}"
    yield f"fixes: {result['fixes']}"
    yield f"plan: {result['plan']['rules']} rules, {result['plan']['refused']} withheld"
    yield f"ledger: {ledger_line(result['ledger'])}"
    yield f"samples: {result['samples']}, offered {result['offered']}, acknowledged {result['acknowledged']}"
    yield f"uplink: {'linked' if result['uplink'] else 'not linked'}"
    yield from (f"lane {lane}: {'online' if row['online'] else 'offline ' + row['why']}" for lane, row in result["lanes"].items())
    yield from _buffer(result)
    call = result["emergency_call"]
    yield f"emergency call: {call['says'] if call else 'none is configured'}"
    found = [*result["findings"], *(call["findings"] if call else [])]
    yield from told(Finding(**one) for one in found)
    if call and not call["answers"]:
        yield "Not looked at: the emergency call, which does not answer (modicum doctor)"


def _buffer(result: Document) -> Iterator[str]:
    streams, oldest_s = result["buffer"], result["oldest_s"]
    rows, size = (sum(row[name] for row in streams.values()) for name in ("rows", "bytes"))
    yield f"buffer: {counted(rows, 'record')}, {counted_bytes(size)}{'' if oldest_s is None else f', the oldest {age(oldest_s)} old'}"
    yield from (f"  {stream}: {counted(row['rows'], 'record')}, {counted_bytes(row['bytes'])}" for stream, row in streams.items())
