"""The envelope's promises: only its recipient opens it, nothing of it can be changed, its sender cannot be pretended."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import envelope
from agent.body import to_cbor
from agent.envelope import EnvelopeError, Malformed, Unopenable, WrongRecipient, WrongSender, open_envelope, seal_envelope, sender_for
from agent.errors import IntegrityError

VECTORS = Path(__file__).parents[2] / "docs" / "vectors" / "envelope.json"
SECRET = bytes(range(32))
RECIPIENT = X25519PrivateKey.from_private_bytes(bytes(range(100, 132)))
PRIVATE = RECIPIENT.private_bytes_raw()
PUBLIC = RECIPIENT.public_key().public_bytes_raw()
OTHER = X25519PrivateKey.from_private_bytes(bytes(range(50, 82)))
EPOCH = b"epoch--1"


def derive(info: bytes, secret: bytes = SECRET) -> bytes:
    return HKDF(SHA256(), 32, None, info).derive(secret)


SENDER = sender_for(derive, "traffic")


def seal(**changed: Any) -> bytes:
    """A message with identity unless `changed` says otherwise."""
    named: dict[str, Any] = {"service": "real_time_traffic", "stream": "probe", "purpose": "service", "policy": "2026-11"}
    said = {"recipient_key": PUBLIC, "body": b"body", "sender": SENDER, "store_epoch": EPOCH, "seq": 7, **named}
    return seal_envelope(**{**said, **changed})


def unlinkable(**changed: Any) -> bytes:
    return seal(sender=None, store_epoch=b"", seq=0, **changed)


# -- an HPKE of the test's own, from RFC 9180 and primitives ------------------------------------------------------------


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + labeled + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def hpke_open(private: X25519PrivateKey, sealed: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """Base mode of DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, first message."""
    encapsulated, ciphertext = sealed[:32], sealed[32:]
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    agreed = private.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    context = encapsulated + private.public_key().public_bytes_raw()
    shared = _labeled_expand(kem, _labeled_extract(kem, b"", b"eae_prk", agreed), b"shared_secret", context, 32)
    schedule = b"\x00" + _labeled_extract(suite, b"", b"psk_id_hash", b"") + _labeled_extract(suite, b"", b"info_hash", info)
    secret = _labeled_extract(suite, shared, b"secret", b"")
    key = _labeled_expand(suite, secret, b"key", schedule, 32)
    nonce = _labeled_expand(suite, secret, b"base_nonce", schedule, 12)
    return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, aad)


def test_the_oracle_opens_the_vector_of_rfc_9180() -> None:
    """The independent HPKE of this test is that of RFC 9180 appendix A.2.1."""
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"))
    encapsulated = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
    ciphertext = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
    assert hpke_open(private, bytes.fromhex(encapsulated + ciphertext), info, b"Count-0") == b"Beauty is truth, truth beauty"


def test_an_independent_hpke_opens_what_we_seal() -> None:
    """The suite id means RFC 9180: another implementation reads the same content, with the header as `info`."""
    header, sealed = envelope._outer(seal())
    plaintext = hpke_open(RECIPIENT, sealed, header)
    length = int.from_bytes(plaintext[:4], "big")
    assert b"body" in plaintext[4 : 4 + length]
    assert len(plaintext) % 64 == 0
    assert set(plaintext[4 + length :]) <= {0}


# -- what comes back ----------------------------------------------------------------------------------------------------


def test_an_identified_message_comes_back_with_its_key() -> None:
    """Everything that was said comes back, and the key that recognises a redelivery."""
    opened = open_envelope(seal(), PRIVATE, {SENDER.id})
    assert (opened.service, opened.stream, opened.purpose, opened.policy) == ("real_time_traffic", "probe", "service", "2026-11")
    assert (opened.id, opened.vin, opened.identity, opened.body) == (SENDER.id.hex(), None, "pairwise", b"body")
    assert opened.key == (SENDER.id.hex(), "real_time_traffic.probe", EPOCH, 7)


def test_a_vin_stands_only_inside() -> None:
    """With identity `vin` the recipient reads the VIN, and no byte of it is in the envelope."""
    data = seal(vin="WMWTESTCAR0000001")
    opened = open_envelope(data, PRIVATE)
    assert (opened.vin, opened.identity) == ("WMWTESTCAR0000001", "vin")
    assert b"WMWTESTCAR" not in data
    assert "WMWTESTCAR" not in repr(opened)


def shared_random_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.envelope.os", SimpleNamespace(urandom=bytes))


@pytest.mark.req("R12", "R39", control=shared_random_key)
def test_two_unlinkable_messages_share_nothing() -> None:
    """With identity `none` there is no id, no signature, and a key of its own for every message."""
    first, second = (open_envelope(unlinkable(), PRIVATE) for _ in range(2))
    assert first.id is first.vin is None
    assert first.identity == "none"
    assert len(first.key) == 1
    assert first.key != second.key


def one_key_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.envelope.kid_of", lambda _key: bytes(8))
    monkeypatch.setattr("agent.envelope.X25519PrivateKey", type("Any", (), {"from_private_bytes": staticmethod(lambda _: RECIPIENT)}))


@pytest.mark.req("R40", control=one_key_for_all)
def test_another_recipient_cannot_open_it() -> None:
    """The holder of another key gets nothing."""
    with pytest.raises(WrongRecipient):
        open_envelope(seal(), OTHER.private_bytes_raw())


def test_two_recipients_cannot_join_a_sender() -> None:
    """Ids and keys towards two recipients differ, and each is the same every time."""
    again, other = sender_for(derive, "traffic"), sender_for(derive, "teleservices")
    assert (again.id, again.public) == (SENDER.id, SENDER.public)
    assert not {other.id, other.public} & {SENDER.id, SENDER.public}


# -- what is refused ----------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(st.data())
def test_no_bit_can_be_changed(data: st.DataObject) -> None:
    """Any change of any byte is noticed."""
    whole = bytearray(seal())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EnvelopeError):
        open_envelope(bytes(whole), PRIVATE)


def info_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unbound:
        def encrypt(self, plaintext: bytes, key: Any, info: bytes) -> bytes:
            return envelope_suite.encrypt(plaintext, key, info=b"")

        def decrypt(self, sealed: bytes, key: Any, info: bytes) -> bytes:
            return envelope_suite.decrypt(sealed, key, info=b"")

    envelope_suite = envelope.SUITES[envelope.SUITE]
    monkeypatch.setattr("agent.envelope.SUITES", {envelope.SUITE: Unbound()})


@pytest.mark.req("R03", "R40", control=info_not_bound)
def test_the_header_cannot_be_changed() -> None:
    """A message of one stream cannot be given out as one of another: the header is part of the seal."""
    header, sealed = envelope._outer(unlinkable())
    changed = header.replace(b"real_time_traffic", b"fake_time_traffic")
    assert changed != header
    with pytest.raises(Unopenable):
        open_envelope(to_cbor([changed, sealed]), PRIVATE)


def forged(meta: dict[str, Any], signature: bytes | None = None, body: bytes = b"body") -> bytes:
    """An envelope whose content is as given, sealed correctly: what an attacker with the public key can make."""
    header = to_cbor([1, envelope.SUITE, envelope.kid_of(PUBLIC), "real_time_traffic", "probe", "2026-11"])
    signed = b"modicum/envelope/1" + header + to_cbor(meta) + body
    content = to_cbor([meta, body, SENDER.signing.sign(signed) if signature is None else signature])
    sealed = envelope.SUITES[envelope.SUITE].encrypt(envelope._padded(content), RECIPIENT.public_key(), info=header)
    return to_cbor([header, sealed])


META: dict[str, Any] = {"purpose": "service", "key": [EPOCH, 7], "id": SENDER.id, "pub": SENDER.public}
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()


def test_the_forger_of_these_tests_can_make_a_good_one() -> None:
    """The cases below are refused for their fault, not for how they were made."""
    assert open_envelope(forged(META), PRIVATE, {SENDER.id}).id == SENDER.id.hex()


@pytest.mark.parametrize(
    ("meta", "signature", "error"),
    [
        pytest.param(META, bytes(64), WrongSender, id="signature of nobody"),
        pytest.param(META, b"", WrongSender, id="no signature"),
        pytest.param({**META, "pub": STRANGER}, None, WrongSender, id="somebody else's id"),
        pytest.param({**META, "pub": bytes(31)}, None, Malformed, id="short public key"),
        pytest.param({**META, "id": SENDER.id[:8]}, None, Malformed, id="short id"),
        pytest.param({**META, "key": [EPOCH, -1]}, None, Malformed, id="negative count"),
        pytest.param({**META, "key": [EPOCH, 2**64]}, None, Malformed, id="count beyond 64 bits"),
        pytest.param({**META, "key": [EPOCH, True]}, None, Malformed, id="count that is a boolean"),
        pytest.param({**META, "key": bytes(16)}, None, Malformed, id="random key with an identity"),
        pytest.param({**META, "vin": ""}, None, Malformed, id="empty VIN"),
        pytest.param({**META, "more": 1}, None, Malformed, id="unknown key"),
        pytest.param({"purpose": "service", "key": bytes(16)}, None, Malformed, id="signature without a sender"),
        pytest.param({"purpose": "service", "key": bytes(15)}, b"", Malformed, id="short random key"),
        pytest.param({"purpose": "", "key": bytes(16)}, b"", Malformed, id="no purpose"),
        pytest.param({"purpose": "service", "key": bytes(16), "vin": "X"}, b"", Malformed, id="VIN without a sender"),
    ],
)
def test_forged_content_is_refused(meta: dict[str, Any], signature: bytes | None, error: type[EnvelopeError]) -> None:
    """Whoever has only the recipient's public key cannot speak for a car, nor outside the format."""
    with pytest.raises(error):
        open_envelope(forged(meta, signature), PRIVATE)


