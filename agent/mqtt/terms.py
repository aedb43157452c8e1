"""What whoever decides and whoever holds the socket say to each other of one connection: data alone."""

from __future__ import annotations

from dataclasses import dataclass

V5, V311 = 5, 4
ALTERNATIVE = {V5: V311, V311: V5}
PROTOCOLS = {"5": V5, "3.1.1": V311}
"""As `first_protocol` of agent.toml names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the broker's CONNACK allows. `packet_bytes_max` None: no limit was named."""

    protocol: int
    receive_max: int = 65_535
    packet_bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class Online:
    """The broker accepted the connection."""

    generation: int
    terms: Terms


UNREADABLE, UNNAMED, REFUSED = "a credential cannot be read", "no credential for this lane", "the broker refused"
"""Why there is no connection, in words of which the first do not change: these last until somebody mends it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended or never began. `code`: the MQTT reason, when there was one; `reached`: CONNECT was on its way."""

    generation: int
    why: str
    code: int | None = None
    reached: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Begin a connection of this generation and protocol (5 or 4)."""

    generation: int
    protocol: int
