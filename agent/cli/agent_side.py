"""Asking a running agent: which one (--config), and how its answer is printed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.catalogue.types import Catalogue
from agent.cli.options import F
from agent.control.protocol import MEMBERS, ask
from agent.errors import NotPermitted, UsageError
from agent.settings import Settings, load_settings

CONFIG_DEFAULT = Path("/etc/modicum/agent.toml")


def config_option(function: F) -> F:
    """`--config FILE`: the agent that is asked."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, readable=False),
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
    return ask(settings_of(config).control.socket, route, **args)


def settings_of(config: Path) -> Settings:
    """The agent's settings. Raises UsageError where there is no such file, NotPermitted where this user may not read it."""
    try:
        there = config.exists()
    except PermissionError:
        there = True
    if there and not os.access(config, os.R_OK):
        raise NotPermitted("this user may not read it", str(config), MEMBERS)
    if not there:
        raise UsageError("no agent.toml", str(config), "name the agent's own with --config FILE (a running bench prints its)")
    return load_settings(config)


def catalogue_of(config: Path) -> Catalogue:
    """The catalogue that the agent works with."""
    return load_catalogue(settings_of(config).catalogue.dir or shipped_catalogue())


def printed(result: object, *, as_json: bool, text: str) -> None:
    """The answer as JSON or as text."""
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else text)
