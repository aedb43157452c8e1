"""`modicum factory-reset`: what an owner left is unreadable, the device starts like a new one, and no cut leaves it half done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.core.unlock import lock_state, unlock
from agent.ecall.switch import Switch
from agent.errors import IntegrityError
from agent.seal.keyring import Keyring
from agent.settings import load_settings
from tests.agent.cli.conftest import Cli, write_device
from tests.support.cuts import cut_everywhere
from tests.support.lived_in import PLANTED, live_in, told
from tests.support.markers import files_of, scan

MARKERS = {spelling.marker for spelling in PLANTED.spelled() if not spelling.pair}


@pytest.fixture
def config(tmp_path: Path, cli: Cli) -> Path:
    """A device on which somebody has lived, with an emergency call that this owner has switched off."""
    made = write_device(tmp_path)
    call = '[ecall]\nbroker = "main"\nnumber = "+1"\ntest_number = "+2"\nrecipient = "teleservices"\nstate = "ecall"\n'
    made.write_text(made.read_text() + call)
    Switch(tmp_path / "ecall/switch", "third_party").set(on=False)
    assert cli("keys", "init", "--config", made).status == 0
    live_in(tmp_path / "state", (tmp_path / "state/credential").read_bytes())
    return made


def reset(config: Path) -> int:
    return main(["factory-reset", "--config", str(config), "--yes"])


def found(contents: dict[str, bytes]) -> set[str]:
    """Markers that stand there in one of their spellings."""
    return {marker for _, marker, _ in scan(PLANTED.spelled(), contents)}


def test_nothing_of_the_former_owner_can_be_read(config: Path, cli: Cli) -> None:
    """Before it whoever has the medium and the credential reads every text and the place; after it nobody does, in no file."""
    state = config.parent / "state"
    assert {"vin", "name", "phone", "position text"} <= found(told(state))
    assert set(PLANTED.texts()) <= found(told(state))
    assert cli("factory-reset", "--config", config, "--yes", "--json").document == {"erased": True, "at_rest": "weak"}
    assert found(files_of(state)) == set()
    assert sorted(path.name for path in state.iterdir()) == ["credential", "keys.block", "lock"]


def test_what_the_medium_kept_of_it_opens_no_more(config: Path, cli: Cli) -> None:
    """Old pages put back, the key block with its old seed among them: without the old credential they are noise, and stay it."""
    state, kept = config.parent / "state", config.parent / "kept"
    shutil.copytree(state, kept)
    assert cli("factory-reset", "--config", config, "--yes").status == 0
    for name in ("keys.block", "ledger.db", "buffer.db"):
        shutil.copy(kept / name, state / name)
    assert found(files_of(state)) == set()
    with pytest.raises(IntegrityError):
        told(state)
    unlocked = unlock(load_settings(config))
    unlocked.close()
    assert [finding.code for finding in unlocked.findings] == ["key-wrong"]
    shutil.copy(kept / "credential", state / "credential")
    assert set(PLANTED.texts()) <= found(told(state)), "with it they could be read: the pages were what they were taken for"


def test_a_new_device_stands_there(config: Path, cli: Cli) -> None:
    """New keys, another id towards each recipient, no driver and no choice; the emergency call is on."""
    before = cli("keys", "show", "--config", config, "--json").document["recipients"]
    said = cli("factory-reset", "--config", config, "--yes")
    assert said.out.splitlines()[:2] == ["erased: what was there is unreadable", "new keys made"]
    after = cli("keys", "show", "--config", config, "--json").document["recipients"]
    assert not {row["id"] for row in before.values()} & {row["id"] for row in after.values()}
    unlocked = unlock(load_settings(config))
    assert (unlocked.findings, unlocked.at_rest) == ([], "weak")
    unlocked.close()
    assert Switch(config.parent / "ecall/switch", "third_party").on


def test_it_wants_to_be_told_so(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the word nothing changes; it says before what it does and what it does not reach."""
    before = files_of(config.parent / "state")
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: (_ for _ in ()).throw(EOFError))
    said = cli("factory-reset", "--config", config)
    assert said.status == 130
    assert "old pages of a flash chip" in said.err
    assert files_of(config.parent / "state") | {"lock": b""} == before | {"lock": b""}
    answers = iter(["yes", "erase"])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    assert cli("factory-reset", "--config", config).status == 0
    assert next(answers, None) is None


