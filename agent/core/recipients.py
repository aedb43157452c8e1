"""Recipients as core knows them: a public key, a region, and the broker that carries their envelopes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipient:
    """`key`: raw X25519 public key. `broker`: a name of agent.toml's [brokers]."""

    key: bytes
    region: str
    broker: str = "main"
