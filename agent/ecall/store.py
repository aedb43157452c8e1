"""What outlives the program, in a file system in RAM and nowhere else: the standing call, and whether the trigger is past its beginning.

Promises that a document is there whole or not at all, that none outlives the one that came after it, that nothing is written where a disk
would keep it, and that no fault of a file costs the call: what cannot be kept is not kept, `problem` says so, and the next one is tried.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

IN_RAM = frozenset({"tmpfs", "ramfs"})
CALL, ARMED = "call", "armed"
DOCUMENT_BYTES_MAX = 16_384


class Store:
    """The folder `path`, made where it is not there."""

    def __init__(self, path: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
        self.path = path
        self.problem, self._arms = _unusable(path, mounts), False
        """Why nothing is kept; empty where it is."""
        self._usable = not self.problem

    def read(self) -> bytes | None:
        """The call that stood when the program ended; None where there was none."""
        if not self._usable:
            return None
        with contextlib.suppress(OSError):
            return (self.path / CALL).read_bytes()[:DOCUMENT_BYTES_MAX]
        return None

    def write(self, document: bytes | None) -> None:
        """Keeps this instead of what was kept; None: nothing."""
        if not self._usable:
            return
        try:
            if document is None:
                _erase(self.path / CALL)
            else:
                _put(self.path / CALL, document)
            self.problem = ""
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"

    def arm(self) -> None:
        """The trigger is past its beginning; a later run of the program, since the device was started, need not wait for it."""
        if self._usable and not self._arms:
            self._arms = True
            with contextlib.suppress(OSError):
                (self.path / ARMED).touch(mode=0o600)

    @property
    def armed(self) -> bool:
        """Whether an earlier run said so."""
        return self._usable and (self.path / ARMED).exists()


def _unusable(path: Path, mounts: Path) -> str:
    """Why nothing can be kept in the folder, which is made where it is not there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = kind_of(path.resolve(), mounts)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if kind not in IN_RAM:
        return f"{path} lies on {kind}, which keeps what is erased: name a folder of a tmpfs, such as one in /run"
    return ""


def kind_of(path: Path, mounts: Path) -> str:
    """The kind of file system that `path` lies on (proc(5), /proc/self/mounts)."""
    found = ("/", "none")
    for line in mounts.read_text().splitlines():
        _, where, kind, *_ = line.split(" ")
        where = where.encode().decode("unicode_escape")  # a space in it stands there as \040
        if path.is_relative_to(where) and len(where) >= len(found[0]):
            found = (where, kind)
    return found[1]


def _put(path: Path, document: bytes) -> None:
    """Where it finds no room beside what was there, that goes first: a call that is over must not stay for want of room to say so."""
    try:
        _replace(path, document)
    except OSError:
        _erase(path)
        _replace(path, document)


def _replace(path: Path, document: bytes) -> None:
    """Whole or not at all; what was there is overwritten first, so that no page of it is left to be read."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(descriptor, document) < len(document):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
    _overwrite(path)
    new.replace(path)


def _erase(path: Path) -> None:
    for one in (path.with_suffix(".new"), path):
        _overwrite(one)
        one.unlink(missing_ok=True)


def _overwrite(path: Path) -> None:
    """As well as can be: what cannot be overwritten is erased all the same."""
    with contextlib.suppress(OSError), path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
