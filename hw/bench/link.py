"""The link between a car and its broker: a TCP proxy on this machine that can be cut, stall, forget, lose answers and come back.

Promises that, from `cut` without admission on, nothing more is forwarded and no connection lives until `restore`. Sees what it
forwards and keeps none of it; with TLS it could not read it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from types import TracebackType
from typing import Self

CHUNK = 65_536
POLL_S = 0.05
DIAL_S = 5.0


class Proxy:
    """Forwards `port` of 127.0.0.1 to the port `target` of `host`. `forwarded` counts bytes towards the target."""

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self._target = (host, target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.forwarded = 0
        self.connections = 0
        self._flows = threading.Event()
        self._flows.set()
        self._answers = True
        self._admits = True
        self._ended = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forgotten: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self, *, admit: bool = True) -> None:
        """Resets every connection; with `admit` false new ones are reset too, until `restore`."""
        self._admits = admit
        for pair in list(self._pairs):
            _reset(*pair)

    def stall(self) -> None:
        """Nothing flows, in either direction, and nobody is told."""
        self._flows.clear()

    def forget(self) -> None:
        """Swallows from now on what comes over the connections that there are, and tells nobody, for ever; new ones flow."""
        self._forgotten.update(near for near, _ in list(self._pairs))

    def mute(self) -> None:
        """What is sent goes through, what the target answers does not: its acknowledgements are lost with the next cut."""
        self._answers = False

    def restore(self) -> None:
        """Everything flows and is admitted again."""
        self._admits = self._answers = True
        self._flows.set()

    def _accept(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], POLL_S)[0]:
                continue
            try:
                near, _ = self._listener.accept()
            except OSError:  # whoever called has gone again, or there are too many: the next one may be served
                continue
            self.connections += 1
            try:
                far = socket.create_connection(self._target, timeout=DIAL_S) if self._admits else None
            except OSError:
                far = None
            if far is None:
                _reset(near)
                near.close()
                continue
            for sock in (near, far):  # a link forwards at once; Nagle's wait for the other end would be 40 ms
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((near, far))
            if not self._admits:  # cut while this one was being made
                _reset(near, far)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(threading.Thread(target=self._pump, args=(near, far), daemon=True))
            self._threads[-1].start()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.ExitStack() as ended, near, far, contextlib.suppress(OSError, ValueError):
            ended.callback(lambda: self._pairs.remove((near, far)))
            ended.callback(lambda: self._forgotten.discard(near))
            while not self._ended.is_set():
                if not self._flows.wait(POLL_S):
                    continue
                for ready in select.select([near, far] if self._answers else [near], [], [], POLL_S)[0]:
                    data = ready.recv(CHUNK)
                    if not data:
                        return
                    if near in self._forgotten:
                        continue
                    (far if ready is near else near).sendall(data)
                    self.forwarded += len(data) if ready is near else 0

    def close(self) -> None:
        """Ends every connection and listens no more."""
        self._ended.set()
        for thread in self._threads:
            thread.join(DIAL_S)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _reset(*socks: socket.socket) -> None:
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.shutdown(socket.SHUT_RDWR)
