"""What the buffer gives up when it is full.

Drop order: the highest priority number first, within it the oldest record first; never a record that is being offered,
because it may already be on its way. A record that has just come takes part like any other. What is dropped is counted
by its stream and reported, never silent.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlite_utils import Database

from agent.storage.sqlite import rows

QUOTA_BYTES = 64 * 1024 * 1024
ROW_BYTES = 512
"""What a row costs beside its sealed body: columns, indexes, page slack."""


def size_bytes(sealed: bytes) -> int:
    """What a record counts for."""
    return len(sealed) + ROW_BYTES


def drop(db: Database, over_bytes: int, offered: Collection[int]) -> list[tuple[int, str, str, str, int]]:
    """Deletes records until `over_bytes` are freed or only offered ones are left: (n, stream, recipient, identity, bytes) of each.

    Inside the caller's transaction.
    """
    dropped: list[tuple[int, str, str, str, int]] = []
    sql = "SELECT n, stream, recipient, identity, bytes FROM records WHERE priority = ? AND n > ? ORDER BY n LIMIT 1"
    priorities = rows(db, "SELECT DISTINCT priority FROM records ORDER BY priority DESC") if over_bytes > 0 else []
    for (priority,) in priorities:
        after = 0
        while over_bytes > 0:
            oldest = rows(db, sql, (priority, after))
            if not oldest:
                break
            after, *_, size = oldest[0]
            if after not in offered:
                db.execute("DELETE FROM records WHERE n = ?", (after,))
                dropped.append(oldest[0])
                over_bytes -= size
    return dropped
