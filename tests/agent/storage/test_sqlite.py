"""Encrypted databases: settings, migrations, and each fault by its name."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlcipher3  # type: ignore[import-untyped]  # has no stubs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from sqlite_utils import Database

from agent.errors import DeviceError, IntegrityError
from agent.storage import sqlite
from agent.storage.sqlite import FutureSchema, checkpoint, open_database, open_or_set_aside, rows, set_aside, transaction

KEY = bytes(range(32))
PAGE_BYTES = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "buffer.db"


def filled(path: Path, count: int = 200) -> None:
    db = open_database(path, KEY, "buffer")
    with transaction(db):
        db.conn.executemany("INSERT INTO meta VALUES (?, ?)", [(f"key {number}", "x" * 300) for number in range(count)])
    checkpoint(db)
    db.close()


def overwritten(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def test_settings_are_those_of_a_durable_store(path: Path) -> None:
    """WAL, FULL, deleted content overwritten, foreign keys, no temporary files, a small WAL."""
    db = open_database(path, KEY, "buffer")
    names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "temp_store", "wal_autocheckpoint")
    assert [rows(db, f"PRAGMA {name}")[0][0] for name in names] == ["wal", 2, 1, 1, 2, sqlite.CHECKPOINT_PAGES]


def test_the_engine_is_past_the_wal_reset_bug() -> None:
    """SQLite 3.7.0 to 3.51.2 can corrupt a WAL."""
    assert tuple(int(part) for part in sqlcipher3.sqlite_version.split(".")) >= (3, 51, 3)


def test_files_belong_to_their_owner_alone(path: Path) -> None:
    """Main file, WAL and index: mode 0600."""
    db = open_database(path, KEY, "buffer")
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == dict.fromkeys(
        ["buffer.db", "buffer.db-wal", "buffer.db-shm"], 0o600
    )
    db.close()


@pytest.mark.parametrize("name", ["buffer", "ledger"])
def test_opening_twice_changes_nothing(tmp_path: Path, name: str) -> None:
    """Migrations run once; the second opening finds the same schema."""
    schemas = []
    for _ in range(2):
        db = open_database(tmp_path / "x.db", KEY, name)
        schemas.append(rows(db, "SELECT name, sql FROM sqlite_master ORDER BY name"))
        assert rows(db, "PRAGMA user_version") == [(len(list((sqlite.MIGRATIONS / name).glob("*.sql"))),)]
        db.close()
    assert schemas[0] == schemas[1] != []


def test_the_ledger_has_the_tables_that_its_owners_use(tmp_path: Path) -> None:
    """Chain, audit and memory with their columns."""
    db = open_database(tmp_path / "ledger.db", KEY, "ledger")
    columns = {name: [row[1] for row in rows(db, f"PRAGMA table_info({name})")] for name in ("ledger", "audit", "memory")}
    assert columns == {"ledger": ["n", "entry", "hash"], "audit": ["n", "key", "entry", "hash", "day"], "memory": ["key", "value"]}


def with_migrations(monkeypatch: pytest.MonkeyPatch, folder: Path, *scripts: str) -> None:
    for number, script in enumerate(scripts, start=1):
        (folder / "steps" / "buffer").mkdir(parents=True, exist_ok=True)
        (folder / "steps" / "buffer" / f"{number:03}.sql").write_text(script)
    monkeypatch.setattr("agent.storage.sqlite.MIGRATIONS", folder / "steps")


def test_broken_migration_leaves_the_database_as_it_was(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is whole with its note or not at all; the steps before it stay, and a mended step goes on from there."""
    with_migrations(
        monkeypatch, tmp_path, "CREATE TABLE a (x);", "CREATE TABLE b (x);\nINSERT INTO b VALUES (1);\nINSERT INTO nowhere VALUES (1);"
    )
    with pytest.raises(sqlcipher3.OperationalError, match="nowhere"):
        open_database(path, KEY, "buffer")
    with_migrations(monkeypatch, tmp_path, "CREATE TABLE a (x);", "CREATE TABLE c (x); -- a remark\n-- and one more\n")
    db = open_database(path, KEY, "buffer")
    assert rows(db, "SELECT name FROM sqlite_master ORDER BY name") == [("a",), ("c",)]
    assert rows(db, "PRAGMA user_version") == [(2,)]


