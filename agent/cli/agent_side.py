"""Asking a running agent: which one (--config), and how its answer is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.control.protocol import ask
from agent.errors import UsageError
from agent.settings import load_settings

CONFIG_DEFAULT = Path("/etc/modicum/agent.toml")
F = TypeVar("F", bound=Callable[..., Any])


def config_option(function: F) -> F:
    """`--config FILE`: the agent that is asked."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=CONFIG_DEFAULT,
        envvar="MODICUM_CONFIG",
        show_default=True,
        help="agent.toml of the agent",
    )(function)


def json_option(function: F) -> F:
    """`--json`"""
    return click.option("--json", "as_json", is_flag=True, help="print one JSON document")(function)


def asked(config: Path, route: str, **args: object) -> Any:  # noqa: ANN401  each route has its own result
    """The agent's answer."""
    if not config.exists():
        raise UsageError("no agent.toml", str(config), "name the agent's own with --config FILE (a running bench prints its)")
    return ask(load_settings(config).control.socket, route, **args)


def printed(result: object, *, as_json: bool, text: str) -> None:
    """The answer as JSON or as text."""
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else text)
