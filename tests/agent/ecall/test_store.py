"""agent.ecall.store: whole or not at all, in RAM or not at all, and never the cost of a call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.ecall.store import Store, kind_of, stands

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


@pytest.mark.parametrize(("fails", "left"), [(0, b"newer, and longer"), (1, b"newer, and longer"), (2, None), (9, None)])
@pytest.mark.parametrize("short", [True, False])
def test_what_is_out_of_date_does_not_outlive_a_lack_of_room(
    ram: Path, monkeypatch: pytest.MonkeyPatch, fails: int, left: bytes | None, *, short: bool
) -> None:
    """A call that is over stays neither beside nor instead of what says so; half a document is none. With room it is kept again."""
    store = Store(ram)
    store.write(b"a call")
    write, failures = os.write, iter(range(fails))

    def full(descriptor: int, data: bytes) -> int:
        if next(failures, None) is None:
            return write(descriptor, data)
        if short:
            return write(descriptor, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.ecall.store.os.write", full)
    store.write(b"newer, and longer")
    assert (Store(ram).read(), bool(store.problem)) == (left, left is None)
    assert b"a call" not in b"".join(path.read_bytes() for path in ram.iterdir())
    monkeypatch.undo()
    store.write(b"newest")
    assert (Store(ram).read(), store.problem, len(list(ram.iterdir()))) == (b"newest", "", 1)


def test_the_beginning_is_remembered(ram: Path) -> None:
    """For the next run of the program."""
    assert not Store(ram).armed
    store = Store(ram)
    store.arm()
    assert Store(ram).armed
    (ram / "armed").unlink()
    store.arm()
    assert not store.armed  # it is said once, and not with every frame


def test_a_kill_while_it_is_written_leaves_what_was_kept_before(ram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole; and the next run finds nothing of what was to come."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    store = Store(ram)
    store.write(b"the call as it was")
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(b"the call as it is")
    monkeypatch.undo()
    assert Store(ram).read() == b"the call as it was"
    assert [path.name for path in ram.iterdir()] == ["call"]


def test_what_was_replaced_is_overwritten(ram: Path) -> None:
    """Whoever still has the old file open reads nothing of it."""
    store = Store(ram)
    store.write(b"the call as it was")
    with (ram / "call").open("rb") as before:
        store.write(b"the call as it is")
        assert before.read() == bytes(len(b"the call as it was"))


def test_who_has_told_of_a_crash_is_not_past_the_beginning_any_more(ram: Path) -> None:
    """Until it is again."""
    store = Store(ram)
    store.arm()
    store.disarm()
    assert not Store(ram).armed
    store.arm()
    assert Store(ram).armed


def test_a_mount_with_a_name_of_any_bytes_is_no_matter(tmp_path: Path) -> None:
    """Somebody's stick."""
    mounts = tmp_path / "mounts"
    mounts.write_bytes(b"/dev/sdb1 /media/\xff\xfe vfat rw 0 0\n" + MOUNTS.encode())
    assert kind_of(Path("/run/x"), mounts) == "tmpfs"


def test_others_see_whether_a_call_stands(ram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it is kept; where nobody can look there may be one."""
    assert not stands(ram)
    store = Store(ram)
    store.write(b"a call")
    assert stands(ram)
    store.write(None)
    assert not stands(ram)

    def refused(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", refused)
    assert stands(ram)
