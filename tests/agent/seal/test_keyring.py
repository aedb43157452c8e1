"""The keyring: when keys are made and when they die."""

from __future__ import annotations

import hashlib
import hmac
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS
from agent.errors import DeviceError, IntegrityError
from agent.seal.keyring import Keyring, epoch_length_s
from tests.agent.buffer.build import CREDENTIAL
from tests.support.samples import T_NS


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path, CREDENTIAL)


def copied(folder: Path) -> Keyring:
    """What a restart would find, while the first keyring is still open."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copy(folder / "keys.block", copy)
    return Keyring.open(copy, CREDENTIAL)


def immortal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.seal.keyring.Keyring.destroy", lambda self, dead: 0)


@given(st.integers(0, 4 * 10**9 * NS), st.one_of(st.integers(1, 10**8), st.floats(1, 10**8)))
def test_a_key_lives_long_enough_and_no_sample_outlives_its_keep(t_ns: int, keep_s: float) -> None:
    """It dies not later than the sample's keep, and not before three quarters of it less a second."""
    key = Keyring.create(None, CREDENTIAL).data_key("s", "b", t_ns, keep_s)
    lives_ms = key.destroy_ms - t_ns / 10**6
    assert lives_ms <= keep_s * 1000
    assert lives_ms >= keep_s * 750 - 1001


def test_an_epoch_is_a_quarter_of_the_keep_in_whole_seconds() -> None:
    """At least one second: docs/formats.md section 2."""
    assert [epoch_length_s(keep_s) for keep_s in (300, 86_400, 7, 4, 3.9, 1)] == [75, 21_600, 1, 1, 1, 1]


def test_one_key_a_stream_a_basis_and_an_epoch() -> None:
    """The same three give the same key; another stream, basis or epoch gives another one."""
    ring = Keyring.create(None, CREDENTIAL)
    key = ring.data_key("s", "b", 1000 * NS, 400)
    assert ring.data_key("s", "b", 1099 * NS, 400) == key
    others = [ring.data_key("s", "b", 1100 * NS, 400), ring.data_key("t", "b", 1000 * NS, 400), ring.data_key("s", "c", 1000 * NS, 400)]
    assert len({one.key for one in [key, *others]}) == 4
    assert (key.epoch, key.destroy_ms) == (10, 1_400_000)


def test_a_key_is_durable_before_anybody_can_use_it(ring: Keyring, tmp_path: Path) -> None:
    """A crash right after `data_key` or `profile_key` returned loses neither."""
    key = ring.data_key("s", "b", T_NS, 60)
    profile = ring.profile_key(b"p" * 16, create=True)
    again = copied(tmp_path)
    assert again.find("s", "b", key.epoch) == key.key
    assert again.profile_key(b"p" * 16) == profile
    assert again.database_key("buffer") == ring.database_key("buffer") != ring.database_key("ledger")
    assert again.device_secret == ring.device_secret


@pytest.mark.req("R26", control=immortal)
def test_a_key_dies_at_its_time_and_not_before(ring: Keyring, tmp_path: Path) -> None:
    """A millisecond earlier it is there; at its time it is gone, here and from the medium."""
    key = ring.data_key("s", "b", T_NS, 60)
    later = ring.data_key("s", "b", T_NS + 15 * NS, 60)
    assert ring.expire(key.destroy_ms - 1) == 0
    assert ring.find("s", "b", key.epoch) == key.key
    assert ring.expire(key.destroy_ms) == 1
    for one in (ring, copied(tmp_path)):
        assert one.find("s", "b", key.epoch) is None
        assert one.find("s", "b", later.epoch) == later.key


def test_destroying_nothing_writes_nothing(ring: Keyring) -> None:
    """Flash is spent on what has to be forgotten only."""
    ring.data_key("s", "b", T_NS, 60)
    before = ring.generation
    assert ring.destroy(lambda key: False) == 0
    assert ring.expire(0) == 0
    ring.destroy_profile(b"q" * 16)
    assert ring.generation == before


