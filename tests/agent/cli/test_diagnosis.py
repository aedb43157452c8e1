"""What the doctor gathers of a bus that it listens to itself; the real kernel's is in tests/guest/test_doctor.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.cli import diagnosis
from agent.cli.diagnosis import _keys
from agent.core.unlock import unlock
from agent.health.device import keys
from agent.health.facts import BrokerFacts
from agent.sections import Bus
from agent.settings import load_settings
from hw.can.interface import Interface
from hw.can.listen import Heard, Seen
from hw.ports import EXTENDED_ID
from tests.agent.cli.conftest import Cli, write_device


@pytest.mark.parametrize(("ids", "stranger"), [((0x10, 0x11), True), ((0x10, 0x12), False), ((), False)])
def test_a_bus_of_another_car_is_known_by_its_identifiers(monkeypatch: pytest.MonkeyPatch, ids: tuple[int, ...], stranger: bool) -> None:
    """Not one that the vehicle's files have; a bus on which nothing comes says nothing of whose it is."""
    heard = Heard(seconds=2.0)
    for can_id in ids:
        heard.take(Seen(can_id, 8))
    monkeypatch.setattr(diagnosis, "listen", lambda *_: heard)
    monkeypatch.setattr(diagnosis, "interface_of", lambda _: Interface(there=True, up=True))
    facts = diagnosis._bus(Bus(name="pt", channel="can0"), None, {0x12})
    assert (facts.stranger, facts.good) == (stranger, len(ids))


@pytest.mark.parametrize(
    ("interface", "engine", "found"), [("socketcan", "software", True), ("socketcan", "kernel", False), ("slcan", "software", False)]
)
def test_a_gate_in_software_is_told_of_where_it_could_be_the_kernel_s(interface: str, engine: str, found: bool) -> None:
    """Of an adapter that the kernel does not drive it is all that there is."""
    core = {"buses": [{"name": "pt", "engine": engine}]}
    assert diagnosis._bus(Bus(name="pt", interface=interface, channel="nocan0"), core, ()).software_gate == found


def test_of_a_bus_whose_files_are_not_known_no_identifier_is_strange() -> None:
    """Neither kind of identifier; so without agent.toml, a vehicle file or a DBC."""
    assert all(can_id in diagnosis.EVERY_ID for can_id in (0, 0x7FF, EXTENDED_ID, EXTENDED_ID | 0x1FFFFFFF))


UNREAD = {"lanes": {"id:main": {"online": False, "broker": "main", "why": "a credential cannot be read"}}}


@pytest.mark.parametrize(
    ("tried", "step"),
    [({}, "credential"), ({"unseen": "root may"}, "credential"), ({"step": "connect"}, "connect"), ({"lane": "id:other"}, "")],
)
def test_what_the_uplink_met_on_its_lane_counts_where_root_met_nothing(tried: dict[str, Any], step: str) -> None:
    """Root reads every key; modicum-uplink, which has to, may not. A fault that the try met itself is told as that."""
    facts = diagnosis._seen_by_uplink(BrokerFacts(**{"name": "main", "lane": "id:main"} | tried), UNREAD)
    assert facts.step == step


def test_a_credential_that_is_lost_leads_into_no_circle(tmp_path: Path, cli: Cli) -> None:
    """Whoever is asked says to bring it back or to begin anew, none to make keys where there are some; who refuses that says how on."""
    config = write_device(tmp_path)
    settings = load_settings(config)
    cli("keys", "init", "--config", config)
    (tmp_path / "state/credential").rename(tmp_path / "kept")
    unlocked = unlock(settings)
    unlocked.close()
    said = [unlocked.findings[0].hint, *(cli("keys", verb, "--config", config).refused(2) for verb in ("show", "rotate"))]
    said += [found.hint for found in keys(_keys(settings, None)[0]).findings]
    assert len(said) == 4
    assert all("bring it back, or begin anew with: modicum factory-reset" in one and "keys init" not in one for one in said)
    refused = cli("keys", "init", "--config", config).refused(2)
    assert "restart modicum-core" in refused
    assert "modicum factory-reset" in refused


@pytest.mark.finding("key-missing")
@pytest.mark.parametrize("folder", ["none", "empty"])
def test_a_new_device_is_told_to_make_its_keys(tmp_path: Path, folder: str) -> None:
    """Whether or not core runs and says so; and core, that it is to be restarted then."""
    settings = load_settings(write_device(tmp_path))
    if folder == "empty":
        (tmp_path / "state").mkdir()
    [found] = keys(_keys(settings, None)[0]).findings
    assert (found.code, "modicum keys init" in found.hint) == ("key-missing", True)
    unlocked = unlock(settings)
    unlocked.close()
    assert unlocked.findings[0].hint == "make them once with: modicum keys init; then sudo systemctl restart modicum-core"


@pytest.mark.finding("key-missing")
def test_keys_that_came_after_core_began_want_a_restart(tmp_path: Path, cli: Cli) -> None:
    """Just made, or brought back."""
    config = write_device(tmp_path)
    cli("keys", "init", "--config", config)
    [found] = keys(_keys(load_settings(config), {"at_rest": "ram-only", "findings": [{"code": "key-missing"}]})[0]).findings
    assert (found.code, found.hint) == ("key-missing", "it is there now: sudo systemctl restart modicum-core")
