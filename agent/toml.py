"""TOML files into types, with every mistake named by file and key.

Owns the way from text to a msgspec type. Promises: a key that the type does not declare is an error, nothing is
guessed or repaired, as many mistakes as there are come back at once. Never repeats a value in a message: a file may
hold a VIN.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.allowed import WORDS, complaint, hint_for
from agent.errors import ConfigError

SIZE_MAX = 1 << 20
"""Bytes of one file; more is no configuration."""
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
REASON = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)
T = TypeVar("T")


class _Broken:
    """Stands for a value that was refused; the report has the reason."""


BROKEN = _Broken()


@dataclass(frozen=True, slots=True)
class At:
    """A place in a file: `services/x.toml: stream[2].basis`, elements counted from 0."""

    file: str
    path: str = ""

    def key(self, name: str) -> At:
        """The place of a key of this table, quoted as TOML would."""
        quoted = name if BARE_KEY.match(name) else json.dumps(name, ensure_ascii=False)
        return At(self.file, f"{self.path}.{quoted}" if self.path else quoted)

    def item(self, index: int) -> At:
        """The place of an element of this array."""
        return At(self.file, f"{self.path}[{index}]")

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something wrong (`error`) or doubtful (`warning`) in a file. `code` is stable."""

    code: str
    severity: str
    what: str
    where: str
    hint: str

    def error(self) -> ConfigError:
        """The same, to be raised."""
        return ConfigError(self.what, self.where, self.hint)


