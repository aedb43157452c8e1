"""The link between core and uplink: its messages and the socket that carries them (docs/formats.md section 4).

Owns the wire form. Promises one message a packet, in the one encoding, and that a packet which is anything else ends
the link (`LinkDown`): a peer that breaks the form is not argued with. It must never decide anything about a message.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from agent.body import from_cbor, to_cbor
from agent.errors import DeviceError, IntegrityError

PACKET_BYTES_MAX = 96 * 1024
WINDOW = 20
"""Offers of a lane that may be open at a time."""
SEND_S_MAX = 1.0
"""A peer that does not read for this long counts as gone."""
ONE_RELEASE = "both processes must be of one release"
BUFFER_BYTES = 4 * PACKET_BYTES_MAX


class LinkDown(DeviceError):
    """The other process is gone or speaks another form; connect again."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    """Base: `op` names the message; a key that is not declared is an error."""


class Lane(_Message, frozen=True, tag="lane"):
    """From core, before the first offer: one connection. Sent again with other contents, it replaces the connection.

    `client_id` is empty for lanes without identity: the uplink draws a random one for each connection. `topics` are
    subscribed to, and what arrives on them comes back as `Inbound`.
    """

    lane: str
    broker: str
    client_id: str = ""
    topics: tuple[str, ...] = ()


class Close(_Message, frozen=True, tag="close"):
    """From core: this lane's connection is to end; its open offers come back as refused."""

    lane: str


class Offer(_Message, frozen=True, tag="offer"):
    """From core: send this. `expires_in_ms`: what is left of its life, 0 when it has no end."""

    n: int
    lane: str
    topic: str
    payload: bytes
    expires_in_ms: int = 0

    def __repr__(self) -> str:
        return f"Offer(n={self.n}, lane={self.lane!r}, {len(self.payload)} bytes)"


class Ack(_Message, frozen=True, tag="ack"):
    """From uplink: the broker's PUBACK arrived. `consumers` is False when the broker said that nobody listens."""

    n: int
    consumers: bool = True


class Refused(_Message, frozen=True, tag="refused"):
    """From uplink: not known to be sent. `again`: offering it again can help, not before `hold_ms`.

    `maybe_sent`: bytes of it may have left; the recipient's dedup makes offering again harmless.
    """

    n: int
    why: str
    again: bool
    hold_ms: int = 0
    maybe_sent: bool = False


class TakeBack(_Message, frozen=True, tag="take_back"):
    """From core: nothing more of these may leave."""

    ns: tuple[int, ...]


class TakenBack(_Message, frozen=True, tag="taken_back"):
    """From uplink: no further byte of `ns` is written from now on. `maybe_sent`: those that may have left before."""

    ns: tuple[int, ...]
    maybe_sent: tuple[int, ...] = ()


class Inbound(_Message, frozen=True, tag="inbound"):
    """From uplink: a message for the car."""

    lane: str
    topic: str
    payload: bytes


class State(_Message, frozen=True, tag="state"):
    """From uplink, at each change. `protocol`: 5, 4 for 3.1.1, 0 while offline. Offer only while `online`."""

    lane: str
    online: bool
    why: str
    protocol: int


Message = Lane | Close | Offer | Ack | Refused | TakeBack | TakenBack | Inbound | State


def encode(message: Message) -> bytes:
    """One packet. Raises ValueError when it would be larger than PACKET_BYTES_MAX."""
    packet = to_cbor(msgspec.to_builtins(message, builtin_types=(bytes,)))
    if len(packet) > PACKET_BYTES_MAX:
        raise ValueError(f"a link packet of {len(packet)} bytes")
    return packet


def decode(packet: bytes) -> Message:
    """The message of one packet. Raises LinkDown for anything else."""
    try:
        message: Message = msgspec.convert(from_cbor(packet, "a link packet"), Message)
    except (IntegrityError, msgspec.ValidationError) as error:
        # msgspec names keys and types, never a value.
        raise LinkDown("a packet that is no message", str(error)[:80], ONE_RELEASE) from None
    if encode(message) != packet:
        raise LinkDown("a packet that is no message", "a key is absent", ONE_RELEASE)
    return message


class Link:
    """One end of the link. `send` may be called from several threads, `receive` from one."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_S_MAX), 0))

    def send(self, message: Message) -> None:
        """Gives one message to the kernel. Raises LinkDown when the peer is gone or has not read for SEND_S_MAX."""
        packet = encode(message)
        with self._sending:
            try:
                self._socket.send(packet, socket.MSG_NOSIGNAL)
            except OSError as error:
                raise _down(error) from error

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message; None when none came within `timeout_s` (None waits for ever). Raises LinkDown."""
        try:
            ready = select.poll()
            ready.register(self._socket, select.POLLIN)
            if not ready.poll(None if timeout_s is None else max(0, round(timeout_s * 1000))):
                return None
            packet, _, flags, _ = self._socket.recvmsg(PACKET_BYTES_MAX)
        except (OSError, ValueError) as error:
            raise _down(error) from error
        if not packet or flags & socket.MSG_TRUNC:
            raise LinkDown("the link ended", "", "it is connected again by itself")
        return decode(packet)

    def peer(self) -> tuple[int, int, int]:
        """Process, user and group of the other end, as the kernel vouches (SO_PEERCRED)."""
        pid, uid, gid = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid, gid

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Ends the link; a `receive` that waits in another thread raises LinkDown."""
        with contextlib.suppress(OSError):  # the peer was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Listener:
    """Core's side: the socket file that the uplink connects to. A file left over from a dead process is replaced."""

    def __init__(self, path: Path, mode: int = 0o660) -> None:
        path.unlink(missing_ok=True)
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # Nobody may connect between bind and chmod.
            os.fchmod(self._socket.fileno(), 0o600)
            self._socket.bind(str(path))
            path.chmod(mode)
            self.group = path.stat().st_gid
            """Who may connect: our own group, or that of a folder that hands its own on (setgid)."""
            self._socket.listen(1)
        except OSError as error:
            self._socket.close()
            raise DeviceError("no link socket can be made", str(path), str(error)) from error

    def accept(self, timeout_s: float | None = None) -> Link | None:
        """The next peer, or None when none came in time. Raises LinkDown once closed."""
        self._socket.settimeout(timeout_s)
        try:
            sock, _ = self._socket.accept()
        except TimeoutError:
            return None
        except OSError as error:
            raise _down(error) from error
        sock.setblocking(True)
        return Link(sock)

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stops listening and removes the file; links that were accepted stay."""
        self._socket.close()
        self.path.unlink(missing_ok=True)


def listen(path: Path, mode: int = 0o660) -> Listener:
    """Listens at `path`; whoever may write to the file may connect. Raises DeviceError."""
    return Listener(path, mode)


def connect(path: Path, timeout_s: float = 0.0) -> Link:
    """Connects to the listener at `path`, trying until `timeout_s` is over. Raises LinkDown."""
    give_up = time.monotonic() + timeout_s
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(str(path))
            return Link(sock)
        except OSError as error:
            sock.close()
            if time.monotonic() >= give_up:
                raise LinkDown("core does not answer", str(path), "start modicum-core") from error
        time.sleep(0.05)


def pair() -> tuple[Link, Link]:
    """Two ends in one process, for a bench and for tests."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Link(one), Link(other)


def _down(error: Exception) -> LinkDown:
    return LinkDown("the link ended", str(error), "it is connected again by itself")
