"""vehicle.toml and its DBC files: what is read, what is refused, and what a bad file costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.errors import ConfigError, UsageError
from agent.vehicle import Vehicle, load_vehicle, usable
from hw.ports import EXTENDED_ID

HEAD = '[vehicle]\ntitle = "Test"\n'
DBC = """VERSION ""
BS_:
BU_: A
BO_ 256 ONE: 8 A
 SG_ WIDE : 0|16@1+ (0.5,-10) [0|100] "km/h" A
 SG_ RANGED : 16|8@1+ (1,0) [0|255] "" A
 SG_ NORANGE : 24|8@1+ (1,0) [0|0] "" A
 SG_ NAMED : 32|8@1+ (1,0) [0|10] "" A
 SG_ NARROW : 40|7@1+ (1,0) [0|10] "" A
 SG_ SIGNED : 48|8@1- (1,0) [0|10] "" A
 SG_ BIT : 47|1@1+ (1,0) [0|1] "" A
BO_ 2147483904 LONG: 8 A
 SG_ WHOLE : 0|64@1+ (1,0) [0|18446744073709551615] "" A
VAL_ 256 NAMED 255 "SNA" 0 "OFF" ;
"""


def vehicle_of(folder: Path, body: str, dbc: str = DBC, *, bus: str = 'dbc = ["one.dbc"]') -> Vehicle:
    (folder / "one.dbc").write_text(dbc, encoding="cp1252")
    (folder / "vehicle.toml").write_text(f"{HEAD}[buses.pt]\n{bus}\n{body}", encoding="utf-8")
    return load_vehicle(folder)


def signal(line: str, name: str = "Vehicle.X") -> str:
    return f'[signals]\n"{name}" = {{ {line} }}\n'


def test_a_signal_is_joined_with_its_dbc(tmp_path: Path) -> None:
    """Bus, identifier and DBC signal are those that the file names."""
    made = vehicle_of(tmp_path, signal('bus = "pt", from = "ONE.WIDE", unit = "km/h", scale = 2.0, offset = 1.0', "Vehicle.Speed"))
    source = made.sources["Vehicle.Speed"]
    assert (source.bus, source.can_id, source.dbc.name, source.unit) == ("pt", 256, "WIDE", "km/h")
    assert (source.scale, source.offset, source.values) == (2.0, 1.0, None)
    assert made.findings == []


def test_defaults(tmp_path: Path) -> None:
    """Sections that may be absent are: no emergency call, no crash frames, no mapping; strict; scale 1, offset 0."""
    made = vehicle_of(tmp_path, signal('bus = "pt", from = "ONE.WIDE"'))
    file, source = made.file, made.sources["Vehicle.X"]
    assert (file.ecall.mode, file.crash.frames, file.crash.signs, file.kuksa.mapping) == ("absent", (), (), ())
    assert (file.buses["pt"].strict, file.buses["pt"].bitrate) == (True, 500_000)
    assert (source.scale, source.offset, source.unit) == (1.0, 0.0, None)


def test_a_29_bit_identifier_is_not_the_11_bit_one_of_the_same_number(tmp_path: Path) -> None:
    """Both carry number 0x100; the long one is marked as such, as a Frame is."""
    made = vehicle_of(tmp_path, signal('bus = "pt", from = "LONG.WHOLE"'))
    assert made.sources["Vehicle.X"].can_id == 0x100 | EXTENDED_ID
    assert made.known_ids["pt"].keys() == {0x100, 0x100 | EXTENDED_ID}


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    """A folder or the vehicle.toml in it: DBC files count from where the file lies."""
    vehicle_of(tmp_path, signal('bus = "pt", from = "ONE.WIDE"'))
    assert "Vehicle.X" in load_vehicle(tmp_path / "vehicle.toml").sources


@pytest.mark.parametrize(
    ("name", "written", "raw"),
    [
        ("WIDE", None, {0xFFFF}),
        ("RANGED", None, set()),
        ("NORANGE", None, {0xFF}),
        ("NAMED", None, set()),
        ("NARROW", None, set()),
        ("SIGNED", None, set()),
        ("BIT", None, set()),
        ("SIGNED", '["all-ones", 127]', {-1, 127}),
        ("WIDE", "[]", set()),
        ("NARROW", '["all-ones"]', {0x7F}),
        ("WIDE", '["all-ones", 65534]', {0xFFFF, 0xFFFE}),
        ("RANGED", "[0, 255]", {0, 255}),
    ],
)
def test_which_raw_values_mean_none(tmp_path: Path, name: str, written: str | None, raw: set[int]) -> None:
    """All ones of an unsigned signal of 8 bits or more, unless its range includes it, a text names it, or the file says otherwise."""
    tail = f", invalid = {written}" if written is not None else ""
    made = vehicle_of(tmp_path, signal(f'bus = "pt", from = "ONE.{name}"{tail}'))
    assert made.sources["Vehicle.X"].invalid == raw


def test_all_ones_of_64_bits_inside_the_range_is_a_value(tmp_path: Path) -> None:
    """The range of a 64-bit signal is compared without losing its last bits."""
    assert vehicle_of(tmp_path, signal('bus = "pt", from = "LONG.WHOLE"')).sources["Vehicle.X"].invalid == frozenset()


def test_values_are_keyed_by_raw_integers(tmp_path: Path) -> None:
    """Decimal or hexadecimal keys; texts, numbers, booleans and lists of texts as values."""
    made = vehicle_of(
        tmp_path, signal('bus = "pt", from = "ONE.WIDE", unit = "", values = { 0 = "OFF", 0x1F = true, 3 = 1.5, 4 = ["P0171"], -1 = 7 }')
    )
    assert made.sources["Vehicle.X"].values == {0: "OFF", 31: True, 3: 1.5, 4: ("P0171",), -1: 7}


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('values = { OFF = "x" }', "values"),
        ('values = { 1.5 = "x" }', "values"),
        ("values = { 0 = 1979-05-27 }", "values"),
        ("values = { 0 = { a = 1 } }", "values"),
        ('invalid = ["none"]', "invalid"),
        ("invalid = [1.5]", "invalid"),
        ("scale = nan", "scale"),
        ("offset = inf", "offset"),
        ('unti = "km"', "unti"),
        ('from = "ONE"', "from"),
        ('from = "ONE.WIDE.X"', "from"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused_with_its_key(tmp_path: Path, line: str, where: str) -> None:
    """One line that names file and key; never another kind of error."""
    first = "" if line.startswith("from") else 'from = "ONE.WIDE", '
    with pytest.raises(ConfigError) as caught:
        vehicle_of(tmp_path, signal(f'bus = "pt", {first}{line}'))
    assert where in str(caught.value)
    assert "vehicle.toml" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "colour = 1\n[buses.pt]\ndbc = []\n",
        '[buses.pt]\ndbc = []\nspeed = "fast"\n',
        '[buses.pt]\ndbc = "one.dbc"\n',
        '[buses.pt]\ndbc = []\n[ecall]\nmode = "sometimes"\n',
        "[buses.pt]\ndbc = []\n[crash]\n[[crash.frame]]\nbus = 'pt'\nwhen = 'A == 1'\n",
        "[buses.pt]\ndbc = []\n[trailer]\n",
        "",
    ],
    ids=["vehicle", "bus", "dbc-text", "ecall", "crash-without-id", "section", "no-buses"],
)
def test_unknown_or_missing_keys_are_errors(tmp_path: Path, body: str) -> None:
    """In every section, whatever else is right."""
    (tmp_path / "vehicle.toml").write_text(HEAD + body, encoding="utf-8")
    with pytest.raises(ConfigError, match="not a vehicle file"):
        load_vehicle(tmp_path)


@pytest.mark.parametrize(
    ("head", "bus", "where"),
    [
        ('propulsion = ["gasoline", "steam"]\n', "", "propulsion[1]"),
        ("", "bitrate = -1\n", "buses[...].bitrate"),
        ("", "bitrate = 0\n", "buses[...].bitrate"),
    ],
)
def test_a_value_that_no_car_has_is_refused(tmp_path: Path, head: str, bus: str, where: str) -> None:
    """What it is driven by has to be one of the emergency call's kinds, and a bus has a speed."""
    (tmp_path / "vehicle.toml").write_text(f"{HEAD}{head}[buses.pt]\ndbc = []\n{bus}", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(where)):
        load_vehicle(tmp_path)