def test_migration_without_an_end_is_a_bug(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten semicolon does not silently drop the last statement."""
    with_migrations(monkeypatch, tmp_path, "CREATE TABLE a (x);\nCREATE TABLE b (x)\n")
    with pytest.raises(ValueError, match="no end"):
        open_database(path, KEY, "buffer")


def test_future_schema_is_refused_and_left_untouched(path: Path) -> None:
    """A downgrade says so and destroys nothing, also where damage would be set aside."""
    filled(path)
    db = open_database(path, KEY, "buffer")
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    for opening in (open_database, open_or_set_aside):
        with pytest.raises(FutureSchema, match="newer release"):
            opening(path, KEY, "buffer")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["buffer.db"]


def test_wrong_key_is_an_integrity_error_and_says_nothing_on_stderr(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One error of ours; the engine's own log is off. The right key still opens."""
    filled(path)
    with pytest.raises(IntegrityError):
        open_database(path, bytes(32), "buffer")
    assert capfd.readouterr() == ("", "")
    assert rows(open_database(path, KEY, "buffer"), "SELECT count(*) FROM meta") == [(200,)]


def test_wrong_key_after_a_crash_does_not_touch_what_the_wal_holds(path: Path, tmp_path: Path) -> None:
    """Rows that were committed but not written back survive an opening with another key."""
    filled(path)
    db = open_database(path, KEY, "buffer")
    with transaction(db):
        db.execute("INSERT INTO meta VALUES ('in the WAL', 1)")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", crashed / f"buffer.db{end}")
    assert (crashed / "buffer.db-wal").stat().st_size > 0
    with pytest.raises(IntegrityError):
        open_database(crashed / "buffer.db", bytes(32), "buffer")
    assert rows(open_database(crashed / "buffer.db", KEY, "buffer"), "SELECT value FROM meta WHERE key = 'in the WAL'") == [(1,)]


@pytest.mark.parametrize("at", [0, 20, PAGE_BYTES + 100, 3 * PAGE_BYTES, 10 * PAGE_BYTES + 4090], ids=str)
def test_corrupt_database_is_an_integrity_error(path: Path, at: int) -> None:
    """One changed byte in any page is found at the opening, not later."""
    filled(path)
    overwritten(path, at, bytes([path.read_bytes()[at] ^ 1]))
    with pytest.raises(IntegrityError):
        open_database(path, KEY, "buffer")


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(5000), b"noise" * 3000], ids=["empty", "plain SQLite", "noise"])
def test_something_else_in_place_of_the_database(path: Path, content: bytes) -> None:
    """An empty file is a database that was never begun; anything else is refused."""
    path.write_bytes(content)
    if not content:
        open_database(path, KEY, "buffer").close()
        return
    with pytest.raises(IntegrityError):
        open_database(path, KEY, "buffer")


def test_corrupt_database_is_set_aside_with_a_finding(path: Path) -> None:
    """The agent goes on with a new one; the damaged one can be looked at; a person is told."""
    filled(path)
    overwritten(path, 5000, b"damage")
    damaged = path.read_bytes()
    db, finding = open_or_set_aside(path, KEY, "buffer")
    assert finding is not None
    assert (finding.code, finding.severity) == ("buffer-set-aside", "error")
    assert "buffer.db.corrupt-1" in finding.text
    assert rows(db, "SELECT count(*) FROM records") == [(0,)]
    db.close()
    assert (path.parent / "buffer.db.corrupt-1").read_bytes() == damaged
    assert open_or_set_aside(path, KEY, "buffer")[1] is None


def test_at_most_three_damaged_databases_are_kept(path: Path) -> None:
    """The newest three, each with its WAL; the flash is not filled with ruins."""
    for _ in range(12):
        path.write_bytes(b"noise" * 1000)
        Path(f"{path}-wal").write_bytes(b"a wal")
        set_aside(path)
    ruins = sorted(file.name for file in path.parent.iterdir() if "corrupt" in file.name)
    assert ruins == [f"buffer.db.corrupt-{n}{end}" for n in (10, 11, 12) for end in ("", "-wal")]


