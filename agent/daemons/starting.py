"""How a daemon that has agent.toml alone to know is started: its one argument, memory and files for nobody else, errors in one line."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import resource
import sys
import threading
import traceback
from collections.abc import Callable, Container
from pathlib import Path
from types import TracebackType

from agent.errors import ModicumError
from agent.settings import Settings, load_settings

PR_SET_DUMPABLE = 4
DEFAULT_CONFIG = Path("/etc/modicum/agent.toml")
FRAMES_MAX = 20
"""Of a fault's way, the last ones: an endless recursion has a thousand."""


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

    Of a fault that nobody foresaw it tells no word that could hold a value. Root can look all the same. Source: prctl(2), PR_SET_DUMPABLE.
    """
    sys.excepthook = _tell
    threading.excepthook = lambda fault: _tell(fault.exc_type, None, fault.exc_traceback)
    sys.unraisablehook = lambda fault: _tell(fault.exc_type, None, fault.exc_traceback)
    logging.raiseExceptions = False  # what could not be written would be printed with its arguments
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _tell(kind: type[BaseException], _: BaseException | None, trace: TracebackType | None) -> None:
    """One line in place of Python's own traceback, whose messages have values in them: what kind of fault, and the way to it."""
    if issubclass(kind, SystemExit):
        return
    frames = [(frame.f_globals.get("__name__"), frame.f_code.co_qualname, line) for frame, line in traceback.walk_tb(trace)]
    way = " > ".join(f"{module}.{function}:{line}" for module, function, line in frames[-FRAMES_MAX:])
    sys.stderr.write(f"modicum: a fault of ours: {kind.__name__} ({way}): report it\n")