def test_a_profile_key_is_made_only_on_demand_and_dies_for_good(ring: Keyring, tmp_path: Path) -> None:
    """The same profile created anew later gets another key."""
    assert ring.profile_key(b"p" * 16) is None
    first = ring.profile_key(b"p" * 16, create=True)
    assert ring.profile_key(b"p" * 16, create=True) == first
    ring.destroy_profile(b"p" * 16)
    assert ring.profile_key(b"p" * 16) is None
    assert copied(tmp_path).profile_key(b"p" * 16) is None
    assert ring.profile_key(b"p" * 16, create=True) != first


def test_a_shorter_lifetime_brings_the_end_forward_and_a_longer_one_does_not_put_it_off(ring: Keyring) -> None:
    """A catalogue that changes a keep never makes an older promise longer."""
    first = ring.data_key("s", "b", 1000 * NS, 43)
    shorter = ring.data_key("s", "b", 1000 * NS, 41)
    assert (shorter.epoch, shorter.key) == (first.epoch, first.key)
    assert shorter.destroy_ms == first.destroy_ms - 2000
    assert ring.data_key("s", "b", 1000 * NS, 43) == shorter


def test_sync_error_while_destroying_hides_the_key_and_is_never_called_done(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process forgets at once; every later attempt fails until a restart, and the restarted one can destroy it."""
    key = ring.data_key("s", "b", T_NS, 60)

    def fail(fd: int) -> None:
        raise OSError(5, "EIO")

    with monkeypatch.context() as broken:
        broken.setattr("agent.seal.keyblock.os.fdatasync", fail)
        with pytest.raises(DeviceError):
            ring.destroy(lambda _: True)
    assert ring.find("s", "b", key.epoch) is None
    for again in (lambda: ring.destroy(lambda _: True), lambda: ring.expire(2**60), lambda: ring.destroy_profile(b"p" * 16)):
        with pytest.raises(DeviceError):
            again()
    restarted = Keyring.open(tmp_path, CREDENTIAL)
    restarted.destroy(lambda _: True)
    assert copied(tmp_path).data_keys == ()


def test_derive_is_hkdf_with_an_empty_salt() -> None:
    """RFC 5869 written out: extract with zeros, expand with a counter."""
    ring = Keyring.create(None, CREDENTIAL, device_secret=bytes(range(32)))
    extracted = hmac.digest(bytes(32), bytes(range(32)), "sha256")
    first = hmac.digest(extracted, b"modicum/sign/1traffic\x01", hashlib.sha256)
    second = hmac.digest(extracted, first + b"modicum/sign/1traffic\x02", hashlib.sha256)
    assert ring.derive(b"modicum/sign/1traffic") == first
    assert ring.derive(b"modicum/sign/1traffic", 40) == (first + second)[:40]


def test_a_keyring_in_ram_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RAM only: everything works, nothing is written."""
    monkeypatch.chdir(tmp_path)
    ring = Keyring.create(None, CREDENTIAL)
    key = ring.data_key("s", "b", T_NS, 60)
    assert ring.find("s", "b", key.epoch) == key.key
    assert ring.expire(key.destroy_ms) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_torn_slot_is_not_a_lost_keyring(ring: Keyring, tmp_path: Path) -> None:
    """Either slot may be noise; with both gone nothing opens."""
    key = ring.data_key("s", "b", T_NS, 60)
    other = ring.data_key("s", "b", T_NS + 15 * NS, 60)
    path = tmp_path / "keys.block"
    whole = path.read_bytes()
    for at in (0, 65_536):
        path.write_bytes(whole[:at] + bytes(65_536) + whole[at + 65_536 :])
        again = Keyring.open(tmp_path, CREDENTIAL)
        assert again.find("s", "b", key.epoch) == key.key
        again.close()
    assert other in ring.data_keys
    path.write_bytes(bytes(2 * 65_536))
    with pytest.raises(IntegrityError):
        Keyring.open(tmp_path, CREDENTIAL)
