"""agent.core.assembly: what stops the agent at its start, and what is only found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import BusChoice, Device, make_credentials, prepare_state, write_config
from agent.clock import NS
from agent.consent.choice import read_choice
from agent.consent.state import Facts
from agent.core.assembly import assemble
from agent.core.unlock import lock_state, open_keyring
from agent.envelope import public_key
from agent.errors import ConfigError, DeviceError, IntegrityError, UsageError
from agent.seal.credential import Credential
from agent.seal.keyring import DataKey, Keyring
from agent.settings import load_settings
from agent.storage.sqlite import FutureSchema
from hw.bench.scenario import VIN

PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device as the bench makes one, not running."""
    made, catalogue = Device(tmp_path, tmp_path), load_catalogue(shipped_catalogue())
    made.broker_url = "mqtts://127.0.0.1:1"
    make_credentials(made, catalogue)
    write_config(made, BusChoice(interface="virtual", channel="none"), "basic", None)
    prepare_state(made, catalogue, read_choice("none"))
    return made


def rewritten(device: Device, old: str, new: str) -> Path:
    text = device.config.read_text()
    assert old in text
    device.config.write_text(text.replace(old, new))
    return device.config


def test_a_whole_device_is_assembled_without_findings(device: Device) -> None:
    """Everything of the configuration is open, and nothing is wrong with it."""
    assembled = assemble(load_settings(device.config))
    assert assembled.findings == []
    assert assembled.parts.ledger.facts().package == "basic"
    assert set(assembled.parts.recipients) == load_catalogue(shipped_catalogue()).recipients()


def test_two_agents_never_share_a_state_folder(device: Device) -> None:
    """The second is refused with what to do; when the first is gone it may."""
    lock = lock_state(device.state)
    with pytest.raises(UsageError, match="another agent"):
        assemble(load_settings(device.config))
    os.close(lock)
    assemble(load_settings(device.config))


