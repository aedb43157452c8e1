"""`modicum audit`: what left, to whom, why. No value and no position stands in it."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import asked, config_option, json_option, printed


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
    rows = [" ".join(f"{key}={value}" for key, value in entry.items() if value not in (None, "", [])) for entry in result]
    printed(result, as_json=as_json, text="\n".join(rows) or "nothing has left yet")
