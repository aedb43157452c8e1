"""A network interface of this computer that the test invents: the kernel's answers, as the bench asks for them."""

from __future__ import annotations

import fcntl
import socket
import struct

import pytest

ANSWERS = {0x8913: "flags", 0x8921: "mtu", 0x8927: "hardware"}
"""The requests SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR."""


def interface(monkeypatch: pytest.MonkeyPatch, name: str, *, flags: int = 0x00C1, mtu: int = 72, hardware: int = 280) -> None:
    """The only interface from now on. `flags` as a vcan that is up has them."""
    facts = {"flags": struct.pack("H", flags), "mtu": struct.pack("i", mtu), "hardware": struct.pack("H", hardware)}

    def ioctl(_socket: object, request: int, asked: bytes) -> bytes:
        assert asked == name.encode().ljust(40, b"\0")
        return asked[:16] + facts[ANSWERS[request]].ljust(24, b"\0")

    monkeypatch.setattr(socket, "if_nameindex", lambda: [(2, name)])
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
