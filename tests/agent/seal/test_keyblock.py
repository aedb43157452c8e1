"""The key block: torn writes, destruction, and what anybody could compute from docs/formats.md."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError, DeviceError, IntegrityError, UsageError
from agent.seal import keyblock
from agent.seal.keyblock import SLOT_BYTES, DataKey, KeyBlock, KeyBlockFull, Keys
from tests.agent.buffer.build import CREDENTIAL

SECTOR_BYTES = 512
NAMES = st.text(min_size=1, max_size=10)
SECRETS = st.binary(min_size=32, max_size=32)
DATA_KEYS = st.builds(DataKey, NAMES, NAMES, st.integers(0, 2**40), SECRETS, st.integers(0, 2**45))
KEYS = st.builds(
    Keys,
    SECRETS,
    SECRETS,
    SECRETS,
    st.dictionaries(st.binary(min_size=16, max_size=16), SECRETS, max_size=3),
    st.lists(DATA_KEYS, max_size=6).map(lambda keys: {(key.stream, key.basis_ref, key.epoch): key for key in keys}),
)


def data_key(epoch: int) -> DataKey:
    return DataKey("tests.plain", "contract", epoch, os.urandom(32), epoch * 1000)


def with_keys(keys: Keys, *more: DataKey) -> Keys:
    return replace(keys, data={**keys.data, **{(key.stream, key.basis_ref, key.epoch): key for key in more}})


def without(keys: Keys, gone: DataKey) -> Keys:
    return replace(keys, data={name: key for name, key in keys.data.items() if key != gone})


def fresh(folder: Path, *data: DataKey) -> KeyBlock:
    folder.mkdir(exist_ok=True)
    block = KeyBlock.create(folder, CREDENTIAL, Keys(b"d" * 32, b"l" * 32, b"b" * 32))
    for key in data:
        block.add(with_keys(block.keys, key))
    return block


def reopened(folder: Path, content: bytes) -> KeyBlock:
    folder.mkdir(exist_ok=True)
    (folder / "keys.block").write_bytes(content)
    return KeyBlock.open(folder, CREDENTIAL)


def content(folder: Path) -> bytes:
    return (folder / "keys.block").read_bytes()


def by_the_book(slot: bytes, credential: bytes, seed: bytes | None = None) -> bytes:
    """A slot's plaintext from docs/formats.md alone, with another seed if one is given. Raises InvalidTag."""
    generation, own_seed, nonce, ciphertext = slot[:8], slot[8:40], slot[40:52], slot[52:]
    root = HKDF(SHA256(), 32, seed or own_seed, b"modicum/root/1").derive(credential)
    return ChaCha20Poly1305(root).decrypt(nonce, ciphertext, b"modicum/keyblock/1" + generation)


def slots(content: bytes) -> list[bytes]:
    return [content[:SLOT_BYTES], content[SLOT_BYTES:]]


def test_a_slot_is_the_one_of_the_format(tmp_path: Path) -> None:
    """Two slots of 65,536 bytes; length, CBOR, zeros inside: anybody with the credential can read it from docs/formats.md."""
    key = data_key(3)
    fresh(tmp_path, key).close()
    assert len(content(tmp_path)) == 2 * 65_536
    plain = max((slot[:8], by_the_book(slot, CREDENTIAL)) for slot in slots(content(tmp_path)))[1]
    end = 4 + int.from_bytes(plain[:4], "big")
    assert cbor2.loads(plain[4:end]) == {
        "device": b"d" * 32,
        "ledger": b"l" * 32,
        "buffer": b"b" * 32,
        "profiles": {},
        "data": [["tests.plain", "contract", 3, key.key, 3000]],
    }
    assert not any(plain[end:])
    assert len(plain) == 65_536 - 8 - 32 - 12 - 16


@given(KEYS)
def test_keys_come_back_from_their_form(keys: Keys) -> None:
    """Every key, profile and time survives."""
    assert Keys.decode(keys.encode()) == keys


