"""How a daemon ends in time: everything is closed at once, and what does not close keeps nobody waiting for longer than said."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

Close = Callable[[], object]
log = logging.getLogger("modicum")


def close_all(closes: Iterable[Close], within_s: float) -> None:
    """Each in a thread of its own: one may wait for a device or a network that does not answer. What is left then ends with the process."""
    threads = [threading.Thread(target=_close, args=(close,), name="closing", daemon=True) for close in closes]
    deadline_s = time.monotonic() + within_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline_s - time.monotonic(), 0.0))


def _close(close: Close) -> None:
    try:
        close()
    except Exception as error:  # noqa: BLE001  the others are closed all the same, and the process ends
        log.warning("could not be closed: %s", type(error).__name__)