def test_folder_without_permission_or_existence_is_a_device_error(tmp_path: Path) -> None:
    """No database can be there: not damage, so nothing is set aside."""
    (tmp_path / "a file").write_text("")
    for path in (tmp_path / "nowhere" / "buffer.db", tmp_path / "a file" / "buffer.db"):
        with pytest.raises(DeviceError):
            open_or_set_aside(path, KEY, "buffer")


def test_reader_left_open_keeps_the_checkpoint_from_being_called_done(path: Path) -> None:
    """`checkpoint` returns only when the WAL is empty, whether the reader is in this connection or in another."""
    filled(path)
    db = open_database(path, KEY, "buffer")
    cursor = db.execute("SELECT * FROM meta")
    cursor.fetchone()
    with transaction(db):
        db.execute("DELETE FROM meta WHERE key = 'key 7'")
    with pytest.raises(DeviceError):
        checkpoint(db)
    cursor.close()
    other = open_database(path, KEY, "buffer")
    other.begin()
    rows(other, "SELECT * FROM meta")
    with transaction(db):
        db.execute("DELETE FROM meta WHERE key = 'key 8'")
    with pytest.raises(DeviceError):
        checkpoint(db)
    other.rollback()
    checkpoint(db)
    assert Path(f"{path}-wal").stat().st_size == 0


def test_deleted_content_is_nowhere_after_a_checkpoint(path: Path) -> None:
    """Somebody who has the key finds no deleted row in pages, free pages or WAL."""
    filled(path)
    db = open_database(path, KEY, "buffer")
    with transaction(db):
        db.execute("INSERT INTO meta VALUES ('gone', 'a planted marker')")
        db.execute("INSERT INTO meta VALUES ('kept', 'another planted one')")
    with transaction(db):
        db.execute("DELETE FROM meta WHERE key = 'gone'")
    checkpoint(db)
    assert Path(f"{path}-wal").stat().st_size == 0
    raw = decrypted_pages(path)
    assert b"another planted one" in raw
    assert b"a planted marker" not in raw


def decrypted_pages(path: Path) -> bytes:
    """Every page as the engine sees it, free ones too: SQLCipher 4's AES-256-CBC, 80 bytes reserved for IV and HMAC."""
    data, plain = path.read_bytes(), b""
    for at in range(0, len(data), PAGE_BYTES):
        start = at + 16 if at == 0 else at  # the salt
        end = at + PAGE_BYTES - 80
        decryptor = Cipher(AES256(KEY), CBC(data[end : end + 16])).decryptor()
        plain += decryptor.update(data[start:end])
    return plain


