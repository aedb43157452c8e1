"""JSON Schemas: current, and of one mind with the types that read the files."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.catalogue.schema import FILES, schemas, text, write
from tests.agent.catalogue.trees import small, stream

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config"
WHERE = {
    "agent": "agent.toml",
    "consent": "catalogue/consent.toml",
    "events": "catalogue/events.toml",
    "packages": "catalogue/packages.toml",
    "policy": "policies/*/policy.toml",
    "purposes": "catalogue/purposes.toml",
    "service": "catalogue/services/*.toml",
    "signals": "catalogue/signals.toml",
    "vehicle": "vehicles/*/vehicle.toml",
}


def plain(value: Any) -> Any:
    """TOML's values as JSON has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def valid(name: str, table: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(schemas()[name]).is_valid(plain(table))


@pytest.mark.parametrize("name", sorted(FILES))
def test_schema_in_docs_is_current(name: str) -> None:
    """docs/schemas says what the types say; `python -m agent.catalogue.schema` writes it anew."""
    assert (ROOT / "docs/schemas" / f"{name}.json").read_text(encoding="utf-8") == text(schemas()[name])


def test_no_schema_is_left_over() -> None:
    """docs/schemas has a file for each type and no other."""
    assert {path.name for path in (ROOT / "docs/schemas").iterdir()} == {f"{name}.json" for name in FILES}


@pytest.mark.parametrize("name", sorted(WHERE))
def test_shipped_files_fit_their_schema(name: str) -> None:
    """Every shipped file of the kind is valid under the schema that an editor would use."""
    paths = list(CONFIG.glob(WHERE[name]))
    assert paths
    assert [path for path in paths if not valid(name, tomllib.loads(path.read_text(encoding="utf-8")))] == []


def test_schema_refuses_unknown_and_missing_keys() -> None:
    """An unknown key, a missing keep and an unknown transform are refused by the schema too."""
    whole = small()["services/a.toml"]
    assert valid("service", whole)
    for fault in ({"colour": "red"}, {"keep": "soon"}, {"signal": [{"id": "X.Y", "transforms": [{"blur": 1}]}]}):
        tree = small()
        stream(tree).update(fault)
        assert not valid("service", tree["services/a.toml"])
    tree = small()
    stream(tree).pop("keep")
    assert not valid("service", tree["services/a.toml"])


def test_every_key_of_a_device_is_described() -> None:
    """Each key of agent.toml below a section says what it is, its unit and its default."""
    parts = schemas()["agent"]["$defs"]
    keys = [(part, key, body) for part, table in parts.items() if part != "Settings" for key, body in table["properties"].items()]
    silent = [
        f"{part}.{key}" for part, key, body in keys if not any(word in json.dumps(body) for word in ("Default", "Required", "absent"))
    ]
    assert silent == []


def test_write_makes_the_files(tmp_path: Path) -> None:
    """The command's work: one file per type, as JSON."""
    written = write(tmp_path / "new")
    assert sorted(path.stem for path in written) == sorted(FILES)
    assert all(json.loads(path.read_text(encoding="utf-8"))["$schema"] for path in written)
