"""`modicum keys rotate`: another credential, other keys, and everything still there, wherever it is cut."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.core.unlock import Unlocked, lock_state, unlock
from agent.errors import IntegrityError
from agent.seal.keyring import Keyring
from agent.settings import load_settings
from tests.agent.cli.conftest import Cli, write_device
from tests.support.cuts import cut_everywhere
from tests.support.lived_in import live_in, told


@pytest.fixture
def config(tmp_path: Path, cli: Cli) -> Path:
    """A device on which somebody has lived; the credential lies beside the folder of the data."""
    made = write_device(tmp_path)
    assert cli("keys", "init", "--config", made).status == 0
    live_in(tmp_path / "state", (tmp_path / "state/credential").read_bytes())
    return made


def rotate(config: Path) -> int:
    return main(["keys", "rotate", "--config", str(config)])


def restarted(config: Path) -> Unlocked:
    """As the agent starts."""
    unlocked = unlock(load_settings(config))
    unlocked.close()
    return unlocked


def secrets_of(state: Path) -> tuple[bytes, bytes, bytes, bytes]:
    keyring = Keyring.open(state, (state / "credential").read_bytes(), read_only=True)
    keyring.close()
    return (keyring.device_secret, keyring.database_key("ledger"), keyring.database_key("buffer"), (state / "credential").read_bytes())


def test_everything_but_the_device_secret_is_another(config: Path, cli: Cli) -> None:
    """Credential and both databases' keys; what recipients know the device by stays, and so does all that it holds."""
    state = config.parent / "state"
    before, held = secrets_of(state), told(state)
    assert cli("keys", "rotate", "--config", config, "--json").document == {"rotated": True, "at_rest": "weak"}
    after = secrets_of(state)
    assert after[0] == before[0]
    assert not set(after[1:]) & set(before[1:])
    assert told(state) == held
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in state.iterdir() if path.name == "credential"} == {"credential": "0o600"}


def test_the_former_credential_opens_nothing(config: Path, cli: Cli) -> None:
    """Neither slot of the block, whose seed is another; and with the keys of a former copy no database opens."""
    state, copy = config.parent / "state", config.parent / "copy"
    shutil.copytree(state, copy)
    assert cli("keys", "rotate", "--config", config).out.startswith("keys rotated: the former credential opens nothing\nat rest: weak")
    with pytest.raises(IntegrityError, match="credential"):
        Keyring.open(state, (copy / "credential").read_bytes())
    for name in ("ledger.db", "buffer.db"):
        shutil.copy(state / name, copy / name)
    with pytest.raises(IntegrityError):
        told(copy)


def test_it_is_refused_beside_an_agent(config: Path, cli: Cli) -> None:
    """A running agent has the old keys in its memory and would write them back; nothing changes."""
    before = secrets_of(config.parent / "state")
    lock = lock_state(config.parent / "state")
    assert "stop it first" in cli("keys", "rotate", "--config", config).refused(2)
    os.close(lock)
    assert secrets_of(config.parent / "state") == before


def test_before_init_there_is_nothing_to_rotate(tmp_path: Path, cli: Cli) -> None:
    """It says what to do, and makes nothing."""
    config = write_device(tmp_path)
    assert "modicum keys init" in cli("keys", "rotate", "--config", config).refused(2)
    assert not (tmp_path / "state").exists()


def test_wherever_it_is_killed_the_next_start_has_everything(config: Path) -> None:
    """One whole set of keys opens with the one credential that lies there, no attempt is left over, and the next one comes to its end."""
    folder, kept = config.parent, config.parent / "kept"
    state = folder / "state"
    held, old = told(state), secrets_of(state)
    shutil.copytree(state, kept)

    def prepare() -> None:
        shutil.rmtree(state)
        shutil.copytree(kept, state)

    new = 0
    for n in cut_everywhere(prepare, lambda: rotate(config) and os._exit(2)):
        unlocked = restarted(config)
        assert (n, unlocked.findings, unlocked.keyring.coming_key("ledger")) == (n, [], None)
        assert told(state) == held, n
        now = secrets_of(state)
        new += now[3] != old[3]
        other = old[3] if now[3] != old[3] else (state / "credential.new").read_bytes() if (state / "credential.new").exists() else b""
        with suppress(IntegrityError):
            Keyring.open(state, other.ljust(16), read_only=True)
            pytest.fail(f"killed at {n}, two credentials open the keys")
    assert new > 0
    assert rotate(config) == 0
    assert told(state) == held


def test_a_credential_that_cannot_be_put_changes_nothing_for_the_agent(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one goes on opening everything."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(config))

    state = config.parent / "state"
    held = told(state)
    monkeypatch.setattr("agent.cli.sealing.put", refused)
    assert "Permission denied" in cli("keys", "rotate", "--config", config).refused(2)
    assert restarted(config).findings == []
    assert told(state) == held