@pytest.mark.parametrize("kind", ["gasoline", "diesel", "cng", "lpg", "electric", "hydrogen", "other"])
def test_each_propulsion_of_the_emergency_call_is_one(tmp_path: Path, kind: str) -> None:
    """And an editor that reads the schema offers it."""
    (tmp_path / "vehicle.toml").write_text(f'{HEAD}propulsion = ["{kind}"]\n[buses.pt]\ndbc = []\n', encoding="utf-8")
    assert load_vehicle(tmp_path).file.vehicle.propulsion == (kind,)


@pytest.mark.parametrize("content", [b"not toml", b"\xff\xfe", b"a = 1\na = 2\n"], ids=["text", "bytes", "twice"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    """Says which file, in one line."""
    (tmp_path / "vehicle.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "vehicle.toml"))):
        load_vehicle(tmp_path)


def test_no_vehicle_file(tmp_path: Path) -> None:
    """A folder without one, or no folder at all, is a wrong argument."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="no vehicle file"):
            load_vehicle(folder)


@pytest.mark.finding("signal-unmapped")
@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ('bus = "xx", from = "ONE.WIDE"', "no such bus"),
        ('bus = "pt", from = "TWO.WIDE"', "no such message"),
        ('bus = "pt", from = "ONE.NONE"', "no such signal"),
    ],
)
def test_a_signal_that_leads_nowhere_is_a_finding_and_the_rest_goes_on(tmp_path: Path, line: str, missing: str) -> None:
    """The finding names the signal; the other signals are there."""
    made = vehicle_of(tmp_path, signal(line) + '"Vehicle.Speed" = { bus = "pt", from = "ONE.WIDE" }\n')
    assert set(made.sources) == {"Vehicle.Speed"}
    [finding] = made.findings
    assert (finding.code, finding.severity) == ("signal-unmapped", "error")
    assert "signals.Vehicle.X" in finding.text
    assert missing in finding.text


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ('bus = "ptt", from = "ONE.WIDE"', "did you mean 'pt'?"),
        ('bus = "pt", from = "LONGG.WHOLE"', "did you mean 'LONG'?"),
        ('bus = "pt", from = "ONE.NARROWS"', "did you mean 'NARROW'?"),
        ('bus = "pt", from = "ONE.PRESSURE"', "correct bus and from"),
    ],
)
def test_a_misspelt_source_is_told_the_nearest_name(tmp_path: Path, line: str, meant: str) -> None:
    """Of the buses, of the bus's messages, of the message's signals."""
    assert [finding.hint for finding in vehicle_of(tmp_path, signal(line)).findings] == [meant]


UNITS_OF = [
    ('unit = "km/h"', {"Vehicle.X": "m/s"}, True),
    ('unit = "kelvin"', {"Vehicle.X": "m/s"}, False),
    ("", {"Vehicle.X": "m/s"}, True),
    ('unit = "kelvin"', {}, True),
    ('unit = "kelvin", values = { 0 = 1.5 }', {"Vehicle.X": "m/s"}, False),
    ('unit = "kelvin", values = { 0 = "OFF", 1 = true }', {"Vehicle.X": "m/s"}, True),
    ('unit = "kelvin", encoding = "ascii"', {"Vehicle.X": "m/s"}, True),
]


@pytest.mark.finding("unit")
def test_the_unit_that_cannot_be_converted_has_a_code(tmp_path: Path) -> None:
    """So that it can be looked up."""
    _, findings = usable(vehicle_of(tmp_path, signal('bus = "pt", from = "ONE.WIDE", unit = "kelvin"')), {"Vehicle.X": "m/s"})
    assert [finding.code for finding in findings] == ["unit"]


@pytest.mark.parametrize(("line", "units", "good"), UNITS_OF)
def test_a_unit_that_cannot_become_the_catalogues_counts_as_not_mapped(
    tmp_path: Path, line: str, units: dict[str, str], good: bool
) -> None:
    """With a finding that names both; what gives no number, or names no unit, is not asked."""
    names, findings = usable(vehicle_of(tmp_path, signal(f'bus = "pt", from = "ONE.WIDE"{"," if line else ""} {line}')), units)
    assert names == ({"Vehicle.X"} if good else set())
    assert [finding.text for finding in findings] == ([] if good else ["vehicle.toml: signals.Vehicle.X: 'kelvin' cannot become 'm/s'"])


@pytest.mark.finding("dbc-unreadable")
def test_several_dbc_files_of_one_bus(tmp_path: Path) -> None:
    """Each brings its messages; a file that is not there costs only its own."""
    (tmp_path / "two.dbc").write_text('VERSION ""\nBU_: A\nBO_ 512 TWO: 8 A\n SG_ S : 0|8@1+ (1,0) [0|1] "" A\n')
    made = vehicle_of(tmp_path, signal('bus = "pt", from = "TWO.S"'), bus='dbc = ["none.dbc", "one.dbc", "two.dbc"]')
    assert made.known_ids["pt"].keys() == {256, 0x100 | EXTENDED_ID, 512}
    assert "Vehicle.X" in made.sources
    [finding] = made.findings
    assert finding.code == "dbc-unreadable"
    assert "none.dbc: No such file" in finding.text
    assert "strict" not in finding.hint


OVERLAP = 'VERSION ""\nBU_: A\nBO_ 1 M: 8 A\n SG_ P : 0|8@1+ (1,0) [0|1] "" A\n SG_ Q : 4|8@1+ (1,0) [0|1] "" A\n'


def test_overlaps_need_strict_false(tmp_path: Path) -> None:
    """Refused with file and line by default; read when the vehicle file allows it."""
    refused = vehicle_of(tmp_path, "", OVERLAP)
    assert [finding.text.split(": ")[0] for finding in refused.findings] == [f"{tmp_path / 'one.dbc'}:3"]
    allowed = vehicle_of(tmp_path, "", OVERLAP, bus='dbc = ["one.dbc"]\nstrict = false')
    assert allowed.findings == []
    assert allowed.known_ids["pt"].keys() == {1}


def real(tmp_path: Path, dbc: Path, *, strict: bool) -> Vehicle:
    text = f'{HEAD}[buses.pt]\ndbc = ["{dbc}"]\nstrict = {str(strict).lower()}\n'
    (tmp_path / "vehicle.toml").write_text(text)
    return load_vehicle(tmp_path)


def test_every_real_dbc_is_read_or_named_with_its_line(data: Path, tmp_path: Path) -> None:
    """What cantools can read is read; what it refuses becomes one finding with file, line and what to do; nothing raises."""
    expected = json.loads((data / "expected_dev.json").read_text())["dbc"]
    assert {entry["loads"] for entry in expected.values()} == {"strict", "only strict=False", "no"}
    for name, entry in expected.items():
        dbc = data / name
        for strict in (True, False):
            made = real(tmp_path, dbc, strict=strict)
            if entry["loads"] == "strict" or (entry["loads"] == "only strict=False" and not strict):
                assert made.findings == [], name
                continue
            [finding] = made.findings
            assert re.match(rf"{re.escape(str(dbc))}:\d+: \S", finding.text), name
            assert len(finding.text.splitlines()) == 1
            assert made.known_ids["pt"] == {}
            assert "strict = false" in finding.hint


@pytest.mark.parametrize(
    ("name", "stands_there"),
    [("vw_pq", "BO_ "), ("gm_global_a_lowspeed", "BO_ "), ("mazda_2017", "BO_ 1275 "), ("tesla_can", "VAL_ 568 UI_mapSpeedLimit")],
)
def test_the_line_of_a_finding_is_the_one_to_correct(data: Path, tmp_path: Path, name: str, stands_there: str) -> None:
    """On the line that is named stands the message or the value table that cantools complains about."""
    dbc = data / "dbc" / "opendbc" / f"{name}.dbc"
    [finding] = real(tmp_path, dbc, strict=True).findings
    line = int(finding.text.removeprefix(f"{dbc}:").split(":")[0])
    assert dbc.read_text(encoding="cp1252").splitlines()[line - 1].startswith(stands_there)
