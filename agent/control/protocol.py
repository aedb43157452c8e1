"""The control socket's form: one JSON object a line each way, over a Unix stream socket.

Request `{"route": NAME, "args": {...}}`; answer `{"ok": RESULT}` or `{"error": {"what", "where", "hint", "status"}}`.
At most REQUEST_BYTES_MAX a request. Who asks is known from the kernel (SO_PEERCRED), never from what is said.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import AgentAbsent, ModicumError

REQUEST_BYTES_MAX = 64 * 1024
ANSWER_S_MAX = 10.0
REQUEST_S_MAX = 40.0
"""For a route that waits for a fix: 30 s, and what it takes to say so."""
_CREDENTIALS = struct.Struct("3i")
SO_PEERGROUPS = 59
"""Linux 4.13, asm-generic/socket.h; Python has no name for it."""
MEMBERS = "use sudo, or become a member of the group modicum and log in again"
"""What whoever may neither read nor drive can do."""
GROUPS_BYTES_MAX = 1020
"""As much as Python reads of an option: 255 groups."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end; `groups`: those beside its own."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


def peer_of(connection: socket.socket) -> Peer:
    """The credentials that the kernel vouches for, as they were when it connected (SO_PEERCRED of unix(7), SO_PEERGROUPS).

    Not /proc, which says nothing of other users' processes in a sandbox.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    try:
        groups = array("I", connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_BYTES_MAX))
    except OSError:  # more than that, or an older kernel: they count for nothing
        groups = array("I")
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, gid, frozenset(groups))


def line_of(document: object) -> bytes:
    """A document as one line, in ASCII: whatever a text of a peer's contains can be sent back."""
    return json.dumps(document).encode() + b"\n"


def read_line(connection: socket.socket, limit: int = 1 << 24, within_s: float = ANSWER_S_MAX) -> bytes:
    """One line without its end; empty when the peer closed.

    Raises ValueError when it is longer than `limit`, TimeoutError when it is not complete in time, however it drips.
    """
    data, give_up_s = b"", time.monotonic() + within_s
    while not data.endswith(b"\n"):
        connection.settimeout(max(give_up_s - time.monotonic(), 0.001))
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
        if len(data) > limit:
            raise ValueError("a line that is too long")
    return data[:-1]


def error_document(error: ModicumError) -> dict[str, object]:
    """An error as the answer carries it."""
    return {"error": {"what": error.what, "where": error.where, "hint": error.hint, "status": error.exit_status}}


class RemoteError(ModicumError):
    """The agent's own error, carried over to the command line with its exit status."""

    def __init__(self, what: str, where: str, hint: str, status: int) -> None:
        super().__init__(what, where, hint)
        self.exit_status = status


def ask(path: Path, route: str, **args: object) -> Any:  # noqa: ANN401  each route has its own result
    """As `ask_within`, with the time that a route usually takes."""
    return ask_within(path, route, args, ANSWER_S_MAX)


def ask_within(path: Path, route: str, args: Mapping[str, object], within_s: float) -> Any:  # noqa: ANN401  each route has its own result
    """Asks the agent on its control socket. AgentAbsent when nobody answers; RemoteError with what it answered."""
    absent = AgentAbsent("the agent does not answer", str(path), "is modicum-core running, and is this its configuration (--config)?")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within_s)
        try:
            connection.connect(str(path))
            connection.sendall(line_of({"route": route, "args": dict(args)}))
            answer = json.loads(read_line(connection, within_s=within_s) or b"null")
        except PermissionError as error:
            raise RemoteError("this user may not talk to the agent", str(path), MEMBERS, 4) from error
        except (OSError, ValueError) as error:
            raise absent from error
    if not isinstance(answer, dict):
        raise absent
    if "error" in answer:
        said = answer["error"]
        raise RemoteError(said["what"], said["where"], said["hint"], said["status"])
    return answer["ok"]
