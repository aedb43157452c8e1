"""Encrypted databases: SQLCipher opened so that what is committed is durable and what is deleted is gone.

Promises: nothing of a database file is readable without its key; a commit that returned survives a power cut as far as
the medium keeps its word (WAL, synchronous=FULL); deleted content does not stay in free pages, nor in the WAL after
`checkpoint`; a schema step and the note of it commit together; a database of a newer release is left untouched.
One process writes, through one connection, in the thread that opened it.
Errors of the engine come out as IntegrityError (the bytes are wrong) or DeviceError (the disk is); others are bugs.
Must never do: repair, salvage or delete a database.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlcipher3  # type: ignore[import-untyped]  # has no stubs
from sqlite_utils import Database

from agent.errors import DeviceError, IntegrityError, ModicumError
from agent.model import Finding

MIGRATIONS = Path(__file__).parent / "migrations"
KEY_BYTES = 32
CHECKPOINT_PAGES = 128
"""The WAL is written back after half a MiB, which bounds what a start has to replay."""
SET_ASIDE_MAX = 3
BUSY_S = 0.5
"""Nobody else should hold the database at all; the agent's loop does not wait long to find out."""
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",  # FAST would leave deleted rows in free pages
    "foreign_keys = ON",
    "temp_store = MEMORY",  # a temporary file would not be encrypted
    f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
)
WRONG_BYTES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
FULL_BYTES = 64 * 1024
"""With less than this free an error of the disk is a full disk: SQLite calls it so only where a row finds no room, not where
the index of the WAL (32 KiB) does not."""
FULL = "the disk is full"
DEVICE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_READONLY: "the disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "a reader is still open",
}
WITHOUT_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
NEXT_START = "restart: a damaged buffer is then set aside, and of a damaged ledger modicum doctor says what to do"
MAKE_ROOM = "delete what is not needed on this disk (df tells which it is), then restart"


class FutureSchema(IntegrityError):
    """A newer release wrote this database: it is sound, but not for us."""


def open_database(path: Path | None, key: bytes, name: str) -> Database:
    """The database of that `name` (a folder of migrations), checked and brought up to date; without a path in RAM only.

    Raises IntegrityError for a wrong key or damage, FutureSchema for a newer schema, DeviceError for the disk.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a database key has {KEY_BYTES} bytes")
    where = "RAM" if path is None else str(path)
    with translated(where):
        connection = _connect(path)
        try:
            _unlock(connection, key if path else None, where)
            db = Database(connection, execute_plugins=False)
            _check(db, where)
            _migrate(db, MIGRATIONS / name, where)
        except BaseException:
            connection.close()
            raise
    return db


def rekey(path: Path, key: bytes, new: bytes, name: str) -> None:
    """The database under its new key, nothing of it under the old one; nothing to do where there is none, or where it has the new one.

    One transaction of the engine: cut anywhere, this completes it or begins it again. Raises as `open_database`.
    """
    if not path.exists():
        return
    if not _opens(path, new):
        db = open_database(path, key, name)
        with closing(db.conn):
            rows(db, f"PRAGMA rekey = \"x'{new.hex()}'\"")
            checkpoint(db)


def _opens(path: Path, key: bytes) -> bool:
    """Whether the key is the database's; if so, its WAL is written back.

    A cut may have left pages under the former key below it, which the check of a whole opening would take for damage.
    """
    with translated(str(path)), closing(_connect(path)) as connection:
        try:
            _unlock(connection, key, str(path))
        except sqlcipher3.DatabaseError as error:
            if isinstance(_translation(error, str(path)), IntegrityError):
                return False
            raise
        checkpoint(Database(connection, execute_plugins=False))
    return True


def open_or_set_aside(path: Path, key: bytes, name: str) -> tuple[Database, Finding | None]:
    """As `open_database`; a damaged one is renamed to `<name>.corrupt-<n>` and a new one begun, with a finding that says so.

    Only for what may be lost: the buffer. A database of a newer release is not damaged: FutureSchema goes through.
    """
    try:
        return open_database(path, key, name), None
    except FutureSchema:
        raise
    except IntegrityError:
        aside = set_aside(path)
    text = f"{path.name} could not be read and was set aside as {aside.name}; records in it will not be sent"
    finding = Finding(code="buffer-set-aside", severity="error", text=text, hint="if it comes again, replace the storage medium")
    return open_database(path, key, name), finding


def set_aside(path: Path) -> Path:
    """Renames a database and its WAL; keeps the newest three of them. Returns the new name."""
    old = sorted(_numbered(path), key=lambda pair: pair[0])
    aside = path.with_name(f"{path.name}.corrupt-{old[-1][0] + 1 if old else 1}")
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        wal.rename(aside.with_name(aside.name + "-wal"))
    path.rename(aside)
    for _, oldest in old[: max(0, len(old) + 1 - SET_ASIDE_MAX)]:
        oldest.unlink()
        oldest.with_name(oldest.name + "-wal").unlink(missing_ok=True)
    return aside


def _numbered(path: Path) -> Iterator[tuple[int, Path]]:
    for found in path.parent.glob(f"{path.name}.corrupt-*"):
        number = found.name.removeprefix(f"{path.name}.corrupt-")
        if number.isdecimal():
            yield int(number), found


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """All or nothing, durable when it ends. Raises IntegrityError, DeviceError; then nothing of it happened."""
    with translated(db), db.atomic():
        yield


def rows(db: Database, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Every row at once: an open cursor would keep `checkpoint` from its work."""
    with translated(db):
        return db.execute(sql, parameters).fetchall()


