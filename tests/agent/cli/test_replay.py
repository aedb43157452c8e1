"""`modicum replay` as a person meets it: files in, files out, and one line for everything that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.folders import config_folder
from tests.agent.cli.conftest import Cli, Said
from tests.agent.daemons.logs import T_S, catalogue, drive, log, nmea, vehicle
from tests.hw.gnss.test_nmea import rmc

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        "log": log(tmp_path / "drive.log", drive(5)),
        "nmea": nmea(tmp_path / "drive.nmea", T_S, 5),
        "vehicle": vehicle(tmp_path / "vehicle"),
        "catalogue": catalogue(tmp_path / "catalogue"),
        "out": tmp_path / "out",
    }


def words(files: dict[str, Path], *more: object, package: str = "two", consent: str = "all") -> list[object]:
    named = ["--vehicle", files["vehicle"], "--catalogue", files["catalogue"], "--package", package, "--consent", consent]
    return ["replay", files["log"], *named, *more]


def test_text_says_what_was_sent_and_withheld(files: dict[str, Path], cli: Cli) -> None:
    """Frames, samples and messages; each stream; each reason; the notes."""
    said = cli(*words(files, package="one", consent="none"))
    assert (said.status, said.err) == (0, "")
    assert "55 frames and 0 fixes over 4.9 s" in said.out
    assert "  sent      a.wear: 4 values in 4 sealed messages" in said.out
    assert "nobody has granted it, or no valid order asks for it: Vehicle.Speed" in said.out
    assert "the owner's package does not contain this service: " in said.out
    assert "  note      the log tells no VIN" in said.out


def test_without_a_fix_the_streams_of_position_had_no_receiver(files: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    """That is no lack of an occasion: no file was given, or the given one says no position. What else is silent had none."""
    said = " ".join(cli(*words(files)).out.split())
    for name in ("a.place", "a.trimmed"):
        assert f"silent {name}: allowed, and no receiver's file was given (--nmea) (" in said
    void = tmp_path / "void.nmea"
    void.write_bytes(rmc("120000.00", status="V") + b"\r\n")
    assert "silent a.place: allowed, and void.nmea has not one fix (" in " ".join(cli(*words(files, "--nmea", void)).out.split())
    said = " ".join(cli(*words(files, "--nmea", files["nmea"])).out.split())
    assert "silent a.trimmed: allowed, and there was no occasion for it (" in said
    assert "a.place: allowed" not in said


def test_a_stream_that_does_not_need_a_fix_had_no_occasion(tmp_path: Path, cli: Cli) -> None:
    """A breakdown that nobody told of is not for want of a receiver, though it would say where."""
    car = config_folder() / "vehicles" / "bench"
    named = ("--vehicle", car, "--package", "navigation_plus", "--consent", "all")
    said = " ".join(cli("replay", log(tmp_path / "drive.log", drive(2)), *named).out.split())
    assert "silent teleservices.breakdown: allowed, and there was no occasion for it (" in said
    assert "silent real_time_traffic.probe: allowed, and no receiver's file was given (--nmea) (" in said


def test_json_is_the_summary_and_nothing_else(files: dict[str, Path], cli: Cli) -> None:
    """One document on stdout; with --out the same in summary.json, beside the others."""
    said = cli(*words(files, "--nmea", files["nmea"], "--out", files["out"], "--json"))
    assert (said.status, said.err) == (0, "")
    assert said.document == json.loads((files["out"] / "summary.json").read_text())
    assert {path.name for path in files["out"].iterdir()} == {"received.jsonl", "summary.json", "plan.json", "envelopes", "recipients"}
    plan = json.loads((files["out"] / "plan.json").read_text())
    assert {"id", "rules", "refused", "subscriptions", "valid_until"} <= set(plan)


def test_a_second_replay_into_the_same_folder_replaces_the_first(files: dict[str, Path], cli: Cli) -> None:
    """No envelope of the longer run is left among those of the shorter one."""
    cli(*words(files, "--out", files["out"]))
    said = cli(*words(files, "--out", files["out"], "--json", package="one", consent="none"))
    assert len(list((files["out"] / "envelopes").iterdir())) == said.document["messages"]


def test_the_same_inputs_give_the_same_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    """Twice, in two processes with different hash seeds: received.jsonl and the plan are equal to the byte."""
    outs = []
    for seed in ("0", "1"):
        out = tmp_path / f"out{seed}"
        arguments = [str(word) for word in words(files, "--nmea", files["nmea"], "--out", out)]
        program = [sys.executable, "-c", "import sys; from agent.cli.main import main; sys.exit(main())", *arguments]
        subprocess.run(program, check=True, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.DEVNULL)
        outs.append(out)
    first, second = outs
    assert (first / "received.jsonl").read_bytes() == (second / "received.jsonl").read_bytes() != b""
    assert (first / "plan.json").read_bytes() == (second / "plan.json").read_bytes()
    names = [sorted(path.name for path in (out / "envelopes").iterdir()) for out in outs]
    assert names[0] == names[1]


def test_a_bus_by_name(files: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    """--bus says which bus of the vehicle a channel is; one that the vehicle does not have is refused."""
    vehicle(tmp_path / "vehicle", ("pt", "body"))
    assert cli(*words(files, "--json")).document["frames_unknown_id"] == 55
    named = cli(*words(files, "--bus", "can0=pt", "--json")).document
    assert (named["frames_unknown_id"], set(named["streams"])) == (0, {"a.speed", "a.minute"})
    for bus in ("can0=none", "can0", "=", "can0="):
        assert "pt, body" in cli(*words(files, "--bus", bus)).refused(2)


CONTENTS = {
    "random.log": bytes(range(256)) * 8,
    "empty.log": b"",
    "text.blf": b"this is no BLF file\n" * 50,
    "empty.blf": b"",
    "cut.blf": b"LOGG\x90\x00\x00\x00",
    "random.asc": bytes(range(256)) * 8,
    "random.trc": bytes(range(256)) * 8,
    "candump.asc": b"(1.000000) can0 100#00\n",
    "drive.unknown": b"(1.000000) can0 100#00\n",
    "text.asc.gz": b"not gzip",
    "random.mf4": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_log_that_is_not_what_its_name_says(files: dict[str, Path], tmp_path: Path, cli: Cli, name: str) -> None:
    """Exit 2, one line with the file's name, and nothing written."""
    files["log"] = tmp_path / name
    files["log"].write_bytes(CONTENTS[name])
    assert name in cli(*words(files, "--out", files["out"])).refused(2)
    assert not files["out"].exists()


