"""The SOS button on a GPIO line: held, it calls for help. One thread; opened again when its chip was away.

Promises: a hold of 1.5 s is told at its end, once (hw/sos/held.py has the rules), also by a thread that was held up, for the moments are
the kernel's; between edges the thread wakes for the end of a hold and to see that the chip is there; a chip that is back is read
within 3 s. A press that goes on while the line is opened, or opened again, does not count until the button was released.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from errno import EACCES, EBUSY, ENXIO, EPERM

from hw.errors import DeviceLost
from hw.sos.held import NS, Hold
from hw.sos.kernel import open_line
from hw.sos.line import Line, Wiring
from hw.supervision import TICK_S, Supervised

TICK_NS = int(TICK_S * NS)
FORBIDDEN = "the service may not open the chip's device"
CAUSES = {
    EACCES: FORBIDDEN,
    EPERM: FORBIDDEN,
    EBUSY: "another program or driver has it",
    ENXIO: "the chip tells no edges, it has no interrupt",
}


class SosLine(Supervised):
    """`tell` is called at each hold, from this thread; it must not block. `open_line` is the kernel's unless a test puts another."""

    def __init__(self, wiring: Wiring, *, tell: Callable[[], object], open_line: Callable[[Wiring], Line] = open_line) -> None:
        super().__init__(f"SOS {wiring}")
        self.stuck = False
        """Whether the button has been pressed for longer than anybody presses; false while it is not read."""
        self._wiring, self._tell, self._open_line = wiring, tell, open_line

    def _session(self) -> None:
        line = self._opened()
        try:
            hold = Hold(active=line.active(), t_ns=time.monotonic_ns())
            while not self._stopping():
                self._well()
                self._listen(line, hold)
        except OSError as error:
            raise DeviceLost("the SOS line broke off", str(self._wiring), f"{_cause(error)}; opened again by itself") from error
        finally:
            self.stuck = False
            with contextlib.suppress(OSError):  # a chip that is gone may also fail to close
                line.close()

    def _opened(self) -> Line:
        try:
            return self._open_line(self._wiring)
        except OSError as error:
            raise DeviceLost("the SOS line does not open", str(self._wiring), f"{_cause(error)}; tried again by itself") from error

    def _listen(self, line: Line, hold: Hold) -> None:
        """One wait, to its end or to the next edges."""
        now_ns, due_ns = time.monotonic_ns(), hold.due_ns()
        wait_ns = TICK_NS if due_ns is None else min(max(due_ns - now_ns, 0), TICK_NS)
        edges = line.edges(wait_ns / NS)
        for edge in edges:
            if hold.edge(active=edge.active, t_ns=edge.t_ns):
                self._tell()
        if edges:
            return  # there may be more, and only an empty wait says that none came until its end
        if hold.passed(now_ns + wait_ns):
            self._tell()
        self.stuck = hold.stuck(now_ns + wait_ns)


def _cause(error: OSError) -> str:
    number = error.errno or 0
    return CAUSES.get(number) or error.strerror or os.strerror(number)
