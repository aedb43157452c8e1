"""`modicum keys`: made once on the device, shown without a secret."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.envelope import sender_for
from agent.seal.keyring import Keyring
from agent.settings import load_settings
from tests.agent.cli.conftest import Cli, write_device


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_device(tmp_path)


def opened(config: Path) -> Keyring:
    state = load_settings(config).state.dir
    return Keyring.open(state, (state / "credential").read_bytes())


def test_init_makes_credential_and_key_block(config: Path, cli: Cli) -> None:
    """Both for their owner only; it says how weak a credential beside the data is."""
    said = cli("keys", "init", "--config", config)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("keys made\nat rest: weak")
    state = config.parent / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in state.iterdir()} == {"credential": "0o600", "keys.block": "0o600"}
    opened(config).close()


def test_init_as_json(config: Path, cli: Cli) -> None:
    """One document."""
    assert cli("keys", "init", "--config", config, "--json").document == {"made": True, "at_rest": "weak", "restart": False}


def always_new(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: self.name != "keys.block" and real(self))

    def made(folder: Path, credential: bytes, keys: object) -> SimpleNamespace:
        (folder / "keys.block").write_bytes(b"")
        return SimpleNamespace(keys=keys, close=lambda: None)

    monkeypatch.setattr("agent.seal.keyring.KeyBlock.create", made)


@pytest.mark.req("R43", control=always_new)
def test_keys_are_never_made_over_old_ones(config: Path, cli: Cli) -> None:
    """The second time is refused in one line, and not a byte of the first changes."""
    cli("keys", "init", "--config", config)
    before = {path.name: path.read_bytes() for path in (config.parent / "state").iterdir()}
    assert "has keys already" in cli("keys", "init", "--config", config).refused(2)
    assert {path.name: path.read_bytes() for path in (config.parent / "state").iterdir()} == before


def test_show_gives_what_enrolment_needs_and_no_secret(config: Path, cli: Cli) -> None:
    """For each recipient another id and another public key; the device secret and the credential stand nowhere."""
    cli("keys", "init", "--config", config)
    told = cli("keys", "show", "--config", config, "--json").document
    document = told["recipients"]
    keyring = opened(config)
    recipients = load_settings(config).recipients
    assert set(document) == set(recipients)
    assert len({entry["id"] for entry in document.values()}) == len({entry["public"] for entry in document.values()}) == len(recipients)
    for name, entry in document.items():
        sender = sender_for(keyring.derive, name)
        assert entry == {"id": sender.id.hex(), "public": sender.public.hex()}
    text = cli("keys", "show", "--config", config).out
    assert told["at_rest"] == "weak"
    assert text.startswith("at rest: weak")
    assert len(text.splitlines()) == 1 + len(recipients)
    secrets = [keyring.device_secret.hex(), (config.parent / "state/credential").read_bytes().hex()]
    assert not any(secret in text + str(document) for secret in secrets)
    keyring.close()


def test_show_opens_the_key_block_for_reading_only(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core may be running beside it."""
    asked: list[object] = []
    real = Keyring.open

    def watched(folder: Path, credential: bytes, *, read_only: bool = False) -> Keyring:
        asked.append(read_only)
        return real(folder, credential, read_only=read_only)

    cli("keys", "init", "--config", config)
    monkeypatch.setattr(Keyring, "open", watched)
    assert cli("keys", "show", "--config", config).status == 0
    assert asked == [True]


def test_show_before_init(config: Path, cli: Cli) -> None:
    """Says what to do."""
    assert "modicum keys init" in cli("keys", "show", "--config", config).refused(2)


@pytest.mark.parametrize("verb", ["init", "show"])
def test_without_a_configuration_it_says_so_as_every_verb_does(tmp_path: Path, cli: Cli, verb: str) -> None:
    """The path that was looked at, and --config."""
    absent = tmp_path / "absent.toml"
    assert cli("keys", verb, "--config", absent).err == cli("status", "--config", absent).err
    assert str(absent) in cli("keys", verb, "--config", absent).refused(2)


def test_a_credential_that_is_there_already_is_used(config: Path, cli: Cli) -> None:
    """An integrator's own credential is not replaced; one that is too short is refused and nothing is made."""
    state = config.parent / "state"
    state.mkdir()
    (state / "credential").write_bytes(b"short")
    assert "a credential of 5 bytes" in cli("keys", "init", "--config", config).refused(2)
    assert not (state / "keys.block").exists()
    (state / "credential").write_bytes(b"k" * 32)
    assert cli("keys", "init", "--config", config).status == 0
    assert (state / "credential").read_bytes() == b"k" * 32


def test_a_wrong_credential_opens_nothing(config: Path, cli: Cli) -> None:
    """Exit 1, one line."""
    cli("keys", "init", "--config", config)
    (config.parent / "state/credential").write_bytes(b"w" * 32)
    cli("keys", "show", "--config", config).refused(1)


def test_a_state_folder_that_cannot_be_made_is_one_line(tmp_path: Path, cli: Cli) -> None:
    """A file stands where the folder should be."""
    config = write_device(tmp_path)
    (tmp_path / "state").write_text("")
    assert str(tmp_path / "state") in cli("keys", "init", "--config", config).refused(2)


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("verb", ["keys init", "keys show", "keys rotate", "factory-reset"])
def test_who_may_not_is_told_who_may(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: str, readable: bool) -> None:
    """Before anything is looked at, asked or made; also where agent.toml is nothing for him."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.access", lambda _, mode: mode == os.F_OK or (readable and mode == os.R_OK))
    assert cli(*verb.split(), "--config", config).refused(4).endswith(f": only root: sudo modicum {verb}\n")
    assert not (config.parent / "state").exists()
