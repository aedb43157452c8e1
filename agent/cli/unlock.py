"""`modicum unlock` and `modicum lock`: whether VIN and place are shown in diagnostics for now."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import asked, config_option, json_option, printed
from agent.core.unlocking import MINUTES_MAX


@click.command(name="unlock")
@click.option("--minutes", type=click.IntRange(1, MINUTES_MAX), required=True, help="for how long")
@click.option("--reason", required=True, help="why, in a line; it is kept in the audit log, so no name and no number of a person or a car")
@config_option
@json_option
def unlock_command(minutes: int, reason: str, config: Path, as_json: bool) -> None:
    """Show the VIN in `status` and the place in `gnss watch`, to root and the agent's user, for some minutes.

    Use it where a fault cannot be found without. It is entered in the audit log, shown by `status` and `live`, and ends with its time,
    with `modicum lock`, when the ignition changes and when the agent starts anew.
    """
    result = asked(config, "unlock", minutes=minutes, reason=reason)
    printed(result, as_json=as_json, text=f"{unlocked_line(result)}; entered in the audit log")


@click.command(name="lock")
@config_option
@json_option
def lock_command(config: Path, as_json: bool) -> None:
    """Mask VIN and place again, at once."""
    printed(asked(config, "lock"), as_json=as_json, text="VIN and place are masked")


def unlocked_line(unlocked: dict[str, object]) -> str:
    """For a person; empty while it is locked."""
    left_s = int(str(unlocked["left_s"]))
    return f"UNLOCKED: VIN and place are shown for {left_s // 60} min {left_s % 60} s ({unlocked['reason']})" if left_s else ""
