"""agent.core.unlock: without the right key nothing is kept and nothing is touched; with it everything is there again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import BusChoice, Device, make_credentials, prepare_state, write_config
from agent.consent.choice import read_choice
from agent.consent.state import Facts
from agent.core.assembly import Assembled, assemble
from agent.core.unlock import lock_state
from agent.errors import DeviceError
from agent.settings import load_settings
from agent.storage.sqlite import rows

Fault = Callable[[Device, pytest.MonkeyPatch], object]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device whose driver has granted everything, not running."""
    made, catalogue = Device(tmp_path, tmp_path), load_catalogue(shipped_catalogue())
    made.broker_url = "mqtts://127.0.0.1:1"
    make_credentials(made, catalogue)
    write_config(made, BusChoice(interface="virtual", channel="none"), "navigation_plus", None)
    prepare_state(made, catalogue, read_choice("all"))
    ended(started(made))
    return made


def started(device: Device) -> Assembled:
    return assemble(load_settings(device.config))


def ended(assembled: Assembled) -> None:
    assembled.parts.keyring.close()
    for database in (assembled.parts.buffer._db, assembled.parts.audit._db):
        database.conn.close()
    if assembled.lock is not None:
        os.close(assembled.lock)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def provider(device: Device, name: str) -> None:
    text = device.config.read_text()
    device.config.write_text(text.replace('provider = "file"', f'provider = "{name}"'))


def handed_in(device: Device, patch: pytest.MonkeyPatch) -> None:
    """systemd hands in the right credential and says nothing of how it rests."""
    provider(device, "systemd")
    folder = device.folder / "handed"
    folder.mkdir()
    (folder / "modicum-credential").write_bytes((device.state / "credential").read_bytes())
    patch.setenv("CREDENTIALS_DIRECTORY", str(folder))


def nothing_handed_in(device: Device, patch: pytest.MonkeyPatch) -> None:
    """It was not started by a unit."""
    provider(device, "systemd")
    patch.delenv("CREDENTIALS_DIRECTORY", raising=False)


MISSING: dict[str, Fault] = {
    "credential gone": lambda device, _: (device.state / "credential").rename(device.folder / "kept"),
    "credential empty": lambda device, _: (device.state / "credential").write_bytes(b""),
    "credential short": lambda device, _: (device.state / "credential").write_bytes(b"short"),
    "no key block": lambda device, _: (device.state / "keys.block").rename(device.folder / "kept"),
    "nothing handed in": nothing_handed_in,
}
WRONG: dict[str, Fault] = {
    "another credential": lambda device, _: (device.state / "credential").write_bytes(os.urandom(32)),
    "another device's block": lambda device, _: (device.state / "keys.block").write_bytes(os.urandom(2 * 65_536)),
    "a cut block": lambda device, _: (device.state / "keys.block").write_bytes(b"cut"),
}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        *(pytest.param(fault, "key-missing", id=name, marks=pytest.mark.finding("key-missing")) for name, fault in MISSING.items()),
        *(pytest.param(fault, "key-wrong", id=name, marks=pytest.mark.finding("key-wrong")) for name, fault in WRONG.items()),
        pytest.param(handed_in, "key-weak", id="weaker than asked", marks=pytest.mark.finding("key-weak")),
    ],
)
def test_without_the_right_key_it_runs_in_ram_only(device: Device, monkeypatch: pytest.MonkeyPatch, fault: Fault, code: str) -> None:
    """One finding with its code, nothing open that lies on a file system, and not a byte of what is there changes."""
    fault(device, monkeypatch)
    before = files(device.state)
    assembled = started(device)
    assert [(finding.code, finding.severity) for finding in assembled.findings] == [(code, "error")]
    assert (assembled.at_rest, assembled.parts.kept) == ("ram-only", False)
    for database in (assembled.parts.buffer._db, assembled.parts.audit._db):
        assert {row[2] for row in rows(database, "PRAGMA database_list")} == {""}
    assembled.parts.keyring.profile_key(b"p" * 16, create=True)
    assembled.parts.memory.set("test/kept", b"nowhere")
    ended(assembled)
    assert files(device.state) == before


def test_in_ram_only_nobody_has_agreed_to_anything(device: Device) -> None:
    """The ledger is empty: no policy, no grant, no driver, whatever the one on the medium says."""
    assert started_and_ended(device).grants
    (device.state / "credential").rename(device.folder / "kept")
    facts = started_and_ended(device)
    assert (facts.policy, dict(facts.grants), set(facts.profiles)) == (None, {}, set())


def started_and_ended(device: Device) -> Facts:
    assembled = started(device)
    facts = assembled.parts.ledger.facts()
    ended(assembled)
    return facts


def test_when_the_key_is_back_everything_is_there_again(device: Device) -> None:
    """Also after a run in RAM only that accepted something of its own."""
    before = started_and_ended(device)
    (device.state / "credential").rename(device.folder / "kept")
    ram = started(device)
    ram.parts.ledger.add_profile("passer-by", "adult")
    ended(ram)
    (device.folder / "kept").rename(device.state / "credential")
    assembled = started(device)
    assert (assembled.findings, assembled.at_rest) == ([], "weak")
    assert assembled.parts.ledger.facts() == before
    ended(assembled)


def test_ids_of_a_run_in_ram_only_are_nobodys(device: Device) -> None:
    """Each run draws its own device secret: it can neither speak for the car nor be recognised."""
    (device.state / "credential").rename(device.folder / "kept")
    secrets = set()
    for _ in range(2):
        assembled = started(device)
        secrets.add(assembled.parts.keyring.device_secret)
        ended(assembled)
    assert len(secrets) == 2


def test_without_a_state_folder_it_runs_in_ram_only(device: Device) -> None:
    """None is made, and no lock is held; what is no folder is said as it is."""
    device.state.rename(device.folder / "elsewhere")
    assembled = started(device)
    assert ([finding.code for finding in assembled.findings], assembled.lock) == (["key-missing"], None)
    assert not device.state.exists()
    device.state.write_text("")
    with pytest.raises(DeviceError, match="Not a directory"):
        started(device)


def test_a_run_in_ram_only_has_the_folder_all_the_same(device: Device) -> None:
    """Nobody else begins to write there meanwhile."""
    (device.state / "credential").rename(device.folder / "kept")
    assembled = started(device)
    with pytest.raises(Exception, match="another agent"):
        lock_state(device.state)
    ended(assembled)
    os.close(lock_state(device.state))
