"""`modicum explain`: why a signal is or is not sent, why a message left. Reads the plan and the audit log, decides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli.agent_side import asked, config_option, json_option, printed
from agent.cli.plan import planned, source_options
from agent.errors import FindingsError
from agent.vss import LOCATION

HALVES = (f"{LOCATION}.Latitude", f"{LOCATION}.Longitude")
REASONS = {
    "no_package": "the owner's package does not contain this service",
    "switched_off": "the driver has switched this service off",
    "policy": "the acknowledged policy does not cover it, or none is acknowledged",
    "no_consent": "nobody has granted it, or no valid order asks for it",
    "expired": "the grant has ended, or the time is not known for sure",
    "profile": "it was granted, but not by whoever drives this trip",
    "not_on_vehicle": "this vehicle does not have the signal, or an input that it needs",
    "no_recipient": "there is no recipient with a key for it",
    "region": "its recipient is in a region that is not allowed",
}


@click.command(name="explain")
@click.argument("subject", metavar="SIGNAL|STREAM|MESSAGE")
@source_options
@config_option
@json_option
def explain_command(
    subject: str,
    vehicle_dir: Path | None,
    catalogue: Path | None,
    package: str | None,
    consent: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """Why SIGNAL (or service.stream) is or is not sent; with MESSAGE (service.stream/SEQ), why that message left."""
    if "/" in subject:
        result: dict[str, Any] = {"message": subject, "disclosures": _disclosures(subject, config)}
        printed(result, as_json=as_json, text="\n".join(map(_disclosed, result["disclosures"])))
        return
    document = planned(vehicle_dir, catalogue, package, consent, config)
    result = {
        "subject": subject,
        "sent": [rule for rule in document["rules"] if speaks_of(subject, rule)],
        "withheld": [no for no in document["refused"] if speaks_of(subject, no)],
    }
    if not result["sent"] and not result["withheld"]:
        raise FindingsError(f"no stream carries {subject}", "explain", "modicum plan lists what there is; nothing else is collected")
    printed(result, as_json=as_json, text=told(result))


def speaks_of(subject: str, candidate: dict[str, Any]) -> bool:
    """Whether a rule or refusal is about this signal or stream. A position is one signal, and two in what a recipient reads."""
    signal = LOCATION if subject in HALVES else subject
    return candidate["signal"] == signal or f"{candidate['service']}.{candidate['stream']}" == subject


def told(result: dict[str, Any]) -> str:
    """The answer in words."""
    rows = []
    for rule in result["sent"]:
        steps = ", ".join(f"{key} {value}" for step in rule["transforms"] for key, value in step.items()) or "as it is"
        rows.append(
            f"{rule['signal']} is sent in {rule['service']}.{rule['stream']} to {rule['recipient']}"
            f" (identity {rule['identity']}), {steps}, "
            f"while {rule['while']}, triggers {', '.join(rule['triggers'])}: basis {rule['basis']}, because {rule['because']}; "
            f"policy {rule['policy'] or 'none'}; "
            f"kept at most {rule['keep_s']:g} s; rule {rule['id']}"
        )
    rows += [
        f"{no['signal']} is withheld from {no['service']}.{no['stream']}: {no['reason']}: {REASONS[no['reason']]}"
        for no in result["withheld"]
    ]
    return "\n".join(rows)


def _disclosed(entry: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in entry.items() if value not in (None, "", []))


def _disclosures(subject: str, config: Path) -> list[dict[str, Any]]:
    stream, _, seq = subject.partition("/")
    found = [entry for entry in asked(config, "audit.show", limit=10_000) if entry.get("stream") == stream and str(entry.get("seq")) == seq]
    if not found:
        raise FindingsError(f"no such message: {subject}", "audit", "modicum audit show lists what left")
    return found
