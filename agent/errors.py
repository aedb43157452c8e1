"""Every error a caller can do something about.

    ModicumError
    +-- UsageError          exit 2   bad arguments or an unreadable file: the person changes the input
    |   +-- ConfigError     exit 2   a file breaks its schema or contradicts another
    +-- FindingsError       exit 1   the answer is no, or a check has findings
    +-- AgentAbsent         exit 3   the agent does not answer on its socket
    +-- NotPermitted        exit 4   the peer may not call this route
    +-- DeviceError         exit 5   a device or the network is at fault; trying again can help
    +-- IntegrityError      exit 1   stored bytes are not what was written; set aside, never repaired silently

Each carries what is wrong, where, and what to do; `str()` is the one line that the command line prints.
"""

from __future__ import annotations


class ModicumError(Exception):
    """Base: `modicum: WHAT (WHERE): WHAT TO DO`."""

    exit_status = 1

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        hint = f": {self.hint}" if self.hint else ""
        return " ".join(f"modicum: {self.what}{where}{hint}".split())


class UsageError(ModicumError):
    """Bad arguments or an unreadable file."""

    exit_status = 2


class ConfigError(UsageError):
    """A file breaks its schema or contradicts another file."""


class FindingsError(ModicumError):
    """The answer is no, or a check has findings."""


class AgentAbsent(ModicumError):
    """The agent does not answer on its control socket."""

    exit_status = 3


class NotPermitted(ModicumError):
    """The caller's credentials do not carry the permission that the route table asks for."""

    exit_status = 4


class DeviceError(ModicumError):
    """A device or the network is at fault; trying again can help."""

    exit_status = 5


class IntegrityError(ModicumError):
    """Stored bytes are not what was written."""
