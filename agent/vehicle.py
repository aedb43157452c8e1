"""A vehicle's files: which CAN signal is which VSS signal.

Owns the form of vehicle.toml and the join with its DBC files. Promises a Vehicle whenever the TOML itself can be
read: a DBC that cantools refuses costs its own signals and becomes a finding; every other file goes on.
"""

from __future__ import annotations

import math
import pathlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from typing import Annotated, Any, Literal

import cantools
import cantools.database
import msgspec
from cantools.database.can import Database, Message, Signal
from msgspec import Meta

from agent.crash import Crash
from agent.errors import ConfigError, UsageError
from agent.kuksa import Entry, Transform, read_mapping
from agent.model import Finding, Value
from agent.units import conversion
from agent.vss import unit_of
from hw.ports import EXTENDED_ID


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, and a key that is not declared is an error."""


class Head(_Strict, frozen=True, kw_only=True):
    """[vehicle]"""

    title: str
    propulsion: tuple[Literal["gasoline", "diesel", "cng", "lpg", "electric", "hydrogen", "other"], ...] = ()


class EcallMode(_Strict, frozen=True, kw_only=True):
    """[ecall]"""

    mode: Literal["regulated", "third_party", "absent"] = "absent"


class BusFile(_Strict, frozen=True, kw_only=True):
    """[buses.X]; `strict = false` lets cantools accept overlapping signals."""

    dbc: tuple[str, ...]
    bitrate: Annotated[int, Meta(gt=0, description="bits per second")] = 500_000
    strict: bool = True


class SignalFile(_Strict, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One line of [signals]. `unit` absent: already the catalogue's unit. `values` maps raw integers.

    `encoding`: the raw bits are characters, the first one in the first byte.
    """

    bus: str
    from_: Annotated[str, Meta(pattern=r"^[^.]+\.[^.]+$", description="MESSAGE.SIGNAL of the DBC")]
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    values: dict[str, Any] | None = None
    encoding: Literal["ascii"] | None = None
    invalid: tuple[Any, ...] | None = None


class Kuksa(_Strict, frozen=True, kw_only=True):
    """[kuksa]"""

    mapping: tuple[str, ...] = ()


class VehicleFile(_Strict, frozen=True, kw_only=True):
    """vehicle.toml"""

    vehicle: Head
    buses: dict[str, BusFile]
    signals: dict[str, SignalFile] = {}
    ecall: EcallMode = EcallMode()
    crash: Crash = Crash()
    kuksa: Kuksa = Kuksa()


@dataclass(frozen=True, slots=True)
class Source:
    """Where one VSS signal comes from, resolved against the DBC."""

    signal: str
    bus: str
    can_id: int
    message: Message
    dbc: Signal
    unit: str | None
    scale: float
    offset: float
    values: dict[int, Value] | None
    invalid: frozenset[int]
    text: bool = False
    transform: Transform | None = None

    @property
    def listed(self) -> tuple[Value, ...] | None:
        """Every value that it can give, where a table says them; None where they come from the bits."""
        if self.transform is not None:
            return self.transform.given(self.dbc)
        return None if self.values is None else tuple(self.values.values())

    @property
    def measures(self) -> bool:
        """Whether any of its values is a number, which has a unit."""
        listed = self.listed
        return not self.text if listed is None else any(type(value) in (int, float) for value in listed)


