"""The body of a record: exact, canonical, bounded."""

from __future__ import annotations

import math
import random
import zlib
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import body
from agent.errors import IntegrityError
from agent.model import Position, Sample, Transform, Value
from agent.vss import LOCATION
from tests.agent.buffer.build import UNITS
from tests.support.samples import BOOT, T_NS, sample

T_MS = T_NS // 1_000_000
INTEGERS = st.integers(-(2**70), 2**70)
FLOATS = st.one_of(
    st.floats(),
    st.sampled_from([-0.0, 0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, math.inf, -math.inf, math.nan]),
    st.decimals(-400, 400, places=3).map(float),
)
TEXTS = st.text(max_size=20)
LISTS = st.lists(TEXTS, max_size=4).map(tuple)
POSITIONS = st.builds(Position, st.floats(-90, 90), st.floats(-180, 180))
KINDS: list[st.SearchStrategy[Value]] = [INTEGERS, FLOATS, st.booleans(), TEXTS, LISTS, POSITIONS]
TIMES_NS = st.integers(-(2**62), 2**62)


@st.composite
def sample_lists(draw: st.DrawFn) -> list[Sample]:
    """Samples of a few signals; most signals keep to one kind of value, one mixes all."""
    signals = {f"Test.{name}": draw(st.sampled_from(KINDS)) for name in "ABC"} | {"Test.Any": st.one_of(KINDS)}
    picks = draw(st.lists(st.tuples(st.sampled_from(sorted(signals)), TIMES_NS), min_size=1, max_size=30))
    return [Sample(sample(0, signal=name).rule, draw(signals[name]), t_ns) for name, t_ns in picks]


UNITS_ABC = {**UNITS, "Test.A": "km", "Test.B": "degrees", "Test.C": ""}


def exact(value: Value) -> tuple[str, str]:
    """The type and every bit: the repr of a float gives it back exactly, negative zero shows its sign."""
    return type(value).__name__, repr(value)


