"""`modicum profile`: who drives."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import asked, config_option, json_option, printed


@click.group(name="profile")
def profile_group() -> None:
    """The drivers of this car. Every trip starts as guest until one is confirmed."""


@profile_group.command(name="list")
@config_option
@json_option
def list_(config: Path, as_json: bool) -> None:
    """The drivers, and who is driving."""
    result = asked(config, "profile.list")
    rows = [f"{'*' if row['name'] == result['current'] else ' '} {row['name']} ({row['kind']})" for row in result["profiles"]]
    printed(result, as_json=as_json, text="\n".join([*rows, f"driving: {result['current']}"]))


@profile_group.command()
@click.argument("name")
@config_option
@json_option
def use(name: str, config: Path, as_json: bool) -> None:
    """Confirm that NAME drives this trip (or guest)."""
    result = asked(config, "profile.use", name=name)
    printed(result, as_json=as_json, text=f"driving: {result['current']}")


@profile_group.command()
@click.argument("name")
@click.option("--minor", is_flag=True, help="nothing sensitive without a guardian")
@config_option
@json_option
def add(name: str, minor: bool, config: Path, as_json: bool) -> None:
    """Add a driver with grants of their own."""
    result = asked(config, "profile.add", name=name, minor=minor)
    printed(result, as_json=as_json, text=f"added: {result['name']}")
