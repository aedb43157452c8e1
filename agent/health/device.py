"""The checks of the device itself: clock, disk and flash, swap, keys, certificates. Pure: facts in, findings out."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.clock import NS, RELEASE_NS
from agent.health.facts import CertificateFacts, ClockFacts, DiskFacts, KeyFacts, SwapFacts
from agent.health.saying import Result, counted_bytes
from agent.model import Finding, error, info, warning

FREE_SHARE_FULL, FREE_SHARE_LOW = 0.01, 0.05
"""At 99 % a database's journal may find no room any more, and a flash controller none to level wear."""
LIFE_WORN, LIFE_OVER = 9, 11
"""Of ten tenths; 11: beyond the life that the maker promises (JEDEC eMMC 5.0, DEVICE_LIFE_TIME_EST)."""
SPARE_LOW, SPARE_URGENT = 2, 3
"""PRE_EOL_INFO: 80 % of the spare blocks are used, 90 %."""
EXPIRES_S = 14 * 86_400


def clock(facts: ClockFacts) -> Result:
    """Whether the time can be believed."""
    host = f"{datetime.fromtimestamp(facts.host_s, UTC):%Y-%m-%d %H:%M} UTC"
    found = []
    if facts.host_s < RELEASE_NS / NS:
        text = f"the host's clock says {host}, which is before this release was made"
        found.append(
            error("clock-past", text, "let NTP set it (timedatectl): certificates go by it; then see the battery of the real-time clock")
        )
    if facts.trusted is False:
        found.append(warning("clock-unsure", "the time is not known for sure", "wait for a fix or for NTP"))
    agent = {None: "", False: "; the agent believes no source", True: f"; the agent has its time from {facts.source}"}[facts.trusted]
    return Result("clock", f"the host's {host}{agent}", tuple(found))


def disk(facts: DiskFacts | None) -> Result:
    """The file system that holds the state, and the flash below it."""
    if facts is None:
        return Result("disk", "not looked at")
    if facts.problem:
        text = f"the state folder cannot be used: {facts.problem}"
        return Result("disk", facts.problem, (error("disk-unusable", text, f"see {facts.folder}: its mount, and its owner"),))
    found = [one for one in (_writable(facts), _room(facts), _inodes(facts), _wear(facts)) if one is not None]
    says = f"{counted_bytes(facts.free)} of {counted_bytes(facts.total)} free"
    if facts.written_per_day is not None:
        says += f", {counted_bytes(facts.written_per_day)} written a day"
    if facts.flash is not None:
        says += (
            f", flash used to at most {10 * min(facts.flash.life_tenths, 10)} %"
            if facts.flash.life_tenths
            else ", flash does not tell its wear"
        )
    return Result("disk", says, tuple(found))


def _writable(facts: DiskFacts) -> Finding | None:
    if not facts.read_only:
        return None
    hint = "see dmesg for errors of the medium: a file system that met one goes read-only; else mount it writable"
    return error("disk-read-only", "the state folder lies on a read-only file system: nothing is kept", hint)


def _room(facts: DiskFacts) -> Finding | None:
    share = facts.free / facts.total if facts.total else 0.0
    if share > FREE_SHARE_LOW:
        return None
    text = f"the disk is {1 - share:.0%} full ({counted_bytes(facts.free)} left)"
    hint = "find what fills it (du -x), make room, or lower quota_mib of [state]"
    return error("disk-full", text, hint) if share <= FREE_SHARE_FULL else warning("disk-low", text, hint)


def _inodes(facts: DiskFacts) -> Finding | None:
    if not facts.inodes or facts.inodes_free > FREE_SHARE_FULL * facts.inodes:  # some file systems have no fixed number of them
        return None
    return error("disk-inodes", "no further file can be made: the inodes are used up", "find the folder with the many files (du --inodes)")


def _wear(facts: DiskFacts) -> Finding | None:
    flash, hint = facts.flash, "plan to replace the medium; see what writes so much"
    if flash is None:
        return None
    if flash.life_tenths >= LIFE_OVER or flash.spare >= SPARE_URGENT:
        return error("flash-worn-out", "the flash is at the end of its life: it may turn read-only any day", "replace the medium now")
    if flash.life_tenths >= LIFE_WORN or flash.spare >= SPARE_LOW:
        return warning("flash-worn", "the flash has used up most of its life", hint)
    return None


