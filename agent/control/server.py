"""The control socket: takes requests, asks the route table whether this peer may, hands them to the loop, answers.

A connection has one thread and one request; it never touches core itself. Limits: CONNECTIONS_MAX at a time, a
request must be complete within REQUEST_S. Promises to go on listening until it is closed, also where the system has no
descriptor or no thread left for a while.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.control.protocol import ANSWER_S_MAX, MEMBERS, REQUEST_BYTES_MAX, Peer, error_document, line_of, peer_of, read_line
from agent.errors import DeviceError, ModicumError, NotPermitted, UsageError
from agent.notify import LOOK_S, PATIENCE_S

CONNECTIONS_MAX = 8
REQUEST_S = 5.0
PAUSE_S = 0.5
"""After a connection that could not be accepted: descriptors or threads may be free again."""
WAY = {
    **dict.fromkeys(("read", "drive"), MEMBERS),
    "own": "only root may: use sudo",
    "call": "only the emergency call's own program may",
}
"""By permission: what whoever lacks it can do."""
Submit = Callable[[str, dict[str, Any]], "Future[object]"]


class ControlServer:
    """Listens on `path`. `permissions`: route -> `read`, `drive`, `own` or `call`; `submit` runs a route in the loop.

    `within_s`: routes that may take longer than ANSWER_S_MAX. The group of `path` is the one that may: the program's own, or that of
    its folder where that hands it on (setgid).
    """

    def __init__(
        self, path: Path, permissions: Mapping[str, str], submit: Submit, within_s: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        self.path, self._permissions, self._submit, self._within_s = path, permissions, submit, within_s
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        path.chmod(0o660)
        self._group = path.stat().st_gid
        self._socket.listen(CONNECTIONS_MAX)
        self._socket.settimeout(LOOK_S)
        self.beat_s, self.patience_s = time.monotonic(), PATIENCE_S
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Begins to listen."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the listening thread lives."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stops listening and removes the socket."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._closed.is_set():
            self.beat_s = time.monotonic()
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                self._closed.wait(PAUSE_S)
                continue
            if not self._slots.acquire(blocking=False):
                connection.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="control peer", daemon=True).start()
            except RuntimeError:
                connection.close()
                self._slots.release()
                self._closed.wait(PAUSE_S)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                try:
                    answer = {"ok": self._answer(connection)}
                except ModicumError as error:
                    answer = error_document(error)
                connection.settimeout(REQUEST_S)
                connection.sendall(line_of(answer))
        finally:
            self._slots.release()

    def _answer(self, connection: socket.socket) -> object:
        peer = peer_of(connection)
        try:
            request = json.loads(read_line(connection, REQUEST_BYTES_MAX, REQUEST_S))
            route, args = request["route"], request.get("args", {})
        except (ValueError, KeyError, TypeError, TimeoutError, RecursionError) as error:
            raise UsageError("not a request", "control socket", "one JSON object a line with route and args") from error
        if not isinstance(route, str) or route not in self._permissions or not isinstance(args, dict):
            raise UsageError(f"no route {route!r}", "control socket", "this agent is of another release")
        if not permitted(peer, self._permissions[route], self._group):
            raise NotPermitted(f"not permitted: {route}", "control socket", WAY[self._permissions[route]])
        try:
            return self._submit(route, args).result(self._within_s.get(route, ANSWER_S_MAX))
        except FutureTimeout as error:
            raise DeviceError("the agent is busy", route, "try again") from error


def permitted(peer: Peer, permission: str, group: int) -> bool:
    """`read`, `drive` and `call`: the agent's user, members of the socket's `group`, or root; `own`: the agent's user or root."""
    if peer.uid in (0, os.geteuid()):
        return True
    return permission in ("read", "drive", "call") and group in {peer.gid, *peer.groups}
