"""How a check says what it found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from agent.model import Finding

ORDER = ("error", "warning", "info")
"""Of severity: the worst first."""


class Result(NamedTuple):
    """What a check has to say: of what, how it stands in plain words, and what is wrong with it.

    `known`: whether it could look. `bad`: that it is in error is told by another's finding.
    """

    name: str
    says: str
    findings: tuple[Finding, ...] = ()
    known: bool = True
    bad: bool = False


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; those of one code with one thing to do as one, with what each concerns: "bus a, bus b: no frame comes"."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for one in sorted(findings, key=lambda one: ORDER.index(one.severity)):
        groups.setdefault((one.severity, one.code, one.hint), []).append(one)
    return [replace(group[0], text=_together(one.text for one in group)) for group in groups.values()]


def _together(texts: Iterable[str]) -> str:
    concerned: dict[str, list[str]] = {}
    for name, colon, what in (text.partition(": ") for text in dict.fromkeys(texts)):
        concerned.setdefault(colon + what, []).append(name)
    return "; ".join(f"{', '.join(names)}{what}" for what, names in concerned.items())


def unhealthy(findings: Iterable[Finding]) -> bool:
    """Whether there is an error or a warning."""
    return any(finding.severity != "info" for finding in findings)


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
