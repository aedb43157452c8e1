"""How a daemon that has agent.toml alone to know is started: its one argument, no core dump, no file for others, errors in one line."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from agent.errors import ModicumError
from agent.settings import Settings, load_settings

DEFAULT_CONFIG = Path("/etc/modicum/agent.toml")


def started(name: str, what: str, run: Callable[[Settings], None]) -> int:
    """Runs `run` with the settings until it returns. The exit status, as the command line's."""
    parser = argparse.ArgumentParser(prog=name, description=what)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="agent.toml of this device")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    try:
        run(load_settings(arguments.config))
    except ModicumError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0
