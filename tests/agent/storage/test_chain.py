"""agent.storage.chain: what is found, what survives, what is not shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import IntegrityError
from agent.storage import chain
from agent.storage.chain import DEVICE, Chain, Draft, decode, encode
from tests.agent.consent.device import Device

PROFILE = bytes(range(16))
LENGTH = 6


def filled(device: Device, entries: int = LENGTH) -> Chain:
    """Device and profile entries by turns."""
    device.keys.profile_key(PROFILE, create=True)
    made = Chain(device.db, "ledger", device.keys, {"said", "done"})
    made.append([Draft(PROFILE if i % 2 else DEVICE, {"kind": "said", "i": i}) for i in range(entries)])
    return made


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as made:
        yield made


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody compares anything any more."""
    monkeypatch.setattr(Chain, "entries", lambda self, after=None: iter(()))


def unchecked_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint's MAC counts for nothing."""
    monkeypatch.setattr("agent.storage.chain.hmac.compare_digest", lambda *_: True)


def test_what_was_appended_is_read_back(device: Device) -> None:
    """Entries come back in order with subject and body."""
    read = list(filled(device).entries())
    assert [(e.n, e.subject, e.body and e.body["i"]) for e in read] == [(i + 1, PROFILE if i % 2 else DEVICE, i) for i in range(LENGTH)]


