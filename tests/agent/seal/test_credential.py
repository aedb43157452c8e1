"""agent.seal.credential: what keeps a credential from being used, and how well it rests, told by the bytes that rest."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from agent.seal.credential import Credential, Keyless, at_rest, read_credential
from agent.sections import Keys

SYSTEMD, HOST, FILE = (Keys(provider=provider) for provider in ("systemd", "systemd-host", "file"))
SECRET = bytes(range(32))
SEALED_BY_HOST = b"""\
Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA1+VNoSHZ/5LneQmoAUBt2dlqPJ4nbyc9dcqD0
"""
"""As systemd-creds 252 begins one with --with-key=host."""


def sealed(key_type: str) -> bytes:
    """A sealed form of that type, broken into lines as systemd-creds breaks them."""
    return base64.encodebytes(bytes.fromhex(key_type) + os.urandom(90))


BY_TPM = {
    "tpm2-hmac": "0c7cc07b117645919c4b0bea08bc20fe",
    "tpm2-hmac-with-pk": "faf7eb9341e3412ca1a436f95a29362f",
    "host-tpm2-hmac": "93a894094874449090caf2fc93cab553",
    "host-tpm2-hmac-scoped": "ef4ac13679a9480ea7db68897f9f165d",
    "host-tpm2-hmac-with-pk": "af4950a849134eb1a73846304ff30c05",
    "host-tpm2-hmac-with-pk-scoped": "adbc4ca3efb64201ba881b6f2e4095ea",
}
"""Every type that only a TPM opens (systemd, src/shared/creds-util.h). One wrong digit would make such a device RAM-only."""
TPM2, NULL = sealed(BY_TPM["tpm2-hmac"]), sealed("058469daf6f54324800549da0f8ea2fb")


@pytest.mark.parametrize(
    ("form", "rests"),
    [
        *((sealed(key_type), "tpm-bound") for key_type in BY_TPM.values()),
        (SEALED_BY_HOST, "weak"),
        (NULL, "weak"),
        (sealed("00" * 16), "weak"),
        (b"?", "weak"),
    ],
    ids=[*BY_TPM, "host", "null", "unknown", "no base64"],
)
@pytest.mark.parametrize("keys", [SYSTEMD, HOST], ids=["systemd", "systemd-host"])
def test_the_sealed_form_says_what_opens_it(keys: Keys, form: bytes, rests: str) -> None:
    """Whatever the configuration hopes for; a type that nobody knows counts as weak."""
    credential = Credential(SECRET, form)
    assert at_rest(keys, credential, credential.mark) == rests


def test_another_sealed_form_cannot_speak_for_a_credential() -> None:
    """One that the keys were not made with, or none at all, shows nothing; nor does one for keys that were made without."""
    mark = Credential(SECRET, SEALED_BY_HOST).mark
    assert {at_rest(SYSTEMD, Credential(SECRET, form), mark) for form in (TPM2, b"")} == {"not-known"}
    assert at_rest(SYSTEMD, Credential(SECRET, TPM2), b"") == "not-known"


def test_a_file_is_weak_whatever_lies_beside_it() -> None:
    """The credential lies there in the clear."""
    credential = Credential(SECRET, TPM2)
    assert at_rest(FILE, credential, credential.mark) == "weak"


def test_a_credential_is_not_shown() -> None:
    """Neither the secret nor its sealed form stands in a representation."""
    assert repr(Credential(SECRET, TPM2)) == "Credential()"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of credentials that systemd made for this process."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


REST = Path("/etc/credstore.encrypted/modicum-credential")


def test_systemd_hands_in_the_secret_and_its_sealed_form(given: Path) -> None:
    """Both by the name of the file in which it rests."""
    (given / "modicum-credential").write_bytes(SECRET)
    assert read_credential(SYSTEMD, REST) == Credential(SECRET)
    (given / "modicum-credential.sealed").write_bytes(TPM2)
    assert read_credential(SYSTEMD, REST) == Credential(SECRET, TPM2)


@pytest.mark.parametrize(("secret", "says"), [(None, "no credential"), (b"", "no credential"), (b"short", "of 5 bytes")])
def test_nothing_that_is_handed_in_is_a_missing_key(given: Path, secret: bytes | None, says: str) -> None:
    """Absent, empty or too short to protect anything."""
    if secret is not None:
        (given / "modicum-credential").write_bytes(secret)
    (given / "modicum-credential.sealed").write_bytes(b"\n")
    with pytest.raises(Keyless, match=says) as refused:
        read_credential(SYSTEMD, REST)
    assert refused.value.code == "key-missing"


def test_a_sealed_form_that_did_not_open_is_a_wrong_key(given: Path) -> None:
    """The medium was moved, or what seals it is another by now."""
    (given / "modicum-credential.sealed").write_bytes(SEALED_BY_HOST)
    with pytest.raises(Keyless, match="does not open on this device") as refused:
        read_credential(SYSTEMD, REST)
    assert refused.value.code == "key-wrong"


def test_without_systemd_nothing_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the unit has to start it; the sealed form is not looked for."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Keyless, match="start it by its unit"):
        read_credential(SYSTEMD, REST)


def test_a_file_that_cannot_be_read_is_a_missing_key(tmp_path: Path) -> None:
    """As one that is not there, with the reason."""
    with pytest.raises(Keyless, match="Is a directory") as refused:
        read_credential(FILE, tmp_path)
    assert refused.value.code == "key-missing"
