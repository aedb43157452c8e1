"""The factory reset of the state folder: what an owner left there is unreadable and gone, and a reset that was cut is completed.

Promises: what a reset that `begin` noted left in the folder is made unreadable by whoever takes the folder next, before a key is opened;
one that it did not note has changed nothing. It stays noted until `end`, for the credential may lie where only root can replace it: no key
is opened before that is done. The keys go first, overwritten, so that whatever of the databases the medium still holds opens no more.
What a flash chip keeps of overwritten pages is out of reach here (docs/keys.md).
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.errors import DeviceError
from agent.seal.keyblock import DATABASES, erase, sync_folder

MARK = "reset"
CREDENTIAL = "credential"


def begin(folder: Path) -> None:
    """From now on the folder is reset, whatever is cut. Raises DeviceError; then nothing has changed."""
    try:
        (folder / MARK).touch(mode=0o600)
        sync_folder(folder)
    except OSError as error:
        (folder / MARK).unlink(missing_ok=True)
        raise DeviceError(f"the reset cannot begin: {error.strerror}", str(folder), "check its disk and its owner") from error


def begun(folder: Path) -> bool:
    """Whether a reset was begun and not ended."""
    return (folder / MARK).exists()


def complete(folder: Path) -> None:
    """Makes everything in the folder unreadable, and removes it; again does no harm. Raises DeviceError; then it is not complete."""
    try:
        erase(folder)
        overwrite(folder / CREDENTIAL)
        for name in DATABASES:
            for path in folder.glob(f"{name}.db*"):  # with its WAL, and those that were set aside
                path.unlink()
        sync_folder(folder)
    except OSError as error:
        raise DeviceError(f"the reset is not complete: {error.strerror}", str(folder), "check its disk and its owner") from error


def end(folder: Path) -> None:
    """The folder holds new keys, under a new credential; nothing to do where no reset was begun. Raises OSError."""
    if begun(folder):
        (folder / MARK).unlink()
        sync_folder(folder)


def overwrite(path: Path) -> None:
    """Overwrites a small file and removes it, durable on return; nothing to do where there is none. Raises OSError."""
    if not path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, os.urandom(os.fstat(descriptor).st_size), 0)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    sync_folder(path.parent)
