"""The keyring: when keys are made and when they die."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS
from agent.errors import DeviceError, IntegrityError
from agent.seal.keyblock import SLOT_BYTES
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
    assert (ring.find("s", "b", key.epoch), ring.ends_ms("s", "b", key.epoch)) == (key.key, key.destroy_ms)
    assert ring.expire(key.destroy_ms) == 1
    assert ring.ends_ms("s", "b", key.epoch) is None
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


def failing_sync(patch: pytest.MonkeyPatch, *calls: int) -> None:
    """The medium reports an error at these syncs, counted from 1; at every one without `calls`."""
    counted, sync = itertools.count(1), os.fdatasync

    def fail(fd: int) -> None:
        if next(counted) in calls or not calls:
            raise OSError(5, "EIO")
        sync(fd)

    patch.setattr("agent.seal.keyblock.os.fdatasync", fail)


def test_sync_error_while_destroying_hides_the_key_and_is_never_called_done(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process forgets at once; every attempt fails while the medium does; a restarted process can destroy it too."""
    key = ring.data_key("s", "b", T_NS, 60)
    failing_sync(monkeypatch)
    attempts = (lambda: ring.destroy(lambda _: True), lambda: ring.expire(2**60), lambda: ring.destroy_profile(b"p" * 16))
    for again in attempts:
        with pytest.raises(DeviceError):
            again()
        assert ring.find("s", "b", key.epoch) is None
    monkeypatch.undo()
    restarted = Keyring.open(tmp_path, CREDENTIAL)
    restarted.destroy(lambda _: True)
    assert copied(tmp_path).data_keys == ()


def test_one_sync_error_while_destroying_is_made_up_for_by_the_next_attempt(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At either write: the next expiry has nothing left to remove, completes it all the same, counts it, and writes no more then."""
    for failing in (1, 2):
        key = ring.data_key("s", "b", T_NS, 60)
        with monkeypatch.context() as broken:
            failing_sync(broken, failing)
            with pytest.raises(DeviceError):
                ring.expire(key.destroy_ms)
        assert ring.expire(0) == 1
        assert copied(tmp_path).data_keys == ()
        generation = ring.generation
        assert ring.expire(0) == 0
        assert ring.generation == generation


def test_a_key_made_after_a_failed_destroy_does_not_bring_the_old_one_back(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block is written for the new key, and for what still had to go."""
    old = ring.data_key("s", "b", T_NS, 60)
    with monkeypatch.context() as broken:
        failing_sync(broken, 1)
        with pytest.raises(DeviceError):
            ring.destroy(lambda _: True)
    new = ring.data_key("s", "b", T_NS, 60)
    assert new.key != old.key
    assert copied(tmp_path).data_keys == (new,)
    for slot in range(2):
        whole = bytearray((tmp_path / "keys.block").read_bytes())
        whole[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES] = bytes(SLOT_BYTES)
        assert opened(tmp_path / "one slot", bytes(whole)).data_keys == (new,), "neither slot has the old one"


def opened(folder: Path, content: bytes) -> Keyring:
    folder.mkdir(exist_ok=True)
    (folder / "keys.block").write_bytes(content)
    return Keyring.open(folder, CREDENTIAL)


def left_ms(ring: Keyring, now_ms: int) -> list[int]:
    return [key.destroy_ms - now_ms for key in ring.data_keys]


@pytest.mark.parametrize("moved_ms", [-50_400_000, 50_400_000])
def test_a_moved_axis_leaves_the_keys_of_this_run_what_was_left_of_their_lives(ring: Keyring, tmp_path: Path, moved_ms: int) -> None:
    """By 14 h in either direction, and once more: durable on return, expiring at the same true time."""
    ring.data_key("s", "b", T_NS, 86_400)
    now_ms = T_NS // 10**6
    [left] = left_ms(ring, now_ms)
    for _ in range(2):
        ring.rebase(moved_ms)
        now_ms += moved_ms
        assert left_ms(ring, now_ms) == left_ms(copied(tmp_path), now_ms) == [left]
    assert ring.expire(now_ms + left - 1) == 0
    assert ring.expire(now_ms + left) == 1


def test_keys_of_earlier_runs_are_never_put_off(ring: Keyring, tmp_path: Path) -> None:
    """Their axis may have been right: forward they stay, also one whose end this run brought forward; back they go with the others."""
    earlier = [ring.data_key("s", "b", T_NS, 400), ring.data_key("t", "b", T_NS, 403)]
    again = copied(tmp_path)
    shorter = again.data_key("t", "b", T_NS, 401)
    assert shorter.key == earlier[1].key
    mine = again.data_key("u", "b", T_NS, 400)
    again.rebase(1000)
    assert [key.destroy_ms for key in again.data_keys] == [earlier[0].destroy_ms, shorter.destroy_ms, mine.destroy_ms + 1000]
    again.rebase(-3000)
    assert [key.destroy_ms for key in again.data_keys] == [earlier[0].destroy_ms - 3000, shorter.destroy_ms - 3000, mine.destroy_ms - 2000]


def test_an_axis_that_moved_nothing_writes_nothing(ring: Keyring, tmp_path: Path) -> None:
    """No key, no key of this run, no movement."""
    before = ring.generation
    ring.rebase(-1000)
    ring.data_key("s", "b", T_NS, 60)
    ring.rebase(0)
    assert ring.generation == before + 1
    again = copied(tmp_path)
    before = again.generation
    again.rebase(1000)
    assert again.generation == before


def test_sync_error_while_an_axis_is_moved_counts_in_ram_and_reaches_the_medium_later(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported, this process goes by the new end, and the next expiry writes it though nothing dies."""
    key = ring.data_key("s", "b", T_NS, 60)
    with monkeypatch.context() as broken:
        failing_sync(broken)
        with pytest.raises(DeviceError):
            ring.rebase(-1000)
    assert ring.ends_ms("s", "b", key.epoch) == key.destroy_ms - 1000
    assert ring.expire(0) == 0
    assert copied(tmp_path).data_keys == ring.data_keys


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
