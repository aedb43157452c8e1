"""`modicum live`: what is being collected right now."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import asked, config_option, json_option, printed
from agent.cli.unlock import unlocked_line
from agent.cli.words import moment

INDICATOR = {"off": "nothing is being collected", "on": "collecting", "position": "collecting, position among it"}


@click.command(name="live")
@config_option
@json_option
def live_command(config: Path, as_json: bool) -> None:
    """What is being collected right now, the indicator, and when each stream was last sent."""
    result = asked(config, "live")
    rows = [line] if (line := unlocked_line(result["unlocked"])) else []
    rows += [f"indicator: {INDICATOR[result['indicator']]}", f"driver: {result['profile']}"]
    for stream, signals in result["collecting"].items():
        last = result["last_sent"].get(stream)
        said = f" (last sent {moment(last, believed=stream not in result['last_sent_unsure'])})" if last else ""
        rows.append(f"  {stream}: {', '.join(signals)}{said}")
    printed(result, as_json=as_json, text="\n".join(rows))
