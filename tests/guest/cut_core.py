"""modicum-core as it is, which also says which records it holds: told by cuts.py. Runs in the guest.

    opened 1-40,42-57        the database is open, and these records lie in it
    durable 58,59            `Buffer.append` has returned: the promise
    going 1-40               they are about to be deleted, or have expired

`--off` in front of everything else: the databases are opened with synchronous = OFF, to see that the losses of a disk that
is not asked to keep anything are found.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from unittest.mock import patch

from agent.buffer.store import Buffer
from agent.core import assembly
from agent.daemons import core
from agent.model import Draft
from agent.storage import sqlite

OFF = "--off"


def say(word: str, ns: Iterable[int]) -> None:
    """At once: one write, which the host has when it returns."""
    os.write(1, f"{word} {ranges(sorted(ns))}\n".encode())


def ranges(ns: Sequence[int]) -> str:
    """`1-3,7`"""
    groups = itertools.groupby(enumerate(ns), lambda pair: pair[1] - pair[0])
    runs = [[n for _, n in group] for _, group in groups]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


class SayingBuffer(Buffer):
    """The buffer, which says what it has promised."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        say("opened", (n for (n,) in sqlite.rows(self._db, "SELECT n FROM records")))

    def append(self, drafts: Sequence[Draft]) -> list[int]:
        ns = super().append(drafts)
        if ns:
            say("durable", ns)
        return ns

    def _delete(self, ns: Collection[int]) -> list[int]:
        if ns:
            say("going", ns)
        return super()._delete(ns)


def main() -> int:
    """Its exit status."""
    pragmas: tuple[str, ...] = sqlite.PRAGMAS
    if sys.argv[1:2] == [OFF]:
        del sys.argv[1]
        pragmas = tuple("synchronous = OFF" if pragma.startswith("synchronous") else pragma for pragma in pragmas)
    with patch.object(assembly, "Buffer", SayingBuffer), patch.object(sqlite, "PRAGMAS", pragmas):
        return core.main()


if __name__ == "__main__":
    sys.exit(main())
