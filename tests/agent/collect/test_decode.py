"""Frames to readings: every rule of interfaces about a value's way, and cantools as the oracle over other makers' DBC files."""

from __future__ import annotations

import functools
import math
import random
import struct
import tempfile
from pathlib import Path

import cantools
import cantools.database
import pytest
from cantools.database.can import Database, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bits import bytes_needed
from agent.collect.decode import Decoder
from agent.model import Reading, Value
from agent.vehicle import frame_id, load_vehicle
from agent.vss import ODOMETER, SPEED
from hw.ports import Frame
from tests.support.samples import T_NS

DBC = """VERSION ""
BS_:
BU_: A
BO_ 256 PLAIN: 8 A
 SG_ WIDE : 0|16@1+ (0.1,-40) [0|0] "" A
 SG_ BIG : 23|16@0+ (1,0) [0|0] "" A
 SG_ SIGNED : 32|16@1- (0.5,0) [0|0] "" A
 SG_ STATE : 48|8@1+ (2,1) [0|0] "" A
 SG_ LATE : 56|8@1+ (1,0) [0|254] "" A
BO_ 257 WHOLE: 8 A
 SG_ COUNT : 0|64@1+ (1,0) [0|18446744073709551615] "" A
BO_ 258 FLOATS: 8 A
 SG_ SINGLE : 0|32@1- (1,0) [0|0] "" A
 SG_ OTHER : 32|32@1- (0.1,0) [0|0] "" A
BO_ 259 MUXED: 8 A
 SG_ WHICH M : 0|8@1+ (1,0) [0|0] "" A
 SG_ ONE m1 : 8|16@1+ (1,0) [0|0] "" A
 SG_ TWO m2 : 8|16@1+ (10,0) [0|0] "" A
 SG_ ALWAYS : 56|8@1+ (1,0) [0|0] "" A
BO_ 260 ONES: 8 A
 SG_ BARE : 0|8@1+ (1,0) [0|0] "" A
 SG_ RANGED : 8|8@1+ (1,0) [0|255] "" A
 SG_ NAMED : 16|8@1+ (1,0) [0|10] "" A
 SG_ OUTSIDE : 24|8@1+ (1,0) [0|10] "" A
 SG_ MINUS : 32|8@1- (1,0) [0|0] "" A
 SG_ NARROW : 40|7@1+ (1,0) [0|0] "" A
 SG_ SCALED : 48|8@1+ (0.5,0) [0|127.5] "" A
 SG_ HUNDREDTHS : 56|8@1+ (0.01,0) [0|2.55] "" A
VAL_ 260 NAMED 255 "full" ;
SIG_VALTYPE_ 258 SINGLE : 1;
SIG_VALTYPE_ 258 OTHER : 1;
"""


def decoder(folder: Path, lines: dict[str, str], units: dict[str, str] | None = None, dbc: str = DBC) -> Decoder:
    """A decoder for the given lines of [signals], all of them wanted."""
    (folder / "one.dbc").write_text(dbc, encoding="cp1252")
    signals = "\n".join(f'"{name}" = {{ bus = "pt", {line} }}' for name, line in lines.items())
    (folder / "vehicle.toml").write_text(f'[vehicle]\ntitle = "T"\n[buses.pt]\ndbc = ["one.dbc"]\n[signals]\n{signals}\n', encoding="utf-8")
    vehicle = load_vehicle(folder)
    assert vehicle.findings == []
    return Decoder(vehicle, frozenset(lines), units or {})


def values(one: Decoder, can_id: int, data: bytes) -> dict[str, Value]:
    return {reading.signal: reading.value for reading in one.decode(Frame("pt", can_id, data, T_NS))}


def one_value(folder: Path, line: str, can_id: int, data: bytes, unit: str = "") -> Value | None:
    return values(decoder(folder, {"X": line}, {"X": unit} if unit else {}), can_id, data).get("X")


# -- a value's way ----------------------------------------------------------------------------------------------------


def test_factor_and_offset_give_the_number_that_a_person_would_write(tmp_path: Path) -> None:
    """608321 * 0.1 is 60832.1: no dust of binary arithmetic."""
    dbc = 'VERSION ""\nBS_:\nBU_: A\nBO_ 1 M: 8 A\n SG_ S : 0|32@1+ (0.1,0) [0|0] "km" A\n'
    one = decoder(tmp_path, {"X": 'from = "M.S"'}, dbc=dbc)
    assert values(one, 1, (608_321).to_bytes(8, "little")) == {"X": 60832.1}


