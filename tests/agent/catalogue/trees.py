"""A small whole catalogue as Python data, and the way back to TOML: what the tests here break in one place at a time."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from agent.catalogue.check import check_catalogue
from agent.catalogue.load import read_catalogue
from agent.toml import FileFinding, Report

Tree = dict[str, dict[str, Any]]

SMALL: Tree = {
    "signals.toml": {
        "signals": {
            "Vehicle.Speed": {"unit": "km/h", "category": "movement"},
            "Vehicle.TraveledDistance": {"unit": "km", "category": "status"},
            "Vehicle.CurrentLocation": {"unit": "degrees", "category": "position", "sensitive": True},
            "Vehicle.VehicleIdentification.VIN": {"unit": "", "category": "identity"},
        }
    },
    "purposes.toml": {"purposes": {"service": {"title": "Service", "dpv": "RequestedServiceProvision", "max_keep": "30d"}}},
    "consent.toml": {
        "items": {
            "a.position": {"title": "Square", "category": "position", "sensitive": True, "max_term": "365d"},
            "a.status": {"title": "Odometer", "category": "status", "max_term": "365d"},
        }
    },
    "packages.toml": {"packages": {"one": {"title": "One", "services": ["a"]}}},
    "events.toml": {"events": {"fast": {"when": "Vehicle.Speed > 100", "recent": {"when": "Vehicle.Speed > 30", "within_s": 60}}}},
    "services/a.toml": {
        "service": {"id": "a", "title": "A"},
        "stream": [
            {
                "id": "place",
                "purpose": "service",
                "basis": "consent",
                "consent": "a.position",
                "identity": "none",
                "recipient": "someone",
                "triggers": ["periodic", "event:fast"],
                "every_s": 30,
                "time_floor_s": 10,
                "keep": "5m",
                "signal": [{"id": "Vehicle.CurrentLocation", "transforms": [{"trim_trip_m": 500}, {"grid_m": 200}]}],
            },
            {
                "id": "odometer",
                "purpose": "service",
                "basis": "consent",
                "consent": "a.status",
                "identity": "pairwise",
                "recipient": "someone",
                "triggers": ["request:odometer"],
                "keep": "30d",
                "signal": [{"id": "Vehicle.TraveledDistance", "transforms": [{"round_to": 10}], "fresh_s": 5}],
            },
        ],
    },
    "policies/2026-11/policy.toml": {
        "version": "2026-11",
        "effective": "DATE",
        "text": {"en": "policy.en.md"},
        "purposes": ["service"],
        "categories": ["position", "status"],
        "recipients": ["someone"],
        "contact": "someone@example",
    },
}


def small() -> Tree:
    """A copy to break."""
    return copy.deepcopy(SMALL)


def stream(tree: Tree, index: int = 0) -> dict[str, Any]:
    """A stream of the one service."""
    found: dict[str, Any] = tree["services/a.toml"]["stream"][index]
    return found


def toml(value: Any) -> str:
    """TOML of one value; tables become inline tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return "2026-11-01" if value == "DATE" else json.dumps(value)


def write(tree: Tree, folder: Path) -> Path:
    """The tree as the files of a catalogue folder."""
    for name, table in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items()), encoding="utf-8")
    policy = folder / "policies/2026-11"
    if policy.is_dir():
        (policy / "policy.en.md").write_text("What is sent.\n", encoding="utf-8")
    return folder


def findings(tree: Tree, folder: Path) -> list[FileFinding]:
    """What reading and checking the tree finds."""
    report = Report()
    reading = read_catalogue(write(tree, folder), report)
    check_catalogue(reading.catalogue, report, reading.broken)
    return report.findings
