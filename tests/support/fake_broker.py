"""A broker of a few lines that answers as a test wants: refuses MQTT 5, names limits, keeps silent, notes every byte."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8
POLL_S = 0.05


@dataclass(slots=True)
class Heard:
    """One packet and when its last byte arrived."""

    kind: int
    flags: int
    body: bytes
    t_s: float


@dataclass(slots=True)
class FakeBroker:
    """`refuse_v5`: "code" answers CONNECT of MQTT 5 with 0x84, "old" as a 3.1.1 broker does, "close" and "wait" say
    nothing.

    `properties`: of the CONNACK; `puback`, `suback`: the reason code of each, None never answers; `disconnect`: said after CONNACK.
    """

    refuse_v5: str = ""
    properties: bytes = b""
    puback: int | None = 0
    suback: int | None = None
    disconnect: int | None = None
    heard: list[Heard] = field(default_factory=list)
    bytes_in: int = 0
    last_byte_s: float = 0.0
    port: int = 0
    _listener: socket.socket | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def published(self) -> list[Heard]:
        return [packet for packet in self.heard if packet.kind == PUBLISH]

    def connects(self) -> list[int]:
        """The protocol of each CONNECT, in order."""
        return [packet.body[6] for packet in self.heard if packet.kind == CONNECT]

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._ended.is_set():
            if select.select([self._listener], [], [], POLL_S)[0]:
                sock, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        buffer, version = b"", 0
        with sock, contextlib.suppress(OSError):
            while not self._ended.is_set():
                if not select.select([sock], [], [], POLL_S)[0]:
                    continue
                data = sock.recv(65_536)
                if not data:
                    return
                self.bytes_in, self.last_byte_s = self.bytes_in + len(data), time.monotonic()
                buffer += data
                while (packet := _packet(buffer)) is not None:
                    first, body, buffer = packet
                    kind = first >> 4
                    self.heard.append(Heard(kind, first & 0x0F, body, time.monotonic()))
                    if kind == CONNECT:
                        version = body[6]
                        if not self._welcome(sock, version):
                            return
                    elif kind == PUBLISH and self.puback is not None:
                        self._acknowledge(sock, version, body)
                    elif kind == SUBSCRIBE and self.suback is not None:
                        tail = body[:2] + (b"\0" if version == 5 else b"") + bytes([self.suback])
                        sock.sendall(bytes([0x90, len(tail)]) + tail)

    def _welcome(self, sock: socket.socket, version: int) -> bool:
        if version == 5 and self.refuse_v5:
            answers = {"code": b"\x20\x03\x00\x84\x00", "old": b"\x20\x02\x00\x01"}
            sock.sendall(answers.get(self.refuse_v5, b""))
            return self.refuse_v5 == "wait"
        tail = bytes([len(self.properties)]) + self.properties if version == 5 else b""
        sock.sendall(bytes([0x20, 2 + len(tail), 0, 0]) + tail)
        if self.disconnect is not None:
            sock.sendall(bytes([0xE0, 1, self.disconnect]))
            return False
        return True

    def _acknowledge(self, sock: socket.socket, version: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2], "big")
        mid = body[at : at + 2]
        assert self.puback is not None
        sock.sendall(b"\x40\x03" + mid + bytes([self.puback]) if version == 5 and self.puback else b"\x40\x02" + mid)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(5)
        assert self._listener is not None
        self._listener.close()


def _packet(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """The first whole packet: its first byte, its body, and what follows (MQTT 3.1.1 section 2.2)."""
    length = 0
    for count, byte in enumerate(buffer[1:5]):
        length |= (byte & 0x7F) << (7 * count)
        if not byte & 0x80:
            start = 2 + count
            whole = len(buffer) >= start + length
            return (buffer[0], buffer[start : start + length], buffer[start + length :]) if whole else None
    return None
