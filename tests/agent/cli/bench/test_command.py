"""agent.cli.bench.command: what a person is told when a run cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.cli.bench.stage import BenchRequest, Stage
from agent.cli.bench.watch import can_watch
from agent.errors import DeviceError, UsageError
from agent.folders import config_folder
from hw.bench.scenario import FOLDER
from tests.agent.cli.conftest import Cli
from tests.support.interface import interface


def fails(request: BenchRequest) -> Stage:
    """A run whose car finds no bus."""
    log = request.folder / "logs" / "car.log"
    log.parent.mkdir()
    log.write_text("the bus does not open")
    raise DeviceError("car did not start", str(log), "the bus does not open")


def test_a_run_that_failed_keeps_its_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The log that the error names is there, the line says where everything stays and what to look at."""
    monkeypatch.setattr("agent.cli.bench.command.play", fails)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = cli("bench", "--bus", "slcan:nope0", "--json").refused(5)
    log = re.search(r"\((.+car\.log)\)", error)
    assert log is not None
    assert Path(log[1]).exists()
    assert f"its files stay in {Path(log[1]).parents[1]}" in error
    assert "look at slcan:nope0 (ip link)" in error


def test_a_run_that_was_interrupted_leaves_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever stops it needs no logs."""

    def stopped(request: BenchRequest) -> Stage:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.cli.bench.command.play", stopped)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli("bench").status == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--bus", "socketcan:vcan0"), ()])
def test_an_interface_that_is_down_is_told_at_once(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Also one that the bench would have taken by itself; with the command that mends it, and before anything is made."""
    interface(monkeypatch, "vcan0", flags=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli("bench", *words).refused(5).endswith("vcan0 is down (socketcan:vcan0): ip link set vcan0 up, or name another with --bus\n")
    assert list(tmp_path.iterdir()) == []


def test_what_a_bus_leaves_out_is_said_at_the_beginning(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before the first number that it explains."""
    interface(monkeypatch, "vcan0", mtu=16)
    monkeypatch.setattr("agent.cli.bench.command.play", fails)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "vcan0 carries no CAN FD (mtu 16)" in cli("bench").out


@pytest.mark.parametrize("words", [("--bus", "nothing"), ("--consent", "absent.toml")])
def test_wrong_words_leave_no_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, str]) -> None:
    """They are refused before anything is made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cli("bench", *words).refused(2)
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_that_is_not_there_names_those_that_are(cli: Cli, tmp_path: Path) -> None:
    """By name or by path, which is said once."""
    assert "choose one of battery, city, crash, drive" in cli("bench", "--scenario", "nope").refused(2)
    path = str(tmp_path / "nope.toml")
    assert cli("bench", "--scenario", path).refused(2).count(path) == 1


def test_a_scenario_that_cannot_be_driven_says_why(cli: Cli, tmp_path: Path) -> None:
    """A file that is there is told with its fault."""
    path = tmp_path / "mine.toml"
    path.write_text("title = 3\n")
    assert str(path) in cli("bench", "--scenario", path).refused(2)


@pytest.mark.parametrize("ending", ["log", "blf"])
def test_a_recorded_drive_can_be_replayed(cli: Cli, tmp_path: Path, ending: str) -> None:
    """Every frame of the bus, the noise among it, comes back."""
    record = tmp_path / f"drive.{ending}"
    bench = cli("bench", "--speed", "max", "--seconds", 20, "--noise", 200, "--record", record, "--json").document
    vehicle = config_folder() / "vehicles" / "bench"
    back = cli("replay", record, "--vehicle", vehicle, "--package", "navigation_plus", "--consent", "all", "--json").document
    assert back["frames_read"] == bench["frames_read"]
    assert back["frames_unknown_id"] == 200 * 20


def test_what_cannot_be_recorded_or_carried_is_refused_at_once(cli: Cli, tmp_path: Path) -> None:
    """An ending that nobody reads; more than a bus carries."""
    assert ".asc .blf .log .trc" in cli("bench", "--record", tmp_path / "drive.zip").refused(2)
    assert "4250 frames a second" in cli("bench", "--noise", 9000).refused(2)


def test_what_somebody_did_is_told_at_the_end(cli: Cli, tmp_path: Path) -> None:
    """When, what, and what came of it."""
    drive = (FOLDER / "drive.toml").read_text() + '[[action]]\nat_s = 8\ndo = "request"\nname = "teleservices.breakdown"\n'
    (tmp_path / "ask.toml").write_text(drive)
    told = cli("bench", "--speed", "max", "--seconds", 15, "--scenario", tmp_path / "ask.toml").out
    assert "WHAT SOMEBODY IN THE CAR DID\n  at 8 s: request teleservices.breakdown: 2 collected\n" in told


def test_the_page_is_beside_the_other_results_and_named_at_the_end(cli: Cli, tmp_path: Path) -> None:
    """In the text; --json stays one document, and without --out there is no page."""
    short = ("bench", "--speed", "max", "--seconds", 5)
    assert cli(*short, "--out", tmp_path / "a").out.splitlines()[-1] == f"page: {tmp_path / 'a' / 'page.html'}"
    assert cli(*short, "--out", tmp_path / "b", "--json").document["messages"] > 0
    assert [(tmp_path / name / "page.html").read_text().startswith("<!DOCTYPE html>") for name in "ab"] == [True, True]
    assert "page:" not in cli(*short).out


@pytest.mark.parametrize("words", [("--seconds", "nan"), ("--noise", "nan")])
def test_what_is_no_number_is_refused(cli: Cli, words: tuple[str, str]) -> None:
    """It lies in every range."""
    assert "is not a number" in cli("bench", *words, "--speed", "max").refused(2)


@pytest.mark.parametrize("error", [UsageError("plain MQTT to another machine"), BrokenPipeError()])
def test_a_run_without_a_log_to_look_at_leaves_no_folder(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    """A wrong word that only the run itself can find, and a reader that went away: private keys lie in that folder."""

    def ends(_: BenchRequest) -> Stage:
        raise error

    monkeypatch.setattr("agent.cli.bench.command.play", ends)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cli("bench", "--plain")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_stdout_is_no_terminal() -> None:
    """Python then has none."""
    assert not can_watch(None, {"TERM": "xterm"})
