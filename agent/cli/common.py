"""What several verbs share: loading what is named on the command line, and saying what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.catalogue.types import Catalogue
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


def package_of(text: str) -> str | None:
    """`none` is no package."""
    return None if text == "none" else text


def warn(text: str) -> None:
    """One line on stderr; the exit status stays what it is."""
    sys.stderr.write(f"modicum: warning: {text}\n")
