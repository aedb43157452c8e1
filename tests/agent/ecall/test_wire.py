"""agent.ecall.wire: only the centre reads the message, only who has read it can answer."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.body import to_cbor
from agent.ecall.happenings import Acknowledged, ClearedDown, UpdateWanted
from agent.ecall.msd import encode
from agent.ecall.wire import Call, Word, answers_to, heard, opened, said, sealed, topic_of
from agent.envelope import Unopenable, WrongRecipient, seal_envelope, sender_for
from agent.errors import IntegrityError
from tests.agent.ecall.build import VIN, msd

CENTRE = X25519PrivateKey.generate()
PUBLIC, PRIVATE = CENTRE.public_key().public_bytes_raw(), CENTRE.private_bytes_raw()
SENDER = sender_for(lambda info: (info * 32)[:32], "emergency")
KEY, OTHER_KEY = bytes(range(32)), bytes(32)
OCTETS = encode(msd(3))
WORDS: tuple[Word, ...] = (Acknowledged("0123456789abcdef", 3), UpdateWanted("0123456789abcdef", 3), ClearedDown("0123456789abcdef"))


def call() -> Call:
    return Call(SENDER.id.hex(), "0123456789abcdef", OCTETS, KEY)


def test_the_centre_reads_what_was_sealed_to_it() -> None:
    """Whose, which session, the message, the key of the answer."""
    assert opened(sealed(SENDER, PUBLIC, call(), 1, VIN), PRIVATE) == call()
    assert opened(sealed(SENDER, PUBLIC, call(), 255, None), PRIVATE) == call()


def test_nobody_else_reads_it() -> None:
    """Neither another recipient nor whoever carries it; nothing of it stands in the clear."""
    payload = sealed(SENDER, PUBLIC, call(), 1, VIN)
    with pytest.raises(WrongRecipient):
        opened(payload, X25519PrivateKey.generate().private_bytes_raw())
    assert VIN.encode() not in payload
    assert OCTETS[10:20] not in payload


def test_an_altered_message_is_refused() -> None:
    """At every byte."""
    payload = sealed(SENDER, PUBLIC, call(), 1, VIN)
    for at in range(len(payload)):
        broken = bytearray(payload)
        broken[at] ^= 1
        with pytest.raises(IntegrityError):
            opened(bytes(broken), PRIVATE)
    with pytest.raises(Unopenable):
        opened(payload[:-1] + bytes([payload[-1] ^ 1]), PRIVATE)


def test_the_message_of_another_service_is_none() -> None:
    """Well sealed, to the same centre."""
    body = to_cbor({"session": "x", "msd": b""})
    payload = seal_envelope(
        recipient_key=PUBLIC, service="ecall", stream="msd", purpose="p", policy="v", body=body, sender=SENDER, store_epoch=bytes(8)
    )
    with pytest.raises(IntegrityError, match="not a message of an emergency call"):
        opened(payload, PRIVATE)


@pytest.mark.parametrize("word", WORDS)
def test_an_answer_is_heard_by_whoever_gave_the_key(word: Word) -> None:
    """And by nobody else."""
    assert heard(said(word, KEY), KEY) == word
    assert heard(said(word, OTHER_KEY), KEY) is None


@pytest.mark.parametrize("word", WORDS)
def test_an_altered_answer_is_not_heard(word: Word) -> None:
    """Every bit, every length."""
    payload = said(word, KEY)
    for bit in range(8 * len(payload)):
        broken = int.from_bytes(payload) ^ 1 << bit
        assert heard(broken.to_bytes(len(payload)), KEY) is None
    assert [heard(payload[:length], KEY) for length in range(len(payload))] == [None] * len(payload)
    assert heard(payload + b"\0", KEY) is None


def test_noise_is_not_heard_and_hurts_nobody() -> None:
    """Random octets, and much of them."""
    source = random.Random(11)
    assert all(heard(source.randbytes(source.randrange(200)), KEY) is None for _ in range(2_000))
    assert heard(bytes(1_000_000), KEY) is None


def test_neither_topic_names_the_vehicle() -> None:
    """A pairwise id, at most seven slashes."""
    for topic in (topic_of("modicum", SENDER), answers_to("modicum", SENDER.id.hex())):
        assert SENDER.id.hex() in topic
        assert VIN not in topic
        assert topic.count("/") <= 7