@dataclass(slots=True)
class Report:
    """Findings in the order in which they were met."""

    findings: list[FileFinding] = field(default_factory=list)

    def error(self, code: str, what: str, at: At | str, hint: str) -> None:
        """Adds what makes the file unusable."""
        self.findings.append(FileFinding(code, "error", what, str(at), hint))

    def warning(self, code: str, what: str, at: At | str, hint: str) -> None:
        """Adds what works but is probably not meant."""
        self.findings.append(FileFinding(code, "warning", what, str(at), hint))

    @property
    def errors(self) -> list[FileFinding]:
        """The findings of severity `error`."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def raise_first(self) -> None:
        """Raises the first error as ConfigError, saying how many more there are; nothing when there is none."""
        errors = self.errors
        if errors:
            more = f"; {len(errors) - 1} more, see modicum check" if len(errors) > 1 else ""
            raise ConfigError(errors[0].what, errors[0].where, errors[0].hint + more)


def read_table(path: Path, name: str, report: Report) -> dict[str, Any] | None:
    """The raw tables of a file that is called `name` in messages; None, and an error in the report, if unreadable."""
    try:
        if path.stat().st_size > SIZE_MAX:
            report.error("too-large", f"larger than {SIZE_MAX} bytes", name, "this is no configuration file")
            return None
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        report.error("unreadable", f"cannot be read: {error.strerror}", name, "name a file that exists and may be read")
    except UnicodeDecodeError:
        report.error("not-utf8", "not UTF-8 text", name, "save the file as UTF-8")
    except RecursionError:
        report.error("not-toml", "nested too deeply", name, "write it flatter")
    except tomllib.TOMLDecodeError as error:
        what, _, line = str(error).partition(" (at ")
        report.error("not-toml", f"not TOML: {what}", f"{name}, {line.rstrip(')')}" if line else name, "correct the syntax there")
    return None


def decode(raw: object, wanted: type[T], at: At, report: Report) -> T | None:
    """`raw` as `wanted`, or None when the report had to take an error."""
    value = _decode(raw, wanted, at, report)
    return None if value is BROKEN else typing.cast("T", value)


def _decode(raw: object, wanted: Any, at: At, report: Report) -> object:  # noqa: ANN401  any type of a field
    struct = _struct_in(wanted)
    if struct is not None:
        return _table(raw, struct, at, report)
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    inner = _struct_in(arguments[-1]) if origin is dict else _struct_in(arguments[0]) if origin is tuple else None
    if inner is not None and origin is dict and isinstance(raw, dict):
        entries = {key: _table(value, inner, at.key(key), report) for key, value in raw.items()}
        return BROKEN if BROKEN in entries.values() else entries
    if inner is not None and origin is tuple and isinstance(raw, list):
        items = tuple(_table(value, inner, at.item(index), report) for index, value in enumerate(raw))
        return BROKEN if BROKEN in items else items
    return _leaf(raw, wanted, at, report)


def _struct_in(wanted: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401  any type of a field
    """The struct that `wanted` is, also as `X | None` and with a description; None for everything else."""
    if typing.get_origin(wanted) is typing.Annotated:
        return _struct_in(typing.get_args(wanted)[0])
    if isinstance(wanted, types.UnionType) or typing.get_origin(wanted) is typing.Union:
        found = [part for part in typing.get_args(wanted) if _struct_in(part)]
        return found[0] if found else None
    return wanted if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct) else None


def _table(raw: object, wanted: type[msgspec.Struct], at: At, report: Report) -> object:
    if not isinstance(raw, dict):
        report.error("wrong-type", f"a table expected, this is {_kind(raw)}", at, "write it as [table] or { key = value }")
        return BROKEN
    fields = {info.encode_name: info for info in msgspec.structs.fields(wanted)}
    whole = True
    for key in raw.keys() - fields.keys():
        report.error("unknown-key", f"unknown key {key!r}", at.key(key), _known(key, list(fields)))
        whole = False
    values: dict[str, object] = {}
    for key, info in fields.items():
        if key in raw:
            values[info.name] = _decode(raw[key], info.type, at.key(key), report)
        elif info.required:
            report.error("missing-key", f"{_called(raw)}has no {key!r}", at.key(key), "write it; there is no default")
            whole = False
    return wanted(**values) if whole and BROKEN not in values.values() else BROKEN


def _called(raw: dict[str, object]) -> str:
    """How a person would call the table that lacks a key: by its id, where it has one."""
    name = raw.get("id")
    return f"{name!r} " if isinstance(name, str) else ""


def _known(key: str, keys: list[str]) -> str:
    near = difflib.get_close_matches(key, keys, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(keys)}"


def _leaf(raw: object, wanted: Any, at: At, report: Report) -> object:  # noqa: ANN401  any type of a field
    for broken, what, hint in (
        (not _finite(raw), "inf or nan", "write a number"),
        (_trails(raw), "a line end after the text", "write it on one line"),
    ):
        if broken:
            report.error("wrong-value", what, at, hint)
            return BROKEN
    try:
        return msgspec.convert(raw, wanted, dec_hook=_custom)
    except msgspec.ValidationError as error:
        said = REASON.match(str(error))
        what, path = (said["what"], said["path"] or "") if said else (str(error), "")
        report.error("wrong-value", complaint(what), At(at.file, at.path + path), hint_for(wanted))
        return BROKEN


def _custom(wanted: type, raw: object) -> object:
    """The types beyond msgspec's own that a file may hold: paths."""
    if wanted is Path and isinstance(raw, str) and raw:
        return Path(raw)
    raise msgspec.ValidationError(f"a {wanted.__name__.lower()} expected, this is {_kind(raw)}")


def _finite(raw: object) -> bool:
    if isinstance(raw, list):
        return all(_finite(item) for item in raw)
    if isinstance(raw, dict):
        return all(_finite(item) for item in raw.values())
    return not isinstance(raw, float) or math.isfinite(raw)


def _trails(raw: object) -> bool:
    """Whether a text ends with a line end: a pattern's `$` would let it pass."""
    if isinstance(raw, list):
        return any(_trails(item) for item in raw)
    if isinstance(raw, dict):
        return any(_trails(item) for item in raw.values())
    return isinstance(raw, str) and raw.endswith("\n")


def _kind(raw: object) -> str:
    return WORDS.get(type(raw), "a " + type(raw).__name__)