@pytest.mark.req("R61", control=blind)
@settings(max_examples=60)
@given(data=st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    """One flipped bit in any column of any row, or in the checkpoint, and `verify` refuses and names the row."""
    with Device() as device:
        made = filled(device)
        n = data.draw(st.integers(0, LENGTH), "row, 0 the checkpoint")
        column = data.draw(st.sampled_from(["entry", "hash"])) if n else "value"
        table, where = ("ledger", "n") if n else ("memory", "key")
        row = n or "head.ledger"
        [(raw,)] = device.sql(f"SELECT {column} FROM {table} WHERE {where} = ?", row)
        assert isinstance(raw, bytes)
        bit = data.draw(st.integers(0, len(raw) * 8 - 1), "bit")
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        device.sql(f"UPDATE {table} SET {column} = ? WHERE {where} = ?", bytes(changed), row)
        with pytest.raises(IntegrityError, match=f"entry {n} " if n else "checkpoint"):
            made.verify()


@pytest.mark.req("R61", control=blind)
@settings(max_examples=60)
@given(
    n=st.integers(1, LENGTH), other=st.integers(1, LENGTH), how=st.sampled_from(["remove", "close up", "swap", "double", "copy to the end"])
)
def test_removal_reorder_and_duplication_are_found(n: int, other: int, how: str) -> None:
    """Rows removed (also with the gap closed), swapped, overwritten by or added as a copy of another: never unnoticed."""
    with Device() as device:
        made = filled(device)
        if how in ("swap", "double") and n == other:
            other = n % LENGTH + 1
        rows = {row[0]: row[1:] for row in device.sql("SELECT n, entry, hash FROM ledger")}
        if how in ("remove", "close up"):
            device.sql("DELETE FROM ledger WHERE n = ?", n)
        if how == "close up":
            for later in range(n + 1, LENGTH + 1):
                device.sql("UPDATE ledger SET n = ? WHERE n = ?", later - 1, later)
        if how in ("swap", "double"):
            device.sql("UPDATE ledger SET entry = ?, hash = ? WHERE n = ?", *rows[n], other)
        if how == "swap":
            device.sql("UPDATE ledger SET entry = ?, hash = ? WHERE n = ?", *rows[other], n)
        if how == "copy to the end":
            device.sql("INSERT INTO ledger (n, entry, hash) VALUES (?, ?, ?)", LENGTH + 1, *rows[n])
        with pytest.raises(IntegrityError, match=r"entry [1-7] "):
            made.verify()


@pytest.mark.req("R61", control=unchecked_hash)
def test_cut_off_end_is_found_even_with_a_checkpoint_made_up(device: Device) -> None:
    """Whoever drops the newest entries and writes a matching checkpoint lacks the device secret for its MAC."""
    made = filled(device)
    device.sql("DELETE FROM ledger WHERE n > 3")
    [(digest,)] = device.sql("SELECT hash FROM ledger WHERE n = 3")
    assert isinstance(digest, bytes)
    forged = chain.Checkpoint(n=3, hash=digest).encode("ledger")
    device.sql("UPDATE memory SET value = ? WHERE key = 'head.ledger'", encode([forged, bytes(32)]))
    with pytest.raises(IntegrityError, match="checkpoint"):
        made.verify()


def test_first_missing_entry_of_a_cut_off_end_is_named(device: Device) -> None:
    """The checkpoint knows how far the chain went."""
    made = filled(device)
    device.sql("DELETE FROM ledger WHERE n > 3")
    with pytest.raises(IntegrityError, match="entry 4 of the ledger is missing"):
        made.verify()


def test_lost_checkpoint_is_found(device: Device) -> None:
    """Without the checkpoint entries prove nothing about the newest, so they are refused."""
    made = filled(device)
    device.sql("DELETE FROM memory")
    with pytest.raises(IntegrityError, match="checkpoint of the ledger is gone"):
        made.verify()


def test_rows_before_the_first_are_found(device: Device) -> None:
    """A row in front of the chain is no entry."""
    made = filled(device)
    device.sql("INSERT INTO ledger SELECT -5, entry, hash FROM ledger WHERE n = 1")
    with pytest.raises(IntegrityError):
        made.verify()


def test_older_copy_of_everything_is_not_found(device: Device) -> None:
    """The stated limit: rows and checkpoint put back together look like the past, because they are."""
    made = filled(device, 3)
    before = device.sql("SELECT value FROM memory WHERE key = 'head.ledger'")[0][0]
    made.append([Draft(DEVICE, {"kind": "said"})])
    device.sql("DELETE FROM ledger WHERE n > 3")
    device.sql("UPDATE memory SET value = ? WHERE key = 'head.ledger'", before)
    assert made.verify() == 3


def test_destroyed_key_hides_entries_and_the_chain_holds(device: Device) -> None:
    """Entries of an erased subject have no body; the others are read and all of it verifies."""
    made = filled(device)
    device.keys.destroy_profile(PROFILE)
    assert [e.body is None for e in made.entries()] == [False, True] * 3


def test_changed_entry_of_an_erased_subject_is_found(device: Device) -> None:
    """Unreadable does not mean unguarded, also not for the newest entry with its hash made right."""
    made = filled(device)
    device.keys.destroy_profile(PROFILE)
    [(raw,)] = device.sql("SELECT entry FROM ledger WHERE n = ?", LENGTH)
    assert isinstance(raw, bytes)
    changed = raw[:-1] + bytes([raw[-1] ^ 1])
    device.sql("UPDATE ledger SET entry = ?, hash = ? WHERE n = ?", changed, hashlib.sha256(changed).digest(), LENGTH)
    with pytest.raises(IntegrityError, match=f"entry {LENGTH} "):
        made.verify()


def test_entry_cannot_change_tables(device: Device) -> None:
    """The first entry of a profile in one table opens under the same key in the other, and is refused by its kind."""
    filled(device, 1)
    other = Chain(device.db, "audit", device.keys, {"disclosure"})
    other.append([Draft(DEVICE, {"kind": "disclosure"}, {"key": None, "day": 0})])
    device.sql("UPDATE audit SET entry = l.entry, hash = l.hash FROM ledger AS l WHERE l.n = audit.n")
    with pytest.raises(IntegrityError, match="entry 1 of the audit"):
        next(other.entries())


@pytest.mark.parametrize("step", ["before the checkpoint", "after the checkpoint"])
def test_crash_inside_the_transaction_leaves_the_chain_as_it_was(device: Device, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Entries and checkpoint change together or not at all."""
    made, write = filled(device), Chain._write

    def crash(self: Chain, head: chain.Checkpoint) -> None:
        if step.startswith("after"):
            write(self, head)
        raise KeyboardInterrupt

    monkeypatch.setattr(Chain, "_write", crash)
    with pytest.raises(KeyboardInterrupt):
        made.append([Draft(DEVICE, {"kind": "said"}), Draft(PROFILE, {"kind": "said"})])
    monkeypatch.undo()
    assert made.verify() == LENGTH
    assert made.append([Draft(DEVICE, {"kind": "said"})]) == [LENGTH + 1]
    assert made.verify() == LENGTH + 1


def test_cut_chain_verifies_and_still_finds_a_removal(device: Device) -> None:
    """The checkpoint takes the place of what was cut off in front."""
    made = filled(device)
    made.cut(list(made.entries())[2])
    assert [e.n for e in made.entries()] == [4, 5, 6]
    device.sql("DELETE FROM ledger WHERE n = 4")
    with pytest.raises(IntegrityError, match="entry 4 "):
        made.verify()


def test_a_chain_is_never_cut_to_nothing(device: Device) -> None:
    """An empty table could not be told from a lost one."""
    made = filled(device)
    with pytest.raises(ValueError, match="newest"):
        made.cut(list(made.entries())[-1])


def test_long_chain_is_read_in_pages(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page borders lose and double nothing."""
    monkeypatch.setattr(chain, "PAGE_ROWS", 3)
    assert [e.n for e in filled(device, 10).entries()] == list(range(1, 11))


@pytest.mark.parametrize("limit", [0, 1, 3, LENGTH, LENGTH + 1])
def test_the_newest_are_read_without_the_others(device: Device, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The last ones of `entries`, newest first; no other is opened, also where the front was cut off."""
    made = filled(device, LENGTH + 2)
    made.cut(list(made.entries())[1])
    expected, opened, work = list(made.entries()), [], Chain._open

    def noted(self: Chain, row: tuple[int, object, bytes], n: int, prev: bytes) -> chain.Entry:
        opened.append(n)
        return work(self, row, n, prev)

    monkeypatch.setattr(Chain, "_open", noted)
    assert made.newest(limit) == expected[::-1][:limit]
    assert len(opened) == min(limit, LENGTH)


@settings(max_examples=60)
@given(n=st.integers(3, LENGTH), how=st.sampled_from(["entry", "hash", "remove", "close up", "double", "copy to the end"]))
def test_a_broken_one_among_the_newest_is_named(n: int, how: str) -> None:
    """Of the last four, n from 3: changed, removed, doubled or added."""
    with Device() as device:
        made = filled(device)
        rows = {row[0]: row[1:] for row in device.sql("SELECT n, entry, hash FROM ledger")}
        if how in ("entry", "hash"):
            device.sql(f"UPDATE ledger SET {how} = zeroblob(length({how})) WHERE n = ?", n)
        if how in ("remove", "close up"):
            device.sql("DELETE FROM ledger WHERE n = ?", n)
        if how == "close up":
            device.sql("UPDATE ledger SET n = n - 1 WHERE n > ?", n)
        if how == "double":
            device.sql("UPDATE ledger SET entry = ?, hash = ? WHERE n = ?", *rows[n - 1], n)
        if how == "copy to the end":
            device.sql("INSERT INTO ledger (n, entry, hash) VALUES (?, ?, ?)", LENGTH + 1, *rows[n])
        with pytest.raises(IntegrityError, match=r"entry [3-7] "):
            made.newest(4)


def test_a_broken_one_before_the_newest_is_found_by_verifying_only(device: Device) -> None:
    """And where all are asked for, one that is missing in front is named."""
    made = filled(device)
    device.sql("DELETE FROM ledger WHERE n = 1")
    assert [e.n for e in made.newest(5)] == [6, 5, 4, 3, 2]
    for whole in (made.verify, lambda: made.newest(6)):
        with pytest.raises(IntegrityError, match="entry 1 "):
            whole()


def test_reading_goes_on_behind_an_entry(device: Device) -> None:
    """`after` continues, and a chain that does not continue there is refused."""
    made = filled(device)
    third = list(made.entries())[2]
    assert [e.n for e in made.entries(third)] == [4, 5, 6]
    with pytest.raises(IntegrityError, match="entry 4 "):
        list(made.entries(chain.Entry(3, bytes(32), DEVICE, None)))


def test_unknown_kind_and_oversize_are_not_written(device: Device) -> None:
    """What a reader would refuse is never written."""
    made = filled(device)
    with pytest.raises(ValueError, match="no kind"):
        made.append([Draft(DEVICE, {"kind": "other"})])
    with pytest.raises(ValueError, match="at most"):
        made.append([Draft(DEVICE, {"kind": "said", "text": "x" * chain.ENTRY_BYTES_MAX})])
    assert made.verify() == LENGTH


@given(raw=st.binary(max_size=80))
def test_decode_accepts_only_one_spelling(raw: bytes) -> None:
    """Whatever decodes encodes to the same bytes; anything else is a ValueError, never another error."""
    try:
        value = decode(raw)
    except ValueError:
        return
    assert encode(value) == raw