def test_the_order_is_dbc_then_scale_and_offset_then_unit(tmp_path: Path) -> None:
    """(100 * 0.1 - 40) = -30; times 2 plus 96 = 36 km/h; is 10 m/s."""
    line = 'from = "PLAIN.WIDE", scale = 2.0, offset = 96.0, unit = "km/h"'
    assert one_value(tmp_path, line, 256, struct.pack("<H6x", 100), "m/s") == 10


def test_values_take_raw_integers_and_leave_out_the_rest(tmp_path: Path) -> None:
    """Before factor and offset; numbers, truth values, texts and lists; a raw value that is not named is invalid."""
    line = 'from = "PLAIN.STATE", values = { 0 = "OFF", 1 = true, 2 = 2.5, 0x3 = ["a", "b"] }'
    one = decoder(tmp_path, {"X": line})
    got = [values(one, 256, bytes(6) + bytes([raw, 0])).get("X") for raw in (0, 1, 2, 3, 4)]
    assert got == ["OFF", True, 2.5, ("a", "b"), None]
    assert one.counters.invalid == 1


def test_numbers_out_of_values_are_converted_and_not_scaled(tmp_path: Path) -> None:
    """From the file's unit to the catalogue's; texts and truth values have no unit."""
    line = 'from = "PLAIN.STATE", unit = "km/h", scale = 5.0, offset = 1.0, values = { 0 = 36, 1 = 4.5, 2 = true, 3 = "FAST" }'
    one = decoder(tmp_path, {"X": line}, {"X": "m/s"})
    assert [values(one, 256, bytes(6) + bytes([raw, 0]))["X"] for raw in range(4)] == [10, 1.25, True, "FAST"]


def test_a_float_between_two_keys_is_neither(tmp_path: Path) -> None:
    """1.7 is not 1; 2.0 is 2."""
    one = decoder(tmp_path, {"X": 'from = "FLOATS.SINGLE", values = { 1 = "ONE", 2 = "TWO" }'})
    assert [values(one, 258, struct.pack("<f4x", raw)).get("X") for raw in (1.7, 2.0)] == [None, "TWO"]


def test_a_unit_that_cannot_become_the_catalogues_gives_nothing(tmp_path: Path) -> None:
    """No number under a unit that it does not have; what is no number has none."""
    lines = {"X": 'from = "PLAIN.WIDE", unit = "celsius"', "T": 'from = "PLAIN.STATE", unit = "celsius", values = { 0 = "OFF" }'}
    one = decoder(tmp_path, lines, {"X": "km/h", "T": "km/h"})
    assert values(one, 256, bytes(8)) == {"T": "OFF"}


@pytest.mark.parametrize(("name", "unit", "value"), [(SPEED, "m/s", 36), (ODOMETER, "m", 0.01), ("Vehicle.X", "m", 10)])
def test_an_undeclared_name_is_read_in_the_agents_own_unit(tmp_path: Path, name: str, unit: str, value: float) -> None:
    """Speed in km/h, the odometer in km; what the agent does not count with stays as the bus says it."""
    one = decoder(tmp_path, {name: f'from = "PLAIN.BIG", unit = "{unit}"'})
    assert values(one, 256, bytes([0, 0, 0, 10, 0, 0, 0, 0])) == {name: value}


def test_big_endian_and_signed(tmp_path: Path) -> None:
    """Motorola byte order; two's complement."""
    one = decoder(tmp_path, {"B": 'from = "PLAIN.BIG"', "S": 'from = "PLAIN.SIGNED"'})
    assert values(one, 256, bytes([0, 0, 0x12, 0x34, 0xFE, 0xFF, 0, 0])) == {"B": 0x1234, "S": -1}


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=40)
def test_64_bit_integers_stay_exact(raw: int) -> None:
    """To the last bit."""
    assert values(_whole(), 257, raw.to_bytes(8, "little")) == {"X": raw}


@functools.cache
def _whole() -> Decoder:
    with tempfile.TemporaryDirectory() as folder:
        return decoder(Path(folder), {"X": 'from = "WHOLE.COUNT"'})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_is_invalid(tmp_path: Path, bad: float) -> None:
    """Counted, not published; the frame's other signal is used."""
    one = decoder(tmp_path, {"X": 'from = "FLOATS.SINGLE"', "Y": 'from = "FLOATS.OTHER"'})
    assert values(one, 258, struct.pack("<ff", bad, 2.0)) == {"Y": 0.2}
    assert (one.counters.invalid, one.counters.readings) == (1, 1)


