"""The command line as a whole: verbs, exit statuses, one line for every error."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from agent.cli import main as main_module
from agent.cli.main import VERBS, cli, main
from agent.errors import AgentAbsent, DeviceError, IntegrityError, NotPermitted, UsageError
from tests.agent.cli.conftest import Cli, write_device

ROOT = Path(__file__).parents[3]
ASKING = [
    ("consent", "show"),
    ("consent", "grant", "traffic.position", "--trip"),
    ("consent", "withdraw", "traffic.position"),
    ("consent", "history"),
    ("profile", "list"),
    ("profile", "use", "anna"),
    ("profile", "add", "anna"),
    ("policy", "show"),
    ("policy", "accept"),
    ("live",),
    ("status",),
    ("audit", "show"),
    ("plan",),
    ("explain", "Vehicle.Speed"),
]
"""What needs a running agent."""


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_an_agent_that_does_not_answer_is_exit_3(tmp_path: Path, cli: Cli, words: tuple[str, ...]) -> None:
    """One line that says where it was looked for and what to do; nothing on stdout, with --json too."""
    config = write_device(tmp_path)
    for more in ((), ("--json",)):
        assert "the agent does not answer" in cli(*words, "--config", config, *more).refused(3)


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_a_configuration_that_is_not_there_is_exit_2(tmp_path: Path, cli: Cli, words: tuple[str, ...]) -> None:
    """Not a traceback, and not the default's fault."""
    said = cli(*words, "--config", tmp_path / "absent.toml")
    assert (said.status, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert "absent.toml" in said.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli: Cli, verb: str) -> None:
    """`modicum VERB --help` is exit 0 and says more than its name."""
    said = cli(verb, "--help")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("Usage:")
    assert len(said.out.splitlines()) > 4


def test_help_lists_every_verb(cli: Cli) -> None:
    """With and without a word."""
    for words in (("--help",), ("-h",)):
        said = cli(*words)
        assert said.status == 0
        assert all(f"  {verb} " in said.out for verb in VERBS)


def test_no_verb_shows_the_help(cli: Cli) -> None:
    """`modicum` alone is a question, not an error in one endless line."""
    said = cli()
    shown = said.out + said.err
    assert said.status in (0, 2)
    assert len(shown.splitlines()) > 10
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize(
    "words",
    [
        ("absent",),
        ("--absent",),
        ("consent",),
        ("consent", "absent"),
        ("status", "--absent"),
        ("status", "too", "many"),
        ("replay",),
        ("audit", "show", "--limit"),
    ],
    ids=" ".join,
)
def test_bad_arguments_are_exit_2(cli: Cli, words: tuple[str, ...]) -> None:
    """What click says becomes one line in our form, unless it is the help of a group."""
    said = cli(*words)
    assert said.status == 2
    if not said.err.startswith("Usage: "):
        said.refused(2)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (UsageError("what", "where", "do"), 2),
        (AgentAbsent("what", "where", "do"), 3),
        (NotPermitted("what", "where", "do"), 4),
        (DeviceError("what", "where", "do"), 5),
        (IntegrityError("what", "where", "do"), 1),
        (BrokenPipeError(), 0),
        (click.exceptions.Abort(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_statuses(cli: Cli, monkeypatch: pytest.MonkeyPatch, raised: Exception, status: int) -> None:
    """The status that interfaces promise, for whatever a verb raises; one line or none."""

    @click.command()
    def verb() -> None:
        raise raised

    monkeypatch.setattr(main_module, "VERBS", {"verb": ("tests", "verb")})
    monkeypatch.setattr(main_module.Verbs, "get_command", lambda self, context, name: verb)
    said = cli("verb")
    assert said.status == status
    assert said.err == ("modicum: what (where): do\n" if hasattr(raised, "what") else "")


def test_a_verb_does_not_pay_for_the_imports_of_another() -> None:
    """Decoding a receiver's file needs neither CAN databases nor keys nor a broker's client."""
    heavy = "{'cantools', 'cryptography', 'sqlcipher3', 'paho', 'can'}"
    program = f"import sys; from agent.cli.main import main; main(['gnss', 'decode', '--help']); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "set()"
    assert done.stderr == ""


def test_a_path_that_cannot_be_used_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the system says of a file is told in our form, exit 2."""

    @click.command()
    def verb() -> None:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(main_module.Verbs, "get_command", lambda self, context, name: verb)
    assert cli("verb").refused(2) == "modicum: Permission denied (/somewhere): check the path and who may use it\n"


def test_the_installed_command_is_this_main() -> None:
    """`modicum` of pyproject.toml and the verbs of the table lead to something."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["modicum"] == "agent.cli.main:main"
    context = click.Context(cli)
    assert isinstance(cli, click.Group)
    assert all(cli.get_command(context, verb) is not None for verb in cli.list_commands(context))
    assert main(["--help"]) == 0
