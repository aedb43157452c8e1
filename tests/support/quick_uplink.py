"""modicum-uplink as it is, with less patience between two attempts to connect."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.daemons.uplink import accesses, serve
from agent.settings import load_settings
from tests.support.core import QUICK

if __name__ == "__main__":
    settings = load_settings(Path(sys.argv[1]))
    serve(settings.link.socket, accesses(settings), QUICK)
