"""How many records wait, for whom, since when, and what they count for: in RAM, because it is asked every second and while the disk fails.

Promises to agree with the table as long as every record that comes or goes is said here after its transaction.
Must never do: read the table again by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlite_utils import Database

from agent.buffer.quota import ROW_BYTES
from agent.storage.sqlite import rows


class Held(NamedTuple):
    """What is counted of one record. `size`: what it counts for against the quota."""

    n: int
    stream: str
    recipient: str
    identity: str
    size: int


def oldest_ms(db: Database) -> int | None:
    """When what waits for the longest was collected, on the axis; None where nothing waits. One row is read."""
    found = rows(db, "SELECT oldest_ms FROM records ORDER BY n LIMIT 1")
    return int(found[0][0]) if found else None


class Counts:
    """Records and bytes by stream, recipient and identity. `oldest_ms`: of the table, said with each record that comes or goes."""

    def __init__(self, db: Database) -> None:
        sql = "SELECT stream, recipient, identity, count(*), sum(bytes) FROM records GROUP BY stream, recipient, identity"
        self._held = {(stream, recipient, identity): (count, size) for stream, recipient, identity, count, size in rows(db, sql)}
        self.total_bytes = sum(size for _, size in self._held.values())
        self.oldest_ms = oldest_ms(db)

    def came(self, records: Iterable[Held]) -> None:
        """These are stored."""
        for record in records:
            self._change(record, 1)

    def went(self, records: Iterable[Held]) -> None:
        """These are deleted."""
        for record in records:
            self._change(record, -1)

    def routes(self) -> set[tuple[str, str]]:
        """(recipient, identity) of everything that waits."""
        return {(recipient, identity) for _, recipient, identity in self._held}

    def any_for(self, recipients: Collection[str] | None, unlinkable: bool | None) -> bool:
        """Whether a record waits for one of `recipients` (None: anybody), without identity or with one (None: either)."""
        return any(
            (recipients is None or recipient in recipients) and (unlinkable is None or (identity == "none") == unlinkable)
            for recipient, identity in self.routes()
        )

    def by_stream(self) -> dict[str, dict[str, int]]:
        """By stream: rows, bytes (sealed)."""
        found: dict[str, dict[str, int]] = {}
        for (stream, _, _), (count, size) in sorted(self._held.items()):
            line = found.setdefault(stream, {"rows": 0, "bytes": 0})
            line["rows"] += count
            line["bytes"] += size - count * ROW_BYTES
        return found

    def _change(self, record: Held, by: int) -> None:
        key = record.stream, record.recipient, record.identity
        count, size = self._held.get(key, (0, 0))
        self._held[key] = count + by, size + by * record.size
        self.total_bytes += by * record.size
        if not self._held[key][0]:
            del self._held[key]
