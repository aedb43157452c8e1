"""agent.storage.sqlite.rekey: another key for a database, wherever the power goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import IntegrityError
from agent.storage.sqlite import open_database, rekey, rows
from tests.agent.storage.test_sqlite import KEY, PAGE_BYTES, filled, path

__all__ = ["path"]

NEW = bytes(range(32, 64))
FRAME_BYTES = 24 + PAGE_BYTES


def held(path: Path, key: bytes) -> int:
    """How many entries the database has under that key, all of it checked."""
    db = open_database(path, key, "buffer")
    count = len(rows(db, "SELECT value FROM meta WHERE key LIKE 'key %'"))
    db.close()
    return count


def test_all_is_under_the_new_key_and_nothing_under_the_old_one(path: Path) -> None:
    """Nor does a page of it, in the file or its WAL, look as it did."""
    filled(path)
    before = path.read_bytes()
    rekey(path, KEY, NEW, "buffer")
    assert held(path, NEW) == 200
    with pytest.raises(IntegrityError):
        open_database(path, KEY, "buffer")
    pages = {before[at : at + PAGE_BYTES] for at in range(0, len(before), PAGE_BYTES)}
    after = path.read_bytes()
    assert not pages & {after[at : at + PAGE_BYTES] for at in range(0, len(after), PAGE_BYTES)}
    assert not path.with_name("buffer.db-wal").exists()


def test_again_it_has_nothing_to_do(path: Path) -> None:
    """Nor where there is no database, of which none is made."""
    rekey(path, KEY, NEW, "buffer")
    assert not path.exists()
    filled(path)
    rekey(path, KEY, NEW, "buffer")
    before = path.read_bytes()
    rekey(path, KEY, NEW, "buffer")
    assert path.read_bytes() == before


def test_a_database_of_neither_key_is_left_as_it_is(path: Path) -> None:
    """Damage is for its opener to find."""
    path.write_bytes(damaged := os.urandom(8192))
    with pytest.raises(IntegrityError):
        rekey(path, KEY, NEW, "buffer")
    assert path.read_bytes() == damaged


def cut_states(path: Path) -> tuple[bytes, bytes, bytes]:
    """The file before, the WAL when the change is committed and not yet written back, and the file afterwards."""
    before = path.read_bytes()
    db = open_database(path, KEY, "buffer")
    rows(db, f"PRAGMA rekey = \"x'{NEW.hex()}'\"")
    assert path.read_bytes() == before, "only the WAL is written until then"
    wal = path.with_name("buffer.db-wal").read_bytes()
    db.close()
    return before, wal, path.read_bytes()


def test_wherever_the_power_goes_it_is_completed(path: Path) -> None:
    """The WAL cut at every half frame, then whole with the file written back as far as any page: asked again, it comes to the same end."""
    filled(path, 60)
    before, wal, after = cut_states(path)
    cuts = [(before, wal[:at]) for at in [*range(0, len(wal), FRAME_BYTES // 2), len(wal)]]
    written = [(after[:at] + before[at:], wal) for at in range(0, len(before) + 1, PAGE_BYTES)]
    assert len(written) > 5
    for number, (file, log) in enumerate(cuts + written):
        path.write_bytes(file)
        path.with_name("buffer.db-wal").write_bytes(log)
        rekey(path, KEY, NEW, "buffer")
        assert held(path, NEW) == 60, number
