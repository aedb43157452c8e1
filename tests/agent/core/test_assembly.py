"""agent.core.assembly: what stops the agent at its start, and what is only found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import BusChoice, Device, make_credentials, prepare_state, write_config
from agent.consent.choice import read_choice
from agent.core.assembly import assemble, lock_state, open_keyring, public_key
from agent.errors import ConfigError, IntegrityError, UsageError
from agent.settings import load_settings

PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device as the bench makes one, not running."""
    made, catalogue = Device(tmp_path), load_catalogue(shipped_catalogue())
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


def test_without_keys_it_says_how_to_make_them(device: Device) -> None:
    """No keys are ever made by accident over data that older ones opened."""
    (device.state / "keys.block").unlink()
    with pytest.raises(UsageError, match="modicum keys init"):
        assemble(load_settings(device.config))


def test_another_credential_opens_nothing(device: Device) -> None:
    """The key block stays as it is."""
    before = (device.state / "keys.block").read_bytes()
    (device.state / "credential").write_bytes(b"another credential of some length")
    with pytest.raises(IntegrityError):
        open_keyring(load_settings(device.config))
    assert (device.state / "keys.block").read_bytes() == before


def test_a_short_credential_is_refused(device: Device) -> None:
    """A key made of a few bytes protects nothing."""
    (device.state / "credential").write_bytes(b"short")
    with pytest.raises(ConfigError, match="credential of 5 bytes"):
        open_keyring(load_settings(device.config))


def test_a_corrupt_buffer_is_set_aside_and_found(device: Device) -> None:
    """The agent starts; a person is told."""
    (device.state / "buffer.db").write_bytes(b"\x00" * 8192)
    assembled = assemble(load_settings(device.config))
    assert [finding.code for finding in assembled.findings] == ["buffer_set_aside"]


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


def test_a_key_of_another_kind_is_refused() -> None:
    """An Ed25519 key has 32 bytes too, but its PEM says what it is."""
    other = Ed25519PrivateKey.generate().public_key().public_bytes(*PEM)
    for data in (other, b"-----BEGIN NOTHING-----\n", b"123"):
        with pytest.raises(ConfigError):
            public_key(data, "x")