def test_an_id_that_is_not_expected_is_refused() -> None:
    """A recipient that names its senders believes no other."""
    with pytest.raises(WrongSender, match="not expected"):
        open_envelope(seal(), PRIVATE, {bytes(16)})


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ([2, envelope.SUITE, envelope.kid_of(PUBLIC), "a", "b", "p"], "another version"),
        ([True, envelope.SUITE, envelope.kid_of(PUBLIC), "a", "b", "p"], "another version"),
        ([1, "none", envelope.kid_of(PUBLIC), "a", "b", "p"], "unknown suite"),
        ([1, envelope.SUITE, b"short", "a", "b", "p"], "names"),
        ([1, envelope.SUITE, envelope.kid_of(PUBLIC), "A b", "b", "p"], "names"),
        ([1, envelope.SUITE, envelope.kid_of(PUBLIC), "a", "b\n", "p"], "names"),
        ([1, envelope.SUITE, envelope.kid_of(PUBLIC), "a", "b"], "another version"),
    ],
)
def test_a_header_outside_the_format_is_refused(header: list[Any], what: str) -> None:
    """Versions, suites and names that this release does not write are not read either."""
    with pytest.raises(Malformed, match=what):
        open_envelope(to_cbor([to_cbor(header), bytes(64)]), PRIVATE)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_error_of_ours(data: bytes) -> None:
    """Nothing that arrives can raise anything else."""
    with pytest.raises(EnvelopeError):
        open_envelope(data, PRIVATE)


