"""What outlives the program, in a file system in RAM and nowhere else: the standing call, and whether the trigger is past its beginning.

Promises that a document is there whole or not at all, that none outlives the one that came after it, that nothing is written where a disk
would keep it, and that no fault of a file costs the call: what cannot be kept is not kept, `problem` says so, and the next one is tried.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import BinaryIO

IN_RAM = frozenset({"tmpfs", "ramfs"})
CALL, ARMED = "call", "armed"
DOCUMENT_BYTES_MAX = 16_384
OCTAL = re.compile(r"\\([0-7]{3})")


class Store:
    """The folder `path`, made where it is not there."""

    def __init__(self, path: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
        self.path = path
        self.problem, self._arms = _unusable(path, mounts), False
        """Why nothing is kept; empty where it is."""
        self._usable = not self.problem

    def read(self) -> bytes | None:
        """The call that stood when the program ended; None where there was none. What was being written then goes."""
        if not self._usable:
            return None
        with contextlib.suppress(OSError):
            _erase_one((self.path / CALL).with_suffix(".new"))
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

    def disarm(self) -> None:
        """A crash was told that is still said: a later run of the program must not take it for another one."""
        self._arms = False
        if self._usable:
            with contextlib.suppress(OSError):
                (self.path / ARMED).unlink(missing_ok=True)

    @property
    def armed(self) -> bool:
        """Whether an earlier run said so."""
        return self._usable and (self.path / ARMED).exists()


def stands(folder: Path) -> bool:
    """Whether a call is kept there, or the hour after it in which the centre may call back; where nobody can see, there may be one."""
    try:
        (folder / CALL).stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _unusable(path: Path, mounts: Path) -> str:
    """Why nothing can be kept in the folder, which is made where it is not there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = kind_of(path.resolve(), mounts)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if kind not in IN_RAM:
        return f"{path} lies on {kind}, which keeps what is erased"
    return ""


def kind_of(path: Path, mounts: Path) -> str:
    """The kind of file system that `path` lies on (proc(5), /proc/self/mounts)."""
    found = ("/", "none")
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, where, kind, *_ = line.split(" ")
        where = OCTAL.sub(lambda found: chr(int(found[1], 8)), where)  # a space in it stands there as \040
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
    """Whole or not at all; what was there is overwritten afterwards, so that no page of it is left to be read."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(descriptor, document) < len(document):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
    with contextlib.ExitStack() as opened:
        before = None
        with contextlib.suppress(OSError):
            before = opened.enter_context(path.open("r+b"))
        new.replace(path)
        if before is not None:
            _blank(before)


def _erase(path: Path) -> None:
    for one in (path.with_suffix(".new"), path):
        _erase_one(one)


def _erase_one(path: Path) -> None:
    _overwrite(path)
    path.unlink(missing_ok=True)


def _overwrite(path: Path) -> None:
    """As well as can be: what cannot be overwritten is erased all the same."""
    with contextlib.suppress(OSError), path.open("r+b") as file:
        _blank(file)


def _blank(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