@given(KEYS, st.data())
def test_a_changed_form_is_refused_or_another_that_could_have_been_written(keys: Keys, data: st.DataObject) -> None:
    """Reading has no second spelling and no other exception than IntegrityError."""
    form = bytearray(keys.encode())
    form[data.draw(st.integers(0, len(form) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(form), bytes(form[:-1]), keys.encode() + b"\0"):
        try:
            assert Keys.decode(damaged).encode() == damaged
        except IntegrityError:
            continue


def test_the_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600, and nothing else lies in the folder."""
    fresh(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "keys.block").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["keys.block"]


def test_another_credential_does_not_open(tmp_path: Path) -> None:
    """Neither a wrong one nor a part of the right one."""
    fresh(tmp_path).close()
    for wrong in (bytes(32), CREDENTIAL[:-1], CREDENTIAL + b"\0"):
        with pytest.raises(IntegrityError, match="credential"):
            KeyBlock.open(tmp_path, wrong)


def test_a_block_of_another_size_is_refused(tmp_path: Path) -> None:
    """A cut or extended file is not ours; a missing one is a device error with a hint."""
    fresh(tmp_path).close()
    whole = content(tmp_path)
    for damaged in (b"", whole[:SLOT_BYTES], whole[:-1], whole + b"\0"):
        with pytest.raises(IntegrityError, match="size"):
            reopened(tmp_path / "other", damaged)
    with pytest.raises(DeviceError, match="keys init"):
        KeyBlock.open(tmp_path / "nowhere", CREDENTIAL)


def test_keys_are_never_overwritten_by_new_ones(tmp_path: Path) -> None:
    """A second creation is refused and the block stays as it was; a short credential makes none."""
    fresh(tmp_path).close()
    before = content(tmp_path)
    with pytest.raises(UsageError):
        fresh(tmp_path)
    with pytest.raises(ConfigError):
        KeyBlock.create(None, b"a password", Keys(bytes(32), bytes(32), bytes(32)))
    assert content(tmp_path) == before


def test_no_more_than_512_data_keys(tmp_path: Path) -> None:
    """The limit of the format: the 513th is refused, the block goes on with the 512."""
    block = fresh(tmp_path)
    full = with_keys(block.keys, *(data_key(epoch) for epoch in range(512)))
    block.add(full)
    with pytest.raises(KeyBlockFull):
        block.add(with_keys(full, data_key(512)))
    assert KeyBlock.open(tmp_path, CREDENTIAL).keys == full == block.keys
    block.add(without(full, full.data["tests.plain", "contract", 0]))


def test_keys_with_names_too_long_for_a_slot_are_refused(tmp_path: Path) -> None:
    """The other limit: the slot's size."""
    block = fresh(tmp_path)
    long = [replace(data_key(epoch), stream="s" * 100, basis_ref="b" * 100) for epoch in range(300)]
    with pytest.raises(KeyBlockFull):
        block.add(with_keys(block.keys, *long))


def torn(before: bytes, after: bytes) -> list[bytes]:
    """Every mixture that a write of one slot can leave when it is cut at a sector: new up to there, or only from there."""
    changed = [at for at in (0, SLOT_BYTES) if before[at : at + SLOT_BYTES] != after[at : at + SLOT_BYTES]]
    assert len(changed) == 1
    cuts = range(changed[0], changed[0] + SLOT_BYTES + 1, SECTOR_BYTES)
    return [after[:cut] + before[cut:] for cut in cuts] + [before[:cut] + after[cut:] for cut in cuts]


@pytest.mark.parametrize("writes_before", [0, 1], ids=["first slot", "second slot"])
def test_a_torn_write_never_loses_a_key_that_was_durable(tmp_path: Path, writes_before: int) -> None:
    """Adding, cut at every 512 bytes of either slot: all keys of before are there, and the block can be written again."""
    old = [data_key(epoch) for epoch in range(writes_before + 1)]
    block = fresh(tmp_path, *old)
    before = content(tmp_path)
    block.add(with_keys(block.keys, new := data_key(99)))
    mixtures = torn(before, content(tmp_path))
    assert len(mixtures) == 2 * 129
    for mixture in mixtures:
        again = reopened(tmp_path / "cut", mixture)
        assert set(old) <= set(again.keys.data.values()) <= {*old, new}
        again.close()
    again = KeyBlock.open(tmp_path / "cut", CREDENTIAL)
    again.add(with_keys(again.keys, later := data_key(100)))
    assert later in KeyBlock.open(tmp_path / "cut", CREDENTIAL).keys.data.values()


@pytest.mark.parametrize("writes_before", [0, 1], ids=["first slot", "second slot"])
def test_a_torn_destroy_loses_nothing_else_and_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_before: int) -> None:
    """Destroying, cut at every 512 bytes of either write: the others stay; once the key is gone at an opening, no slot has it."""
    old, gone = [data_key(epoch) for epoch in range(writes_before + 1)], data_key(99)
    block = fresh(tmp_path, *old, gone)
    states = [content(tmp_path)]
    put = keyblock._put

    def recorded(fd: int, data: bytes, at: int) -> None:
        put(fd, data, at)
        states.append(content(tmp_path))

    monkeypatch.setattr(keyblock, "_put", recorded)
    block.destroy(without(block.keys, gone))
    monkeypatch.undo()
    assert len(states) == 3
    for mixture in torn(states[0], states[1]) + torn(states[1], states[2]):
        again = reopened(tmp_path / "cut", mixture)
        assert set(old) <= set(again.keys.data.values()) <= {*old, gone}
        again.close()
        if gone not in again.keys.data.values():
            assert not any(holds(slot, gone) for slot in slots(content(tmp_path / "cut")))


def cut_destroy(folder: Path) -> DataKey:
    """A block whose destroy was cut between its two writes: the seeds differ. The key that it took away."""
    gone = data_key(99)
    block = fresh(folder, data_key(1), gone)
    block._write(without(block.keys, gone), os.urandom(32))
    block.close()
    return gone


def test_reading_only_leaves_a_cut_write_as_it_is(tmp_path: Path) -> None:
    """Beside a running core: the keys of the newest slot, and neither a byte nor the time of the file changes."""
    gone = cut_destroy(tmp_path)
    before = content(tmp_path), (tmp_path / "keys.block").stat().st_mtime_ns
    block = KeyBlock.open(tmp_path, CREDENTIAL, read_only=True)
    assert gone not in block.keys.data.values()
    block.close()
    assert (content(tmp_path), (tmp_path / "keys.block").stat().st_mtime_ns) == before
    KeyBlock.open(tmp_path, CREDENTIAL).close()
    assert content(tmp_path) != before[0], "a writing open completes it, so there was something to leave alone"


def test_a_block_open_for_reading_refuses_to_write(tmp_path: Path) -> None:
    """Adding and destroying raise, and the file stays as it was."""
    fresh(tmp_path).close()
    before = content(tmp_path)
    block = KeyBlock.open(tmp_path, CREDENTIAL, read_only=True)
    for write in (block.add, block.destroy):
        with pytest.raises(DeviceError, match="reading only"):
            write(with_keys(block.keys, data_key(1)))
    assert content(tmp_path) == before


def holds(slot: bytes, key: DataKey) -> bool:
    """Whether somebody with the credential and the slot's own seed finds the key in it."""
    try:
        return key.key in by_the_book(slot, CREDENTIAL)
    except InvalidTag:
        return False


def test_a_destroyed_key_is_in_neither_slot_and_no_old_seed_opens_one(tmp_path: Path) -> None:
    """After `destroy` the medium holds nothing that the credential, with the new or the old seed, turns into that key."""
    kept, gone = data_key(1), data_key(2)
    block = fresh(tmp_path, kept, gone)
    before = slots(content(tmp_path))
    assert sum(holds(slot, gone) for slot in before) == 1
    seed = before[0][8:40]
    block.destroy(without(block.keys, gone))
    after = slots(content(tmp_path))
    assert [holds(slot, gone) for slot in after] == [False, False]
    assert [holds(slot, kept) for slot in after] == [True, True]
    assert seed not in b"".join(after)
    for slot in after:
        with pytest.raises(InvalidTag):
            by_the_book(slot, CREDENTIAL, seed)


def failing_sync(monkeypatch: pytest.MonkeyPatch, *, calls: tuple[int, ...] = (1, 2, 3)) -> list[int]:
    """The medium reports an error at these syncs, counted from 1; the offsets that were written."""
    offsets: list[int] = []
    write, sync = os.pwrite, os.fdatasync

    def noted(fd: int, data: bytes, at: int) -> int:
        offsets.append(at)
        return write(fd, data, at)

    def fail(fd: int) -> None:
        if len(offsets) in calls:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    monkeypatch.setattr("agent.seal.keyblock.os.pwrite", noted)
    monkeypatch.setattr("agent.seal.keyblock.os.fdatasync", fail)
    return offsets


def test_sync_error_while_adding_is_mended_by_the_next_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the same slot again, whole; the slot in use is never touched, so a cut meanwhile loses nothing durable."""
    block = fresh(tmp_path, kept := data_key(1))
    generation, in_use = block.generation, slots(content(tmp_path))[block._active]
    offsets = failing_sync(monkeypatch, calls=(1, 2))
    for _ in range(2):
        with pytest.raises(DeviceError, match="cannot be written"):
            block.add(with_keys(block.keys, data_key(2)))
        assert in_use in slots(content(tmp_path))
        assert (block.generation, set(block.keys.data.values())) == (generation, {kept})
    block.add(with_keys(block.keys, later := data_key(3)))
    assert offsets == [offsets[0]] * 3
    assert block.generation == generation + 1
    assert set(KeyBlock.open(tmp_path, CREDENTIAL).keys.data.values()) == {kept, later}


@pytest.mark.parametrize("failing", [1, 2], ids=["first write", "second write"])
@pytest.mark.parametrize("how", ["destroy", "add"])
def test_sync_error_while_destroying_is_completed_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, how: str
) -> None:
    """Whichever of the two writes failed and whatever is asked next: after it neither slot has the key, under no old seed."""
    block = fresh(tmp_path, kept := data_key(1), gone := data_key(2))
    old_seed, rest = slots(content(tmp_path))[0][8:40], without(block.keys, gone)
    with monkeypatch.context() as broken:
        failing_sync(broken, calls=(failing,))
        with pytest.raises(DeviceError):
            block.destroy(rest)
    before = block.unsettled
    getattr(block, how)(rest)
    assert (before, block.unsettled) == (True, False)
    assert not any(holds(slot, gone) for slot in slots(content(tmp_path)))
    assert old_seed not in content(tmp_path)
    assert set(KeyBlock.open(tmp_path, CREDENTIAL).keys.data.values()) == {kept}


def test_a_medium_that_goes_on_failing_never_costs_the_slot_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt of a destroy that never succeeds writes the other slot; what counts opens as before."""
    block = fresh(tmp_path, data_key(1), gone := data_key(2))
    in_use, before = slots(content(tmp_path))[block._active], block.keys
    offsets = failing_sync(monkeypatch, calls=tuple(range(1, 10)))
    for _ in range(4):
        with pytest.raises(DeviceError):
            block.destroy(without(before, gone))
        assert in_use in slots(content(tmp_path))
    assert len(set(offsets)) == 1
    assert block.keys == before


def test_short_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A medium that takes only a part is not believed."""
    block = fresh(tmp_path)
    monkeypatch.setattr("agent.seal.keyblock.os.pwrite", lambda fd, data, at: len(data) - 1)
    with pytest.raises(DeviceError, match="part"):
        block.add(with_keys(block.keys, data_key(1)))


def test_a_cut_creation_leaves_no_block_and_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a whole block or none."""
    with monkeypatch.context() as broken:
        failing_sync(broken)
        with pytest.raises(DeviceError):
            fresh(tmp_path)
    with pytest.raises(DeviceError):
        KeyBlock.open(tmp_path, CREDENTIAL)
    fresh(tmp_path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["keys.block"]


def test_the_limits_are_those_of_the_format() -> None:
    """docs/formats.md and the code say the same numbers."""
    text = " ".join((Path(__file__).parents[3] / "docs" / "formats.md").read_text().split())
    assert "Two slots of 65,536 bytes." in text
    assert "At most 512 data keys." in text
    assert (keyblock.SLOTS, keyblock.SLOT_BYTES, keyblock.DATA_KEYS_MAX) == (2, 65_536, 512)


def test_no_repr_shows_a_key() -> None:
    """A key in a traceback would outlive its destruction in a log."""
    key = data_key(1)
    shown = repr(with_keys(Keys(b"d" * 32, b"l" * 32, b"b" * 32), key)) + repr(key)
    assert not any(repr(secret) in shown for secret in (key.key, b"d" * 32, b"l" * 32, b"b" * 32))
