"""hw.bench.link: a link that is cut lets nothing through until it is restored."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from hw.bench.link import Proxy
from tests.support.wait import until

WAIT_S = 5.0


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            while data := near.recv(100):
                near.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(WAIT_S)


def says(port: int) -> bytes:
    """What comes back over a connection of its own; nothing where it is refused or cut."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as near:
        near.sendall(b"anybody?")
        return near.recv(100)
    return b""


def test_what_is_said_comes_through_both_ways(echo: int) -> None:
    """And is counted towards the target; a name for this computer does too."""
    with Proxy(echo, "localhost") as proxy:
        assert says(proxy.port) == b"anybody?"
        until(lambda: proxy.forwarded == len(b"anybody?"), within_s=WAIT_S)


def test_a_cut_ends_what_is_connected_and_admits_nobody(echo: int) -> None:
    """Until it is restored."""
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as near:
        near.sendall(b"hello")
        assert near.recv(100) == b"hello"
        proxy.cut(admit=False)
        with contextlib.suppress(ConnectionResetError):
            assert near.recv(100) == b""
        assert says(proxy.port) == b""
        proxy.restore()
        assert says(proxy.port) == b"anybody?"


def test_a_connection_that_is_being_made_does_not_outlive_the_cut(echo: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was admitted before, and reaches the target after."""
    dial = socket.create_connection

    def slowly(to: tuple[str, int], timeout: float) -> socket.socket:
        far = dial(to, timeout=timeout)
        proxy.cut(admit=False)
        return far

    with Proxy(echo) as proxy, dial(("127.0.0.1", proxy.port), timeout=WAIT_S) as near:
        until(lambda: proxy.connections == 1, within_s=WAIT_S)
        assert says_on(near) == b"anybody?"
        monkeypatch.setattr("hw.bench.link.socket.create_connection", slowly)
        with dial(("127.0.0.1", proxy.port), timeout=WAIT_S) as late:
            assert says_on(late) == b""


def test_a_call_that_is_gone_again_does_not_close_the_link(echo: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is served."""
    accept, refused = socket.socket.accept, list[bool]()

    def gone(self: socket.socket) -> tuple[socket.socket, object]:
        if self.getsockname()[1] == proxy.port and not refused:
            refused.append(True)
            raise ConnectionAbortedError
        return accept(self)

    with Proxy(echo) as proxy:
        monkeypatch.setattr(socket.socket, "accept", gone)
        assert says(proxy.port) == b"anybody?"
    assert refused


def says_on(near: socket.socket) -> bytes:
    with contextlib.suppress(OSError):
        near.sendall(b"anybody?")
        return near.recv(100)
    return b""


def test_a_stalled_link_holds_and_then_delivers(echo: int) -> None:
    """Nobody is told; nothing is lost."""
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as near:
        assert says_on(near) == b"anybody?"
        proxy.stall()
        near.sendall(b"late")
        near.settimeout(0.3)
        with pytest.raises(TimeoutError):
            near.recv(100)
        near.settimeout(WAIT_S)
        proxy.restore()
        assert near.recv(100) == b"late"


def test_a_forgotten_connection_swallows_and_a_new_one_flows(echo: int) -> None:
    """As through a router that has forgotten it; `restore` does not bring it back, for a part of what was said is missing."""
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as near:
        assert says_on(near) == b"anybody?"
        proxy.forget()
        proxy.restore()
        near.sendall(b"lost")
        assert says(proxy.port) == b"anybody?"
        near.settimeout(0.3)
        with pytest.raises(TimeoutError):
            near.recv(100)