def checkpoint(db: Database) -> None:
    """Writes the WAL back and cuts it to nothing, so that no deleted content stays in it. Raises DeviceError if it cannot."""
    (blocked, _, _), *_ = rows(db, "PRAGMA wal_checkpoint(TRUNCATE)")
    if blocked:
        raise DeviceError("the WAL could not be emptied, a reader is still open", _where(db), "it is tried again at the next start")


@contextmanager
def translated(where: Database | str) -> Iterator[None]:
    """Engine errors that a person can do something about, as ours; the text of the engine names no value."""
    try:
        yield
    except sqlcipher3.DatabaseError as error:
        ours = _translation(error, where if isinstance(where, str) else _where(where))
        if ours is None:
            raise
        raise ours from error


def _translation(error: Exception, where: str) -> ModicumError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in WRONG_BYTES:
        return IntegrityError("the database is damaged or the key is not its own", where, NEXT_START)
    if code in DEVICE:
        why = FULL if code in WITHOUT_ROOM and _is_full(where) else DEVICE[code]
        return DeviceError(f"the database cannot be used, {why}", where, MAKE_ROOM if why == FULL else "check the medium, then restart")
    return None


def _is_full(where: str) -> bool:
    """Whether the file system of this database has no room for its files, in bytes or in number; a database in RAM has none."""
    try:
        told = os.statvfs(where)
    except OSError:
        return False
    return told.f_bavail * told.f_frsize < FULL_BYTES or (told.f_files > 0 and told.f_favail == 0)


def _where(db: Database) -> str:
    return str(db.execute("PRAGMA database_list").fetchone()[2] or "RAM")


def _connect(path: Path | None) -> sqlite3.Connection:
    """sqlcipher3 has the interface of sqlite3, with errors of its own."""
    try:
        if path is not None:
            # SQLite gives -wal and -shm the mode of the main file.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        hint = MAKE_ROOM if error.errno == errno.ENOSPC else "check the state folder"
        raise DeviceError(f"the database cannot be opened: {error.strerror}", str(path), hint) from error
    connection: sqlite3.Connection = sqlcipher3.connect(":memory:" if path is None else str(path), timeout=BUSY_S)
    return connection


def _unlock(connection: sqlite3.Connection, key: bytes | None, where: str) -> None:
    connection.execute("PRAGMA cipher_log_level = NONE")  # it would write to stderr beside our own errors
    if key is not None:
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != ("memory" if key is None else "wal"):
        raise DeviceError(f"the database cannot use a WAL here but {mode}", where, "put the state folder on a local file system")


def _check(db: Database, where: str) -> None:
    faults = [*db.execute("PRAGMA cipher_integrity_check").fetchall(), *db.execute("PRAGMA integrity_check(1)").fetchall()]
    if faults != [("ok",)]:
        raise IntegrityError("the database is damaged", where, NEXT_START)


def _migrate(db: Database, folder: Path, where: str) -> None:
    steps = sorted(folder.glob("*.sql"))
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(steps):
        raise FutureSchema(f"the database has schema {version}, this release knows {len(steps)}", where, "install the newer release again")
    for number, step in enumerate(steps, start=1):
        if number > version:
            with db.atomic():
                for statement in _statements(step.read_text(encoding="utf-8")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """Statement by statement: executescript would commit first."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if any(line.strip() and not line.startswith("--") for line in pending.splitlines()):
        raise ValueError("the last statement of a migration has no end")
