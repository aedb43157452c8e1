"""The envelope: what one recipient alone can open, and how it knows who sent it (docs/formats.md section 3).

Owns sealing and opening; promises that nothing of the header can be changed (it is the HPKE `info`), that an identified
message names a sender whose key signed it, and that an unlinkable one carries nothing that two messages share. It must
never repair what it reads, and it knows nothing of storage: the emergency call uses it as a leaf.

    IntegrityError
    +-- EnvelopeError
        +-- Malformed         not an envelope of this version, or not in its one encoding
        +-- WrongRecipient    sealed to another key
        +-- Unopenable        the seal does not hold: altered on the way, or made for another key
        +-- WrongSender       an id that is not expected, is not that of its key, or did not sign this
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent.body import from_cbor, to_cbor, unpack
from agent.errors import ConfigError, IntegrityError

VERSION = 1
SUITE = "hpke-x25519-sha256-chacha20"
SUITES = {SUITE: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)}
"""RFC 9180 base mode, by the id that stands in every envelope. No negotiation: the recipient's file names one."""
ENVELOPE_BYTES_MAX = 65_536
PADDING_BYTES = 64
KID_BYTES = 8
KEY_BYTES = 32
ID_BYTES = 16
STORE_EPOCH_BYTES = 8
RANDOM_KEY_BYTES = 16
SEQ_MAX = 2**64 - 1
TEXT_CHARS_MAX = 64
DROP = "drop it and ask its sender's operator"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")

Key = tuple[str, str, bytes, int] | tuple[bytes]
"""What a recipient recognises a redelivered message by: (id, service.stream, store epoch, seq), or (random bytes,)."""


class EnvelopeError(IntegrityError):
    """These bytes are not an envelope that this recipient may believe."""


class Malformed(EnvelopeError):
    """Not an envelope of this version, or not in its one encoding."""


class WrongRecipient(EnvelopeError):
    """Sealed to another recipient's key."""


class Unopenable(EnvelopeError):
    """The seal does not hold: altered on the way, or made for another key."""