def test_a_float_that_becomes_infinite_on_the_way_is_invalid(tmp_path: Path) -> None:
    """The largest double times a thousand."""
    dbc = 'VERSION ""\nBS_:\nBU_: A\nBO_ 1 M: 8 A\n SG_ S : 0|64@1- (1000,0) [0|0] "" A\nSIG_VALTYPE_ 1 S : 2;\n'
    one = decoder(tmp_path, {"X": 'from = "M.S"'}, dbc=dbc)
    assert values(one, 1, struct.pack("<d", 1.7e308)) == {}
    assert one.counters.invalid == 1


def test_multiplexed_signals_come_with_their_selector(tmp_path: Path) -> None:
    """The case that is sent, and what is always there; a selector that the DBC does not know costs the frame only."""
    one = decoder(tmp_path, {name: f'from = "MUXED.{name}"' for name in ("ONE", "TWO", "ALWAYS")})
    assert values(one, 259, bytes([1, 5, 0, 0, 0, 0, 0, 9])) == {"ONE": 5, "ALWAYS": 9}
    assert values(one, 259, bytes([2, 5, 0, 0, 0, 0, 0, 9])) == {"TWO": 50, "ALWAYS": 9}
    assert values(one, 259, bytes([7, 5, 0, 0, 0, 0, 0, 9])).keys() <= {"ALWAYS"}


# -- short frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "want"), [(8, {"B", "L"}), (7, {"B"}), (4, {"B"}), (3, set()), (0, set())])
def test_a_short_frame_costs_what_lies_beyond_it(tmp_path: Path, length: int, want: set[str]) -> None:
    """A signal whose last bit is there is used."""
    one = decoder(tmp_path, {"B": 'from = "PLAIN.BIG"', "L": 'from = "PLAIN.LATE"'})
    assert values(one, 256, bytes(8)[:length]).keys() == want


def test_a_long_frame_is_read(tmp_path: Path) -> None:
    """What follows the message is nobody's."""
    one = decoder(tmp_path, {"B": 'from = "PLAIN.BIG"'})
    assert values(one, 256, bytes([0, 0, 1, 0]) + bytes(60)) == {"B": 256}


# -- all ones ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "invalid", "want"),
    [
        ("BARE", "", None),  # no range ([0|0] is none), no name: 255 means "no value"
        ("RANGED", "", 255),  # the range includes it
        ("NAMED", "", 255),  # the DBC names it
        ("OUTSIDE", "", None),  # a range that leaves it out
        ("MINUS", "", -1),  # signed
        ("NARROW", "", 127),  # fewer than 8 bits
        ("SCALED", "", 127.5),  # the range is in physical units
        ("BARE", ", invalid = []", 255),  # the vehicle file says that all are valid
        ("RANGED", ', invalid = ["all-ones"]', None),
        ("NARROW", ', invalid = ["all-ones"]', None),
        ("MINUS", ", invalid = [1, 2]", -1),
        ("MINUS", ', invalid = ["all-ones"]', None),
        ("HUNDREDTHS", "", 2.55),  # 255 * 0.01 is not 2.5500000000000003
    ],
)
def test_all_ones(tmp_path: Path, signal: str, invalid: str, want: Value | None) -> None:
    """Whether the raw value of nothing but ones is a value."""
    assert one_value(tmp_path, f'from = "ONES.{signal}"{invalid}', 260, b"\xff" * 8) == want


def test_other_values_outside_the_range_are_kept(tmp_path: Path) -> None:
    """A range in a DBC is often wrong; only all ones means nothing."""
    assert one_value(tmp_path, 'from = "ONES.OUTSIDE"', 260, bytes([0, 0, 0, 254, 0, 0, 0, 0])) == 254


def test_named_invalid_values(tmp_path: Path) -> None:
    """As raw values."""
    one = decoder(tmp_path, {"X": 'from = "ONES.BARE", invalid = [7, 0xFE]'})
    got = [values(one, 260, bytes([raw]) + bytes(7)).get("X") for raw in (6, 7, 0xFE, 0xFF)]
    assert got == [6, None, None, 255]


# -- what nobody wants ------------------------------------------------------------------------------------------------


def sabotage_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Decoder.__post_init__

    def every(self: Decoder) -> None:
        self.wanted = frozenset(self.vehicle.sources)
        original(self)

    monkeypatch.setattr(Decoder, "__post_init__", every)


