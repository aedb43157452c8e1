"""The root credential: where it is read from, and how well it rests there.

Promises: whatever keeps a credential from being used is `Keyless`, which says why and what to do. How a credential rests is told by
the bytes that rest, never by the configuration: systemd writes into the sealed form which keys open it, and the key block remembers
which sealed form its credential was made with. What nothing shows counts as weak.
Must never do: write a credential, or show one (agent.cli.sealing makes them).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.errors import UsageError
from agent.seal.keyblock import CREDENTIAL_BYTES_MIN
from agent.sections import Keys

AtRest = Literal["tpm-bound", "weak", "not-known", "ram-only"]
TPM_BOUND: AtRest = "tpm-bound"
SEALED_SUFFIX = ".sealed"
"""The unit hands in the sealed form too, under the credential's name with this behind it."""
KEY_TYPE_BYTES = 16
OPENED_BY_TPM = frozenset(
    bytes.fromhex(key_type)
    for key_type in (
        "0c7cc07b117645919c4b0bea08bc20fe",  # tpm2
        "faf7eb9341e3412ca1a436f95a29362f",  # tpm2 with a signed policy
        "93a894094874449090caf2fc93cab553",  # host and tpm2
        "ef4ac13679a9480ea7db68897f9f165d",  # the same, scoped
        "af4950a849134eb1a73846304ff30c05",  # host and tpm2 with a signed policy
        "adbc4ca3efb64201ba881b6f2e4095ea",  # the same, scoped
    )
)
"""The first bytes of what only a TPM opens (systemd, src/shared/creds-util.h). A type that is not here counts as weak."""


class Keyless(UsageError):
    """The keys cannot be used. `code`: the finding's."""

    def __init__(self, code: str, what: str, where: str, hint: str) -> None:
        self.code = code
        super().__init__(what, where, hint)


@dataclass(frozen=True, slots=True)
class Credential:
    """The secret, and the sealed form that systemd opened to it; empty where there is none."""

    secret: bytes = field(repr=False)
    sealed: bytes = field(default=b"", repr=False)

    @property
    def mark(self) -> bytes:
        """What the key block remembers of the sealed form; empty where there is none."""
        return hashlib.sha256(self.sealed).digest() if self.sealed else b""


def at_rest(keys: Keys, credential: Credential, mark: bytes) -> AtRest:
    """How this credential rests. `mark`: what the key block remembers, so that no other sealed form speaks for this credential."""
    if keys.provider == "file":
        return "weak"
    if not credential.sealed or credential.mark != mark:
        return "not-known"
    return TPM_BOUND if _opened_by_tpm(credential.sealed) else "weak"


def _opened_by_tpm(sealed: bytes) -> bool:
    try:
        return base64.b64decode(b"".join(sealed.split()), validate=True)[:KEY_TYPE_BYTES] in OPENED_BY_TPM
    except binascii.Error:
        return False


def handed_in(path: Path) -> Path | None:
    """Where systemd has put the credential whose sealed form is `path`; None where it started nobody here with one."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / path.name if folder else None


def read_credential(keys: Keys, path: Path) -> Credential:
    """The credential of this process. Raises Keyless."""
    if keys.provider == "file":
        return checked(Credential(_content(path)), path)
    given = handed_in(path)
    if given is None:
        raise Keyless("key-missing", "systemd has handed in no credential", path.name, "start it by its unit")
    sealed = given.with_name(given.name + SEALED_SUFFIX)
    # A unit that finds no sealed form hands in an empty line: SetCredential= takes nothing shorter.
    credential = Credential(_content(given), _content(sealed) if _content(sealed).strip() else b"")
    if credential.sealed and not credential.secret:
        what = "the sealed credential does not open on this device"
        raise Keyless("key-wrong", what, str(path), "put the medium back into its own device, or begin anew with: modicum factory-reset")
    return checked(credential, path)


def checked(credential: Credential, path: Path) -> Credential:
    """The same. Raises Keyless where it is none, or too short to be one."""
    if not credential.secret:
        raise Keyless("key-missing", "no credential", str(path), "bring it back, or begin anew with: modicum factory-reset")
    if len(credential.secret) < CREDENTIAL_BYTES_MIN:
        what = f"a credential of {len(credential.secret)} bytes"
        raise Keyless("key-missing", what, str(path), f"it has at least {CREDENTIAL_BYTES_MIN}")
    return credential


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Keyless("key-missing", f"the credential cannot be read: {error.strerror}", str(path), "check its owner and mode") from error
