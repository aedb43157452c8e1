"""`modicum doctor`: looks at everything and says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from agent.cli.agent_side import config_option, json_option, printed, settings_of
from agent.cli.diagnosis import facts_of, facts_of_host
from agent.cli.words import counted
from agent.errors import ConfigError, ModicumError
from agent.folders import vehicle_folder
from agent.health.checks import HOST, examined
from agent.health.reach import unusable
from agent.health.saying import ORDER, Result, folded, unhealthy
from agent.model import Finding
from agent.settings import Settings
from agent.vehicle import Vehicle, load_vehicle

MARKS = {"error": "BAD ", "warning": "LOOK", "info": "ok  "}
UNKNOWN = "?   "


@click.command(name="doctor")
@config_option
@json_option
def doctor_command(config: Path, as_json: bool) -> None:
    """Look at everything that can fail, and say what to do; also where the agent does not answer.

    Use it in the car, best as root: buses, receiver, clock, disk, keys, certificates, brokers, what waits, the emergency call. It listens
    to the buses for two seconds, without a payload, and connects to the brokers, where it publishes nothing but an empty message.
    Where agent.toml cannot be used it says so and looks at what needs none. Exit 1 where there is an error or a warning. VIN, place and
    the numbers of modem and SIM are never shown. All codes: docs/findings.md.
    """
    try:
        settings = settings_of(config)
    except ConfigError as error:
        results = [unusable(error.what, error.where, error.hint), *examined(facts_of_host(), HOST)]
    else:
        results = examined(facts_of(settings, _vehicle(settings)))
    found = [finding for result in results for finding in result.findings]
    document = {"healthy": not unhealthy(found), "checks": [_document(result) for result in results]}
    rows = [f"{_mark(result)} {result.name}: {result.says}" for result in results]
    printed(document, as_json=as_json, text="\n".join([*rows, "", *told(found)]))
    if unhealthy(found):
        raise click.exceptions.Exit(1)


def _vehicle(settings: Settings) -> Vehicle | None:
    """None where its file cannot be read, which core tells."""
    try:
        return load_vehicle(vehicle_folder(settings.vehicle.platform))
    except ModicumError:
        return None


def _document(result: Result) -> dict[str, object]:
    return {"check": result.name, "known": result.known, "says": result.says, "findings": [asdict(finding) for finding in result.findings]}


def _mark(result: Result) -> str:
    if result.bad:
        return MARKS["error"]
    if not (result.known or result.findings):
        return UNKNOWN
    return MARKS[min((finding.severity for finding in result.findings), key=ORDER.index, default="info")]


def told(findings: Iterable[Finding]) -> Iterator[str]:
    """For a person: each with what to do, and in the last line, which a small screen still shows, how many there are."""
    one_by_one = folded(findings)
    for one in one_by_one:
        yield from said(one)
    counts = Counter(one.severity for one in one_by_one)
    yield "Found: " + (", ".join(counted(counts[severity], severity) for severity in ORDER if counts[severity]) or "nothing") + "."


def said(one: Finding) -> tuple[str, str]:
    """A finding for a person: what, and what to do."""
    return f"{one.severity} {one.code}: {one.text}", f"    do: {one.hint}"
