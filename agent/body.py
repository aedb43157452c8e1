"""Record bodies: samples to bytes and back, columnar (docs/formats.md section 2).

Owns the CBOR form of a body and the strict reading of deterministic CBOR (RFC 8949 section 4.2) that other formats
share. Promises: every value and its type comes back exactly, negative zero, infinities and NaN included (they take
the plain list); the same samples give the same bytes, whatever order their signals came in; a reader accepts only
what this writer would have written and never builds more than the limits below. Must never do: cryptography, files,
or repair of what it reads.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import cbor2

from agent.errors import IntegrityError
from agent.model import Position, Sample, Value
from agent.units import sent_unit

BODY_BYTES_MAX = 1024 * 1024
"""Unpacked."""
PACKED_BYTES_MAX = 48 * 1024
BOOT_BYTES = 16
DECIMALS_MAX = 9
EXACT_INTEGERS = -1
BOOLEANS = -2
INTEGER_BITS_MAX = 512
"""The payload of the longest CAN FD frame; also keeps sums of deltas from growing without end."""
EXACT_FLOAT_MAX = 2**53
CBOR_DEPTH_MAX = 16
NS_PER_MS = 1_000_000
INTERPRETED_TAGS = (0, 1, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Tags that cbor2 would turn into objects (dates, patterns, references). Integers beyond 64 bits (2, 3) are allowed."""