def test_trailing_bytes_are_refused() -> None:
    """Nothing can be hidden behind an envelope."""
    with pytest.raises(Malformed):
        open_envelope(seal() + b"\x00", PRIVATE)


def test_padding_that_is_not_the_shortest_is_refused() -> None:
    """Nothing can be hidden in the padding."""
    for plaintext in (envelope._padded(b"x") + bytes(64), envelope._padded(b"x")[:-1] + b"\x01", b"\xff" * 64, b""):
        with pytest.raises(Malformed):
            envelope._unpadded(plaintext)


def test_too_large_or_half_identified_is_a_broken_promise() -> None:
    """The writer refuses what a reader would: it is the caller's mistake, said before anything is sealed wrongly."""
    for changed in (
        {"body": bytes(66_000)},
        {"store_epoch": b""},
        {"sender": None},
        {"sender": None, "store_epoch": b"", "seq": 0, "vin": "V"},
    ):
        with pytest.raises(ValueError, match=r"envelope of|epoch"):
            seal(**changed)


@given(st.integers(0, 3000))
def test_sizes_tell_only_multiples_of_64(length: int) -> None:
    """Two bodies in the same step of 64 bytes give envelopes of one size, give or take CBOR's length prefix."""
    _, sealed = envelope._outer(unlinkable(body=bytes(length)))
    assert (len(sealed) - 48) % 64 == 0


