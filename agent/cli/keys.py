"""`modicum keys`: the device's keys are made once, on the device; shown without a secret; replaced while the agent stands."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import click

from agent.cli import sealing
from agent.cli.agent_side import config_option, json_option, printed, settings_of
from agent.cli.owner import as_owner
from agent.core import reset
from agent.core.unlock import lock_state, open_keyring, renew_databases, require, require_keys
from agent.envelope import sender_for
from agent.errors import NotPermitted, UsageError
from agent.seal.credential import AtRest, Credential, Keyless, at_rest
from agent.seal.keyblock import FILE_NAME
from agent.seal.keyring import Keyring
from agent.settings import Settings

RESTS = {
    "tpm-bound": "only this device opens the credential",
    "weak": "whoever has the medium opens the credential: what it is sealed with, or the credential itself, lies beside the data",
    "not-known": "nothing shows how the credential rests; it counts as weak",
}


@click.group(name="keys")
def keys_group() -> None:
    """Make, show and replace the device's keys."""


@keys_group.command()
@config_option
@json_option
def init(config: Path, as_json: bool) -> None:
    """Make the credential (unless there is one) and the key block. Refuses when there are keys already. As root where systemd seals."""
    settings = settings_for_keys(config)
    rests, runs = made(settings), _runs(settings.state.dir)
    note = "\nan agent runs without keys: restart it, it goes on in RAM only until then" if runs else ""
    printed({"made": True, "at_rest": rests, "restart": runs}, as_json=as_json, text=f"keys made\n{_said(rests)}{note}")


@keys_group.command()
@config_option
@json_option
def show(config: Path, as_json: bool) -> None:
    """How the keys rest, and the pairwise id and public signing key towards each recipient, for enrolment. No secret is shown."""
    settings = settings_for_keys(config)
    credential = _own(settings)
    with as_owner(settings.state.dir), contextlib.closing(open_keyring(settings.state.dir, credential, read_only=True)) as keyring:
        rests = at_rest(settings.keys, credential, keyring.mark)
        senders = {name: sender_for(keyring.derive, name) for name in sorted(settings.recipients)}
    result = {name: {"id": sender.id.hex(), "public": sender.public.hex()} for name, sender in senders.items()}
    rows = [_said(rests), *(f"{name}: id {row['id']}, signing key {row['public']}" for name, row in result.items())]
    printed({"at_rest": rests, "recipients": result}, as_json=as_json, text="\n".join(rows))


@keys_group.command()
@config_option
@json_option
def rotate(config: Path, as_json: bool) -> None:
    """A new credential, new keys of both databases and a new seed. Ids towards recipients stay.

    With the agent stopped: sudo systemctl stop modicum-core; afterwards start it again.
    """
    settings = settings_for_keys(config)
    with locked(settings.state.dir):
        credential, new = _own(settings), sealing.drawn(settings)
        with as_owner(settings.state.dir), contextlib.closing(open_keyring(settings.state.dir, credential)) as keyring:
            keyring.renew()
            renew_databases(keyring, settings.state.dir)
            keyring.rotate(new.secret, new.mark, lambda: sealing.put(settings, new))
    rests = at_rest(settings.keys, new, new.mark)
    printed({"rotated": True, "at_rest": rests}, as_json=as_json, text=f"keys rotated: the former credential opens nothing\n{_said(rests)}")


def settings_for_keys(config: Path) -> Settings:
    """The agent's settings, for whoever may work where its keys lie. Raises NotPermitted, else as `settings_of`."""
    only_root = f"only root: sudo {click.get_current_context().command_path}"
    try:
        settings = settings_of(config)
    except NotPermitted as error:
        raise NotPermitted(error.what, error.where, only_root) from error
    for folder in (settings.state.dir, settings.credential_path.parent):
        there = next(part for part in (folder.absolute(), *folder.absolute().parents) if os.access(part, os.F_OK))
        if os.geteuid() != 0 and not os.access(there, os.W_OK | os.X_OK):
            raise NotPermitted("this user may not work with the keys", str(folder), only_root)
    return settings


def made(settings: Settings) -> AtRest:
    """Makes the keys; how they rest. After a reset that was cut, under another credential.

    Raises UsageError where there are some already, or the credential is weaker than [keys] asks.
    """
    folder = settings.state.dir
    with as_owner(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if reset.begun(folder):
        erase(settings)
    with as_owner(folder):
        if (folder / FILE_NAME).exists():
            hint = (
                "where core runs without them: sudo systemctl restart modicum-core; where their credential is lost: modicum factory-reset"
            )
            raise UsageError("this device has keys already", str(folder), hint)
    credential = _credential(settings)
    rests = at_rest(settings.keys, credential, credential.mark)
    require(settings, rests)
    with as_owner(folder):
        Keyring.create(folder, credential.secret, mark=credential.mark).close()
        reset.end(folder)
    return rests


def erase(settings: Settings) -> None:
    """What a reset that was begun has to make unreadable: the credential, wherever it lies, and the folder. Raises OSError, DeviceError."""
    with as_owner(settings.credential_path.parent):
        reset.overwrite(settings.credential_path)
    with as_owner(settings.state.dir):
        reset.complete(settings.state.dir)


def _own(settings: Settings) -> Credential:
    """The credential of the keys that are there. Raises Keyless."""
    with as_owner(settings.state.dir):
        require_keys(settings.state.dir)
    return sealing.credential_of(settings)


def _credential(settings: Settings) -> Credential:
    """What is there, an integrator's own perhaps; else a new one."""
    try:
        return sealing.credential_of(settings)
    except Keyless:
        if settings.credential_path.exists():
            raise
    credential = sealing.drawn(settings)
    sealing.put(settings, credential)
    return credential


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No agent uses the folder meanwhile. Raises as `lock_state`."""
    with as_owner(folder):
        lock = lock_state(folder)
    try:
        yield
    finally:
        os.close(lock)


def _runs(folder: Path) -> bool:
    """Whether an agent has the folder, without keys then."""
    with as_owner(folder), contextlib.suppress(FileNotFoundError), (folder / "lock").open("r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _said(rests: AtRest) -> str:
    return f"at rest: {rests}, {RESTS[rests]}"