def refused(files: dict[str, Path], cli: Cli, *more: object, **chosen: str) -> str:
    said: Said = cli(*words(files, *more, **chosen))
    return said.refused(2)


def test_what_cannot_be_is_one_line(files: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    """Unknown package, consent file, vehicle, catalogue, log, receiver's file: exit 2, and the line says which."""
    assert "one, two" in refused(files, cli, package="three")
    assert "absent.toml" in refused(files, cli, consent=str(tmp_path / "absent.toml"))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[grants]\n"no.item" = { state = "YES" }\n')
    assert "no.item" in refused(files, cli, consent=str(wrong))
    assert "absent.nmea" in refused(files, cli, "--nmea", tmp_path / "absent.nmea")
    assert "absent.log" in refused(files, cli, tmp_path / "absent.log")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(files | {"catalogue": tmp_path / "empty"}, cli)
    assert "empty" in refused(files | {"vehicle": tmp_path / "empty"}, cli)
    cli("replay", "--vehicle", files["vehicle"], "--package", "none", "--consent", "all").refused(2)


@pytest.mark.parametrize("missing", ["--vehicle", "--package", "--consent"])
def test_what_has_to_be_said(files: dict[str, Path], cli: Cli, missing: str) -> None:
    """Vehicle, package and consent have no default: nothing is collected because nobody thought of it."""
    arguments = words(files)
    at = arguments.index(missing)
    assert missing in cli(*arguments[:at], *arguments[at + 2 :]).refused(2)


def test_an_out_folder_that_cannot_be_made(files: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    """A file stands there: exit 2, one line."""
    (tmp_path / "taken").write_text("")
    assert "taken" in refused(files, cli, "--out", tmp_path / "taken")


def test_a_dbc_that_cannot_be_read_is_a_warning(files: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    """The replay goes on without its signals, says so on stderr, and ends with 0."""
    (tmp_path / "vehicle" / "car.dbc").write_text("no DBC\n")
    said = cli(*words(files, "--json"))
    assert said.status == 0
    assert said.document["samples"] == 0
    assert "car.dbc" in said.err
    assert all(line.startswith("modicum: warning: ") for line in said.err.splitlines())
