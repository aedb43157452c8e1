"""The command line: one file per verb, errors as one line, the exit status that interfaces promise."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from agent.errors import ModicumError, UsageError

VERBS: dict[str, tuple[str, str]] = {
    "replay": ("agent.cli.replay", "replay_command"),
    "bench": ("agent.cli.bench.command", "bench_command"),
    "check": ("agent.cli.check", "check"),
    "plan": ("agent.cli.plan", "plan_command"),
    "explain": ("agent.cli.explain", "explain_command"),
    "consent": ("agent.cli.consent", "consent_group"),
    "profile": ("agent.cli.profile", "profile_group"),
    "policy": ("agent.cli.policy", "policy_group"),
    "request": ("agent.cli.request", "request_command"),
    "live": ("agent.cli.live", "live_command"),
    "status": ("agent.cli.status", "status_command"),
    "doctor": ("agent.cli.doctor", "doctor_command"),
    "can": ("agent.cli.can_", "can_group"),
    "unlock": ("agent.cli.unlock", "unlock_command"),
    "lock": ("agent.cli.unlock", "lock_command"),
    "open": ("agent.cli.open_", "open_command"),
    "gnss": ("agent.cli.gnss", "gnss"),
    "ecall": ("agent.cli.ecall", "ecall_group"),
    "keys": ("agent.cli.keys", "keys_group"),
    "factory-reset": ("agent.cli.factory_reset", "factory_reset_command"),
    "audit": ("agent.cli.audit", "audit_group"),
}
"""Verb -> (module, object), imported only when it is asked for."""


class Verbs(click.Group):
    """The verbs, loaded lazily so that one does not pay for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """All verbs, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """The verb's command, or None."""
        if cmd_name not in VERBS:
            return None
        module, name = VERBS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="modicum", prog_name="modicum")
def cli() -> None:
    """Modicum: a telematics agent that takes from the car only what a service needs and the driver allows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns its exit status; an error is one line on stderr, never a traceback."""
    try:
        ended = cli.main(args=list(arguments) if arguments is not None else None, prog_name="modicum", standalone_mode=False)
        status = ended if isinstance(ended, int) else 0
    except ModicumError as error:
        status = _said(error)
    except click.exceptions.Abort:
        status = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = 2
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        where = context.command_path if context is not None else "modicum"
        status = _said(UsageError(error.format_message().rstrip("."), where, f"see {where} --help"))
    except BrokenPipeError:
        status = 0
    except OSError as error:
        what, where = error.strerror or str(error), str(error.filename or "files")
        status = _said(UsageError(what, where, "check the path and who may use it"))
    return status


def _said(error: ModicumError) -> int:
    """Tells the error; its exit status."""
    sys.stderr.write(f"{error}\n")
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