def written(samples: list[Sample]) -> list[tuple[str, str, int, tuple[str, str]]]:
    """What must come back, by signal, in the order given."""
    rows = []
    for one in samples:
        parts: list[tuple[str, Value]] = [("", one.value)]
        if isinstance(one.value, Position):
            parts = [(".Latitude", one.value.lat_deg), (".Longitude", one.value.lon_deg)]
        signal = one.rule.signal
        rows += [(signal + part, UNITS_ABC[signal], one.t_ns // 10**6, exact(value)) for part, value in parts]
    return sorted(rows, key=lambda row: row[0])


@pytest.mark.parametrize(
    ("steps", "unit"),
    [
        ([], "km/h"),
        ([("round_to", 10), ("clamp", [0, 100])], "km/h"),
        ([("mean_s", 10)], "km/h"),
        ([("bucket", [1, 2])], "class"),
        ([("bucket", [1, 2]), ("respond_k", {"k": 3, "epsilon": 0.8})], "class"),
        ([("bucket", [1, 2]), ("clamp", [0, 1])], "class"),
        ([("count_s", 10)], "count"),
        ([("count_s", 10), ("bucket", [1])], "class"),
    ],
)
def test_the_unit_is_that_of_what_is_sent(steps: list[tuple[str, object]], unit: str) -> None:
    """Class 4 is not 4 km/h: a step that makes another kind of number of a value says which."""
    transforms = tuple(Transform(name=name, argument=argument) for name, argument in steps)
    read = body.unpack(body.pack([sample(1, transforms=transforms)], UNITS, BOOT, trusted=True))
    assert [row.unit for row in read.rows] == [unit]


def content_of(packed: bytes) -> bytes:
    return zlib.decompress(packed)


def packed_of(content: object) -> bytes:
    return zlib.compress(content if isinstance(content, bytes) else cbor2.dumps(content, canonical=True))


@given(sample_lists(), st.booleans(), st.sampled_from([b"", BOOT]))
def test_every_value_and_type_comes_back_exactly(samples: list[Sample], trusted: bool, boot: bytes) -> None:
    """Integers beyond 2^53 and 2^64, tiny floats, negative zero, NaN, booleans, texts, lists and positions survive."""
    read = body.unpack(body.pack(samples, UNITS_ABC, boot, trusted))
    assert (read.boot, read.trusted) == (boot, trusted)
    assert [(row.signal, row.unit, row.t_ms, exact(row.value)) for row in read.rows] == written(samples)


@given(sample_lists(), st.randoms())
def test_bytes_do_not_depend_on_the_order_in_which_signals_came(samples: list[Sample], rng: random.Random) -> None:
    """Two runs that differ only in which signal was handled first write the same bytes."""
    queues: dict[str, list[Sample]] = {}
    for one in samples:
        queues.setdefault(one.rule.signal, []).append(one)
    woven = []
    while queues:
        name = rng.choice(sorted(queues))
        woven.append(queues[name].pop(0))
        queues = {key: queue for key, queue in queues.items() if queue}
    assert body.pack(woven, UNITS_ABC, BOOT, True) == body.pack(samples, UNITS_ABC, BOOT, True)


@pytest.mark.parametrize(
    ("values", "coded"),
    [
        ([20.5, 21.25, 21.25], [2, [2050, 75, 0]]),
        ([3.0, 4.0], [0, [3, 1]]),
        ([0.1, 0.2, 0.3], [1, [1, 1, 1]]),
        ([1e-9], [9, [1]]),
        ([1e-10], [None, [1e-10]]),
        ([-0.0, 1.0], [None, [-0.0, 1.0]]),
        ([2**60, 2**60 + 1], [-1, [2**60, 1]]),
        ([True, False, True], [-2, [1, -1, 1]]),
        ([1, 1.0], [None, [1, 1.0]]),
        (["on", "off"], [None, ["on", "off"]]),
        ([("P0420", "C1234")], [None, [["P0420", "C1234"]]]),
    ],
)
def test_a_column_is_written_as_the_format_says(values: list[Value], coded: list[object]) -> None:
    """Decimal deltas where they are exact, the plain list where they are not."""
    packed = body.pack([sample(value, t_s, signal="Test.Any") for t_s, value in enumerate(values)], UNITS, BOOT, True)
    times = [T_MS] + [1000] * (len(values) - 1)
    assert cbor2.loads(content_of(packed)) == [BOOT, True, [["Test.Any", "unit", times, coded]]]


def test_a_position_is_two_columns_with_one_list_of_times() -> None:
    """Latitude and longitude become signals of their own; the second refers to the first one's times."""
    packed = body.pack(
        [sample(Position(48.5, 11.25), signal=LOCATION), sample(Position(48.5, 11.5), 1, signal=LOCATION)], UNITS, b"", False
    )
    assert cbor2.loads(content_of(packed)) == [
        b"",
        False,
        [
            ["Vehicle.CurrentLocation.Latitude", "degrees", [T_MS, 1000], [1, [485, 0]]],
            ["Vehicle.CurrentLocation.Longitude", "degrees", 0, [2, [1125, 25]]],
        ],
    ]


@given(sample_lists())
def test_every_truncation_and_every_trailing_byte_is_refused(samples: list[Sample]) -> None:
    """Neither a cut stream, nor a cut content in a whole stream, nor anything behind either is read."""
    packed = body.pack(samples, UNITS_ABC, BOOT, True)
    content = content_of(packed)
    cut = [packed[:end] for end in range(len(packed))] + [packed_of(content[:end]) for end in range(len(content))]
    for damaged in [*cut, packed + b"\0", packed + packed, packed_of(content + b"\0"), packed_of(content + content)]:
        with pytest.raises(IntegrityError):
            body.unpack(damaged)


@given(sample_lists(), st.data())
def test_a_changed_content_is_refused_or_is_what_somebody_could_have_written(samples: list[Sample], data: st.DataObject) -> None:
    """A reader has no second spelling and no other exception than IntegrityError."""
    content = bytearray(content_of(body.pack(samples, UNITS_ABC, BOOT, True)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = body.unpack(packed_of(bytes(content)))
    except IntegrityError:
        return
    assert body._content(read.boot, read.trusted, read.rows) == content


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    """Random bytes, in a stream or not, are an IntegrityError and nothing else."""
    for damaged in (noise, packed_of(noise)):
        with pytest.raises(IntegrityError):
            body.unpack(damaged)


GOOD = ["S", "u", [1, 2], [0, [3, 4]]]


def test_the_base_of_the_refused_examples_is_accepted() -> None:
    """The examples below are refused for their fault alone."""
    assert [row.value for row in body.unpack(packed_of([BOOT, True, [GOOD]])).rows] == [3.0, 7.0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([BOOT, True, []], id="no column"),
        pytest.param([b"short", True, [GOOD]], id="boot of five bytes"),
        pytest.param([BOOT, 1, [GOOD]], id="trusted is a number"),
        pytest.param([BOOT, True, [GOOD], 1], id="one item more"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [1, [30, 40]]]]], id="decimals that are not needed"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [None, [3.0, 7.0]]]]], id="a plain list that is not needed"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [-2, [1, 1]]]]], id="a boolean of two"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [10, [3, 4]]]]], id="ten decimals"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [True, [3, 4]]]]], id="decimals are a boolean"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [0, [3]]]]], id="fewer values than times"),
        pytest.param([BOOT, True, [["S", "u", [], [0, []]]]], id="an empty column"),
        pytest.param([BOOT, True, [["S", "u", [1, 2.0], [0, [3, 4]]]]], id="a time that is a float"),
        pytest.param([BOOT, True, [["S", "u", 0, [0, [3, 4]]]]], id="times of its own column"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [None, [[1], "x"]]]]], id="a list of numbers"),
        pytest.param([BOOT, True, [["S", "u", [1, 2], [None, [None, "x"]]]]], id="a value that is null"),
        pytest.param([BOOT, True, [GOOD, GOOD]], id="a signal twice"),
        pytest.param([BOOT, True, [GOOD, ["R", "u", 0, [0, [3, 4]]]]], id="columns out of order"),
        pytest.param([BOOT, True, [GOOD, ["T", "u", [1, 2], [0, [3, 4]]]]], id="times written twice"),
        pytest.param([BOOT, True, [["S", "u", [2**600], [0, [3]]]]], id="a time of 600 bits"),
        pytest.param([BOOT, True, [["S", "u", [1], [-1, [2**600]]]]], id="an integer of 600 bits"),
        pytest.param([BOOT, True, cbor2.CBORTag(28, [GOOD])], id="a shared reference"),
        pytest.param([BOOT, True, [["S", "u", [1], [None, [cbor2.CBORTag(35, "(a+)+")]]]]], id="a pattern"),
        pytest.param([BOOT, True, [["S", "u", [1], [None, [cbor2.CBORTag(999, "x")]]]]], id="an unknown tag"),
        pytest.param(b"\x9f" + cbor2.dumps([BOOT, True, [GOOD]], canonical=True)[1:] + b"\xff", id="indefinite length"),
        pytest.param(b"\x81" * 100 + b"\x80", id="a hundred levels"),
    ],
)
def test_what_the_writer_would_not_have_written_is_refused(content: object) -> None:
    """One spelling a body: everything else is an IntegrityError."""
    with pytest.raises(IntegrityError):
        body.unpack(packed_of(content))