def test_it_is_refused_beside_an_agent(config: Path, cli: Cli) -> None:
    """A running agent would go on writing under keys that are gone; nothing changes."""
    before = files_of(config.parent / "state")
    lock = lock_state(config.parent / "state")
    assert "stop it first" in cli("factory-reset", "--config", config, "--yes").refused(2)
    os.close(lock)
    assert files_of(config.parent / "state") | {"lock": b""} == before | {"lock": b""}


def test_a_device_whose_key_is_lost_can_be_reset(config: Path, cli: Cli) -> None:
    """It needs nothing of what it destroys; the set-aside copies of a damaged buffer go too."""
    state = config.parent / "state"
    (state / "credential").write_bytes(os.urandom(32))
    (state / "buffer.db.corrupt-1").write_bytes(b"")
    assert cli("factory-reset", "--config", config, "--yes").status == 0
    assert sorted(path.name for path in state.iterdir()) == ["credential", "keys.block", "lock"]


def test_without_a_state_folder_there_is_nothing_to_reset(tmp_path: Path, cli: Cli) -> None:
    """It says so, and makes nothing."""
    assert "modicum keys init" in cli("factory-reset", "--config", write_device(tmp_path), "--yes").refused(2)
    assert not (tmp_path / "state").exists()


def test_wherever_it_is_killed_it_is_completed_or_was_not_begun(config: Path) -> None:
    """The next start finds all that was there, or nothing of it; then, or once new keys were made, a device like a new one."""
    folder, kept = config.parent, config.parent / "kept"
    state = folder / "state"
    held = told(state)
    shutil.copytree(state, kept)
    seen = []

    def prepare() -> None:
        shutil.rmtree(state)
        shutil.copytree(kept, state)

    for n in cut_everywhere(prepare, lambda: reset(config) and os._exit(2)):
        unlocked = unlock(load_settings(config))
        unlocked.close()
        codes = [finding.code for finding in unlocked.findings]
        seen.append("before" if (state / "ledger.db").exists() else "keyless" if codes else "after")
        if seen[-1] == "before":
            assert (n, codes, told(state)) == (n, [], held)
        else:
            names = {path.name for path in state.iterdir()}
            assert names <= {"lock", "reset", "credential", "credential.new", "keys.block", "keys.block.new"}
            assert codes == (["key-missing"] if "reset" in names else []), n
            if codes:
                assert main(["keys", "init", "--config", str(config)]) == 0
            assert not (state / "reset").exists(), n
            Keyring.open(state, (state / "credential").read_bytes()).close()
    assert seen == sorted(seen, key=["before", "keyless", "after"].index)
    assert set(seen) == {"before", "keyless", "after"}


def test_wherever_it_is_killed_the_former_credential_is_replaced(tmp_path: Path, cli: Cli) -> None:
    """Also where the agent does not reach it and began the folder alone: the former key block, put back, opens with nothing there."""
    config = write_device(tmp_path)
    config.write_text(config.read_text().replace('provider = "file"', 'provider = "file"\npath = "store/credential"'))
    assert cli("keys", "init", "--config", config).status == 0
    state, store, kept = tmp_path / "state", tmp_path / "store", tmp_path / "kept"
    for folder in (state, store):
        shutil.copytree(folder, kept / folder.name)

    def prepare() -> None:
        for folder in (state, store):
            shutil.rmtree(folder)
            shutil.copytree(kept / folder.name, folder)

    keyless = 0
    for n in cut_everywhere(prepare, lambda: reset(config) and os._exit(2)):
        for _ in range(2):
            unlocked = unlock(load_settings(config))
            unlocked.close()
        if unlocked.findings:
            keyless += 1
            assert main(["keys", "init", "--config", str(config)]) == 0
        elif (state / "keys.block").read_bytes() == (kept / "state/keys.block").read_bytes():
            continue  # not begun
        shutil.copy(kept / "state/keys.block", state / "keys.block")
        with pytest.raises(IntegrityError):
            Keyring.open(state, (store / "credential").read_bytes()).close()
            pytest.fail(f"killed at {n}, the former credential is in use")
    assert keyless > 0


def test_keys_are_not_made_into_a_reset_that_was_cut(config: Path, cli: Cli) -> None:
    """`keys init` completes it first, or its keys would be erased at the next start; others say what to do."""
    state = config.parent / "state"
    (state / "reset").touch()
    for verb in ("show", "rotate"):
        assert "modicum factory-reset" in cli("keys", verb, "--config", config).refused(2)
    assert cli("keys", "init", "--config", config).status == 0
    assert not (state / "ledger.db").exists()
    unlocked = unlock(load_settings(config))
    unlocked.close()
    assert unlocked.findings == []