def test_the_keys_are_not_opened_beside_another_agent(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening them for writing completes a cut destroy: two agents at it would destroy each other's keys."""
    monkeypatch.setattr(Keyring, "open", lambda *_, **__: pytest.fail("the key block was opened"))
    lock = lock_state(device.state)
    with pytest.raises(UsageError, match="another agent"):
        assemble(load_settings(device.config))
    os.close(lock)


def test_a_start_that_fails_holds_nothing(device: Device) -> None:
    """After the mistake is corrected the same process may try again."""
    config = rewritten(device, 'package = "basic"', 'package = "basics"')
    with pytest.raises(ConfigError):
        assemble(load_settings(config))
    assert assemble(load_settings(rewritten(device, 'package = "basics"', 'package = "basic"'))).findings == []


def full(*_: object) -> Any:
    raise DeviceError("the database cannot be used, the disk is full")


def misspelt(*_: object) -> Any:
    raise ConfigError("a file of the catalogue")


def with_two_keys(device: Device) -> tuple[DataKey, DataKey]:
    """One whose life was over an hour ago, and one that has an hour left."""
    ring = Keyring.open(device.state, (device.state / "credential").read_bytes())
    over, left = (ring.data_key("s", "b", time.time_ns() + hours * 3600 * NS, 3600.0) for hours in (-2, 0))
    ring.close()
    return over, left


def keys_of(device: Device) -> tuple[DataKey, ...]:
    ring = Keyring.open(device.state, (device.state / "credential").read_bytes(), read_only=True)
    ring.close()
    return ring.data_keys


@pytest.mark.parametrize(("what", "fault"), [("open_database", full), ("load_catalogue", misspelt)])
def test_what_is_over_dies_though_the_agent_cannot_start(device: Device, monkeypatch: pytest.MonkeyPatch, what: str, fault: Any) -> None:
    """A full disk or a wrong file must not keep a key alive; others live on."""
    _, left = with_two_keys(device)
    monkeypatch.setattr(f"agent.core.assembly.{what}", fault)
    with pytest.raises((DeviceError, ConfigError)):
        assemble(load_settings(device.config))
    assert keys_of(device) == (left,)


def test_no_key_dies_at_the_start_by_a_time_that_nobody_vouches_for(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a believed source it waits for one."""
    both = with_two_keys(device)
    monkeypatch.setattr("agent.core.assembly.open_database", full)
    monkeypatch.setattr("agent.core.assembly.SystemClock.trusted", lambda _: False)
    with pytest.raises(DeviceError):
        assemble(load_settings(device.config))
    assert keys_of(device) == both


def test_keys_that_cannot_be_written_do_not_stop_the_start(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over is unreadable in this process; the loop tries again, and tells."""
    _, left = with_two_keys(device)
    monkeypatch.setattr("agent.seal.keyblock._put", full)
    assert assemble(load_settings(device.config)).parts.keyring.data_keys == (left,)


@pytest.mark.finding("audit-broken")
def test_a_broken_audit_log_is_found_and_said_to_core(device: Device) -> None:
    """Core must know that it cannot enter what leaves; a whole one holds."""
    settings = load_settings(device.config)
    assembled = assemble(settings)
    assert assembled.audit_holds
    assembled.parts.audit._db.execute("INSERT INTO audit (n, entry, hash) VALUES (1, x'00', x'00')")
    assert assembled.lock is not None
    os.close(assembled.lock)
    again = assemble(settings)
    assert [finding.code for finding in again.findings] == ["audit-broken"]
    assert not again.audit_holds


def with_a_wrong_hash(device: Device) -> None:
    assembled = assemble(load_settings(device.config))
    assembled.parts.audit._db.execute("UPDATE ledger SET hash = x'00' WHERE n = 1")
    assembled.parts.audit._db.close()
    assembled.parts.buffer._db.close()
    assert assembled.lock is not None
    os.close(assembled.lock)


def with_zeros_behind_a_cut_rotation(device: Device) -> None:
    """It was cut behind its first step, and the file is damaged since."""
    keyring = open_keyring(device.state, Credential((device.state / "credential").read_bytes()))
    keyring.renew()
    keyring.close()
    with_zeros(device)


def with_zeros(device: Device) -> None:
    (device.state / "ledger.db").write_bytes(bytes(8192))
    for beside in device.state.glob("ledger.db-*"):
        beside.unlink()


def kept_in(device: Device) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in device.state.iterdir() if path.name != "lock"}


@pytest.mark.finding("ledger-broken")
@pytest.mark.parametrize("damage", [with_a_wrong_hash, with_zeros, with_zeros_behind_a_cut_rotation])
def test_with_a_broken_ledger_nothing_stands_and_nothing_can_be_said(device: Device, damage: Callable[[Device], None]) -> None:
    """The agent runs all the same, so that it can be asked: in RAM only, with the folder in hand, and not a byte there changes."""
    damage(device)
    kept = kept_in(device)
    assembled = assemble(load_settings(device.config))
    ledger = assembled.parts.ledger
    assert [finding.code for finding in assembled.findings] == ["ledger-broken"]
    assert (assembled.at_rest, assembled.parts.kept, ledger.facts()) == ("ram-only", False, Facts())
    with pytest.raises(IntegrityError, match="nothing can be granted"):
        ledger.accept_policy("1", "a test")
    assert kept_in(device) == kept
    with pytest.raises(UsageError, match="another agent"):
        lock_state(device.state)
    assert assembled.lock is not None
    os.close(assembled.lock)


def test_a_ledger_of_a_newer_release_is_not_broken(device: Device) -> None:
    """An older release must not begin anew beside it."""
    assembled = assemble(load_settings(device.config))
    assembled.parts.audit._db.execute("PRAGMA user_version = 99")
    assert assembled.lock is not None
    os.close(assembled.lock)
    with pytest.raises(FutureSchema):
        assemble(load_settings(device.config))


def test_a_corrupt_buffer_is_set_aside_and_found(device: Device) -> None:
    """The agent starts; a person is told."""
    (device.state / "buffer.db").write_bytes(b"\x00" * 8192)
    assembled = assemble(load_settings(device.config))
    assert [finding.code for finding in assembled.findings] == ["buffer-set-aside"]


def test_the_vin_is_read_from_its_file_or_the_start_is_refused(device: Device) -> None:
    """A core that knew no VIN would silently withhold what the law wants; the error names the file."""
    vin = (device.config.parent / "vin").resolve()
    config = rewritten(device, f'vin = "{VIN}"', f'vin_file = "{vin}"')
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        assemble(load_settings(config))
    assert caught.value.where == str(vin)
    vin.write_text(f"{VIN}\n")
    assert assemble(load_settings(config)).parts.vin == VIN


@pytest.mark.finding("recipient-key")
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN NOTHING-----\n", bytes(32)], ids=["absent", "empty", "no key", "0"])
def test_a_recipient_whose_key_cannot_be_used_is_as_one_that_is_not_described(device: Device, content: bytes | None) -> None:
    """It is found; the agent starts, and every other recipient gets its own."""
    settings = load_settings(device.config)
    key = settings.recipients["traffic"].key
    key.unlink() if content is None else key.write_bytes(content)
    assembled = assemble(settings)
    assert [finding.code for finding in assembled.findings] == ["recipient-key"]
    assert assembled.parts.recipients.keys() == settings.recipients.keys() - {"traffic"}


@pytest.mark.finding("region-refused")
@pytest.mark.req("R34", control=lambda patch: patch.setattr("agent.core.assembly._stricter", lambda entry, _: entry.region))
def test_a_broker_in_another_region_is_as_bad_as_a_recipient_there(device: Device) -> None:
    """The recipient then counts as being there, which the plan refuses; and it is found."""
    config = rewritten(device, f'url = "{device.broker_url}"\nregion = "CN"', f'url = "{device.broker_url}"\nregion = "US"')
    assembled = assemble(load_settings(config))
    assert {recipient.region for recipient in assembled.parts.recipients.values()} == {"US"}
    assert {finding.code for finding in assembled.findings} == {"region-refused"}


def test_an_unknown_package_is_refused(device: Device) -> None:
    """A typing error must not look like a smaller package."""
    with pytest.raises(ConfigError, match="use none or one of"):
        assemble(load_settings(rewritten(device, 'package = "basic"', 'package = "basics"')))


def test_recipients_keys_may_be_raw_or_pem() -> None:
    """Both name the same key."""
    public = X25519PrivateKey.generate().public_key()
    assert public_key(public.public_bytes(*PEM), "x") == public_key(public.public_bytes_raw(), "x") == public.public_bytes_raw()


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"], ids=["0", "1", "-1"])
def test_a_key_that_nothing_can_be_sealed_to_is_refused(point: bytes) -> None:
    """Points of low order (RFC 7748 section 6.1): found in the file, not when the first message is sealed; so in PEM."""
    for data in (point, X25519PublicKey.from_public_bytes(point).public_bytes(*PEM)):
        with pytest.raises(ConfigError, match="nobody can have made"):
            public_key(data, "x")


def test_a_key_of_another_kind_is_refused() -> None:
    """An Ed25519 key has 32 bytes too, but its PEM says what it is."""
    other = Ed25519PrivateKey.generate().public_key().public_bytes(*PEM)
    for data in (other, b"-----BEGIN NOTHING-----\n", b"123"):
        with pytest.raises(ConfigError):
            public_key(data, "x")
