"""The credential under a real systemd, in the guest: one boot, one story (keys.sh), and what it left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import BusChoice, Device, make_credentials, write_config
from tests.support.guest import needs_guest, run_in_guest
from tests.support.lived_in import PLANTED
from tests.support.markers import scan

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

STORY_S = 300
CONTROL = b"a control that was removed"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the story wrote."""
    needs_guest()
    scratch = tmp_path_factory.mktemp("keys")
    etc = Path("/etc/modicum")
    device = Device(scratch / "etc", Path("/run/modicum"))
    device.folder.mkdir()
    device.broker_url = "mqtts://127.0.0.1:1"
    make_credentials(device, load_catalogue(shipped_catalogue()))
    write_config(device, BusChoice(interface="virtual", channel="none"), "basic", None)
    text = device.config.read_text()
    for old, new in (
        ('provider = "file"', 'provider = "systemd-host"'),
        (str(device.state), "/var/lib/modicum"),
        (str(device.control), "/run/modicum/control.sock"),
        (str(device.link), "/run/modicum/link.sock"),
        (str(device.folder / "audit.sock"), "/run/modicum/audit.sock"),
        (str(device.folder), str(etc)),
    ):
        assert old in text
        text = text.replace(old, new)
    device.config.write_text(text)
    for path in device.folder.iterdir():
        path.chmod(0o644)
    run_in_guest("tests/guest/keys.sh", scratch, STORY_S)
    return scratch


def said(left: Path, step: str) -> dict[str, Any]:
    return dict(json.loads((left / f"{step}.json").read_text()))


def codes(left: Path, step: str) -> set[str]:
    """Findings about keys."""
    return {finding["code"] for finding in said(left, step)["findings"] if finding["code"].startswith("key-")}


def ended(left: Path, command: str) -> tuple[int, str]:
    return int((left / f"{command}.status").read_text()), (left / f"{command}.out").read_text()


@pytest.mark.parametrize(
    ("step", "at_rest", "code", "drivers"),
    [
        ("new", "ram-only", {"key-missing"}, 0),
        ("lived_in", "weak", set(), 1),
        ("without", "ram-only", {"key-missing"}, 0),
        ("moved", "ram-only", {"key-wrong"}, 0),
        ("another", "ram-only", {"key-wrong"}, 0),
        ("rotated", "weak", set(), 1),
        ("reset", "weak", set(), 0),
    ],
)
def test_what_status_says_of_the_keys(left: Path, step: str, at_rest: str, code: set[str], drivers: int) -> None:
    """How they rest, the finding, and whether the drivers of the medium are there: only with the right key, and then again."""
    assert (said(left, step)["at_rest"], codes(left, step)) == (at_rest, code)
    profiles = (left / f"{step}.profiles").read_text()
    assert profiles.count(json.dumps(PLANTED.name, ensure_ascii=False)) == drivers


def test_a_credential_that_does_not_open_would_stop_core_itself(left: Path) -> None:
    """Why it comes through a socket: systemd ends a unit with 243 whose own credential does not open (systemd.exec(5))."""
    assert (left / "plain").read_text() == "ExecMainStatus=243\n"


def test_commands_beside_a_running_core(left: Path) -> None:
    """`keys init` beside one without keys says that it must be restarted; rotation and reset want it stopped."""
    assert json.loads(ended(left, "init")[1]) == {"made": True, "at_rest": "weak", "restart": True}
    for command in ("rotate_beside", "reset_beside"):
        status, line = ended(left, command)
        assert status == 2
        assert "stop it first" in line
    assert ended(left, "show")[1].startswith("at rest: weak")
    assert json.loads(ended(left, "rotate")[1]) == {"rotated": True, "at_rest": "weak"}
    assert json.loads(ended(left, "reset")[1]) == {"erased": True, "at_rest": "weak"}


def test_what_root_makes_belongs_to_the_agent(left: Path) -> None:
    """All files of the state folder, the lock and the key block among them."""
    lines = (left / "owners").read_text().splitlines()[1:]
    assert {line.split()[2] for line in lines if "lost+found" not in line} == {"modicum-core"}
    assert {"lock", "keys.block", "ledger.db"} <= {line.split()[-1] for line in lines}


def test_the_image_of_the_file_system_tells_nothing_after_a_reset(left: Path) -> None:
    """Every block of it, also those of removed files, of which the control is one."""
    image = (left / "state.img").read_bytes()
    assert CONTROL in image
    assert scan(PLANTED.spelled(), {"state.img": image}) == set()
