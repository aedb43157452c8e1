"""agent.cli.owner: root at work in a folder that is the agent's is led nowhere by what the agent has put there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.owner import as_owner
from tests.agent.cli.conftest import Cli, write_device

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

AGENT = 65_533
"""Nobody's number here."""


@pytest.fixture
def config() -> Iterator[Path]:
    """A device whose state folder is the agent's, below folders of root's that everybody may pass."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    made = write_device(folder)
    (folder / "state").mkdir(mode=0o700)
    os.chown(folder / "state", AGENT, AGENT)
    yield made
    shutil.rmtree(folder)


@pytest.fixture
def foreign(config: Path) -> Path:
    """A file of root's that the agent can neither read nor change."""
    made = config.parent / "foreign"
    made.write_bytes(b"root's own")
    made.chmod(0o600)
    return made


def untouched(foreign: Path) -> bool:
    told = foreign.stat()
    return (foreign.read_bytes(), told.st_uid, told.st_gid) == (b"root's own", 0, 0)


@pytest.mark.parametrize("name", ["lock", "credential", "credential.new", "keys.block", "keys.block.new", "reset"])
@pytest.mark.parametrize("verb", [("keys", "init"), ("keys", "rotate"), ("factory-reset", "--yes")])
def test_a_link_out_of_the_folder_leads_nowhere(config: Path, foreign: Path, cli: Cli, verb: tuple[str, ...], name: str) -> None:
    """Whichever name it has and whatever root does there: the file has its content, its owner and its place."""
    state = config.parent / "state"
    if verb != ("keys", "init"):
        assert cli("keys", "init", "--config", config).status == 0
    (state / name).unlink(missing_ok=True)
    (state / name).symlink_to(foreign)
    cli(*verb, "--config", config)
    assert untouched(foreign)


@pytest.mark.parametrize("verb", [("keys", "init"), ("factory-reset", "--yes")])
def test_a_link_to_nothing_makes_nothing(config: Path, cli: Cli, verb: tuple[str, ...]) -> None:
    """A file in a folder of root's, made by root and given to the agent, would be a way in."""
    for name in ("lock", "keys.block.new", "credential.new"):
        (config.parent / "state" / name).symlink_to(config.parent / "made")
        cli(*verb, "--config", config)
        assert not (config.parent / "made").exists()
        (config.parent / "state" / name).unlink(missing_ok=True)


def test_a_folder_of_root_s_behind_a_link_is_the_agent_s_all_the_same(config: Path, cli: Cli) -> None:
    """The way to the credential leads through the agent's folder: where it ends is the agent's choice, so root goes there as the agent."""
    config.write_text(config.read_text().replace('provider = "file"', 'provider = "file"\npath = "state/below/credential"'))
    (config.parent / "roots").mkdir()
    (config.parent / "state/below").symlink_to(config.parent / "roots")
    assert "Permission denied" in cli("keys", "init", "--config", config).refused(2)
    assert list((config.parent / "roots").iterdir()) == []


def test_what_root_makes_there_is_the_agent_s(config: Path, cli: Cli) -> None:
    """Every file, after each command."""
    for verb in (("keys", "init"), ("keys", "rotate"), ("factory-reset", "--yes")):
        assert cli(*verb, "--config", config).status == 0
        owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in (config.parent / "state").iterdir()}
        assert set(owners.values()) == {(AGENT, AGENT)}, owners
        assert {"credential", "keys.block"} <= owners.keys()


def test_a_credential_in_a_folder_of_root_s_can_be_read_by_the_agent(config: Path, cli: Cli) -> None:
    """There root has to make it, and gives it away."""
    config.write_text(config.read_text().replace('provider = "file"', 'provider = "file"\npath = "credential"'))
    assert cli("keys", "init", "--config", config).status == 0
    assert cli("keys", "rotate", "--config", config).status == 0
    told = (config.parent / "credential").stat()
    assert (told.st_uid, told.st_gid, told.st_mode & 0o777) == (AGENT, AGENT, 0o600)


def test_root_is_root_again_afterwards(config: Path) -> None:
    """Also within, in a folder of its own, and after an error."""
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with pytest.raises(PermissionError), as_owner(config.parent / "state"):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (AGENT, AGENT, [])
        with as_owner(config.parent / "new"):
            assert (os.geteuid(), os.getegid()) == (0, 0)
        assert os.geteuid() == AGENT
        config.chmod(0o644)
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before
