"""Records: one body sealed under its data key and bound to its header (docs/formats.md section 2).

Promises that a sealed body opens only under its own key and with exactly its own header. Knows nothing of what is
inside (agent.body does) nor of where keys come from (agent.seal.keyring does).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.body import to_cbor
from agent.errors import IntegrityError

VERSION = 1
NONCE_BYTES = 12
TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Header:
    """Which record a body belongs to. `stream` is `service.stream`; `seq` counts per stream and store, from 1."""

    stream: str
    basis_ref: str
    epoch: int
    seq: int
    plan_id: bytes

    def encode(self) -> bytes:
        """The associated data of the seal."""
        return to_cbor([VERSION, self.stream, self.basis_ref, self.epoch, self.seq, self.plan_id])


def seal(key: bytes, header: Header, body: bytes) -> bytes:
    """`nonce | ciphertext` under ChaCha20-Poly1305 (RFC 8439) with a random nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, body, header.encode())


def unseal(key: bytes, header: Header, sealed: bytes) -> bytes:
    """The body. Raises IntegrityError for another key, another header or changed bytes."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise IntegrityError("a sealed record is cut short", header.stream, "it is set aside")
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], header.encode())
    except InvalidTag:
        raise IntegrityError("a sealed record does not open", header.stream, "it is set aside") from None
