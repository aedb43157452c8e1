"""The credential in the workshop's hands: drawn, sealed by systemd-creds(1), put where it rests, read again.

For root at a terminal, who may do what the agent may not. Promises that a credential which `put` was to replace is there whole until the
new one is. A secret passes through pipes only, never through an argument or a file of its own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from agent.cli.owner import as_owner, owner_of
from agent.errors import DeviceError, UsageError
from agent.seal.credential import TPM_BOUND, Credential, Keyless, at_rest, checked, handed_in, read_credential
from agent.seal.keyblock import sync_folder
from agent.settings import Settings

CREDENTIAL_BYTES = 32
SYSTEMD_CREDS_S = 60.0
KEYS = {"systemd": "tpm2", "systemd-host": "host"}


def credential_of(settings: Settings) -> Credential:
    """The credential, as the unit hands it in or as it rests. Raises Keyless, UsageError where its sealed form does not open."""
    path = settings.credential_path
    given = handed_in(path)
    if settings.keys.provider == "file" or (given is not None and given.exists()):
        with as_owner(path.parent):
            return read_credential(settings.keys, path)
    if not path.exists():
        return checked(Credential(b""), path)
    hint = "as root, on its own device; begin anew with: modicum factory-reset"
    return checked(Credential(_systemd_creds(["decrypt", f"--name={path.name}", str(path), "-"], b"", path, hint), path.read_bytes()), path)


def drawn(settings: Settings) -> Credential:
    """A new one, sealed as [keys] says. Raises UsageError where this device cannot seal so."""
    secret, path = os.urandom(CREDENTIAL_BYTES), settings.credential_path
    if settings.keys.provider == "file":
        return Credential(secret)
    hint = 'as root, with a TPM and libtss2; without one, accept less with [keys] provider = "systemd-host"'
    key = KEYS[settings.keys.provider]
    credential = Credential(secret, _systemd_creds(["encrypt", f"--name={path.name}", f"--with-key={key}", "-", "-"], secret, path, hint))
    if settings.keys.provider == "systemd" and at_rest(settings.keys, credential, credential.mark) != TPM_BOUND:
        raise Keyless("key-weak", "systemd-creds sealed it with another key than the TPM's", str(path), hint)
    return credential


def put(settings: Settings, credential: Credential) -> None:
    """Puts it where it rests, instead of what was there; durable on return. Raises OSError."""
    path = settings.credential_path
    with as_owner(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(path.name + ".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(credential.sealed or credential.secret)
            file.flush()
            if settings.keys.provider == "file" and os.geteuid() == 0:
                os.fchown(descriptor, *owner_of(settings.state.dir))  # in a folder of root's own: the agent has to read it there
            os.fsync(descriptor)
        beside.replace(path)
        sync_folder(path.parent)


def _systemd_creds(arguments: list[str], given: bytes, path: Path, hint: str) -> bytes:
    try:
        line = ["systemd-creds", *arguments]
        ended = subprocess.run(line, input=given, capture_output=True, timeout=SYSTEMD_CREDS_S, check=False)  # noqa: S603  no shell
    except FileNotFoundError as error:
        raise UsageError("no systemd-creds here", "systemd-creds", 'use systemd 252 or later, or [keys] provider = "file"') from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError("systemd-creds does not answer", "systemd-creds", "look at the TPM; trying again can help") from error
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"systemd-creds {arguments[0]} failed{': ' if said else ''}{said[-1] if said else ''}", str(path), hint)
    return ended.stdout
