"""`modicum audit`: what left, to whom, why. No value and no position stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli.agent_side import asked, config_option, json_option, printed
from agent.cli.words import basis, counted, doubt, moment

HEADER = ("time", "stream", "recipient", "identity", "messages", "values", "basis")
NOTE = "(a position counts as one value here)"


@click.group(name="audit")
def audit_group() -> None:
    """The record of disclosures."""


@audit_group.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="how many")
@config_option
@json_option
def show(limit: int, config: Path, as_json: bool) -> None:
    """The newest disclosures; streams without identity as daily counts."""
    result = asked(config, "audit.show", limit=limit)
    printed(result, as_json=as_json, text="\n".join([*table([HEADER, *map(_row, result)]), NOTE]) if result else "nothing has left yet")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    """One entry: a message, the count of a day, or what is left of entries that had to go."""
    believed = entry.get("trusted", True)
    match entry["kind"]:
        case "disclosure":
            when, messages = moment(entry["t"], believed=believed), 1
        case "disclosure_day":
            when, messages = f"{entry['day']}{' so far' if entry.get('open') else ', whole day'}{doubt(believed)}", entry["messages"]
        case "unlocked":
            return (
                moment(entry["t"], believed=believed),
                f"(unlocked for a technician for {counted(entry['minutes'], 'minute')}: {entry['reason']})",
                *("",) * 5,
            )
        case "compacted":
            return (moment(entry["t"], believed=believed), f"({entry['entries']} older entries, now counts of a day)", *("",) * 5)
        case _:
            return ("", "(erased with its driver)", *("",) * 5)
    said = (entry["stream"], entry["recipient"], entry["identity"], str(messages), str(entry["samples"]), basis(entry["basis_ref"]))
    return (when, *said)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows in columns as wide as their widest cell; a note, which fills no other cell, makes no column wider."""
    full = [row for row in rows if all(row[2:3])]
    widths = [max(len(row[column]) for row in full) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