@dataclass(slots=True)
class Vehicle:
    """A loaded vehicle. `known_ids` per bus are all identifiers of its DBC files, wanted or not, and their names.

    `crash_messages`: what [crash] speaks of, by bus and identifier or name.
    """

    file: VehicleFile
    folder: pathlib.Path
    sources: dict[str, Source] = field(default_factory=dict)
    known_ids: dict[str, dict[int, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    crash_messages: dict[tuple[str, int | str], Message] = field(default_factory=dict)


def load_vehicle(folder: pathlib.Path) -> Vehicle:
    """The vehicle of `folder`. Raises UsageError / ConfigError only when vehicle.toml itself is no good."""
    path = folder / "vehicle.toml" if folder.is_dir() else folder
    try:
        file = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), VehicleFile)
    except OSError as error:
        raise UsageError("no vehicle file", str(path), "name a folder with a vehicle.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"not a vehicle file: {error}", str(path), "see docs/adding.md") from error
    for name, entry in file.signals.items():
        wrong = _senseless(entry)
        if wrong is not None:
            key, hint = wrong
            raise ConfigError(f"not a vehicle file: signals.{name}.{key} makes no sense", str(path), hint)
    vehicle = Vehicle(file, path.parent)
    databases = {name: _load_bus(vehicle, name, bus) for name, bus in file.buses.items()}
    for name, entry in file.signals.items():
        _resolve(vehicle, databases, name, entry)
    for mapping in file.kuksa.mapping:
        _add_mapping(vehicle, databases, vehicle.folder / mapping)
    if file.crash.frames or file.crash.signs:
        _add_crash_messages(vehicle, databases)
    return vehicle


def _add_crash_messages(vehicle: Vehicle, databases: dict[str, Database]) -> None:
    frames = {(frame.bus, frame.id) for frame in vehicle.file.crash.frames}
    sign_buses = {sign.bus for sign in vehicle.file.crash.signs}
    for bus, database in databases.items():
        for message in database.messages:
            if (bus, frame_id(message)) in frames:
                vehicle.crash_messages[bus, frame_id(message)] = message
            if bus in sign_buses and any(f"{message.name}." in sign.when for sign in vehicle.file.crash.signs if sign.bus == bus):
                vehicle.crash_messages[bus, message.name] = message


def usable(vehicle: Vehicle, units: Mapping[str, str]) -> tuple[frozenset[str], list[Finding]]:
    """The signals that the vehicle gives in the catalogue's `units`, and why each of the others counts as not mapped."""
    lost = {name: unit_of(name, units) for name, source in vehicle.sources.items() if not becomes(source, unit_of(name, units))}
    findings = [
        Finding(
            code="unit",
            severity="error",
            text=f"vehicle.toml: signals.{name}: {vehicle.sources[name].unit!r} cannot become {unit!r}",
            hint="correct the unit, or use scale and offset and leave unit out",
        )
        for name, unit in lost.items()
    ]
    return frozenset(vehicle.sources.keys() - lost.keys()), findings


def becomes(source: Source, unit: str | None) -> bool:
    """Whether the source's numbers can be said in `unit`; a unit that one of the two does not name is the other's."""
    return source.unit is None or unit is None or not source.measures or conversion(source.unit, unit) is not None


def _senseless(entry: SignalFile) -> tuple[str, str] | None:
    """The key of a line whose form is right and which still cannot be meant, and what to write instead; else None."""
    if entry.values is not None and not all(_is_raw(key) and _is_value(value) for key, value in entry.values.items()):
        return "values", "write { RAW = VALUE }: a whole number, and a number, true, false, a text or a list of texts"
    if entry.invalid is not None and not all(item == "all-ones" or type(item) is int for item in entry.invalid):
        return "invalid", 'write raw whole numbers or "all-ones"'
    if entry.encoding is not None and entry.values is not None:
        return "encoding", "write either values or encoding"
    key = next((key for key, number in (("scale", entry.scale), ("offset", entry.offset)) if not math.isfinite(number)), None)
    return None if key is None else (key, "write a finite number")


def _is_raw(key: str) -> bool:
    try:
        int(key, 0)
    except ValueError:
        return False
    return True


def _is_value(value: object) -> bool:
    return isinstance(value, bool | int | float | str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _load_bus(vehicle: Vehicle, name: str, bus: BusFile) -> Database:
    database = Database(strict=bus.strict)
    ids: dict[int, str] = {}
    for file in bus.dbc:
        path = vehicle.folder / file
        try:
            loaded = cantools.database.load_file(path, strict=bus.strict)
            if not isinstance(loaded, Database):
                raise ValueError("no CAN database")
            for message in loaded.messages:
                ids[frame_id(message)] = message.name
            database.messages.extend(loaded.messages)
        except Exception as error:  # noqa: BLE001  cantools raises many unrelated kinds for a bad file
            vehicle.findings.append(_unreadable(path, error))
    database.refresh()
    vehicle.known_ids[name] = ids
    return database


def _unreadable(path: pathlib.Path, error: Exception) -> Finding:
    line = _line_of(path, str(error))
    where = f"{path}:{line}" if line else f"{path}"
    reason = " ".join(str(error).split())[:200]
    hint = "correct the file, or set strict = false where only signals overlap"
    if isinstance(error, OSError):
        reason, hint = error.strerror or reason, "put it there, or correct dbc under [buses]"
    hint += "; its signals are not collected until then"
    return Finding(code="dbc-unreadable", severity="error", text=f"{where}: {reason}", hint=hint)


def _line_of(path: pathlib.Path, reason: str) -> int | None:
    """The line that an error of cantools speaks of: it gives either the line, or a name that stands on it."""
    said = re.search(r"line (\d+)", reason)
    if said:
        return int(said[1])
    named = re.search(r"in message (\w+)", reason)
    pattern = rf"BO_ \d+ {named[1]}\s*:" if named else None
    unused = re.search(r"VAL_ \d+ \w+", reason)
    pattern = re.escape(unused[0]) if unused else pattern
    if pattern is None or not path.is_file():
        return None
    lines = path.read_text(encoding="cp1252", errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if re.search(pattern, line)), None)


def frame_id(message: Message) -> int:
    """The message's identifier as a Frame carries it."""
    return int(message.frame_id) | (EXTENDED_ID if message.is_extended_frame else 0)


def _resolve(vehicle: Vehicle, databases: dict[str, Database], name: str, entry: SignalFile) -> None:
    """Adds the source of one VSS signal, or the finding that says why there is none."""
    message_name, signal_name = entry.from_.split(".")
    database = databases.get(entry.bus)
    message = next((m for m in database.messages if m.name == message_name), None) if database else None
    dbc = next((s for s in message.signals if s.name == signal_name), None) if message else None
    if message is None or dbc is None:
        if database is None:
            missing, hint = "bus", _nearest(entry.bus, databases)
        elif message is None:
            missing, hint = "message", _nearest(message_name, (m.name for m in database.messages))
        else:
            missing, hint = "signal", _nearest(signal_name, (s.name for s in message.signals))
        text = f"vehicle.toml: signals.{name}: no such {missing} for {entry.bus}:{entry.from_}"
        vehicle.findings.append(Finding(code="signal-unmapped", severity="error", text=text, hint=hint))
        return
    values = {int(key, 0): _value(value) for key, value in entry.values.items()} if entry.values else None
    vehicle.sources[name] = Source(
        signal=name,
        bus=entry.bus,
        can_id=frame_id(message),
        message=message,
        dbc=dbc,
        unit=entry.unit,
        scale=entry.scale,
        offset=entry.offset,
        values=values,
        invalid=_invalid(dbc, entry.invalid),
        text=entry.encoding is not None,
    )


def _add_mapping(vehicle: Vehicle, databases: dict[str, Database], path: pathlib.Path) -> None:
    """The entries of a KUKSA file, as far as the DBC files have their signals; a line of [signals] goes before them."""
    try:
        entries = read_mapping(path)
    except UsageError as error:
        vehicle.findings.append(Finding(code="kuksa-unreadable", severity="error", text=f"{error.where}: {error.what}", hint=error.hint))
        return
    if not entries:
        vehicle.findings.append(_nothing_mapped(path))
    there: dict[str, tuple[str, Message, Signal]] = {}
    for bus, database in databases.items():
        for message in database.messages:
            for signal in message.signals:
                there.setdefault(signal.name, (bus, message, signal))
    for entry in entries:
        if entry.signal not in there:
            text = f"{path}: {entry.path}: no DBC file has the signal {entry.signal}"
            hint = _nearest(entry.signal, there)
            vehicle.findings.append(Finding(code="signal-unmapped", severity="warning", text=text, hint=hint))
        elif entry.path not in vehicle.sources:
            vehicle.sources[entry.path] = _mapped(entry, *there[entry.signal])


def _nothing_mapped(path: pathlib.Path) -> Finding:
    text = f"{path}: no leaf has a dbc2vss entry"
    hint = "correct the name of that key, or take the file out of [kuksa] mapping; until then it maps no signal"
    return Finding(code="kuksa-empty", severity="error", text=text, hint=hint)


def _mapped(entry: Entry, bus: str, message: Message, dbc: Signal) -> Source:
    return Source(
        signal=entry.path,
        bus=bus,
        can_id=frame_id(message),
        message=message,
        dbc=dbc,
        unit=entry.unit,
        scale=1.0,
        offset=0.0,
        values=None,
        invalid=_invalid(dbc, None),
        transform=entry.transform,
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else "correct bus and from"


def _value(value: Any) -> Value:  # noqa: ANN401  whatever TOML can say
    return tuple(value) if isinstance(value, list) else value


def _invalid(dbc: Signal, wanted: tuple[Any, ...] | None) -> frozenset[int]:
    """Raw values that mean "no value": as written, else all ones of an unsigned signal of 8 bits or more."""
    ones = -1 if dbc.is_signed else (1 << dbc.length) - 1
    if wanted is not None:
        return frozenset(ones if item == "all-ones" else int(item) for item in wanted)
    if dbc.is_signed or dbc.is_float or dbc.length < 8:
        return frozenset()
    named = dbc.choices is not None and ones in dbc.choices
    return frozenset() if named or _in_range(dbc, ones) else frozenset({ones})


def _in_range(dbc: Signal, raw: int) -> bool:
    """Whether the DBC's range includes a raw value, in the decimals that are written there: 255 * 0.01 is 2.55 and not a little more."""
    low, high = dbc.minimum, dbc.maximum
    if low is None or high is None or low == high == 0:
        return False
    return _exact(low) <= raw * _exact(dbc.scale) + _exact(dbc.offset) <= _exact(high)


def _exact(number: float) -> Fraction | float:
    return Fraction(str(number)) if math.isfinite(number) else number
