"""The documents say what the program does: every verb has help and a place in the documents, every link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from tests.sources import ROOT, project_files

COMMANDS_OF_MAKE = ("make bench", "make test")


def cli() -> click.Group:
    """The command line, or a skip while there is none."""
    if importlib.util.find_spec("agent.cli.main") is None:
        pytest.skip("agent.cli.main does not exist yet")
    group: Any = importlib.import_module("agent.cli.main").cli
    assert isinstance(group, click.Group)
    return group


def verbs(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below `group` with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not command.hidden:
            yield (*above, name), command
            if isinstance(command, click.Group):
                yield from verbs(command, (*above, name))


def documents() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", ROOT / "docs" / "cli.md") if path.exists())


def test_every_verb_has_help() -> None:
    """A person who types a verb and --help learns what it does."""
    found = list(verbs(cli()))
    assert found
    assert [" ".join(words) for words, command in found if not (command.help or command.short_help)] == []


def test_every_option_has_help() -> None:
    """An option without a word about it can only be guessed."""
    silent = [
        f"{' '.join(words)} {parameter.opts[-1]}"
        for words, command in verbs(cli())
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and not parameter.hidden
    ]
    assert silent == []


def test_every_verb_stands_in_the_documents() -> None:
    """`modicum VERB` can be found by somebody who does not know it yet, in README.md or docs/cli.md."""
    text = documents()
    assert [
        " ".join(words) for words, _ in verbs(cli()) if len(words) == 1 and not re.search(rf"modicum {re.escape(words[0])}\b", text)
    ] == []


def test_the_first_code_blocks_of_the_readme_are_the_two_commands() -> None:
    """A stranger starts with `make bench` and `make test`."""
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md does not exist yet")
    blocks = re.findall(r"^```\w*\n(.*?)^```", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [any(command in block for block in blocks[:2]) for command in COMMANDS_OF_MAKE] == [True, True]


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names a file of the project."""
    pattern = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
    texts = {path: path.read_text(encoding="utf-8") for path in project_files() if path.suffix == ".md"}
    links = [(path, target) for path, text in texts.items() for target in pattern.findall(text)]
    assert [f"{path.relative_to(ROOT)}: {target}" for path, target in links if not (path.parent / target).exists()] == []


def test_every_test_that_a_document_names_exists() -> None:
    """What is said to be shown can be looked up, also after somebody has renamed it."""
    files = [path for path in project_files() if path.name.startswith("test_") and path.suffix == ".py"]
    functions = re.compile(r"^def (test_\w+)", re.MULTILINE)
    there = {path.stem for path in files}.union(*(functions.findall(path.read_text("utf-8")) for path in files))
    named = {name for path in (ROOT / "docs").glob("*.md") for name in re.findall(r"`(test_\w+)`", path.read_text("utf-8"))}
    assert named
    assert sorted(named - there) == []
