"""JSON Schemas of the files that people write, made from the types: for editors, and for tools in other languages.

Run `python -m agent.catalogue.schema` after a change of the types; a test holds that docs/schemas is current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from agent.catalogue.transforms_schema import ARGUMENTS, DATUM_PREFIX
from agent.catalogue.types import ConsentFile, EventsFile, PackagesFile, Policy, PurposesFile, ServiceFile, SignalsFile
from agent.settings import Settings
from agent.vehicle import VehicleFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[str, type[msgspec.Struct]] = {
    "agent": Settings,
    "consent": ConsentFile,
    "events": EventsFile,
    "packages": PackagesFile,
    "policy": Policy,
    "purposes": PurposesFile,
    "service": ServiceFile,
    "signals": SignalsFile,
    "vehicle": VehicleFile,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each file, by the name that it has in docs/schemas."""
    return {name: _finished({"$schema": DIALECT, **msgspec.json.schema(kind, schema_hook=_path)}) for name, kind in FILES.items()}


def write(folder: Path) -> list[Path]:
    """Writes every schema into `folder`; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in schemas().items():
        path = folder / f"{name}.json"
        path.write_text(text(schema), encoding="utf-8")
        written.append(path)
    return written


def text(schema: dict[str, Any]) -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _path(wanted: type) -> dict[str, Any]:
    """The types that JSON Schema has no name for."""
    if wanted is Path:
        return {"type": "string", "minLength": 1}
    raise NotImplementedError(wanted)


def _finished(schema: dict[str, Any]) -> dict[str, Any]:
    """What the types cannot say in one place: the transforms, the keep that is "ram", the date."""
    parts = schema.get("$defs", {})
    if "StreamSignal" in parts:
        parts["StreamSignal"]["properties"]["transforms"]["items"] = _step()
    if "Stream" in parts:
        parts["Stream"]["properties"]["keep"] = {"type": "string", "pattern": "^([0-9]+[smhd]|ram)$"}
    if "Policy" in parts:
        parts["Policy"]["properties"]["effective"] = {"type": "string", "format": "date", "description": "a date, without quotes in TOML"}
    return schema


def _step() -> dict[str, Any]:
    known = {name: {**rule.schema, "description": rule.says} for name, rule in ARGUMENTS.items()}
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": known,
        "patternProperties": {f"^{DATUM_PREFIX}.+$": {}},
        "additionalProperties": False,
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "docs" / "schemas")
