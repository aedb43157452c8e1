"""agent.cli.bench.virtual: a whole drive on the virtual clock, and the command that plays it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from hw.bench.scenario import FOLDER
from tests.support.told import played as run_of


def played(out: Path, *arguments: str) -> bytes:
    assert main(["bench", "--speed", "max", "--seconds", "70", "--out", str(out), *arguments]) == 0
    return (out / "received.jsonl").read_bytes()


def test_the_same_seed_gives_the_same_lines(tmp_path: Path) -> None:
    """To the byte, and another seed does not."""
    first = played(tmp_path / "1", "--seed", "4")
    assert first == played(tmp_path / "2", "--seed", "4")
    assert first != played(tmp_path / "3", "--seed", "5")


def test_the_results_agree_with_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines, envelopes and summary tell of one run; --json prints the summary and nothing else."""
    lines = played(tmp_path, "--json").decode().splitlines()
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["samples"] == len(lines)
    assert summary["messages"] == len(list((tmp_path / "envelopes").iterdir()))


def test_each_plan_is_noted_with_its_second_of_the_drive(tmp_path: Path) -> None:
    """When somebody in the car withdrew, as the scenario says."""
    path = tmp_path / "act.toml"
    path.write_text((FOLDER / "drive.toml").read_text() + '[[action]]\nat_s = 4\ndo = "withdraw"\nname = "traffic.position"\n')
    run, _ = run_of(str(path), 6)
    assert run.chronicle.since_s[0] == 0
    assert run.chronicle.since_s[-1] == pytest.approx(4, abs=0.1)


def test_a_bus_and_the_virtual_clock_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, exit status 2."""
    assert main(["bench", "--speed", "max", "--bus", "socketcan:vcan0"]) == 2
    assert capsys.readouterr().err.startswith("modicum: the virtual clock has no bus")
