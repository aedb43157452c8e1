"""Work that is killed at its n-th operation on the medium, in a process of its own: nothing is tidied up behind it.

The operations are those that leave something behind: opening, writing, syncing, renaming, removing, and each statement that changes
which key a database has. What the engine of a database does inside one is cut elsewhere, in its WAL.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from agent.storage import sqlite

OPERATIONS = ("open", "pwrite", "fdatasync", "fsync", "replace", "rename", "unlink")
KILLED = 9
STEPS_MAX = 300


def cut_everywhere(prepare: Callable[[], object], work: Callable[[], object]) -> Iterator[int]:
    """For each n: prepares, does the work up to its n-th operation, yields n; ends once the work came to its end before that."""
    for n in itertools.count(1):
        assert n < STEPS_MAX
        prepare()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _die_at(n)
            try:
                work()
            except BaseException:  # noqa: BLE001  told by the status
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, KILLED), f"the work failed at {n}"
        if status == 0:
            return
        yield n


def _die_at(n: int) -> None:
    counted = itertools.count(1)

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            if next(counted) == n:
                os._exit(KILLED)
            return real(*args, **kwargs)

        return operation

    for name in OPERATIONS:
        setattr(os, name, counting(getattr(os, name)))
    sqlite.rows = counting(sqlite.rows)
    sqlite.checkpoint = counting(sqlite.checkpoint)
