"""`modicum gnss decode`: JSON lines as the interface says, a clear word for what cannot be read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli.gnss import gnss
from agent.errors import FindingsError, UsageError
from agent.health.facts import ReceiverFacts
from tests.agent.cli.conftest import Cli
from tests.hw.gnss.test_nmea import gga, rmc

KEYS = ["t", "lat", "lon", "alt_m", "speed_mps", "course_deg", "hdop", "satellites", "mode", "time_trusted", "talker", "source"]


def decode(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(gnss, ["decode", *arguments], input=stdin)


def documents(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_json_line_per_epoch_and_the_summary_last() -> None:
    """Standard input, `--json`: exactly the keys of the interface, times in UTC, the counters at the end."""
    result = decode("-", "--json", stdin=b"\r\n".join([rmc("120000.50"), gga("120000.50"), rmc("120001.50", status="V"), b""]))
    *fixes, last = documents(result)
    assert result.exit_code == 0
    assert [list(fix) for fix in fixes] == [KEYS, KEYS]
    assert fixes[0]["t"] == "2026-12-01T12:00:00.500Z"
    assert (fixes[0]["mode"], fixes[0]["time_trusted"], fixes[0]["talker"], fixes[0]["source"]) == (3, True, "GP", "nmea")
    assert (fixes[1]["mode"], fixes[1]["lat"], fixes[1]["lon"], fixes[1]["time_trusted"]) == (0, None, None, False)
    assert last == {"summary": {"lines": 3, "good": 3, "bad_checksum": 0, "malformed": 0, "void": 1, "fixes": 1}}


def test_human_text_says_position_speed_and_what_was_wrong() -> None:
    """Without `--json` a person reads one line per epoch and a sentence at the end."""
    result = decode("-", stdin=b"\r\n".join([rmc("120000.00"), rmc("120001.00", status="V"), rmc("120002.00", day="010107"), b""]))
    first, second, third, last = result.stdout.splitlines()
    assert first == "2026-12-01T12:00:00.000Z  48.117300 11.516667  2D  18.5 km/h  90 deg  GP"
    assert "no position" in second
    assert "not believed" in third
    assert last.startswith("2 fixes, 1 epoch without position; 3 lines: 3 good")


def test_one_fix_is_no_fixes() -> None:
    """A summary is a sentence."""
    assert (
        decode("-", stdin=rmc("120000.00") + b"\r\n").stdout.splitlines()[-1].startswith("1 fix, 0 epochs without position; 1 line: 1 good")
    )


def test_a_real_drive(data: Path) -> None:
    """A recorded drive: as many fixes as it has valid RMC sentences."""
    *fixes, last = documents(decode(str(data / "gnss/genivi/munich-gps.nmea"), "--json"))
    assert sum(fix["mode"] != 0 for fix in fixes) == 1847
    assert last["summary"]["fixes"] == 1847  # type: ignore[index]  # JSON


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 300, b"\x7fELF" + bytes(5000), b"no sentence at all\n" * 50])
def test_a_file_without_nmea_is_a_no(tmp_path: Path, content: bytes) -> None:
    """Binary, empty or other text: the summary says zero, and one line says that there was not one good sentence; exit status 1."""
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    result = decode(str(path), "--json")
    (last,) = documents(result)
    assert isinstance(result.exception, FindingsError)
    assert str(path) in str(result.exception)
    assert last["summary"]["fixes"] == 0  # type: ignore[index]  # JSON


def test_good_sentences_without_a_position_are_a_yes() -> None:
    """A receiver in a garage speaks well: exit status 0."""
    assert decode("-", stdin=rmc("120001.00", status="V") + b"\r\n").exit_code == 0


@pytest.mark.parametrize("name", ["missing.nmea", "."])
def test_an_unreadable_file_is_a_usage_error_with_its_name(tmp_path: Path, name: str) -> None:
    """No file, or a folder: one line with the path, exit status 2."""
    result = decode(str(tmp_path / name), "--json")
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_status == 2
    assert str(tmp_path) in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("age_s", "status", "said"),
    [
        (None, 1, "receiver: its port is open and not one sentence comes (/dev/x): see its supply and the lines, and baud of [gnss]"),
        (11.0, 1, "receiver: its port is open and not one sentence comes"),
        (0.4, 0, ""),
    ],
)
def test_a_receiver_that_says_nothing_is_a_no(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, age_s: float | None, status: int, said: str
) -> None:
    """Not yet, or not any more; in doctor's words, and that doctor says more. A word without a position is a yes."""
    epoch = {"fixes": 1, "age_s": age_s, "mode": 0, "satellites": 0, "hdop": None, "speed": "unknown"}
    answers = {"gnss.plain": epoch, "status": {"receiver": asdict(ReceiverFacts(port="/dev/x", heard_age_s=age_s))}}
    monkeypatch.setattr("agent.cli.gnss.asked", lambda _, route: answers[route])
    ended = cli("gnss", "watch", "--seconds", "0.1")
    assert (ended.status, said in ended.err, "more: modicum doctor" in ended.err) == (status, True, status == 1)
