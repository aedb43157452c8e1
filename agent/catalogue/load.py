"""A catalogue folder into one Catalogue.

Owns where the files lie. Promises that a Catalogue which `load_catalogue` returns is whole and consistent: every error
that `modicum check` would show is raised instead. Never merges two catalogues.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.catalogue.check import check_catalogue
from agent.catalogue.types import Catalogue, ConsentFile, EventsFile, PackagesFile, Policy, PurposesFile, ServiceFile, SignalsFile
from agent.errors import UsageError
from agent.folders import config_folder
from agent.toml import At, Report, decode, read_table

TABLES: dict[str, tuple[type[Any], str]] = {
    "signals.toml": (SignalsFile, "signals"),
    "purposes.toml": (PurposesFile, "purposes"),
    "consent.toml": (ConsentFile, "items"),
    "packages.toml": (PackagesFile, "packages"),
    "events.toml": (EventsFile, "events"),
}
OPTIONAL = frozenset({"events.toml"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """What could be read of a folder: `broken` names the files with errors of form, whose content is missing."""

    catalogue: Catalogue
    broken: frozenset[str]


def shipped_catalogue() -> Path:
    """The folder of the catalogue that comes with the agent. Raises UsageError."""
    return config_folder() / "catalogue"


def policies_folder(folder: Path) -> Path:
    """Where a catalogue's policy versions lie: inside it; for the shipped one, beside it. It may not exist."""
    inside = folder / "policies"
    beside = folder.resolve().parent / "policies"
    try:
        shipped = not inside.is_dir() and folder.resolve() == shipped_catalogue().resolve()
    except UsageError:
        shipped = False
    return beside if shipped else inside


def load_catalogue(folder: Path, policies: Path | None = None) -> Catalogue:
    """The catalogue of `folder`, with its own policy versions or those of `policies`.

    Raises UsageError when there is none, ConfigError (file and key) for the first error.
    """
    report = Report()
    loaded = read_catalogue(folder, report, policies)
    check_catalogue(loaded.catalogue, report, loaded.broken)
    report.raise_first()
    return loaded.catalogue


def read_catalogue(folder: Path, report: Report, policies: Path | None = None) -> Loaded:
    """Reads every file of `folder`; errors of form go to the report. Raises UsageError when it is no catalogue at all."""
    if not any((folder / name).is_file() for name in TABLES):
        raise UsageError(
            "no catalogue", str(folder), "name a folder with signals.toml, purposes.toml, consent.toml, packages.toml, services/"
        )
    tables = {name: _table(folder, name, report) for name in TABLES}
    services = _services(folder, report)
    versions = _policies(policies or policies_folder(folder), report)
    for stray in sorted(path.name for path in folder.glob("*.toml") if path.name not in TABLES):
        report.warning("not-read", "not a file of a catalogue; it is not read", stray, f"known: {', '.join(TABLES)}, services/, policies/")
    everything = {**tables, **services, **versions}
    named = {key: (getattr(tables[name], key) if tables[name] is not None else {}) for name, (_, key) in TABLES.items()}
    catalogue = Catalogue(
        **named,
        services={Path(name).stem: file for name, file in services.items() if file is not None},
        policies={
            policy.version: policy for policy in sorted(_present(versions), key=lambda policy: (str(policy.effective), policy.version))
        },
    )
    return Loaded(catalogue, frozenset(name for name, file in everything.items() if file is None))


def _present(policies: dict[str, Policy | None]) -> list[Policy]:
    return [policy for policy in policies.values() if policy is not None]


def _table(folder: Path, name: str, report: Report) -> Any:  # noqa: ANN401  one of the types of TABLES, or None
    wanted, key = TABLES[name]
    if name in OPTIONAL and not (folder / name).exists():
        return wanted(**{key: {}})
    raw = read_table(folder / name, name, report)
    return None if raw is None else decode(raw, wanted, At(name), report)


def _services(folder: Path, report: Report) -> dict[str, ServiceFile | None]:
    files: dict[str, ServiceFile | None] = {}
    for path in sorted((folder / "services").glob("*.toml")):
        name = f"services/{path.name}"
        raw = read_table(path, name, report)
        files[name] = None if raw is None else decode(raw, ServiceFile, At(name), report)
    if not files:
        report.error("no-services", "no services", "services/", "describe each service in services/NAME.toml")
    return files


def _policies(folder: Path, report: Report) -> dict[str, Policy | None]:
    files: dict[str, Policy | None] = {}
    for path in sorted(folder.glob("*/policy.toml")):
        name = f"policies/{path.parent.name}/policy.toml"
        raw = read_table(path, name, report)
        policy = None if raw is None else decode(raw, Policy, At(name), report)
        files[name] = policy
        if policy is not None:
            _policy_files(policy, path.parent, At(name), report)
    return files


def _policy_files(policy: Policy, folder: Path, at: At, report: Report) -> None:
    """A version lies in the folder of its name, has a date, and the texts that it names stand beside it."""
    if policy.version != folder.name:
        report.error("policy-folder", f"version {policy.version!r} lies in folder {folder.name!r}", at.key("version"), "name both alike")
    if type(policy.effective) is not dt.date:
        report.error("wrong-value", "not a date", at.key("effective"), "write for example 2026-11-01, without quotes")
    for language, text in (("en", policy.text.en), ("zh", policy.text.zh)):
        if not text and language != "en":
            continue
        path = folder / text
        inside = bool(text) and path.resolve().parent == folder.resolve()
        if not inside or not path.is_file() or not path.read_bytes().strip():
            report.error(
                "policy-text", f"no text {text!r} beside policy.toml", at.key("text").key(language), "write what the driver is shown"
            )
