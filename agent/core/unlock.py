"""The state folder is taken and its keys are opened, or it is told why not: the agent then runs in RAM only.

Promises: one process has the folder; a key that does not come, or does not fit, changes nothing of what is in it (a lock file is made),
so that it opens again once the right key is back; what a rotation or a factory reset was cut in is completed first.
In RAM only, nothing reaches a file system at all, not even one in RAM: the databases are in this process' own memory, as the keys
always are, so what holds for keys holds for them (no core dump; no swap, where the kernel keeps the unit's word, else `swap-open` is
found), no other process can open them, and they end with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from agent.core import reset
from agent.errors import DeviceError, IntegrityError, UsageError
from agent.model import Finding
from agent.seal.credential import TPM_BOUND, AtRest, Credential, Keyless, at_rest, read_credential
from agent.seal.keyblock import DATABASES, FILE_NAME, KEY_BYTES
from agent.seal.keyring import Keyring
from agent.settings import Settings
from agent.storage.sqlite import FutureSchema, rekey


@dataclass(slots=True)
class Unlocked:
    """The keys, how they rest, and where databases belong. `folder` is None, and there is a finding, where nothing is kept.

    `lock`: the descriptor that holds the state folder; None where there is no such folder.
    """

    keyring: Keyring
    at_rest: AtRest
    folder: Path | None
    lock: int | None
    findings: list[Finding]
    ledger_broken: bool = False

    def close(self) -> None:
        """Lets go of keys and folder."""
        self.keyring.close()
        if self.lock is not None:
            os.close(self.lock)

    def without_ledger(self, error: IntegrityError) -> None:
        """It is not what was written: lets go of the keys and not of the folder, in which nothing is changed from here on."""
        self.keyring.close()
        self.keyring, self.at_rest, self.folder = Keyring.create(None, os.urandom(KEY_BYTES)), "ram-only", None
        self.ledger_broken = True
        self.findings.append(_ledger_broken(error))


def unlock(settings: Settings) -> Unlocked:
    """Takes the folder and opens the keys, else RAM only. Raises UsageError (another agent), FutureSchema (ledger), DeviceError."""
    folder, lock = settings.state.dir, None
    try:
        lock = lock_state(folder)
        if reset.begun(folder):
            reset.complete(folder)
        require_keys(folder)
        credential = read_credential(settings.keys, settings.credential_path)
        with contextlib.closing(open_keyring(folder, credential, read_only=True)) as looked:
            require(settings, at_rest(settings.keys, credential, looked.mark))
        keyring = open_keyring(folder, credential)
    except (Keyless, IntegrityError) as error:
        return Unlocked(Keyring.create(None, os.urandom(KEY_BYTES)), "ram-only", None, lock, [_why(error)])
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise
    unlocked = Unlocked(keyring, at_rest(settings.keys, credential, keyring.mark), folder, lock, [])
    try:
        if any(keyring.coming_key(name) for name in DATABASES):
            renew_databases(keyring, folder)
            keyring.renewed()
    except BaseException as error:
        if isinstance(error, IntegrityError) and not isinstance(error, FutureSchema):
            unlocked.without_ledger(error)
            return unlocked
        unlocked.close()
        raise
    return unlocked


def _ledger_broken(error: IntegrityError) -> Finding:
    """Why no word of the ledger counts. Nothing is repaired, and nothing that rests on it destroyed."""
    text = f"{error.what} ({error.where}); no grant of it counts, nothing is kept on the medium, what waited stays there unsent"
    hint = "copy the state folder, which is evidence; then begin anew: sudo systemctl stop modicum-core; modicum factory-reset"
    return Finding(code="ledger-broken", severity="error", text=text, hint=f"{hint}; sudo systemctl start modicum-core")


def _why(error: Keyless | IntegrityError) -> Finding:
    match error:
        case Keyless(code="key-missing"):
            return _in_ram("key-missing", error.what, error.hint)
        case Keyless(code="key-weak"):
            return _in_ram("key-weak", error.what, error.hint)
        case _:
            return _in_ram("key-wrong", error.what, "bring back the device or its credential, or begin anew with: modicum factory-reset")


def _in_ram(code: str, what: str, hint: str) -> Finding:
    text = f"{what}; nothing is kept on the medium, and nobody's choice is known until the next start with the key"
    return Finding(code=code, severity="error", text=text, hint=f"{hint}; then sudo systemctl restart modicum-core")


def lock_state(folder: Path) -> int:
    """Takes the state folder for this process as long as it lives: two agents would destroy each other's keys.

    Raises Keyless where there is no folder, UsageError where another has it, DeviceError.
    """
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise _keyless(folder) from error
    except OSError as error:
        raise DeviceError(f"the state folder cannot be used: {error.strerror}", str(folder), "check its disk and its owner") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(
            "another agent uses this state folder",
            str(folder),
            "stop it first (sudo systemctl stop modicum-core), or name another [state] dir",
        ) from error
    return descriptor


def require_keys(folder: Path) -> None:
    """Raises Keyless when there are none yet. To be asked before the credential is read: what is to be done about that is another thing."""
    if reset.begun(folder):
        raise Keyless("key-missing", "a factory reset was cut", str(folder), "run it again: modicum factory-reset")
    if not (folder / FILE_NAME).exists():
        raise _keyless(folder)


def open_keyring(folder: Path, credential: Credential, *, read_only: bool = False) -> Keyring:
    """The device's keys; `read_only` beside a running core. Raises as `require_keys`, and IntegrityError when no slot opens."""
    require_keys(folder)
    return Keyring.open(folder, credential.secret, read_only=read_only)


def require(settings: Settings, rests: AtRest) -> None:
    """Raises Keyless where [keys] asks for a credential that only a TPM opens, and this one does not show that it is."""
    if settings.keys.provider == "systemd" and rests != TPM_BOUND:
        hint = 'make one that a TPM seals (modicum keys rotate), or accept it with [keys] provider = "systemd-host"'
        raise Keyless("key-weak", "nothing shows that only a TPM opens the credential", str(settings.credential_path), hint)


def renew_databases(keyring: Keyring, folder: Path) -> None:
    """Gives both databases the keys that the keyring has drawn for them (`Keyring.renew`); done again after a cut.

    Raises IntegrityError for a damaged ledger, DeviceError. A damaged buffer stays as it is: the next start sets it aside.
    """
    for name in DATABASES:
        coming = keyring.coming_key(name)
        assert coming is not None
        try:
            rekey(folder / f"{name}.db", keyring.database_key(name), coming, name)
        except IntegrityError:
            if name == "ledger":
                raise


def _keyless(folder: Path) -> Keyless:
    return Keyless("key-missing", "this device has no keys yet", str(folder), "make them once with: modicum keys init")