@pytest.mark.req("R25", control=sabotage_wanted)
def test_only_wanted_signals_become_readings(tmp_path: Path) -> None:
    """Not their neighbours in the frame, and no other identifier or bus."""
    whole = decoder(tmp_path, {"B": 'from = "PLAIN.BIG"', "L": 'from = "PLAIN.LATE"', "C": 'from = "WHOLE.COUNT"'})
    one = Decoder(whole.vehicle, frozenset({"B"}), {})
    assert values(one, 256, bytes(8)) == {"B": 0}
    assert values(one, 257, bytes(8)) == {}
    assert one.decode(Frame("other", 256, bytes(8), T_NS)) == []
    assert one.counters.frames == 1


def test_a_reading_does_not_show_its_value(tmp_path: Path) -> None:
    """In no log line and no traceback."""
    one = decoder(tmp_path, {"C": 'from = "WHOLE.COUNT"'})
    assert "4242" not in repr(one.decode(Frame("pt", 257, (4242).to_bytes(8, "little"), T_NS)))


# -- cantools as the oracle -------------------------------------------------------------------------------------------

FILES = (
    "can/hyundai_kona/hyundai_kia_generic.dbc",
    "can/tesla_model3_kuksa/Model3CAN.dbc",
    "can/css_obd2_gnss/canmod-gps.dbc",
    "dbc/opendbc/vw_pq.dbc",
    "dbc/opendbc/bmw_e9x_e8x.dbc",
    "dbc/cantools/multiplex_2.dbc",
    "dbc/cantools/floating_point.dbc",
    "dbc/cantools/signed.dbc",
    "dbc/cantools/vehicle.dbc",
)


@functools.cache
def whole_file(path: Path) -> tuple[Database, Decoder]:
    """Every signal of a DBC file under its own name, nothing invalid, no units."""
    database = cantools.database.load_file(path, strict=False)
    assert isinstance(database, Database)
    lines = [
        f'"{m.name}.{s.name}" = {{ bus = "pt", from = "{m.name}.{s.name}", invalid = [] }}' for m in database.messages for s in m.signals
    ]
    head = f'[vehicle]\ntitle = "T"\n[buses.pt]\nstrict = false\ndbc = ["{path}"]\n[signals]\n'
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vehicle.toml").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        vehicle = load_vehicle(Path(folder))
    return database, Decoder(vehicle, frozenset(vehicle.sources), {})


def oracle(message: Message, data: bytes) -> dict[str, float]:
    """What cantools makes of it, signal by signal; non-finite values left out."""
    try:
        decoded = message.decode(data, decode_choices=False, allow_truncated=True)
    except Exception:  # noqa: BLE001  cantools raises many kinds for what it cannot read
        return {}
    assert isinstance(decoded, dict)
    lengths = {signal.name: bytes_needed(signal) for signal in message.signals}
    return {
        f"{message.name}.{name}": value
        for name, value in decoded.items()
        if isinstance(value, int | float) and math.isfinite(value) and len(data) >= lengths[name]
    }


@pytest.mark.parametrize("name", FILES)
@given(st.data())
@settings(max_examples=60)
def test_same_as_cantools(data: Path, name: str, draws: st.DataObject) -> None:
    """Every signal of every kind in files of six makers: the same signals, the same values up to the last bits of a double."""
    database, one = whole_file(data / name)
    message = draws.draw(st.sampled_from(database.messages))
    payload = draws.draw(st.binary(max_size=message.length))
    first = next(m for m in database.messages if frame_id(m) == frame_id(message))
    got = {reading.signal: reading.value for reading in one.decode(Frame("pt", frame_id(message), payload, T_NS))}
    want = oracle(first, payload)
    assert got.keys() == want.keys()
    for signal, value in want.items():
        mine = got[signal]
        assert isinstance(mine, int | float)
        assert math.isclose(mine, value, rel_tol=1e-12, abs_tol=1e-12)


def test_20000_random_frames_never_raise(data: Path) -> None:
    """Any identifier, any length from 0 to 64 bytes, random, all zeros and all ones; and no value is non-finite."""
    draw = random.Random(20_000)
    for name in FILES[:4]:
        _, one = whole_file(data / name)
        ids = sorted({source.can_id for source in one.vehicle.sources.values()})
        for _ in range(5_000):
            length = draw.choice((0, 1, 3, 7, 8, 8, 8, 12, 64))
            payload = draw.choice((draw.randbytes(length), bytes(length), b"\xff" * length))
            for reading in one.decode(Frame("pt", draw.choice([*ids, 0x7FF]), payload, T_NS)):
                assert isinstance(reading, Reading)
                assert not isinstance(reading.value, float) or math.isfinite(reading.value)
        assert one.counters.frames > 4_000