class WrongSender(EnvelopeError):
    """An id that is not expected, is not that of its key, or whose key did not sign this."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who signs towards one recipient: `id` is the pairwise id. Two recipients' senders cannot be joined."""

    id: bytes
    public: bytes = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An envelope that held. `id` is hex, None where the stream has no identity; `body` is still packed (section 2)."""

    service: str
    stream: str
    policy: str
    purpose: str
    id: str | None
    vin: str | None = field(repr=False)
    key: Key
    body: bytes = field(repr=False)

    @property
    def identity(self) -> str:
        """`vin`, `pairwise` or `none`, by what the message itself carries."""
        return "none" if self.id is None else "pairwise" if self.vin is None else "vin"


def sender_for(derive: Callable[[bytes], bytes], recipient: str) -> Sender:
    """The signing identity towards `recipient`; `derive` is HKDF-SHA256 of the device secret (RFC 5869), 32 bytes out."""
    signing = Ed25519PrivateKey.from_private_bytes(derive(b"modicum/sign/1" + recipient.encode()))
    public = signing.public_key().public_bytes_raw()
    return Sender(id=pairwise_id(public), public=public, signing=signing)


def pairwise_id(public: bytes) -> bytes:
    """The 16 bytes that name the holder of an Ed25519 public key."""
    return sha256(b"modicum/id/1" + public).digest()[:ID_BYTES]


def public_key(data: bytes, where: str) -> bytes:
    """Raw X25519 public key from 32 raw bytes or PEM. Raises ConfigError for anything that nothing can be sealed to."""
    try:
        key = X25519PublicKey.from_public_bytes(data) if len(data) == KEY_BYTES else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("not an X25519 public key", where, "put the X25519 key there, 32 raw bytes or PEM") from error
    if not isinstance(key, X25519PublicKey):
        raise ConfigError("a public key of another kind", where, "put the X25519 key there, 32 raw bytes or PEM")
    try:
        X25519PrivateKey.generate().exchange(key)
    except ValueError as error:  # a point of low order, as zeros are: anybody would know the shared secret
        raise ConfigError("a public key that nobody can have made", where, "ask the recipient for the key again") from error
    return key.public_bytes_raw()


def kid_of(recipient_key: bytes) -> bytes:
    """The 8 bytes by which a recipient sees that an envelope is for its key."""
    return sha256(recipient_key).digest()[:KID_BYTES]


def seal_envelope(  # noqa: PLR0913  what an envelope says, each by its name
    *,
    recipient_key: bytes,
    service: str,
    stream: str,
    purpose: str,
    policy: str,
    body: bytes,
    sender: Sender | None = None,
    store_epoch: bytes = b"",
    seq: int = 0,
    vin: str | None = None,
    message_key: bytes = b"",
    suite: str = SUITE,
) -> bytes:
    """The payload of a PUBLISH: `body` for the holder of the X25519 `recipient_key` alone.

    With a `sender` the message is signed and named (id, store epoch, seq); without one it carries a key that looks random and
    nothing else, and `store_epoch`, `seq`, `vin` must be absent. `message_key`: that key, 16 bytes, the same whenever one
    message is sealed again, so that its repetition is recognised; absent: a fresh one. Raises ValueError where the caller
    breaks that promise or the envelope would be larger than ENVELOPE_BYTES_MAX.
    """
    header = to_cbor([VERSION, suite, kid_of(recipient_key), service, stream, policy])
    meta = _named(purpose, sender, store_epoch, seq, vin) if sender else _unnamed(purpose, store_epoch, seq, vin, message_key)
    signature = sender.signing.sign(_signed(header, meta, body)) if sender else b""
    content = to_cbor([meta, body, signature])
    public = X25519PublicKey.from_public_bytes(recipient_key)
    envelope = to_cbor([header, SUITES[suite].encrypt(_padded(content), public, info=header)])
    if len(envelope) > ENVELOPE_BYTES_MAX:
        raise ValueError(f"an envelope of {len(envelope)} bytes: its record should have been split")
    return envelope


def open_envelope(data: bytes, private_key: bytes, expected_ids: Collection[bytes] | None = None) -> Opened:
    """What `data` says to the holder of the raw X25519 `private_key`. Raises an EnvelopeError with its reason.

    `expected_ids`: the pairwise ids that this recipient knows; None trusts any id whose own key signed (first use).
    """
    header, ciphertext = _outer(data)
    suite, kid, service, stream, policy = _header(header)
    private = X25519PrivateKey.from_private_bytes(private_key)
    if kid != kid_of(private.public_key().public_bytes_raw()):
        raise WrongRecipient("this envelope is sealed to another key", kid.hex(), "open it with the key that it names")
    try:
        plaintext = SUITES[suite].decrypt(ciphertext, private, info=header)
    except InvalidTag:
        raise Unopenable("the seal does not hold", f"{service}.{stream}", "it was altered after it was sealed; drop it") from None
    meta, body, signature = _content(_unpadded(plaintext))
    pairwise, key = _identity(meta, f"{service}.{stream}")
    if pairwise is None:
        _demand(signature == b"", "a signature without a sender")
    else:
        _check_sender(meta, pairwise, expected_ids, _signed(header, meta, body), signature)
    return Opened(
        service=service,
        stream=stream,
        policy=policy,
        purpose=meta["purpose"],
        id=pairwise.hex() if pairwise is not None else None,
        vin=meta.get("vin"),
        key=key,
        body=body,
    )


def received_lines(opened: Opened, order: int) -> Iterator[dict[str, object]]:
    """One dict per sample, as a line of `received.jsonl`. `order`: the order of arrival, used where there is no identity.

    `id` stands in it where there is an identity, `vin` where that is the VIN.
    Raises IntegrityError when the body is not canonical.
    """
    seq = opened.key[3] if len(opened.key) == 4 else order
    head = {"service": opened.service, "stream": opened.stream, "purpose": opened.purpose, "identity": opened.identity}
    if opened.id is not None:
        head["id"] = opened.id
    if opened.vin is not None:
        head["vin"] = opened.vin
    for row in unpack(opened.body).rows:
        value = list(row.value) if isinstance(row.value, tuple) else row.value
        yield {**head, "signal": row.signal, "t": row.t_ms / 1000, "value": value, "unit": row.unit, "seq": seq}


def _unnamed(purpose: str, store_epoch: bytes, seq: int, vin: str | None, message_key: bytes) -> dict[str, Any]:
    if store_epoch or seq or vin is not None:
        raise ValueError("a message without identity carries no epoch, no count and no VIN")
    if len(message_key) not in (0, RANDOM_KEY_BYTES):
        raise ValueError("a message key has 16 bytes")
    return {"purpose": purpose, "key": message_key or os.urandom(RANDOM_KEY_BYTES)}


def _named(purpose: str, sender: Sender, store_epoch: bytes, seq: int, vin: str | None) -> dict[str, Any]:
    if len(store_epoch) != STORE_EPOCH_BYTES:
        raise ValueError("an identified message needs the store epoch of 8 bytes")
    meta = {"purpose": purpose, "key": [store_epoch, seq], "id": sender.id, "pub": sender.public}
    return meta if vin is None else {**meta, "vin": vin}


def _signed(header: bytes, meta: dict[str, Any], body: bytes) -> bytes:
    # Header and meta are self-delimiting CBOR items, so that no byte can move from one part to the next.
    return b"modicum/envelope/1" + header + to_cbor(meta) + body


def _padded(content: bytes) -> bytes:
    prefixed = len(content).to_bytes(4, "big") + content
    return prefixed + bytes(-len(prefixed) % PADDING_BYTES)


def _unpadded(plaintext: bytes) -> bytes:
    length = int.from_bytes(plaintext[:4], "big")
    content = plaintext[4 : 4 + length]
    _demand(plaintext == _padded(content), "padding that is not the shortest of zeros")
    return content


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise Malformed(f"not an envelope: {what}", "", DROP)


def _decoded(data: bytes, what: str) -> Any:  # noqa: ANN401  checked item by item right after
    try:
        return from_cbor(data, what)
    except IntegrityError:
        raise Malformed(f"not an envelope: {what} is not canonical CBOR", "", DROP) from None


def _listed(value: object, *types: type) -> bool:
    return isinstance(value, list) and [type(item) for item in value] == list(types)


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX


def _outer(data: bytes) -> tuple[bytes, bytes]:
    _demand(len(data) <= ENVELOPE_BYTES_MAX, "more than 64 KiB")
    outer = _decoded(data, "the envelope")
    _demand(_listed(outer, bytes, bytes), "it is [header, ciphertext]")
    return outer[0], outer[1]


def _header(header: bytes) -> tuple[str, bytes, str, str, str]:
    items = _decoded(header, "the header")
    _demand(_listed(items, int, str, bytes, str, str, str) and items[0] == VERSION, "a header of another version")
    _, suite, kid, service, stream, policy = items
    _demand(suite in SUITES, "an unknown suite")
    named = NAME.match(service) and NAME.match(stream) and _text(policy) and len(kid) == KID_BYTES
    _demand(bool(named), "names in the header that no catalogue can hold")
    return suite, kid, service, stream, policy


def _content(content: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    items = _decoded(content, "the content")
    _demand(_listed(items, dict, bytes, bytes), "its content is [meta, body, signature]")
    meta, body, signature = items
    _demand(_text(meta.get("purpose")), "no purpose")
    return meta, body, signature


def _identity(meta: dict[str, Any], name: str) -> tuple[bytes | None, Key]:
    """The pairwise id that `meta` claims (None: no identity) and the message key."""
    key: Any = meta.get("key")
    if set(meta) == {"purpose", "key"}:
        _demand(isinstance(key, bytes) and len(key) == RANDOM_KEY_BYTES, "a random key of another length")
        return None, (bytes(meta["key"]),)
    _demand(set(meta) - {"vin"} == {"purpose", "key", "id", "pub"}, "meta of unknown keys")
    _demand(_listed(key, bytes, int) and len(key[0]) == STORE_EPOCH_BYTES and 0 <= key[1] <= SEQ_MAX, "no store epoch and count")
    for part, length in (("id", ID_BYTES), ("pub", KEY_BYTES)):
        _demand(isinstance(meta[part], bytes) and len(meta[part]) == length, f"{part} of another length")
    _demand("vin" not in meta or _text(meta["vin"]), "a VIN that is no text")
    return meta["id"], (meta["id"].hex(), name, meta["key"][0], meta["key"][1])


def _check_sender(meta: dict[str, Any], pairwise: bytes, expected: Collection[bytes] | None, signed: bytes, signature: bytes) -> None:
    hint = "drop it; a sender must enrol before it is believed"
    if expected is not None and pairwise not in expected:
        raise WrongSender("an id that is not expected", pairwise.hex(), hint)
    if pairwise != pairwise_id(meta["pub"]):
        raise WrongSender("an id that is not that of its key", pairwise.hex(), hint)
    try:
        Ed25519PublicKey.from_public_bytes(meta["pub"]).verify(signature, signed)
    except (InvalidSignature, ValueError):
        raise WrongSender("the signature does not hold", pairwise.hex(), hint) from None
