"""agent.ecall.addresses: whom the call speaks to; what cannot be had costs only what needs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.ecall.addresses import Addresses, addresses_of
from agent.model import Finding
from agent.settings import load_settings
from tests.agent.daemons.test_ecall import settings
from tests.agent.ecall.build import VIN


def found(folder: Path, more: str = "") -> tuple[Addresses, dict[str, Finding]]:
    loaded = settings(folder, more)
    assert loaded.ecall is not None
    return addresses_of(loaded, loaded.ecall)


def with_key(folder: Path) -> None:
    (folder / "emergency.pub").write_bytes(X25519PrivateKey.generate().public_key().public_bytes_raw())


@pytest.mark.finding("ecall-key")
@pytest.mark.parametrize("content", [None, b"", b"x" * 31, bytes(32), b"-----BEGIN PUBLIC KEY-----"])
def test_a_key_that_cannot_be_used_does_not_keep_the_call_from_being_made(tmp_path: Path, content: bytes | None) -> None:
    """Nothing can be sealed, which is found; the numbers are there all the same."""
    if content is not None:
        (tmp_path / "emergency.pub").write_bytes(content)
    made, wrong = found(tmp_path)
    assert (made.recipient_key, made.number, list(wrong)) == (b"", "+8610000001", ["key"])
    assert "put the centre's public key at" in wrong["key"].hint


@pytest.mark.finding("ecall-vin")
@pytest.mark.parametrize("content", [None, b"WMWTESTCARO000001"])
def test_a_vin_that_cannot_be_read_does_not_keep_the_call_from_being_made(tmp_path: Path, content: bytes | None) -> None:
    """The message names no vehicle, which is found; nothing of the file is repeated."""
    with_key(tmp_path)
    settings(tmp_path)
    text = (tmp_path / "agent.toml").read_text().replace(f'vin = "{VIN}"', 'vin_file = "vin"')
    (tmp_path / "agent.toml").write_text(text)
    if content is not None:
        (tmp_path / "vin").write_bytes(content)
    loaded = load_settings(tmp_path / "agent.toml")
    assert loaded.ecall is not None
    made, wrong = addresses_of(loaded, loaded.ecall)
    assert (made.vin, len(made.recipient_key), list(wrong), wrong["vin"].severity) == (None, 32, ["vin"], "error")
    assert "WMW" not in str(wrong)
    (tmp_path / "vin").write_text(f"{VIN}\n")
    made, wrong = addresses_of(loaded, loaded.ecall)
    assert (made.vin, wrong) == (VIN, {})


def test_nothing_is_found_where_all_is_there(tmp_path: Path) -> None:
    """A key of the centre's, in an allowed region."""
    with_key(tmp_path)
    made, wrong = found(tmp_path)
    assert (len(made.recipient_key), wrong, made.sms) == (32, {}, None)


@pytest.mark.finding("ecall-region")
def test_a_region_that_is_not_allowed_is_found_and_spoken_to(tmp_path: Path) -> None:
    """The emergency call fails open: a life is worth more than a rule about places; and it is said."""
    with_key(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    loaded = settings(tmp_path)
    text = (tmp_path / "agent.toml").read_text().replace('allowed = ["CN"]', 'allowed = ["DE"]')
    assert loaded.ecall is not None
    (tmp_path / "agent.toml").write_text(text)
    made, wrong = addresses_of(load_settings(tmp_path / "agent.toml"), loaded.ecall)
    assert (list(wrong), len(made.recipient_key)) == (["region"], 32)


def test_the_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """The centre knows the vehicle by it; a folder that cannot be had costs only that."""
    assert found(tmp_path)[0].sender.id == found(tmp_path)[0].sender.id
    (tmp_path / "state" / "secret").unlink()
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("in the way")
    assert found(tmp_path)[0].sender.id != found(tmp_path)[0].sender.id


@pytest.mark.finding("ecall-state")
def test_a_folder_that_keeps_nothing_is_found(tmp_path: Path) -> None:
    """Neither the owner's switch nor the name that the centre knows."""
    with_key(tmp_path)
    (tmp_path / "state").write_text("in the way")
    assert [finding.code for finding in found(tmp_path)[1].values()] == ["ecall-state"]
