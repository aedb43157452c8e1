"""Every fault of a device or a recording that a caller of `hw` can do something about.

    HwError
    +-- UnreadableLog   the file is not what its name says, or cannot be read: the person changes the input
    +-- DeviceLost      a bus or port is gone: the reader of it opens it again by itself

`hw` imports nothing from `agent`, so these carry the same three texts (what, where, hint) that the agent's own errors
carry, and the agent translates. None of them may ever carry payload bytes, a sentence or a position.
"""

from __future__ import annotations


class HwError(Exception):
    """Base: what is wrong, where, and what to do."""

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        return self.what + (f" ({self.where})" if self.where else "") + (f": {self.hint}" if self.hint else "")


class UnreadableLog(HwError):
    """A recording that cannot be read as what its name says. Trying again cannot help."""


class DeviceLost(HwError):
    """A bus or a port that does not answer any more. Trying again can help."""
