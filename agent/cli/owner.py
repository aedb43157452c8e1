"""What root does in somebody else's folder is done as that somebody, so that nothing he has put there leads root elsewhere.

Promises: a symbolic link that the agent, taken over perhaps, has left in its state folder reaches no file that it could not reach itself.
What is made there is its owner's from the beginning.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

Who = tuple[int, int, list[int]]
"""User, group, further groups."""


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """For root: has the owner's rights meanwhile, also where `folder` is not there yet. Nothing changes for others. Raises OSError."""
    if os.getuid() != 0:
        yield
        return
    former: Who = (os.geteuid(), os.getegid(), os.getgroups())
    try:
        os.seteuid(0)
        user, group = owner_of(folder)
        _become((user, group, [] if user else former[2]))
        yield
    finally:
        _become(former)


def owner_of(folder: Path) -> tuple[int, int]:
    """User and group of the first folder on the way there that is not root's: whoever has it can put anything in place of the rest.

    Root's where all of them are.
    """
    way = folder.absolute()
    told = (part.stat() for part in (*reversed(way.parents), way) if part.exists())
    return next(((part.st_uid, part.st_gid) for part in told if part.st_uid != 0), (0, 0))


def _become(who: Who) -> None:
    """Only root may choose groups, which this process can be again at any time: its real user stays root."""
    user, group, groups = who
    os.seteuid(0)
    if os.getgroups() != groups:
        os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)
