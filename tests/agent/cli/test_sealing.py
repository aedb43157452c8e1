"""agent.cli.sealing: the credential that systemd-creds(1) seals; the TPM's part by a stand-in, the host key's by the real one."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli import diagnosis
from agent.core.unlock import Unlocked, unlock
from agent.errors import IntegrityError
from agent.seal.keyring import Keyring
from agent.settings import load_settings
from tests.agent.cli.conftest import Cli, write_device
from tests.agent.health.build import WELL_CORE
from tests.findings import fault
from tests.sources import ROOT
from tests.support.fake_broker import FakeBroker

DOCUMENT = ROOT / "docs/keys.md"
RECIPIENT = "traffic"
TPM2 = bytes.fromhex("0c7cc07b117645919c4b0bea08bc20fe")
STAND_IN = """#!/bin/sh
# systemd-creds for one TPM: what it "seals" is the key's type and the secret. The other device's TPM is another file.
[ -e "$TPM" ] || {{ echo "TPM2 support not installed: Operation not supported" >&2; exit 1; }}
case "$1 $3" in
  "encrypt --with-key=tpm2") {{ printf '{type}'; cat "$TPM" "$4"; }} | base64 | if [ "$5" = - ]; then cat; else cat > "$5"; fi ;;
  decrypt*) base64 -d < "$3" | tail -c +17 | cmp -s -n "$(stat -c %s "$TPM")" - "$TPM" || exit 1
    base64 -d < "$3" | tail -c +17 | tail -c +"$(($(stat -c %s "$TPM") + 1))" ;;
  *) exit 2 ;;