class BodyTooLarge(ValueError):
    """The samples do not fit into one record: split them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value of one signal as it was written. `t_ms`: milliseconds since the epoch, floor of the sample's time."""

    signal: str
    unit: str
    t_ms: int
    value: Value = field(repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """`boot` is empty where the stream has no identity; `trusted`: the clock behind the times was believed."""

    boot: bytes
    trusted: bool
    rows: list[Row]


def to_cbor(value: object) -> bytes:
    """`value` in core deterministic encoding."""
    return cbor2.dumps(value, canonical=True)


def _refuse_tag(*_: object) -> object:
    raise ValueError("tag")


_REFUSED: Mapping[int, Callable[..., object]] = dict.fromkeys(INTERPRETED_TAGS, _refuse_tag)


def from_cbor(data: bytes, what: str) -> object:
    """The one value that `data` encodes, or IntegrityError naming `what` unless `data` is its deterministic encoding."""
    try:
        value: object = cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_REFUSED,
            max_depth=CBOR_DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        if to_cbor(value) == data:
            return value
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        # Without its cause: the decoder's messages may quote what it read.
        raise _damaged(what) from None
    raise _damaged(what)


def _damaged(what: str) -> IntegrityError:
    return IntegrityError(f"{what} is not what was written", "", "it is set aside; nothing is repaired")


def pack(samples: Sequence[Sample], units: Mapping[str, str], boot: bytes, trusted: bool) -> bytes:
    """The packed body of at least one sample; `units` by signal, a position's parts fall back to the position's own.

    A class or a count, which a step has made of a value, says so in the place of the signal's unit (agent.units.SENT_AS).

    Raises BodyTooLarge beyond the limits, ValueError for what no catalogue that was checked can bring about.
    """
    if not samples or len(boot) not in (0, BOOT_BYTES):
        raise ValueError("a body needs a sample, and a boot id of 16 bytes or none")
    content = _content(boot, trusted, [row for sample in samples for row in _rows_of(sample, units)])
    packed = zlib.compress(content, 9)
    if len(content) > BODY_BYTES_MAX or len(packed) > PACKED_BYTES_MAX:
        raise BodyTooLarge(f"{len(samples)} samples do not fit into one record")
    return packed


def unpack(body: bytes) -> Body:
    """What `pack` was given, by column. Raises IntegrityError for anything that `pack` would not have written."""
    content = _inflate(body)
    match from_cbor(content, "a record's body"):
        case [bytes() as boot, bool() as trusted, list() as columns] if columns and len(boot) in (0, BOOT_BYTES):
            rows = _rows(columns)
        case _:
            raise _damaged("a record's body")
    if _content(boot, trusted, rows) != content:
        raise _damaged("a record's body")
    return Body(boot, trusted, rows)


def _inflate(body: bytes) -> bytes:
    """Never more than the limit, whatever the stream claims; a missing end and trailing bytes are refused."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(body, BODY_BYTES_MAX + 1) if len(body) <= PACKED_BYTES_MAX else b""
    except zlib.error:
        raise _damaged("a record's body") from None
    if not inflater.eof or inflater.unused_data or len(content) > BODY_BYTES_MAX:
        raise _damaged("a record's body")
    return content


def _rows_of(sample: Sample, units: Mapping[str, str]) -> Iterator[Row]:
    signal, value, t_ms = sample.rule.signal, sample.value, sample.t_ns // NS_PER_MS
    if isinstance(value, Position):
        for part, degrees in (("Latitude", value.lat_deg), ("Longitude", value.lon_deg)):
            name = f"{signal}.{part}"
            yield Row(name, _unit(units, name, signal), t_ms, degrees)
        return
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS_MAX:
        raise ValueError(f"an integer of {signal} has more bits than a frame")
    unit = sent_unit(_unit(units, signal, signal), (step.name for step in sample.rule.transforms))
    yield Row(signal, unit, t_ms, value)


def _unit(units: Mapping[str, str], name: str, signal: str) -> str:
    unit = units.get(name, units.get(signal))
    if unit is None:
        raise ValueError(f"{signal} has no unit in the catalogue")
    return unit


def _content(boot: bytes, trusted: bool, rows: Sequence[Row]) -> bytes:
    """The one CBOR form of these rows: columns by name, a column's rows in the order given."""
    columns: dict[str, list[Row]] = {}
    for row in rows:
        columns.setdefault(row.signal, []).append(row)
    first_with: dict[tuple[int, ...], int] = {}
    coded = []
    for index, (signal, column) in enumerate(sorted(columns.items())):
        times = tuple(row.t_ms for row in column)
        same = first_with.setdefault(times, index)
        coded.append([signal, column[0].unit, _deltas(times) if same == index else same, _coded([row.value for row in column])])
    return to_cbor([boot, trusted, coded])


def _deltas(numbers: Sequence[int]) -> list[int]:
    return [numbers[0], *(after - before for before, after in pairwise(numbers))]


def _coded(values: Sequence[Value]) -> list[object]:
    """[d, integers] where that gives back every value exactly, else [null, list]."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return [BOOLEANS, _deltas([int(value) for value in values])]  # type: ignore[arg-type]  # all bool
    if kinds == {int}:
        return [EXACT_INTEGERS, _deltas(values)]  # type: ignore[arg-type]  # all int
    if kinds == {float}:
        for decimals in range(DECIMALS_MAX + 1):
            scaled = _scaled(values, 10**decimals)  # type: ignore[arg-type]  # all float
            if scaled is not None:
                return [decimals, _deltas(scaled)]
    return [None, list(values)]


def _scaled(values: Sequence[float], scale: int) -> list[int] | None:
    """Integers that divided by `scale` are the values bit for bit, or None. Negative zero has no such integer."""
    scaled = []
    for value in values:
        product = value * scale
        if not abs(product) <= EXACT_FLOAT_MAX or (value == 0 and math.copysign(1, value) < 0):
            return None
        number = round(product)
        if number / scale != value:
            return None
        scaled.append(number)
    return scaled


def _rows(columns: Sequence[object]) -> list[Row]:
    rows: list[Row] = []
    earlier: list[list[int]] = []
    for column in columns:
        match column:
            case [str() as signal, str() as unit, times, [decimals, list() as coded]]:
                all_ms = _times(times, earlier)
                values = _values(decimals, coded)
            case _:
                raise _damaged("a record's column")
        if len(all_ms) != len(values):
            raise _damaged("a record's column")
        earlier.append(all_ms)
        rows += [Row(signal, unit, t_ms, value) for t_ms, value in zip(all_ms, values, strict=True)]
    return rows


def _times(times: object, earlier: Sequence[list[int]]) -> list[int]:
    if type(times) is int:
        if not 0 <= times < len(earlier):
            raise _damaged("a record's times")
        return earlier[times]
    return _sums(times)


def _sums(coded: object) -> list[int]:
    """Undoes `_deltas`. Each number is bounded before anything is added up."""
    if not isinstance(coded, list) or not coded:
        raise _damaged("a record's column")
    for number in coded:
        if type(number) is not int or number.bit_length() > INTEGER_BITS_MAX + 1:
            raise _damaged("a record's column")
    return list(accumulate(coded))


def _values(decimals: object, coded: list[object]) -> Sequence[Value]:
    if decimals is None:
        return [_plain(value) for value in coded]
    numbers = _sums(coded)
    if type(decimals) is int and 0 <= decimals <= DECIMALS_MAX:
        return [number / 10**decimals for number in numbers]
    if decimals == EXACT_INTEGERS:
        return numbers
    if decimals == BOOLEANS and set(numbers) <= {0, 1}:
        return [number == 1 for number in numbers]
    raise _damaged("a record's column")


def _plain(value: object) -> Value:
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return tuple(value)
    if isinstance(value, int) and value.bit_length() <= INTEGER_BITS_MAX:
        return value
    if isinstance(value, (float, str)):
        return value
    raise _damaged("a record's column")
