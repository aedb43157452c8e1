"""`modicum keys`: the device's keys are made once, on the device."""

from __future__ import annotations

import os
from pathlib import Path

import click

from agent.cli.agent_side import config_option, json_option, printed, settings_of
from agent.core.assembly import open_keyring, read_credential
from agent.envelope import sender_for
from agent.errors import UsageError
from agent.seal.keyring import Keyring

CREDENTIAL_BYTES = 32


@click.group(name="keys")
def keys_group() -> None:
    """Make and show the device's keys."""


@keys_group.command()
@config_option
@json_option
def init(config: Path, as_json: bool) -> None:
    """Make the credential (unless systemd hands one in) and the key block. Refuses when there are keys already."""
    settings = settings_of(config)
    settings.state.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (settings.state.dir / "keys.block").exists():
        raise UsageError("this device has keys already", str(settings.state.dir), "they are never made again over old ones")
    if settings.keys.provider == "file" and not settings.credential_path.exists():
        settings.credential_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(settings.credential_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(CREDENTIAL_BYTES))
    Keyring.create(settings.state.dir, read_credential(settings)).close()
    result = {"made": True, "at_rest": "weak" if settings.keys.provider == "file" else "credential"}
    note = (
        "\nat rest: weak, because the credential lies beside the data; a TPM-bound credential is stronger"
        if result["at_rest"] == "weak"
        else ""
    )
    printed(result, as_json=as_json, text=f"keys made{note}")


@keys_group.command()
@config_option
@json_option
def show(config: Path, as_json: bool) -> None:
    """The pairwise id and public signing key towards each recipient, for enrolment. No secret is shown."""
    settings = settings_of(config)
    keyring = open_keyring(settings, read_only=True)
    try:
        senders = {name: sender_for(keyring.derive, name) for name in sorted(settings.recipients)}
    finally:
        keyring.close()
    result = {name: {"id": sender.id.hex(), "public": sender.public.hex()} for name, sender in senders.items()}
    rows = [f"{name}: id {row['id']}, signing key {row['public']}" for name, row in result.items()]
    printed(result, as_json=as_json, text="\n".join(rows))
