"""Waiting for something that another thread or process does: as short as it takes, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_S = 30.0
"""Far more than anything takes, so that a busy computer fails no test; only what never comes costs this."""


def until(holds: Callable[[], object], what: str = "it", within_s: float = WAIT_S, pause_s: float = 0.01) -> float:
    """Returns once `holds` says yes: how many seconds it took. Asked at least once more after the time is over."""
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() < began_s + within_s, f"waited {within_s:.0f} s in vain for {what}"
        time.sleep(pause_s)
    return time.monotonic() - began_s
