"""The scripts of installation: what they refuse, in one line that says what to do. What they do is shown in the guest."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.agent.cli.conftest import ERROR
from tests.sources import ROOT
from tests.support.installed import BLOCKS, blocks

SYSTEMD = ROOT / "systemd"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="it looks for root first")


def refused(script: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([SYSTEMD / script, *arguments], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr
    assert ERROR.match(done.stderr), done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("script", ["install", "uninstall", "wheelhouse"])
def test_a_script_can_be_read_by_its_shell(script: str) -> None:
    """And may be started as it is."""
    shell = (SYSTEMD / script).read_text().partition("\n")[0].rpartition("/")[2].removeprefix("env ")
    assert subprocess.run([shell, "-n", SYSTEMD / script], check=False).returncode == 0
    assert os.access(SYSTEMD / script, os.X_OK)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("install", ["--purge"]),
        ("install", ["--wheelhouse"]),
        ("uninstall", ["--everything"]),
        ("wheelhouse", []),
        ("wheelhouse", ["--pip", "x"]),
    ],
)
def test_what_a_script_does_not_know_is_refused(script: str, arguments: list[str]) -> None:
    """Exit 2, before anything is done."""
    assert refused(script, *arguments)[0] == 2


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_a_script_says_what_it_does(script: str) -> None:
    """Asked for help it does nothing else."""
    done = subprocess.run([SYSTEMD / script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  sudo systemd/{script} [--" in done.stdout


@needs_root
@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this machine has systemd, where it would install")
def test_it_installs_only_where_systemd_runs() -> None:
    """A container is no device."""
    status, said = refused("install")
    assert (status, "systemd does not run here" in said) == (2, True)


def test_the_document_has_the_blocks_that_the_guest_types() -> None:
    """One for each name, each line a command as it is typed."""
    assert list(blocks()) == list(BLOCKS)
    text = (ROOT / "docs/vehicle.md").read_text()
    typed = [line for block in text.split("```sh guest\n")[1:] for line in block.partition("```")[0].splitlines()]
    assert [line for line in typed if not line.startswith("$ ")] == []
