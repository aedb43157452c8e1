"""How a check says what it found."""

from __future__ import annotations

from typing import NamedTuple

from agent.model import Finding


class Result(NamedTuple):
    """What a check has to say: of what, how it stands in plain words, and what is wrong with it.

    `known`: whether it could look. `bad`: that it is in error is told by another's finding.
    """

    name: str
    says: str
    findings: tuple[Finding, ...] = ()
    known: bool = True
    bad: bool = False


def counted_bytes(number: float) -> str:
    """For a person: 999 bytes, 1.5 KiB, 20 MiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "bytes" or number >= 10 else f"{number:.1f} {unit}"


def age(seconds: float) -> str:
    """For a person: 12 s, 3 min, 5 h, 2 d."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
