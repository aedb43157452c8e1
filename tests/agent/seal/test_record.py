"""A sealed record: bound to its key and header."""

from __future__ import annotations

from dataclasses import replace

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import IntegrityError
from agent.seal.record import Header, seal, unseal

KEY = bytes(range(32))
HEADER = Header("real_time_traffic.probe", "traffic.position", 7, 1, b"p" * 32)
HEADERS = st.builds(
    Header, st.text(max_size=20), st.text(max_size=20), st.integers(0, 2**40), st.integers(1, 2**40), st.binary(max_size=32)
)


def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.seal.record.Header.encode", lambda self: b"any")


@given(HEADERS, st.binary(max_size=200))
def test_a_record_opens_with_its_key_and_header(header: Header, body: bytes) -> None:
    """What was sealed comes back."""
    assert unseal(KEY, header, seal(KEY, header, body)) == body


def test_the_seal_is_the_one_of_the_format() -> None:
    """Nonce, then ChaCha20-Poly1305 with the CBOR header as associated data: anybody can open it from docs/formats.md."""
    sealed = seal(KEY, HEADER, b"body")
    aad = cbor2.dumps([1, "real_time_traffic.probe", "traffic.position", 7, 1, b"p" * 32], canonical=True)
    assert ChaCha20Poly1305(KEY).decrypt(sealed[:12], sealed[12:], aad) == b"body"
    assert len(sealed) == 12 + len(b"body") + 16


@pytest.mark.req("R03", control=unbound)
@pytest.mark.parametrize(
    "change",
    [{"stream": "operations.health"}, {"basis_ref": "contract"}, {"epoch": 8}, {"seq": 2}, {"plan_id": b"q" * 32}],
    ids=lambda change: next(iter(change)),
)
def test_a_body_moved_to_another_header_does_not_open(change: dict[str, object]) -> None:
    """A record cannot become one of another stream, basis, epoch, number or plan."""
    with pytest.raises(IntegrityError):
        unseal(KEY, replace(HEADER, **change), seal(KEY, HEADER, b"body"))  # type: ignore[arg-type]  # one field at a time


@given(st.binary(max_size=100), st.data())
def test_any_changed_or_missing_byte_is_an_integrity_error(body: bytes, data: st.DataObject) -> None:
    """Flipped, cut or extended: refused."""
    sealed = bytearray(seal(KEY, HEADER, body))
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed.copy()
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (flipped, sealed[:at], sealed + b"\0"):
        with pytest.raises(IntegrityError):
            unseal(KEY, HEADER, bytes(damaged))


def test_another_key_does_not_open() -> None:
    """The key of another stream or epoch is no use."""
    with pytest.raises(IntegrityError):
        unseal(bytes(32), HEADER, seal(KEY, HEADER, b"body"))


def test_the_same_body_is_never_sealed_to_the_same_bytes() -> None:
    """Nonces are random: equal bodies cannot be told from the medium."""
    assert len({seal(KEY, HEADER, b"body") for _ in range(100)}) == 100
