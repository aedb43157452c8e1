"""agent.ecall.store: whole or not at all, in RAM or not at all, and never the cost of a call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.ecall.store import Store, kind_of

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
tmpfs /run/a\\040b ramfs rw 0 0
/dev/sda2 /run/disk ext4 rw 0 0
"""


@pytest.fixture
def ram() -> Iterator[Path]:
    """A folder of a tmpfs."""
    shm = Path("/dev/shm")
    if kind_of(shm, Path("/proc/self/mounts")) != "tmpfs":
        pytest.skip("no tmpfs at /dev/shm")
    with TemporaryDirectory(dir=shm) as folder:
        yield Path(folder) / "ecall"


def test_what_was_written_is_read_until_it_is_erased(ram: Path) -> None:
    """By this run and by the next one."""
    store = Store(ram)
    assert (store.read(), store.problem) == (None, "")
    store.write(b"first")
    store.write(b"second, which is longer")
    assert Store(ram).read() == b"second, which is longer"
    store.write(None)
    assert (store.read(), Store(ram).read()) == (None, None)
    assert list(ram.iterdir()) == []


def test_nobody_else_reads_it(ram: Path) -> None:
    """Neither the folder nor the file."""
    Store(ram).write(b"call")
    assert ram.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in ram.iterdir())


def test_nothing_is_written_where_a_disk_would_keep_it(tmp_path: Path) -> None:
    """The folder is there, and nothing in it; what to do is said."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\n/dev/sda2 {tmp_path} ext4 rw 0 0\n")
    store = Store(tmp_path / "ecall", mounts)
    store.write(b"call")
    store.arm()
    assert "lies on ext4" in store.problem
    assert (store.read(), store.armed, list((tmp_path / "ecall").iterdir())) == (None, False, [])


@pytest.mark.parametrize(
    ("path", "kind"), [("/etc", "ext4"), ("/run/x", "tmpfs"), ("/run/disk/x", "ext4"), ("/run/a b/x", "ramfs"), ("/running", "ext4")]
)
def test_the_kind_is_that_of_the_nearest_mount(tmp_path: Path, path: str, kind: str) -> None:
    """By whole names, also with a space in them."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert kind_of(Path(path), mounts) == kind


def test_a_folder_that_cannot_be_made_costs_nothing(tmp_path: Path) -> None:
    """A file is in its place: nothing is kept, nothing is raised."""
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "ecall")
    store.write(b"call")
    assert store.problem
    assert store.read() is None


def test_a_file_that_cannot_be_written_costs_nothing(ram: Path) -> None:
    """A folder is in its place."""
    store = Store(ram)
    (ram / "call").mkdir()
    (ram / "call" / "x").write_text("")
    store.write(b"call")
    assert store.problem


def test_the_beginning_is_remembered(ram: Path) -> None:
    """For the next run of the program."""
    assert not Store(ram).armed
    store = Store(ram)
    store.arm()
    assert Store(ram).armed
    (ram / "armed").unlink()
    store.arm()
    assert not store.armed  # it is said once, and not with every frame
