"""A profile's zones, sealed once more under that profile's key, so that they go when it goes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.storage.memory import MemoryStore

NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class SealedMemory:
    """A MemoryStore whose values are ChaCha20-Poly1305 under `key`, bound to their names."""

    inner: MemoryStore
    key: bytes

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none that this key opens."""
        sealed = self.inner.get(key)
        if sealed is None:
            return None
        try:
            return ChaCha20Poly1305(self.key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode())
        except (InvalidTag, ValueError):  # a value cut short has no whole nonce
            return None

    def set(self, key: str, value: bytes) -> None:
        """Seals and stores."""
        nonce = os.urandom(NONCE_BYTES)
        self.inner.set(key, nonce + ChaCha20Poly1305(self.key).encrypt(nonce, value, key.encode()))

    def delete(self, key: str) -> None:
        """Removes it."""
        self.inner.delete(key)

    def keys(self, prefix: str = "") -> list[str]:
        """The names."""
        return self.inner.keys(prefix)


def zone_secret(profile_key: bytes) -> bytes:
    """What shifts and keys the zones of the profile that owns `profile_key`."""
    return hashlib.sha256(b"modicum/zone-secret/1" + profile_key).digest()
