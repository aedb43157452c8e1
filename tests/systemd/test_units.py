"""What the units promise on any machine that has systemd's own examiner: exposure, form, and that none forgets what all need."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from agent.core.power import GONE_STATUS
from agent.errors import ConfigError
from tests.sources import ROOT

ETC, EXAMPLES = ROOT / "systemd/etc", ROOT / "systemd/examples"
UNITS = ETC / "systemd/system"
EXPOSURE_MAX = {"core": 11, "uplink": 10, "ecall": 14}
"""Tenths, as systemd-analyze takes them; uplink and ecall with their addresses."""
ORDER = ("Before", "After")
IN_ALL = (
    *("Type=notify", "Restart=always", "StartLimitIntervalSec=0", "LogNamespace=modicum", "UMask=0077"),
    *("LimitCORE=0", "MemorySwapMax=0", "CapabilityBoundingSet=", "SystemCallErrorNumber=EPERM", "PartOf=modicum.target"),
    "ConditionPathExists=/etc/modicum/agent.toml",
)


def examiner() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not here (Debian: systemd)")
    return found


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy in which each program is one that every machine has."""
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", path.read_text()))
    for service in ("uplink", "ecall"):
        folder = tmp_path / f"modicum-{service}.service.d"
        folder.mkdir()
        shutil.copy(EXAMPLES / "addresses.conf", folder)
    return tmp_path


def exposed(unit: Path, tenths: int) -> bool:
    """Whether it is above the threshold."""
    line = [examiner(), "security", "--offline=true", "--no-pager", f"--threshold={tenths}", str(unit)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout, done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("service", EXPOSURE_MAX)
def test_the_exposure_stays_where_it_is(units: Path, service: str) -> None:
    """By systemd's own measure."""
    assert not exposed(units / f"modicum-{service}.service", EXPOSURE_MAX[service])


@pytest.mark.parametrize("service", EXPOSURE_MAX)
def test_a_unit_without_one_of_its_walls_is_too_exposed(units: Path, service: str) -> None:
    """The measure can tell."""
    unit = units / f"modicum-{service}.service"
    unit.write_text(unit.read_text().replace("\nPrivateUsers=yes", ""))
    assert exposed(unit, EXPOSURE_MAX[service])


def test_systemd_can_read_them(units: Path) -> None:
    """No unknown directive, no value that it ignores."""
    line = [examiner(), "verify", *map(str, sorted(path for path in units.iterdir() if path.is_file()))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, [said for said in done.stderr.splitlines() if "modicum" in said]) == (0, [])


@pytest.mark.parametrize("service", EXPOSURE_MAX)
def test_what_every_service_needs(service: str) -> None:
    """Told when ready, watched, started anew without limit, nothing of it in a core dump, in swap or in the flash's journal."""
    lines = (UNITS / f"modicum-{service}.service").read_text().splitlines()
    assert [line for line in IN_ALL if line not in lines] == []
    assert f"User=modicum-{service}" in lines
    assert [line for line in lines if line.startswith("WatchdogSec=")]


def test_each_service_runs_a_program_of_ours() -> None:
    """By the name that the project gives it."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    started = re.findall(r"^ExecStart=/opt/modicum/current/bin/(\S+) --config /etc/modicum/agent\.toml$", _all_units(), re.MULTILINE)
    assert sorted(started) == sorted(set(scripts) - {"modicum"})


@pytest.mark.parametrize(
    ("service", "names"),
    [
        (
            "core",
            ["StartLimitIntervalSec", "Group", "LoadCredential", "ReadWritePaths", "LogNamespace", "ProtectClock"],
        ),
        (
            "core",
            ["PrivateUsers", "RestrictAddressFamilies", "DevicePolicy", "SystemCallErrorNumber", "LimitCORE", "WatchdogSec"],
        ),
        ("uplink", ["InaccessiblePaths", "RestrictAddressFamilies"]),
        ("ecall", ["RestartSec", "CPUSchedulingPolicy", "OOMScoreAdjust", "DevicePolicy"]),
    ],
)
def test_a_surprising_line_has_its_reason_above_it(service: str, names: list[str]) -> None:
    """What is not as usual stands right below a comment."""
    lines = (UNITS / f"modicum-{service}.service").read_text().splitlines()
    above = {line.partition("=")[0]: before for before, line in reversed(list(itertools.pairwise(lines)))}
    assert [name for name in names if not above[name].startswith("#")] == []


def test_what_keeps_a_service_from_being_started_anew_at_once() -> None:
    """A configuration that cannot be used, which another unit tries again later; and core's own end, a success. No other status."""
    lines = {path.name: path.read_text().splitlines() for path in UNITS.glob("*.service")}
    kept_away = {name: line.partition("=")[2].split() for name, of in lines.items() for line in of if line.startswith("RestartPrevent")}
    wrong = str(ConfigError.exit_status)
    assert kept_away == {f"modicum-{one}.service": [str(GONE_STATUS), wrong] if one == "core" else [wrong] for one in EXPOSURE_MAX}
    assert f"SuccessExitStatus={GONE_STATUS}" in lines["modicum-core.service"]
    assert {name for name, of in lines.items() if "OnFailure=modicum-again@%N.service" in of} == set(kept_away)


def test_the_uplink_is_stopped_after_core_and_before_the_network() -> None:
    """What core's end still sends needs both. systemd stops in the reverse order of starting (systemd.unit(5), Before=)."""
    orders = (UNITS / "modicum-uplink.service").read_text().splitlines()
    before, after = ([name for line in orders if line.startswith(f"{key}=") for name in line.split("=")[1].split()] for key in ORDER)
    assert "modicum-core.service" in before
    assert "network.target" in after


def test_what_a_person_may_edit_is_replaced_by_no_release() -> None:
    """Of the files that the document names, outside of commands, an installation keeps those that it brings."""
    named = re.findall(r"`/etc/([\w./@-]+)`", (ROOT / "docs/vehicle.md").read_text())
    assert {name for name in named if (ETC / name).is_file()} == {"systemd/network/70-modicum-can0.network"}


def _all_units() -> str:
    return "\n".join(path.read_text() for path in sorted(UNITS.glob("*.service")) if "@" not in path.name)
