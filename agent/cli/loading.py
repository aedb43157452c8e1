"""Loading what is named on the command line, and saying what is wrong with it."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import msgspec

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.catalogue.types import Catalogue
from agent.consent.choice import Choice, GrantEntry, read_choice
from agent.errors import ConfigError
from agent.vehicle import Vehicle, load_vehicle


def load_checked_catalogue(folder: Path | None) -> Catalogue:
    """The named catalogue, or the shipped one. ConfigError when it breaks a rule."""
    return load_catalogue(folder if folder is not None else shipped_catalogue())


def load_named_vehicle(folder: Path) -> Vehicle:
    """The vehicle of a folder; what is wrong with its DBC files goes to stderr, and the rest goes on."""
    vehicle = load_vehicle(folder)
    for finding in vehicle.findings:
        warn(f"{finding.text}: {finding.hint}")
    return vehicle


def load_choice(text: str) -> Choice:
    """What `--consent` says. ConfigError names the item that is at fault, where it is one."""
    try:
        return read_choice(text)
    except ConfigError as error:
        fault = _fault_of_an_item(Path(text))
        if fault is None:
            raise
        raise ConfigError(f"consent item {fault[0]}: {fault[1]}", error.where, error.hint) from error


def _fault_of_an_item(path: Path) -> tuple[str, str] | None:
    """The first item that cannot be what the file says, and why; None where the file as a whole is at fault."""
    try:
        grants = tomllib.loads(path.read_text(encoding="utf-8")).get("grants")
    except (OSError, ValueError):
        return None
    for item, entry in grants.items() if isinstance(grants, dict) else ():
        try:
            msgspec.convert(entry, GrantEntry)
        except msgspec.ValidationError as error:
            return item, str(error)
    return None


def package_of(text: str) -> str | None:
    """`none` is no package."""
    return None if text == "none" else text


def warn(text: str) -> None:
    """One line on stderr; the exit status stays what it is."""
    sys.stderr.write(f"modicum: warning: {text}\n")
