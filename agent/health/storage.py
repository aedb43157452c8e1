"""What the system says of the file system that holds a folder, of the flash below it, and of memory that goes there. Writes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.health.facts import DiskFacts, FlashFacts, SwapFacts

SYS = Path("/sys")
SWAPS = Path("/proc/swaps")
SERVICES = ("modicum-core", "modicum-ecall", "modicum-uplink")
SECTOR_BYTES = 512
"""Of /sys/.../stat, whatever the medium's own (Documentation/block/stat.rst)."""
SECTORS_WRITTEN = 6
"""Its place there, from 0."""
UP_S_MIN = 3600.0
"""What was written since a start less long ago says nothing of a day."""


def disk_facts(folder: Path, sys: Path = SYS, up_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)) -> DiskFacts:
    """The file system of `folder`."""
    try:
        found, device = os.statvfs(folder), folder.stat().st_dev
    except OSError as error:
        return DiskFacts(folder=folder, problem=error.strerror or "it cannot be looked at")
    disks = list(_disks((sys / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}").resolve()))
    return DiskFacts(
        folder=folder,
        total=(found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize,  # without what is reserved for root, as df counts
        free=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_favail,
        read_only=bool(found.f_flag & os.ST_RDONLY),
        flash=next((flash for disk in disks if (flash := _flash(disk / "device"))), None),
        written_per_day=_written_per_day(disks, up_s()),
    )


def swap_facts(swaps: Path = SWAPS, sys: Path = SYS) -> SwapFacts:
    """Whether there is swap, on whatever medium, and whether MemorySwapMax=0 of our units holds.

    Without the kernel's memory controller (cgroup_disable=memory, with which Raspberry Pi OS boots) systemd ignores it without a word.
    """
    try:
        on = len(swaps.read_text().splitlines()) > 1
    except OSError:  # hidden, as in a sandbox, or a kernel that cannot swap
        return SwapFacts(on=None)
    cgroups = [Path(folder) for folder, *_ in os.walk(sys / "fs" / "cgroup")] if on else []
    found = {name: [one for one in cgroups if one.name == f"{name}.service"] for name in SERVICES}
    return SwapFacts(on=on, open=tuple(name for name, ours in found.items() if ours and not any(map(_kept_in_memory, ours))))


def _kept_in_memory(cgroup: Path) -> bool:
    try:
        return (cgroup / "memory.swap.max").read_text().strip() == "0"
    except OSError:
        return False


def _disks(node: Path) -> Iterator[Path]:
    """The whole devices below a block device: its own, or those that a mapper or a RAID lies on."""
    slaves = list((node / "slaves").glob("*"))
    if slaves:
        for slave in slaves:
            yield from _disks(slave.resolve())
    elif (node / "partition").exists():
        yield node.parent
    elif (node / "stat").exists():
        yield node


def _flash(device: Path) -> FlashFacts | None:
    """What an eMMC tells of its wear: two estimates, for its two kinds of cells, and how much of its spare is left."""
    try:
        life = max(int(one, 16) for one in (device / "life_time").read_text().split())
        return FlashFacts(life_tenths=life, spare=int((device / "pre_eol_info").read_text(), 16))
    except (OSError, ValueError):
        return None


def _written_per_day(disks: list[Path], up_s: float) -> float | None:
    try:
        sectors = [int((disk / "stat").read_text().split()[SECTORS_WRITTEN]) for disk in disks]
    except (OSError, ValueError, LookupError):
        return None
    return sum(sectors) * SECTOR_BYTES / up_s * 86_400 if sectors and up_s >= UP_S_MIN else None
