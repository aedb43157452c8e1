"""What core's audit log gets to know of a call that is over: that it was, of which kind, and how far it came.

Promises that no content and no place is told, and that the call never waits for core: a thread of its own tells it, again and again
until core has it, as long as the program runs. Telling the same twice changes nothing there.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from agent.ecall.outputs import Ended
from agent.errors import ModicumError, UsageError
from agent.notify import LOOK_S, PATIENCE_S

ROUTE = "audit.ecall"
AGAIN_S = 10.0
WAITING_MAX = 32
"""More calls than this, without core ever being there, are not kept."""


class Recorder:
    """Called with each session that ended. `ask(route, **args)` raises ModicumError where core does not take it."""

    def __init__(self, ask: Callable[..., object], again_s: float = AGAIN_S) -> None:
        self._ask, self._again_s = ask, again_s
        self._waiting: queue.Queue[Ended | None] = queue.Queue(WAITING_MAX)
        self._closed = threading.Event()
        self.beat_s, self.patience_s = time.monotonic(), PATIENCE_S
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def __call__(self, ended: Ended) -> None:
        """Raises queue.Full."""
        self._waiting.put_nowait(ended)

    def close(self) -> None:
        """What is not told by now is not told."""
        self._closed.set()
        with contextlib.suppress(queue.Full):  # then it looks up by itself
            self._waiting.put_nowait(None)
        self._thread.join(self._again_s)

    def _run(self) -> None:
        while not self._closed.is_set():
            self.beat_s = time.monotonic()
            try:
                ended = self._waiting.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            while ended is not None and not self._told(ended) and not self._closed.wait(self._again_s):
                self.beat_s = time.monotonic()

    def _told(self, ended: Ended) -> bool:
        """Or refused for good: the same words would be refused again."""
        try:
            self._ask(ROUTE, **asdict(ended))
        except ModicumError as error:
            return error.exit_status == UsageError.exit_status
        except OSError:  # no descriptor to be had
            return False
        return True
