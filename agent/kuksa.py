"""Mapping files of the KUKSA CAN provider (`dbc2vss`), read as they are: which DBC signal becomes which VSS signal, and how.

Owns their form: a VSS tree in JSON in whose leaves `dbc2vss` names a signal and perhaps a `transform`: `math`, a formula of x,
or `mapping`, a list of `from` (a value or the DBC's own text for it) and `to`. What it does not know of such a file it passes
over (`interval_ms`, `on_change`, `vss2dbc`: how often something leaves is the catalogue's to say).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cantools.database.can import Signal

from agent.errors import ConfigError, UsageError
from agent.formula import Formula, parse_formula
from agent.model import Value

SIZE_MAX = 8 << 20
HINT = "see the documentation of the KUKSA CAN provider's mapping files"


@dataclass(frozen=True, slots=True)
class Transform:
    """From a decoded DBC value to a VSS value. Without formula and table the value stays as it is."""

    formula: Formula | None = None
    table: tuple[tuple[Value, Value], ...] | None = None

    def apply(self, raw: float, dbc: Signal) -> Value | None:
        """The VSS value of a raw one; None where the table or the formula has none for it.

        A value to which the DBC gives a name ("SNA") is no measurement: only a table knows what it means.
        """
        scaled = dbc.conversion.raw_to_scaled(raw, decode_choices=False)
        text = dbc.choices.get(int(raw)) if dbc.choices else None
        if self.table is not None:
            return self._looked_up(scaled, text)
        if not isinstance(scaled, int | float) or text is not None:
            return None
        return self.formula.value(scaled) if self.formula is not None else scaled

    def given(self, dbc: Signal) -> tuple[Value, ...] | None:
        """Every value that its table can give of this signal: a text that the DBC does not have has none. None without table."""
        if self.table is None:
            return None
        texts = {str(text) for text in (dbc.choices or {}).values()}
        return tuple(to for wanted, to in self.table if not isinstance(wanted, str) or wanted in texts)

    def _looked_up(self, scaled: object, text: object) -> Value | None:
        named = None if text is None else str(text)
        return next((to for wanted, to in self.table or () if wanted == named or (wanted == scaled and type(wanted) is not str)), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf: `signal` of the DBC becomes `path`; `unit` is VSS's, None where the file says none."""

    path: str
    signal: str
    unit: str | None
    transform: Transform


def read_mapping(path: Path) -> list[Entry]:
    """The entries of a mapping file, in its order. Raises UsageError (no file) or ConfigError (says which leaf)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError("no KUKSA mapping file", str(path), "correct [kuksa] mapping; it is relative to vehicle.toml") from error
    try:
        tree = json.loads(data) if len(data) <= SIZE_MAX else None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not a KUKSA mapping file: {error}", str(path), HINT) from error
    if not isinstance(tree, dict):
        raise ConfigError("not a KUKSA mapping file: no JSON object of a reasonable size", str(path), HINT)
    return [_entry(name, leaf, path) for name, leaf in _leaves(tree, ())]


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node with `dbc2vss`, by its VSS path; nested by `children`, or flat with whole paths as names."""
    for name, node in tree.items():
        if isinstance(node, dict):
            here = (*above, name)
            if isinstance(node.get("dbc2vss"), dict):
                yield ".".join(here), node
            if isinstance(node.get("children"), dict):
                yield from _leaves(node["children"], here)


def _entry(name: str, leaf: Mapping[str, Any], path: Path) -> Entry:
    rule, where = leaf["dbc2vss"], f"{path}: {name}"
    signal, unit = rule.get("signal"), leaf.get("unit")
    if not isinstance(signal, str):
        raise ConfigError("dbc2vss names no signal", where, HINT)
    transform = rule.get("transform", {})
    if not isinstance(transform, dict) or set(transform) - {"math", "mapping"} or len(transform) > 1:
        raise ConfigError("a transform that is neither math nor mapping", where, HINT)
    table = _table(transform["mapping"], where) if "mapping" in transform else None
    formula = _formula(transform["math"], where) if "math" in transform else None
    return Entry(name, signal, unit if isinstance(unit, str) else None, Transform(formula, table))


def _formula(text: object, where: str) -> Formula:
    try:
        return parse_formula(str(text))
    except ConfigError as error:
        raise ConfigError(error.what, f"{where}: {error.where}", error.hint) from error


def _table(rows: object, where: str) -> tuple[tuple[Value, Value], ...]:
    try:
        return tuple((_plain(row["from"]), _plain(row["to"])) for row in rows)  # type: ignore[attr-defined]  # the except says so
    except (TypeError, KeyError, ValueError) as error:
        raise ConfigError("a mapping that is no list of from and to", where, HINT) from error


def _plain(value: object) -> Value:
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("kind")
