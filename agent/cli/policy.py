"""`modicum policy`: the notice that the driver is shown, and its acknowledgement."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import asked, config_option, json_option, printed


@click.group(name="policy")
def policy_group() -> None:
    """Read and acknowledge the policy. Acknowledging it is not a consent to any item."""


@policy_group.command()
@click.option("--version", help="an earlier version")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="of the text")
@config_option
@json_option
def show(version: str | None, language: str, config: Path, as_json: bool) -> None:
    """The text of a version, the newest unless told otherwise."""
    result = asked(config, "policy.show", version=version, language=language)
    printed(result, as_json=as_json, text=f"{result['text']}\nversion {result['version']}, acknowledged: {result['accepted'] or 'none'}")


@policy_group.command()
@click.option("--version", help="an earlier version")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="the text that was read")
@config_option
@json_option
def accept(version: str | None, language: str, config: Path, as_json: bool) -> None:
    """Acknowledge a version."""
    result = asked(config, "policy.accept", version=version, language=language)
    printed(result, as_json=as_json, text=f"acknowledged: {result['accepted']}")