def test_an_integer_with_more_bits_than_it_needs_is_refused() -> None:
    """Core deterministic encoding: 1 in two bytes is another spelling."""
    content = cbor2.dumps([BOOT, True, [["S", "u", [1], [-1, [7]]]]], canonical=True)
    assert content.endswith(b"\x81\x07")
    body.unpack(packed_of(content))
    with pytest.raises(IntegrityError):
        body.unpack(packed_of(content[:-1] + b"\x18\x07"))


@pytest.mark.parametrize(
    "data",
    [
        "1801",
        "0101",
        "9f01ff",
        "a2010101",
        "a201010102",
        "a202010101",
        "fb3ff0000000000000",
        "f97e01",
        "c11a514b67b0",
        "d8236161",
        "d81c80",
        "c24101",
        "",
        "82",
        "ff",
    ],
)
def test_only_deterministic_cbor_without_interpretation_is_read(data: str) -> None:
    """Longer forms, trailing bytes, indefinite lengths, keys twice or out of order, wide floats, tags, cuts: refused."""
    assert body.from_cbor(bytes.fromhex("a201010201"), "a map") == {1: 1, 2: 1}
    with pytest.raises(IntegrityError):
        body.from_cbor(bytes.fromhex(data), "a value")


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    """A stream of 64 MiB in 64 kB costs no more than the limit; sums of huge deltas are never formed."""
    assert body._inflate(zlib.compress(b"\0" * body.BODY_BYTES_MAX, 9))
    for bomb in (zlib.compress(b"\0" * 2**26, 9), zlib.compress(b"\0" * (body.BODY_BYTES_MAX + 1), 9)):
        with pytest.raises(IntegrityError):
            body.unpack(bomb)
    with pytest.raises(IntegrityError):
        body.unpack(packed_of([BOOT, True, [["S", "u", [1 << 3_000_000] + [0] * 300_000, [0, [3]]]]]))


def test_more_than_a_record_may_hold_is_not_packed() -> None:
    """Both limits: 48 KiB of noise packed, 1 MiB of what packs well."""
    noise = random.Random(1).randbytes(body.PACKED_BYTES_MAX).hex()
    for value in (noise, "x" * body.BODY_BYTES_MAX):
        with pytest.raises(body.BodyTooLarge):
            body.pack([sample(value, signal="Test.Text")], UNITS, BOOT, True)


def test_samples_without_a_unit_a_boot_of_another_length_and_no_samples_are_bugs() -> None:
    """What a checked catalogue cannot bring about is a ValueError, not a guess."""
    for samples, boot in (([sample(1, signal="Test.Unknown")], BOOT), ([sample(1)], b"short"), ([], BOOT), ([sample(2**513)], BOOT)):
        with pytest.raises(ValueError, match=r"unit|boot|bits"):
            body.pack(samples, UNITS, boot, True)


def test_the_limits_are_those_of_the_format() -> None:
    """docs/formats.md and the code say the same numbers."""
    text = " ".join((Path(__file__).parents[2] / "docs" / "formats.md").read_text().split())
    assert "A body is at most 1 MiB unpacked, 48 KiB packed." in text
    assert (body.BODY_BYTES_MAX, body.PACKED_BYTES_MAX) == (1024 * 1024, 48 * 1024)
    assert "(d 0..9; d = -1: exact integers, d = -2: booleans as 0/1)" in text
    assert (body.DECIMALS_MAX, body.EXACT_INTEGERS, body.BOOLEANS, body.BOOT_BYTES) == (9, -1, -2, 16)


def test_a_value_does_not_show_in_a_repr() -> None:
    """A row in a traceback or a log line says nothing of what was measured."""
    assert "4711" not in repr(body.unpack(body.pack([sample(4711)], UNITS, BOOT, True)))
