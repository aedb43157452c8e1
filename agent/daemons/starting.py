"""How a daemon that has agent.toml alone to know is started: its one argument, memory and files for nobody else, errors in one line."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import resource
import sys
from collections.abc import Callable, Container
from pathlib import Path

from agent.errors import ModicumError
from agent.settings import Settings, load_settings

PR_SET_DUMPABLE = 4
DEFAULT_CONFIG = Path("/etc/modicum/agent.toml")


def started(name: str, what: str, run: Callable[[Settings, Path], int | None], sections: Container[str] | None = None) -> int:
    """Runs `run` with the settings, or these sections of them, and their file until it returns.

    The exit status is its own, or the command line's.
    """
    parser = argparse.ArgumentParser(prog=name, description=what)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="agent.toml of this device")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    keep_private()
    try:
        return run(load_settings(arguments.config, sections), arguments.config) or 0
    except ModicumError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status


def keep_private() -> None:
    """What this process knows stays in it: no core dump, no tracing and no look at its memory by its own user, no file for others.

    Root can look all the same. Source: prctl(2), PR_SET_DUMPABLE.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