# -- vectors and lines --------------------------------------------------------------------------------------------------


def test_the_published_vectors_hold() -> None:
    """docs/vectors/envelope.json: the good ones open to what it says, each bad one is refused for its reason."""
    vectors = json.loads(VECTORS.read_text())
    private = bytes.fromhex(vectors["recipient_private"])
    assert sender_for(lambda info: derive(info, bytes.fromhex(vectors["device_secret"])), "traffic").id.hex() == vectors["id"]
    for good in vectors["good"]:
        opened = open_envelope(bytes.fromhex(good["envelope"]), private)
        seen: dict[str, object] = {"service": opened.service, "stream": opened.stream, "policy": opened.policy, "purpose": opened.purpose}
        seen |= {"id": opened.id, "vin": opened.vin, "body_sha256": hashlib.sha256(opened.body).hexdigest()}
        key = [part.hex() if isinstance(part, bytes) else part for part in opened.key]
        vin = {} if opened.vin is None else {"vin": opened.vin}
        said = {**good["says"], "lines": [{**line, **vin} for line in good["says"]["lines"]]}
        assert {**seen, "key": key, "lines": list(envelope.received_lines(opened, 1))} == said
    for bad in vectors["bad"]:
        with pytest.raises(IntegrityError) as raised:
            open_envelope(bytes.fromhex(bad["envelope"]), private)
        assert type(raised.value).__name__ == bad["error"], bad["fault"]
    assert len(vectors["good"]) == 3
    assert len(vectors["bad"]) >= 6


def test_a_line_has_the_vin_where_that_is_the_identity_and_only_there(sample_body: bytes) -> None:
    """It stands inside the payload; `id` is still the pairwise id."""
    lines = [
        list(envelope.received_lines(open_envelope(data, PRIVATE), 1))
        for data in (seal(body=sample_body, vin="WMWTESTCAR0000001"), seal(body=sample_body), unlinkable(body=sample_body))
    ]
    assert {(line["vin"], line["id"]) for line in lines[0]} == {("WMWTESTCAR0000001", SENDER.id.hex())}
    assert not any("vin" in line for line in lines[1] + lines[2])


def test_a_line_counts_as_the_interface_says(sample_body: bytes) -> None:
    """`seq` is the message's own count, or the order of arrival without identity, where `id` is absent."""
    named = list(envelope.received_lines(open_envelope(seal(body=sample_body), PRIVATE), 3))
    nameless = list(envelope.received_lines(open_envelope(unlinkable(body=sample_body), PRIVATE), 3))
    keys = {"service", "stream", "purpose", "identity", "signal", "t", "value", "unit", "seq"}
    assert {line["seq"] for line in named} == {7}
    assert {line["seq"] for line in nameless} == {3}
    assert all(set(line) == keys | {"id"} for line in named)
    assert all(set(line) == keys for line in nameless)


@pytest.fixture
def sample_body() -> bytes:
    vectors = json.loads(VECTORS.read_text())
    return open_envelope(bytes.fromhex(vectors["good"][0]["envelope"]), bytes.fromhex(vectors["recipient_private"])).body
