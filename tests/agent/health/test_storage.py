"""What is said of a file system and its flash, from real calls and from a /sys that the test writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.health.device import swap
from agent.health.facts import FlashFacts, SwapFacts
from agent.health.storage import disk_facts, swap_facts

DAY_S = 86_400.0
STAT = "1 2 3 4 5 6 {} 8 9 10 11\n"


def block(sys: Path, folder: Path, *, partition: bool = True, sectors: int = 0) -> Path:
    """A medium with the folder's own device number; its whole device."""
    disk = sys / "devices" / "mmcblk0"
    node = disk / "mmcblk0p2" if partition else disk
    node.mkdir(parents=True)
    if partition:
        (node / "partition").write_text("2\n")
    (node / "stat").write_text(STAT.format(1))
    (disk / "stat").write_text(STAT.format(sectors))
    device = folder.stat().st_dev
    (sys / "dev" / "block").mkdir(parents=True)
    (sys / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}").symlink_to(node)
    return disk


def test_a_real_folder_is_as_the_system_says(tmp_path: Path) -> None:
    """Room as df counts it, writable."""
    facts, real = disk_facts(tmp_path, tmp_path / "no-sys"), os.statvfs(tmp_path)
    assert facts.total == (real.f_blocks - real.f_bfree + real.f_bavail) * real.f_frsize
    assert 0 < facts.free <= facts.total
    assert (facts.problem, facts.read_only, facts.flash, facts.written_per_day) == ("", False, None, None)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Nothing else is known of it."""
    assert disk_facts(tmp_path / "none").problem == "No such file or directory"


def test_the_wear_of_an_emmc_is_read_from_its_whole_device(tmp_path: Path) -> None:
    """The worse of its two estimates, which are in tenths, and the spare."""
    disk = block(tmp_path / "sys", tmp_path)
    (disk / "device").mkdir()
    (disk / "device" / "life_time").write_text("0x02 0x0B\n")
    (disk / "device" / "pre_eol_info").write_text("0x02\n")
    assert disk_facts(tmp_path, tmp_path / "sys").flash == FlashFacts(life_tenths=11, spare=2)


@pytest.mark.parametrize("partition", [True, False])
def test_what_was_written_is_that_of_the_whole_device_for_a_day(tmp_path: Path, partition: bool) -> None:
    """Sectors of 512 bytes since the start, two days ago."""
    block(tmp_path / "sys", tmp_path, partition=partition, sectors=4000)
    assert disk_facts(tmp_path, tmp_path / "sys", lambda: 2 * DAY_S).written_per_day == 2000 * 512


def test_soon_after_the_start_nothing_is_said_of_a_day(tmp_path: Path) -> None:
    """The start itself writes much."""
    block(tmp_path / "sys", tmp_path, sectors=4000)
    assert disk_facts(tmp_path, tmp_path / "sys", lambda: 3599.0).written_per_day is None


def test_below_a_mapper_the_real_device_is_looked_at(tmp_path: Path) -> None:
    """An encrypted file system lies on one; its own numbers would count nothing of the flash."""
    sys = tmp_path / "sys"
    disk = block(sys, tmp_path, sectors=4000)
    link = next((sys / "dev" / "block").iterdir())
    mapper = sys / "devices" / "dm-0"
    (mapper / "slaves").mkdir(parents=True)
    (mapper / "slaves" / "mmcblk0p2").symlink_to(disk / "mmcblk0p2")
    link.unlink()
    link.symlink_to(mapper)
    assert disk_facts(tmp_path, sys, lambda: DAY_S).written_per_day == 4000 * 512


def cgroup(sys: Path, name: str, limit: str | None) -> None:
    """As systemd makes it for a service that runs; None: of a kernel without the memory controller."""
    folder = sys / "fs" / "cgroup" / "system.slice" / f"{name}.service"
    folder.mkdir(parents=True)
    if limit is not None:
        (folder / "memory.swap.max").write_text(f"{limit}\n")


@pytest.mark.parametrize("limit", [None, "max", "4096"])
def test_a_service_that_the_kernel_does_not_keep_out_of_swap_is_named(tmp_path: Path, limit: str | None) -> None:
    """Whatever its unit asks for; one that is kept out, does not run or is not ours is not."""
    cgroup(tmp_path, "modicum-core", limit)
    cgroup(tmp_path, "modicum-uplink", "0")
    cgroup(tmp_path, "ssh", None)
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type\n/var/swap file\n")
    assert swap_facts(swaps, tmp_path) == SwapFacts(on=True, open=("modicum-core",))
    swaps.write_text("Filename Type\n")
    assert swap_facts(swaps, tmp_path) == SwapFacts(on=False)


def test_what_does_not_tell_of_swap_is_not_known(tmp_path: Path) -> None:
    """A sandbox hides it; that is no word of there being none."""
    facts = swap_facts(tmp_path / "swaps", tmp_path)
    assert (facts, swap(facts).known) == (SwapFacts(on=None), False)