esac
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device whose credential a TPM seals."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script = programs / "systemd-creds"
    script.write_text(STAND_IN.format(type="".join(f"\\{byte:03o}" for byte in TPM2)))
    script.chmod(0o755)
    (tmp_path / "tpm").write_text("this device")
    monkeypatch.setenv("TPM", str(tmp_path / "tpm"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return device(tmp_path, "systemd")


def device(folder: Path, provider: str) -> Path:
    made = write_device(folder)
    text = made.read_text().replace('provider = "file"', f'provider = "{provider}"\npath = "store/modicum-credential"')
    made.write_text(text)
    return made


def secret_of(sealed: bytes) -> bytes:
    return base64.b64decode(sealed)[len(TPM2) + len("this device") :]


def started(config: Path, monkeypatch: pytest.MonkeyPatch, secret: bytes) -> Unlocked:
    """As by its unit, which hands in the secret and the file in the store."""
    given = config.parent / "given"
    given.mkdir(exist_ok=True)
    (given / "modicum-credential").write_bytes(secret)
    shutil.copy(config.parent / "store/modicum-credential", given / "modicum-credential.sealed")
    with monkeypatch.context() as environment:
        environment.setenv("CREDENTIALS_DIRECTORY", str(given))
        unlocked = unlock(load_settings(config))
    unlocked.close()
    return unlocked


def test_init_makes_a_credential_that_only_the_tpm_opens(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sealed form lies where the unit takes it from, and nowhere is it in the clear; the agent then says that it is bound."""
    assert cli("keys", "init", "--config", config, "--json").document == {"made": True, "at_rest": "tpm-bound", "restart": False}
    sealed = (config.parent / "store/modicum-credential").read_bytes()
    assert sorted(path.name for path in (config.parent / "state").iterdir()) == ["keys.block"]
    assert (config.parent / "store/modicum-credential").stat().st_mode & 0o777 == 0o600
    unlocked = started(config, monkeypatch, secret_of(sealed))
    assert (unlocked.findings, unlocked.at_rest) == ([], "tpm-bound")
    assert cli("keys", "show", "--config", config).out.startswith("at rest: tpm-bound, only this device opens the credential\n")


def test_without_a_tpm_nothing_weaker_is_made(config: Path, cli: Cli) -> None:
    """One line says which word accepts less; neither credential nor keys are there."""
    (config.parent / "tpm").unlink()
    said = cli("keys", "init", "--config", config).refused(2)
    assert "TPM2 support not installed" in said
    assert 'provider = "systemd-host"' in said
    assert not (config.parent / "store").exists()
    assert list((config.parent / "state").iterdir()) == []


def test_a_weaker_credential_of_an_integrator_is_refused(config: Path, cli: Cli) -> None:
    """It opens, but not by the TPM: no keys are made with it until [keys] says that it will do."""
    (config.parent / "store").mkdir()
    weak = base64.b64encode(bytes(16) + b"this device" + b"s" * 32)
    (config.parent / "store/modicum-credential").write_bytes(weak)
    assert "only a TPM" in cli("keys", "init", "--config", config).refused(2)
    assert list((config.parent / "state").iterdir()) == []
    config.write_text(config.read_text().replace('"systemd"', '"systemd-host"'))
    assert cli("keys", "init", "--config", config, "--json").document["at_rest"] == "weak"
    assert (config.parent / "store/modicum-credential").read_bytes() == weak


def test_on_another_device_it_does_not_open(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A medium that was moved: the command says so, and a reset makes it this device's, with nothing of what was there."""
    cli("keys", "init", "--config", config)
    (config.parent / "tpm").write_text("that device")
    assert "on its own device" in cli("keys", "show", "--config", config).refused(2)
    assert [finding.code for finding in started(config, monkeypatch, b"").findings] == ["key-wrong"]
    assert cli("factory-reset", "--config", config, "--yes").status == 0
    sealed = (config.parent / "store/modicum-credential").read_bytes()
    assert started(config, monkeypatch, secret_of(sealed)).at_rest == "tpm-bound"


def test_a_sealed_form_that_is_only_said_to_be_ours_is_found(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credential comes from elsewhere while a TPM's form lies beside: nothing shows how it rests, so it is too weak."""
    cli("keys", "init", "--config", config)
    store = config.parent / "store/modicum-credential"
    secret = secret_of(store.read_bytes())
    store.write_bytes(base64.b64encode(TPM2 + b"something else that a TPM has sealed"))
    assert [finding.code for finding in started(config, monkeypatch, secret).findings] == ["key-weak"]


def test_rotate_binds_a_weak_credential_to_the_tpm(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hint of `key-weak` says helps: the ids stay, and the agent starts with its keys again."""
    config.write_text(config.read_text().replace('"systemd"', '"systemd-host"'))
    (config.parent / "store").mkdir()
    (config.parent / "store/modicum-credential").write_bytes(base64.b64encode(bytes(16) + b"this device" + b"s" * 32))
    cli("keys", "init", "--config", config)
    config.write_text(config.read_text().replace('"systemd-host"', '"systemd"'))
    assert [finding.code for finding in started(config, monkeypatch, b"s" * 32).findings] == ["key-weak"]
    before = cli("keys", "show", "--config", config, "--json").document
    assert cli("keys", "rotate", "--config", config, "--json").document == {"rotated": True, "at_rest": "tpm-bound"}
    after = cli("keys", "show", "--config", config, "--json").document
    assert (before["at_rest"], after["at_rest"], after["recipients"]) == ("weak", "tpm-bound", before["recipients"])
    sealed = (config.parent / "store/modicum-credential").read_bytes()
    assert started(config, monkeypatch, secret_of(sealed)).findings == []


def typed(config: Path, provider: str, cli: Cli) -> None:
    """What docs/keys.md says for a device with provider `file`, but for systemctl."""
    text = DOCUMENT.read_text().split("### From weaker to stronger")[1].split("```")[1]
    key = {"systemd": "tpm2", "systemd-host": "host"}[provider]
    text = text.replace("tpm2", key).replace("/etc/credstore.encrypted", str(config.parent / "store"))
    text = text.replace("/var/lib/modicum", str(config.parent / "state"))
    for line in text.strip().splitlines():
        match line.split()[1:]:
            case ["systemctl", *_]:
                pass
            case ["editor", *_]:
                lies = f'path = "{config.parent}/store/modicum-credential"'  # by default in /etc, which is not this test's
                config.write_text(config.read_text().replace('provider = "file"', f'provider = "{provider}"\n{lies}'))
            case ["modicum", *verb]:
                assert cli(*verb, "--config", config).status == 0
            case command:
                subprocess.run(command, check=True)


def test_the_document_leads_from_a_file_to_the_tpm(config: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines, typed: the ids stay, the former credential opens nothing, none is left in the clear, the agent starts bound."""
    config = write_device(tmp_path)
    cli("keys", "init", "--config", config)
    former = (tmp_path / "state/credential").read_bytes()
    before = cli("keys", "show", "--config", config, "--json").document["recipients"]
    typed(config, "systemd", cli)
    sealed = (tmp_path / "store/modicum-credential").read_bytes()
    unlocked = started(config, monkeypatch, secret_of(sealed))
    assert (unlocked.findings, unlocked.at_rest) == ([], "tpm-bound")
    assert cli("keys", "show", "--config", config, "--json").document["recipients"] == before
    assert not (tmp_path / "state/credential").exists()
    with pytest.raises(IntegrityError):
        Keyring.open(tmp_path / "state", former)


def test_without_systemd_creds_it_says_so(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """And which provider needs none."""
    monkeypatch.setenv("PATH", str(config.parent))
    assert 'provider = "file"' in cli("keys", "init", "--config", config).refused(2)


def lanes_to(broker: FakeBroker, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root asks, and core has a lane to this broker."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    config.write_text(config.read_text().replace("127.0.0.1:1", f"127.0.0.1:{broker.port}"))
    lane = {"online": True, "broker": "main", "recipients": [RECIPIENT], "why": ""}
    told = WELL_CORE | {"lanes": {"id:main": lane}, "at_rest": "tpm-bound"}
    monkeypatch.setattr(diagnosis, "ask", lambda *_: told)


def test_doctor_tries_whether_the_broker_takes_what_a_sealed_device_sends(config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """For root systemd opens the credential: below the id that core itself has, an empty message is published."""
    cli("keys", "init", "--config", config)
    ids = cli("keys", "show", "--config", config, "--json").document["recipients"]
    with FakeBroker() as broker:
        lanes_to(broker, config, monkeypatch)
        checks = {one["check"]: one for one in cli("doctor", "--config", config, "--json").document["checks"]}
        [message] = broker.published()
    assert f"modicum/v1/{ids[RECIPIENT]['id']}/doctor/probe".encode() in message.body
    assert checks["broker main (id:main)"]["says"].startswith("an empty message was acknowledged")
    assert (checks["keys"]["known"], checks["keys"]["findings"]) == (True, [])


@pytest.mark.parametrize(("code", "lost"), [fault("key-missing", "store/modicum-credential"), fault("key-wrong", "tpm")])
def test_doctor_finds_a_sealed_credential_that_does_not_open(
    config: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, code: str, lost: str
) -> None:
    """Also where core does not answer: it is gone, or the TPM is."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    cli("keys", "init", "--config", config)
    (config.parent / lost).unlink()
    checks = {one["check"]: one for one in cli("doctor", "--config", config, "--json").document["checks"]}
    assert [one["code"] for one in checks["keys"]["findings"]] == [code]


@pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="no systemd-creds on this computer")
def test_the_real_systemd_creds_seals_with_the_host_key(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's choice where there is no TPM: sealed, opened again, weak, rotated; with another host key it does not open."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "host"))
    config = device(tmp_path, "systemd-host")
    assert cli("keys", "init", "--config", config, "--json").document["at_rest"] == "weak"
    before = cli("keys", "show", "--config", config, "--json").document
    assert cli("keys", "rotate", "--config", config).status == 0
    assert cli("keys", "show", "--config", config, "--json").document == before
    (tmp_path / "host").rename(tmp_path / "former")
    assert "systemd-creds decrypt failed" in cli("keys", "show", "--config", config).refused(2)


@pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="no systemd-creds on this computer")
def test_the_document_leads_from_a_file_to_the_host_key(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines with the real systemd-creds, which takes them as they stand there."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "host"))
    config = write_device(tmp_path)
    cli("keys", "init", "--config", config)
    before = cli("keys", "show", "--config", config, "--json").document
    typed(config, "systemd-host", cli)
    assert cli("keys", "show", "--config", config, "--json").document == before


def test_init_beside_an_agent_without_keys_says_that_it_must_be_restarted(tmp_path: Path, cli: Cli) -> None:
    """It has the folder and goes on in RAM; the keys are made all the same."""
    config = write_device(tmp_path)
    (tmp_path / "state").mkdir()
    waiting = unlock(load_settings(config))
    said = cli("keys", "init", "--config", config)
    waiting.close()
    assert said.status == 0
    assert "restart it" in said.out
    unlocked = unlock(load_settings(config))
    unlocked.close()
    assert unlocked.findings == []
