"""Small values that have to outlive a restart, by name: the trip, last values, trim zones.

Promises that a value is durable when `set` returns and gone when `delete` returns. The twin in RAM keeps the same
promises without a disk, for replays. What the bytes mean is their owner's business; personal ones come sealed.
"""

from __future__ import annotations

from typing import Protocol

from sqlite_utils import Database

from agent.errors import DeviceError
from agent.storage.sqlite import rows, transaction


class MemoryStore(Protocol):
    """What an owner of such values sees."""

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none."""
        ...

    def set(self, key: str, value: bytes) -> None:
        """Replaces what was there."""
        ...

    def delete(self, key: str) -> None:
        """Nothing happens where there is none."""
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """The names that begin with `prefix`, sorted."""
        ...


class Memory:
    """In the table `memory` of ledger.db. Raises what agent.storage.sqlite raises."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, key: str) -> bytes | None:
        for (value,) in rows(self._db, "SELECT value FROM memory WHERE key = ?", (key,)):
            return bytes(value)
        return None

    def set(self, key: str, value: bytes) -> None:
        with transaction(self._db):
            self._db.execute("INSERT INTO memory VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))

    def delete(self, key: str) -> None:
        with transaction(self._db):
            self._db.execute("DELETE FROM memory WHERE key = ?", (key,))

    def keys(self, prefix: str = "") -> list[str]:
        # No LIKE: a name may hold its wildcards.
        return [key for (key,) in rows(self._db, "SELECT key FROM memory WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix))]


class PatientMemory:
    """A memory over another one: what cannot be written now is kept in RAM and written with the next change.

    For states whose loss costs little and whose failure must stop nothing. `problem` says why something waits.
    """

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self._owed: dict[str, bytes | None] = {}
        self.problem = ""

    def get(self, key: str) -> bytes | None:
        return self._owed[key] if key in self._owed else self._inner.get(key)

    def set(self, key: str, value: bytes) -> None:
        self._owed[key] = value
        self._settle()

    def delete(self, key: str) -> None:
        self._owed[key] = None
        self._settle()

    def keys(self, prefix: str = "") -> list[str]:
        owed = {key for key in self._owed if key.startswith(prefix)}
        there = {key for key in owed if self._owed[key] is not None}
        return sorted({*self._inner.keys(prefix)} - owed | there)

    def _settle(self) -> None:
        for key, value in list(self._owed.items()):
            try:
                if value is None:
                    self._inner.delete(key)
                else:
                    self._inner.set(key, value)
            except DeviceError as error:
                self.problem = error.what
                return
            del self._owed[key]
        self.problem = ""


class DictMemory:
    """The same in RAM."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def set(self, key: str, value: bytes) -> None:
        self._values[key] = bytes(value)

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))
