"""`modicum explain`: why a signal is or is not sent, why a message left. Reads the plan and the audit log, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from agent.catalogue.types import Catalogue
from agent.cli.agent_side import asked, catalogue_of, config_option, json_option, printed
from agent.cli.loading import load_checked_catalogue
from agent.cli.plan import planned, source_options
from agent.cli.streams import Withheld, name_of, withheld
from agent.cli.words import HALVES, IDENTITIES, REASONS, basis, counted, moment, only_on_demand, term, whole
from agent.errors import FindingsError, ModicumError, UsageError
from agent.vss import LOCATION, VIN

VIN_NAMES = (VIN, "VIN")
"""No stream has it as a signal: it stands in the messages of streams with identity `vin`."""
ECALL = "by the emergency call's own program"
NEARLY = 0.9
"""How alike two names are, whatever the case of their letters, when one is probably meant for the other."""


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
    vin = set[str]()
    if subject in VIN_NAMES:
        vin = _with_vin(_catalogue(catalogue, package, config))
    result = {
        "subject": subject,
        "sent": [rule for rule in document["rules"] if speaks_of(subject, rule) or name_of(rule) in vin],
        "withheld": [no for no in document["refused"] if speaks_of(subject, no) or name_of(no) in vin],
    }
    if not result["sent"] and not result["withheld"]:
        raise _not_carried(subject, _catalogue(catalogue, package, config))
    printed(result, as_json=as_json, text=told_of_vin(result, vin) if vin else told(result))


def speaks_of(subject: str, candidate: dict[str, Any]) -> bool:
    """Whether a rule or refusal is about this signal or stream. A position is one signal, and two in what a recipient reads."""
    return candidate["signal"] == whole(subject) or name_of(candidate) == subject


def _catalogue(folder: Path | None, package: str | None, config: Path) -> Catalogue:
    """The one that the plan was made from."""
    return load_checked_catalogue(folder) if package is not None else catalogue_of(config)


def _not_carried(subject: str, catalogue: Catalogue) -> ModicumError:
    """Why the plan has nothing of this name. A misspelt name is not one of which nothing is collected."""
    streams = {f"{file.service.id}.{stream.id}": stream for file in catalogue.services.values() for stream in file.streams}
    known = [*catalogue.signals, *streams, *catalogue.services, *VIN_NAMES, *HALVES]
    if subject in streams and streams[subject].basis == "vital":
        return FindingsError(f"no rule sends {subject}", "described only", f"it is sent {ECALL}, whatever package and grants there are")
    if subject in catalogue.services:
        return FindingsError(f"no stream is called {subject}", "a service", f"explain one of {', '.join(_streams_of(subject, streams))}")
    by_letters = {name.lower(): name for name in known}
    near = [] if subject in known else get_close_matches(subject.lower(), by_letters, n=1, cutoff=NEARLY)
    if near:
        return UsageError("no such name", subject, f"did you mean {by_letters[near[0]]}?")
    return FindingsError(f"no stream carries {subject}", "explain", "modicum plan lists what there is; nothing else is collected")


def _streams_of(service: str, streams: Iterable[str]) -> list[str]:
    return [name for name in streams if name.startswith(f"{service}.")]


def _with_vin(catalogue: Catalogue) -> set[str]:
    """The streams whose identity is the VIN."""
    services = catalogue.services.values()
    return {f"{file.service.id}.{stream.id}" for file in services for stream in file.streams if stream.identity == "vin"}


def told(result: dict[str, Any]) -> str:
    """The answer in words."""
    rows = []
    for rule in result["sent"]:
        steps = ", ".join(f"{key} {value}" for step in rule["transforms"] for key, value in step.items()) or "as it is"
        rows.append(
            f"{rule['signal']} {_is_sent(rule)} in {name_of(rule)} to {rule['recipient']}"
            f" (identity {rule['identity']}), {steps}, {_why(rule)}; rule {rule['id']}"
        )
    rows += [f"{no['signal']} is withheld from {name_of(no)}: {no['reason']}: {REASONS[no['reason']]}" for no in result["withheld"]]
    return "\n".join(rows)


def told_of_vin(result: dict[str, Any], streams: set[str]) -> str:
    """Which streams carry the VIN as identity, which would, and what speaks against those; one row each."""
    rules = {name_of(rule): rule for rule in result["sent"]}
    refused: dict[str, Withheld] = {no.stream: no for no in withheld({"refused": result["withheld"]})}
    rows = ["no signal: the VIN stands, as the car's identity, inside every message of these streams"]
    for name in sorted(streams):
        if name in rules:
            rule = rules[name]
            rows.append(f"VIN {_is_sent(rule)} in {name} to {rule['recipient']} (identity vin), {_why(rule)}")
        elif name in refused:
            rows.append(f"VIN would be sent in {name}, which is withheld: {refused[name].reason}: {REASONS[refused[name].reason]}")
        else:
            rows.append(f"VIN would be sent in {name} {ECALL}; no rule comes from it")
    return "\n".join(rows)


def _is_sent(rule: dict[str, Any]) -> str:
    """Nothing is sent yet by a stream that waits for somebody's asking."""
    asking = only_on_demand(rule)
    return f"would be sent {asking}" if asking else "is sent"


def _why(rule: dict[str, Any]) -> str:
    return (
        f"while {rule['while']}, triggers {', '.join(rule['triggers'])}: basis {rule['basis']}, because {rule['because']}; "
        f"policy {rule['policy'] or 'none'}; kept at most {term(rule['keep_s'])}"
    )


def _disclosed(entry: dict[str, Any]) -> str:
    """One message in a sentence: what, to whom, when, how much, on which basis, by which rules."""
    when = f" at {moment(entry['t'], believed=entry.get('trusted', True))}" if entry.get("t") else ""
    identity = f", {IDENTITIES[entry['identity']]}" if entry.get("identity") in IDENTITIES else ""
    rules = ", ".join(entry.get("rules", ())) or "not kept"
    position = " (a position counts as one)" if f"/{LOCATION}#" in rules else ""
    size = f"{counted(entry.get('samples', 0), 'value')}{position}, {counted(entry.get('bytes', 0), 'byte')} sealed"
    return (
        f"message {entry['seq']} of {entry['stream']} went to {entry['recipient']}{when}{identity}: {size}; "
        f"basis: {basis(entry.get('basis_ref', ''))}; policy {entry.get('policy') or 'none'}; rules: {rules}"
    )


def _disclosures(subject: str, config: Path) -> list[dict[str, Any]]:
    """The entries of a message. FindingsError where there is none, or none for it alone."""
    stream, _, seq = subject.partition("/")
    of_stream = [entry for entry in asked(config, "audit.show", limit=10_000) if entry.get("stream") == stream]
    found = [entry for entry in of_stream if str(entry.get("seq")) == seq]
    if found:
        return found
    if any(entry.get("identity") == "none" for entry in of_stream):
        hint = "messages without identity are kept as counts of a day only: modicum audit show"
        raise FindingsError(f"no single message of {stream} can be told", "audit", hint)
    if any(entry["kind"] == "disclosure_day" for entry in of_stream):
        hint = "messages older than 30 days are kept as counts of a day only: modicum audit show"
        raise FindingsError(f"no such message: {subject}", "audit", hint)
    raise FindingsError(f"no such message: {subject}", "audit", "modicum audit show lists what left")
