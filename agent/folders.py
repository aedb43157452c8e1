"""Where the files lie that come with the product."""

from __future__ import annotations

import os
from pathlib import Path

from agent.errors import UsageError

CONFIG_VARIABLE = "MODICUM_CONFIG_DIR"


def config_folder() -> Path:
    """The `config/` folder: $MODICUM_CONFIG_DIR, else the one beside the installed `agent/`. Raises UsageError."""
    named = os.environ.get(CONFIG_VARIABLE)
    places = [Path(named)] if named else [parent / "config" for parent in Path(__file__).resolve().parents]
    for place in places:
        if (place / "catalogue").is_dir():
            return place
    raise UsageError("no config folder with a catalogue", named or "", f"set {CONFIG_VARIABLE} or name --catalogue DIR")


def vehicle_folder(platform: str) -> Path:
    """The vehicle that comes under this name."""
    return config_folder() / "vehicles" / platform
