"""Frame to readings: only wanted signals, by cantools, in the catalogue's units.

Promises: a short frame costs the signals that lie beyond it and nothing else; an invalid, unnamed or non-finite value
is counted and never published; nothing that a bus can send raises. Values stay in RAM; only counters leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from cantools.database.can import Message, Signal

from agent.bits import bytes_needed
from agent.collect.transforms import number
from agent.model import Reading, Value
from agent.units import conversion, converted, whole
from agent.vehicle import Source, Vehicle, usable
from agent.vss import unit_of
from hw.ports import Frame


@dataclass(slots=True)
class DecodeCounters:
    """How often, never what."""

    frames: int = 0
    undecodable: int = 0
    readings: int = 0
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """`values`: as of the source, numbers already in the catalogue's `unit`; else value = (raw * a + b) / d."""

    source: Source
    bytes_needed: int
    values: dict[float, Value] | None
    a: int
    b: int
    d: int
    unit: str | None


@dataclass(slots=True)
class Decoder:
    """Turns frames of `vehicle` into readings of `wanted` signals. `units`: the catalogue's unit of each signal.

    A source whose unit cannot become the catalogue's gives nothing (`agent.vehicle.usable`).
    """

    vehicle: Vehicle
    wanted: frozenset[str]
    units: Mapping[str, str]
    counters: DecodeCounters = field(default_factory=DecodeCounters)
    _by_id: dict[tuple[str, int], tuple[Message, list[_Wanted]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names, _ = usable(self.vehicle, self.units)
        for name in sorted(self.wanted & names):
            source, unit = self.vehicle.sources[name], unit_of(name, self.units)
            entry = self._by_id.setdefault((source.bus, source.can_id), (source.message, []))
            entry[1].append(_Wanted(source, bytes_needed(source.dbc), _values(source, unit), *_linear(source, unit), unit))

    def decode(self, frame: Frame) -> list[Reading]:
        """The wanted readings that this frame carries; an empty list for anything that cannot be read."""
        entry = self._by_id.get((frame.bus, frame.can_id))
        if entry is None:
            return []
        self.counters.frames += 1
        message, wanted = entry
        try:
            raw = message.decode(frame.data, decode_choices=False, scaling=False, allow_truncated=True)
        except Exception:  # noqa: BLE001  a payload is outside input; cantools and bitstruct raise several kinds
            self.counters.undecodable += 1
            return []
        assert isinstance(raw, dict)  # a container message would be a list; the DBC format has none
        return list(self._readings(frame, raw, wanted))

    def _readings(self, frame: Frame, raw: Mapping[str, object], wanted: list[_Wanted]) -> Iterable[Reading]:
        for one in wanted:
            bits = raw.get(one.source.dbc.name)
            if bits is None or len(frame.data) < one.bytes_needed:
                continue
            value = _converted(one, bits)
            if value is None:
                self.counters.invalid += 1
                continue
            self.counters.readings += 1
            yield Reading(one.source.signal, value, frame.t_ns)


def _linear(source: Source, unit: str | None) -> tuple[int, int, int]:
    """DBC factor and offset, the vehicle file's own, and the unit conversion, as (a, b, d): value = (raw * a + b) / d.

    Integers, because then 64-bit values stay exact and 608321 * 0.1 is 60832.1 and not 60832.100000000006.
    """
    factor = conversion(source.unit, unit) if source.unit is not None and unit is not None else None
    scale, offset = factor or (Fraction(1), Fraction(0))
    own_scale, own_offset = Fraction(repr(source.scale)) * scale, Fraction(repr(source.offset)) * scale + offset
    dbc_scale, dbc_offset = Fraction(repr(source.dbc.scale)), Fraction(repr(source.dbc.offset))
    return whole(dbc_scale * own_scale, dbc_offset * own_scale + own_offset)


def _values(source: Source, unit: str | None) -> dict[float, Value] | None:
    """The source's `values` with their numbers in the catalogue's unit; what is no number stays as it is."""
    return None if source.values is None else {raw: _in_unit(value, source.unit, unit) for raw, value in source.values.items()}


def _in_unit(value: Value, have: str | None, want: str | None) -> Value:
    said = number(value)
    moved = converted(said, have, want) if said is not None and have is not None and want is not None else None
    return value if moved is None else moved


def _converted(one: _Wanted, raw: object) -> Value | None:
    """DBC raw to the catalogue's value, or None when the raw value means that there is none."""
    source = one.source
    if not isinstance(raw, int | float) or raw in source.invalid or not math.isfinite(raw):
        return None
    if source.transform is not None:
        mapped = source.transform.apply(raw, source.dbc)
        return None if mapped is None else _in_unit(mapped, source.unit, one.unit)
    if one.values is not None:
        return one.values.get(raw)
    return _characters(int(raw), source.dbc) if source.text else _scaled(one, raw)


def _scaled(one: _Wanted, raw: int | float) -> Value | None:  # noqa: PYI041  mypy takes a float for both, and then one branch is dead
    if isinstance(raw, float):
        value = (raw * one.a + one.b) / one.d
        return value if math.isfinite(value) else None
    exact = raw * one.a + one.b
    return exact if one.d == 1 else exact / one.d


def _characters(raw: int, dbc: Signal) -> str | None:
    """The text that the raw bits spell, without filling; None for bits that are no printable ASCII."""
    size = (dbc.length + 7) // 8
    data = (raw % (1 << dbc.length)).to_bytes(size, "little" if dbc.byte_order == "little_endian" else "big")
    text = data.strip(b"\0 ").decode("latin-1")
    return text if text and text.isascii() and text.isprintable() else None