@contextmanager
def largest_file(limit_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def numbers_until_full(db: Database) -> int:
    """How many rows were committed before the medium refused one; the refused one is not there."""
    done: list[int] = []

    def fill_for_ever() -> None:
        for number in range(5000):
            with transaction(db):
                db.execute("INSERT INTO meta VALUES (?, ?)", (f"{number:04}", os.urandom(2000)))
            done.append(number)

    with pytest.raises(DeviceError):
        fill_for_ever()
    assert len(done) > 10
    assert rows(db, "SELECT count(*) FROM meta") == [(len(done),)]
    return len(done)


def test_disk_full_by_page_count(path: Path) -> None:
    """SQLITE_FULL is a device error; what was committed stays, and writing goes on when there is room again."""
    db = open_database(path, KEY, "buffer")
    db.execute("PRAGMA max_page_count = 60").fetchall()
    done = numbers_until_full(db)
    db.execute("PRAGMA max_page_count = 1000").fetchall()
    with transaction(db):
        db.execute("INSERT INTO meta VALUES ('more', 'room')")
    db.close()
    assert rows(open_database(path, KEY, "buffer"), "SELECT count(*) FROM meta") == [(done + 1,)]


def test_disk_full_by_file_size_limit(path: Path) -> None:
    """A write that the system refuses is a device error; the database is whole afterwards."""
    db = open_database(path, KEY, "buffer")
    with largest_file(300_000):
        done = numbers_until_full(db)
    db.close()
    assert rows(open_database(path, KEY, "buffer"), "SELECT count(*) FROM meta") == [(done,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_disk_full_on_a_small_file_system(tmp_path: Path) -> None:
    """ENOSPC from a real file system of 1 MiB: the database is whole afterwards and takes more once there is room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs '{folder}' 2>/dev/null"):
        pytest.skip("no permission to mount a file system")
    try:
        db = open_database(folder / "buffer.db", KEY, "buffer")
        done = numbers_until_full(db)
        db.close()
        os.system(f"mount -o remount,size=4m '{folder}'")
        db = open_database(folder / "buffer.db", KEY, "buffer")
        assert rows(db, "SELECT count(*) FROM meta") == [(done,)]
        with transaction(db):
            db.execute("INSERT INTO meta VALUES ('more', 'room')")
        db.close()
    finally:
        os.system(f"umount '{folder}'")


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o {options} tmpfs '{folder}' 2>/dev/null"):
        pytest.skip("no permission to mount a file system")
    try:
        yield folder
    finally:
        os.system(f"umount '{folder}'")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("left_bytes", [0, 4096, 16_384, 32_768])
@pytest.mark.parametrize("known", [False, True], ids=["a new database", "a database of before"])
def test_a_full_disk_is_called_full_at_the_opening(tmp_path: Path, left_bytes: int, known: bool) -> None:
    """Whichever file of the database finds no room: the error says that the disk is full and that something must go."""
    with small_disk(tmp_path / "small", "size=1m") as folder:
        if known:
            open_database(folder / "buffer.db", KEY, "buffer").close()
        free_bytes = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        (folder / "fill").write_bytes(bytes(free_bytes - left_bytes))

        def used() -> None:
            db = open_database(folder / "buffer.db", KEY, "buffer")
            try:
                with transaction(db):
                    db.execute("INSERT INTO meta VALUES ('a', ?)", (bytes(40_000),))
            finally:
                db.close()

        with pytest.raises(DeviceError, match="the disk is full") as error:
            used()
        assert "delete" in error.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("names", [0, 1, 2])
def test_a_disk_without_room_for_another_file_says_what_to_do(tmp_path: Path, names: int) -> None:
    """No inode left for the database, for its WAL, or for the WAL's index."""
    with small_disk(tmp_path / "small", f"size=1m,nr_inodes={1 + names}") as folder, pytest.raises(DeviceError) as error:
        open_database(folder / "buffer.db", KEY, "buffer")
    assert "delete" in error.value.hint


def test_an_error_of_a_disk_with_room_is_not_called_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the medium is what to look at."""
    db, error = open_database(path, KEY, "buffer"), sqlcipher3.OperationalError("disk I/O error")
    monkeypatch.setattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR, raising=False)
    with pytest.raises(DeviceError, match="reports an error") as told, transaction(db):
        raise error
    assert "check the medium" in told.value.hint


def test_ram_database_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the same schema and calls, and nothing on the disk."""
    monkeypatch.chdir(tmp_path)
    db = open_database(None, KEY, "buffer")
    with transaction(db):
        db.execute("INSERT INTO meta VALUES ('a', 1)")
    checkpoint(db)
    assert rows(db, "SELECT * FROM meta") == [("a", 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_bug_in_a_statement_is_not_called_a_fault_of_the_disk(path: Path) -> None:
    """A constraint or a typing error comes through as it is."""
    db = open_database(path, KEY, "buffer")
    with pytest.raises(sqlcipher3.IntegrityError), transaction(db):
        db.execute("INSERT INTO meta VALUES ('a', NULL)")
    with pytest.raises(sqlcipher3.OperationalError):
        rows(db, "SELECT nothing")
    with pytest.raises(ValueError, match="32"):
        open_database(path, b"short", "buffer")
    assert not issubclass(sqlcipher3.IntegrityError, sqlite3.Error)
