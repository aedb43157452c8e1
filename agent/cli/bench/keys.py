"""Single keys from a terminal, without echo and without waiting.

Promises that the terminal is as it was on every way out of the context: its end, an error, Ctrl-C, and the signals that
`programs.orderly` turns into one. Ctrl-Z and Ctrl-S do nothing meanwhile: the one would hand the
shell a terminal without echo, the other would hold up the run until somebody thought of Ctrl-Q.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import termios
from types import TracebackType
from typing import Self

READ_MAX = 256
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)
"""An arrow, a function key, Alt and a letter: one key of several characters (ECMA-48, control sequences), none of ours."""
INPUT_FLAGS, LOCAL_FLAGS, CONTROL_CHARACTERS = 0, 3, 6
"""Where termios lists them."""


class Keys:
    """The keys that are pressed on the terminal `fd` while the context lasts."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        mode = termios.tcgetattr(self._fd)
        mode[INPUT_FLAGS] &= ~termios.IXON
        mode[LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
        mode[CONTROL_CHARACTERS][termios.VMIN], mode[CONTROL_CHARACTERS][termios.VTIME] = 1, 0
        mode[CONTROL_CHARACTERS][termios.VSUSP] = bytes([os.fpathconf(self._fd, "PC_VDISABLE")])
        termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)
        return self

    def pressed(self) -> list[str]:
        """What was pressed since the last time, in lower case, oldest first."""
        if not select.select([self._fd], [], [], 0)[0]:
            return []
        try:
            read = os.read(self._fd, READ_MAX)
        except OSError:  # the terminal is gone; the signal that says so is on its way
            return []
        return list(SEQUENCE.sub("", read.decode("utf-8", "ignore")).lower())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(termios.error):  # a terminal that is gone needs nothing
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)
