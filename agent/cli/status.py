"""`modicum status`: health at a glance."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import asked, config_option, json_option, printed


@click.command(name="status")
@config_option
@json_option
def status_command(config: Path, as_json: bool) -> None:
    """Clock, buses, receiver, plan, buffer, connections and findings. Never a value or a place."""
    result = asked(config, "status")
    rows = [f"clock: {result['clock']['source']}", f"at rest: {result['at_rest']}"]
    for bus in result["buses"]:
        problem = f"; {bus['problem']}" if bus["problem"] else ""
        rows.append(f"bus {bus['name']}: {bus['read']} frames read, {bus['delivered']} delivered, {bus['lost']} lost{problem}")
    rows += [
        f"fixes: {result['fixes']}",
        f"plan: {result['plan']['rules']} rules, {result['plan']['refused']} withheld",
        f"samples: {result['samples']}, offered {result['offered']}, acknowledged {result['acknowledged']}",
    ]
    rows += [f"lane {lane}: {'online' if row['online'] else 'offline ' + row['why']}" for lane, row in result["lanes"].items()]
    rows += [f"buffer {stream}: {row}" for stream, row in result["buffer"].items()]
    rows += [f"{one['severity']}: {one['text']}: {one['hint']}" for one in result["findings"]]
    printed(result, as_json=as_json, text="\n".join(rows))
