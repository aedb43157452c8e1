"""KeyBlock.rotate and erase: one credential at a time opens the block, torn anywhere; what was erased opens with none."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.body import to_cbor
from agent.errors import ConfigError, IntegrityError
from agent.seal import keyblock
from agent.seal.keyblock import KeyBlock, Keys, erase
from agent.seal.keyring import Keyring
from tests.agent.buffer.build import CREDENTIAL
from tests.agent.seal.test_keyblock import KEYS, SECRETS, content, data_key, fresh, slots, torn, with_keys

NEW = b"another credential of the tests."
COMING: st.SearchStrategy[dict[str, bytes]] = st.one_of(st.just({}), st.fixed_dictionaries({"ledger": SECRETS, "buffer": SECRETS}))


@given(KEYS, st.one_of(st.just(b""), SECRETS), COMING)
def test_mark_and_coming_keys_come_back_from_their_form(keys: Keys, mark: bytes, coming: dict[str, bytes]) -> None:
    """Where there are any; without them the form is that of a block which never had some."""
    whole = replace(keys, mark=mark, coming=coming)
    assert Keys.decode(whole.encode()) == whole
    assert (whole.encode() == keys.encode()) == (not mark and not coming)


@pytest.mark.parametrize(
    "more",
    [{"mark": b""}, {"mark": b"m" * 31}, {"mark": "m" * 32}, {"coming": {}}, {"coming": {"ledger": b"l" * 32}}, {"coming": 1}, {"more": 1}],
)
def test_another_form_of_them_is_refused(more: dict[str, object]) -> None:
    """What `encode` would not have written is not read."""
    plain = {"device": b"d" * 32, "ledger": b"l" * 32, "buffer": b"b" * 32, "profiles": {}, "data": []}
    assert Keys.decode(to_cbor(plain)).mark == b""
    with pytest.raises(IntegrityError):
        Keys.decode(to_cbor(plain | more))


def opens(folder: Path, credential: bytes) -> Keys | None:
    """What the block gives to a credential; None where it opens no slot."""
    try:
        block = KeyBlock.open(folder, credential)
    except IntegrityError:
        return None
    block.close()
    return block.keys


def test_torn_anywhere_the_credential_that_lies_there_opens_and_the_other_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the new one was put the old one opens all that was; from then on the new one all that is; after that opening no other."""
    block = fresh(tmp_path, data_key(1))
    old, keys = block.keys, with_keys(block.keys, data_key(2))
    states, put_at = [content(tmp_path)], []
    put = keyblock._put

    def recorded(fd: int, data: bytes, at: int) -> None:
        put(fd, data, at)
        states.append(content(tmp_path))

    monkeypatch.setattr(keyblock, "_put", recorded)
    block.rotate(keys, NEW, lambda: put_at.append(len(states)))
    monkeypatch.undo()
    assert (len(states), put_at) == (3, [2])
    cases = [(state, CREDENTIAL, NEW, old) for state in torn(states[0], states[1])]
    cases += [(state, NEW, CREDENTIAL, keys) for state in torn(states[1], states[2])]
    folder = tmp_path / "cut"
    folder.mkdir()
    for state, there, other, expected in cases:
        (folder / "keys.block").write_bytes(state)
        assert opens(folder, there) == expected
        assert opens(folder, other) is None


def test_no_slot_keeps_a_former_seed(tmp_path: Path) -> None:
    """Both are under the new one."""
    block = fresh(tmp_path)
    before = {slot[8:40] for slot in slots(content(tmp_path))}
    block.rotate(block.keys, NEW, lambda: None)
    after = {slot[8:40] for slot in slots(content(tmp_path))}
    assert len(after) == 1
    assert not before & after


def test_a_short_credential_takes_no_place(tmp_path: Path) -> None:
    """Nothing is written or put."""
    block = fresh(tmp_path)
    before = content(tmp_path)
    with pytest.raises(ConfigError):
        block.rotate(block.keys, b"a password", lambda: pytest.fail("it was put"))
    assert content(tmp_path) == before


def test_the_coming_keys_take_the_place_of_the_databases_keys(tmp_path: Path) -> None:
    """Drawn once, durable, and the former ones destroyed when they are in use; everything else stays."""
    ring = Keyring.create(tmp_path, CREDENTIAL, mark=b"m" * 32)
    ring.profile_key(b"p" * 16, create=True)
    before = ring._keys
    ring.renew()
    coming = ring.coming_key("ledger"), ring.coming_key("buffer")
    ring.renew()
    assert (ring.coming_key("ledger"), ring.coming_key("buffer")) == coming
    assert len({*coming, before.ledger, before.buffer}) == 4
    seed = content(tmp_path)[8:40]
    ring.renewed()
    ring.close()
    again = Keyring.open(tmp_path, CREDENTIAL)
    assert (again._keys.ledger, again._keys.buffer) == coming
    assert replace(again._keys, ledger=before.ledger, buffer=before.buffer) == before
    assert seed not in content(tmp_path)


def test_what_was_erased_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both slots are overwritten before the file goes; what a cut creation left goes too; again there is nothing to do."""
    fresh(tmp_path).close()
    (tmp_path / "keys.block.new").write_bytes(b"left over")
    os.link(tmp_path / "keys.block", tmp_path / "pages")
    before = content(tmp_path)
    for _ in range(2):
        erase(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]
    (tmp_path / "pages").rename(tmp_path / "keys.block")
    assert opens(tmp_path, CREDENTIAL) is None
    sectors = {before[at : at + 512] for at in range(0, len(before), 512)}
    assert not sectors & {content(tmp_path)[at : at + 512] for at in range(0, len(before), 512)}
