"""Places where trips ended, as the one thing that is kept about places.

A place is the keyed HMAC of its cell in a grid that a secret shifts, so the zone is not centred on the place, never
moves, and cannot be turned back into a position, not even by whoever reads the list without the key. At most
ZONES_MAX; the oldest goes. Kept only while a trimmed stream has a live grant (`clear` forgets all).
Why a shifted cell: a circle around the place gives its centre away after ten trips (docs/attack-model.md).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from agent.collect.cells import cell_of
from agent.model import Position
from agent.storage.memory import MemoryStore

ZONES_MAX = 32
ZONE_M = 1000
"""Width of a zone; at the poles-to-equator range a square, so that a place is 383 m from its centre on average."""
TAG_BYTES = 16


@dataclass(slots=True)
class Zones:
    """The zones of one profile. `secret`: 32 bytes derived for it. Without `enabled` nothing is remembered."""

    secret: bytes
    memory: MemoryStore
    key: str
    enabled: bool = False
    _tags: list[bytes] = field(default_factory=list)
    _shift_m: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        digest = hmac.digest(self.secret, b"modicum/zone-shift/1", hashlib.sha256)
        self._shift_m = (
            int.from_bytes(digest[:8], "big") / 2**64 * ZONE_M,
            int.from_bytes(digest[8:16], "big") / 2**64 * ZONE_M,
        )
        stored = self.memory.get(self.key) or b""
        self._tags = [stored[i : i + TAG_BYTES] for i in range(0, len(stored), TAG_BYTES)]

    def cell(self, place: Position) -> bytes:
        """The tag of the cell that the place lies in."""
        row, column, _ = cell_of(place, ZONE_M, self._shift_m)
        return hmac.digest(self.secret, b"modicum/zone/1 %d %d" % (row, column), hashlib.sha256)[:TAG_BYTES]

    def holds(self, tag: bytes) -> bool:
        """Whether trips ended in this cell before."""
        return tag in self._tags

    def remember(self, tag: bytes) -> None:
        """A trip ended (or began) here."""
        if not self.enabled or (self._tags and self._tags[-1] == tag):
            return
        self._tags = [*(known for known in self._tags if known != tag), tag][-ZONES_MAX:]
        self.memory.set(self.key, b"".join(self._tags))

    def clear(self) -> None:
        """Forgets every place."""
        self._tags = []
        self.memory.delete(self.key)
