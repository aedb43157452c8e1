"""`modicum request`: the head unit asks, in person, for a stream that is sent only when somebody asks for it."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import config_option, json_option, printed, settings_of
from agent.control.protocol import REQUEST_S_MAX, ask_within
from agent.errors import FindingsError


@click.command(name="request")
@click.argument("stream", metavar="STREAM")
@config_option
@json_option
def request_command(stream: str, config: Path, as_json: bool) -> None:
    """Ask for STREAM (service.stream): breakdown, find the vehicle, information nearby, journey advice, a workshop's case.

    Waits up to 30 s for what has to be fresh, a position for example. Exit 1 when it may not leave, or when nothing was to be had.
    """
    result = ask_within(settings_of(config).control.socket, "request", {"stream": stream}, REQUEST_S_MAX)
    given, none = result["given"], result["none"]
    printed(result, as_json=as_json, text=f"{stream}: {len(given)} collected{told_of(none)}; it is sent as soon as there is a way")
    if not given:
        raise FindingsError(f"{stream}: nothing was to be had", "request", "is there a fix, and does the car answer? try again")


def told_of(none: list[str]) -> str:
    """The signals that were not to be had, if any."""
    return f", not to be had: {', '.join(none)}" if none else ""