def swap(facts: SwapFacts | None) -> Result:
    """Whether what our programs know stays in memory."""
    if facts is None:
        return Result("swap", "not looked at")
    if facts.on is None:
        return Result("swap", "not known: there is no /proc/swaps here", known=False)
    if not facts.open:
        return Result("swap", "on; of our services none that runs can get there" if facts.on else "off")
    text = f"{', '.join(facts.open)}: memory may be swapped to the medium, with keys, places and the VIN: the kernel does not keep it out"
    hint = "switch swap off, or add cgroup_enable=memory to cmdline.txt (Raspberry Pi OS) and reboot"
    hint += "; then modicum keys rotate, for what was swapped lies there still"
    return Result("swap", "on, and open to our services", (error("swap-open", text, hint),))


def keys(facts: KeyFacts) -> Result:
    """Whether there are keys that open, and for whom else."""
    found = []
    if facts.missing:
        text = f"no key: {facts.missing}"
        found.append(error("key-missing", text, facts.cure or "see the disk and its mount; a new device: modicum keys init"))
    if facts.wrong:
        hint = "hand in this device's own credential again; with another one nothing that is stored can be read"
        found.append(error("key-wrong", f"the credential does not open this device's keys: {facts.wrong}", hint))
    hint = "chmod 600 it, for it is modicum-core's alone; then modicum keys rotate, for what it was counts as known"
    found += [error("key-open", f"others can read {name}", hint) for name in facts.open]
    hint = "chmod 640 it, group that of its service (modicum-uplink, modicum-ecall); it counts as known: ask who issued it for a new pair"
    found += [error("key-open", f"others can read {name}", hint) for name in facts.issued]
    if facts.at_rest == "weak":
        text = "at rest: weak: the credential lies beside the data that it protects"
        found.append(info("at-rest-weak", text, "a credential that systemd hands in, sealed to a TPM, is stronger ([keys] provider)"))
    if facts.at_rest == "not-known":
        text = "at rest: not known: nothing shows how the credential rests, so it counts as weak"
        hint = "sudo systemctl stop modicum-core; modicum keys rotate (it makes another one, and remembers how); start modicum-core again"
        found.append(info("at-rest-weak", text, hint))
    says = facts.missing or facts.wrong or (f"not looked at: {facts.unseen}" if facts.unseen else "they open")
    return Result("keys", f"{says}{f'; at rest: {facts.at_rest}' if facts.at_rest else ''}", tuple(found), known=not facts.unseen)


def certificate(one: CertificateFacts, clock_facts: ClockFacts) -> Result:
    """One certificate; with a clock that cannot be right nothing is said of its dates."""
    if one.unseen:
        return Result(one.what, f"not looked at: {one.unseen}", known=False)
    found = _unusable(one)
    if found is None and clock_facts.host_s >= RELEASE_NS / NS:
        found = _dates(one, clock_facts.host_s)
    ends = f"valid until {datetime.fromtimestamp(one.ends_s, UTC):%Y-%m-%d}" if one.ends_s else "not looked at"
    return Result(one.what, one.problem or ends, (found,) if found else ())


def _unusable(one: CertificateFacts) -> Finding | None:
    if one.problem:
        return error("certificate-unreadable", f"{one.what} cannot be used: {one.problem}", f"put the PEM file at {one.file}, readable")
    if one.matches is False:
        return error(
            "certificate-key",
            f"the key beside {one.what} belongs to another certificate",
            f"put the pair that belongs together: {one.file}",
        )
    return None


def _dates(one: CertificateFacts, now_s: float) -> Finding | None:
    if now_s < one.begins_s:
        return error("certificate-early", f"{one.what} is not valid yet", "see the clock; else wait, or ask who issued it")
    if now_s > one.ends_s:
        return error("certificate-expired", f"{one.what} has expired", "ask who issued it for a new one")
    if one.ends_s - now_s < EXPIRES_S:
        days = int((one.ends_s - now_s) / 86_400)
        return warning("certificate-ends", f"{one.what} ends within {days + 1} days", "ask who issued it for a new one")
    return None
