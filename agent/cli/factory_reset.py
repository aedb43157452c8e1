"""`modicum factory-reset`: everything that an owner left on the device is made unreadable, and the device starts like a new one."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.agent_side import config_option, json_option, printed
from agent.cli.keys import RESTS, erase, locked, made, settings_for_keys
from agent.cli.owner import as_owner
from agent.core import reset
from agent.ecall.switch import SWITCH
from agent.settings import Settings

WORD = "erase"
DOES = """This makes unreadable and removes: what waits to be sent, drivers and their choices, the log of what left, trim zones, the keys
and their credential; the emergency call is switched on again. Recipients will see another device, to be enrolled anew.
It does not reach: agent.toml (VIN, brokers), certificates, what has already left, the secret by which the emergency centre knows
this car, and old pages of a flash chip, which open only with the old credential; see docs/keys.md."""


@click.command(name="factory-reset")
@config_option
@json_option
@click.option("--yes", is_flag=True, help=f'do not ask for the word "{WORD}"')
def factory_reset_command(config: Path, as_json: bool, yes: bool) -> None:
    """Erase what an owner left, and make new keys. A reset that is cut has to be run again.

    With the agent stopped: sudo systemctl stop modicum-core; afterwards start it again.
    """
    settings = settings_for_keys(config)
    with locked(settings.state.dir):
        if not yes:
            click.echo(DOES, err=True)
            click.prompt(f'type "{WORD}" to go on', type=click.Choice([WORD]), show_choices=False, err=True)
        _erase(settings)
        if not as_json:
            click.echo("erased: what was there is unreadable")
        rests = made(settings)
    text = f"new keys made\nat rest: {rests}, {RESTS[rests]}\nenrol this device anew: modicum keys show"
    printed({"erased": True, "at_rest": rests}, as_json=as_json, text=text)


def _erase(settings: Settings) -> None:
    if settings.ecall is not None:
        # Before anything else, so that no cut leaves the next owner without an emergency call.
        (settings.ecall.state / SWITCH).unlink(missing_ok=True)
    with as_owner(settings.state.dir):
        reset.begin(settings.state.dir)
    erase(settings)
