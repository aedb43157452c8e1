"""A device as systemd/install makes it, on a disk of the guest's, without a network: docs/vehicle.md is typed word by word.

`Desk` is what an integrator has on his desk: packages, certificates, agent.toml, the private keys of all recipients.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hw.bench.authority import Authority
from hw.bench.scenario import VIN
from tests.sources import ROOT
from tests.support.guest import run_in_guest

BLOCKS = ("install", "files", "addresses", "keys", "bus", "start", "look", "doctor", "policy", "drive", "upgrade", "uninstall", "purge")
"""Those of docs/vehicle.md that are typed in the guest, in their order."""
INSTALL_S = 900
BROKER = "mqtts://localhost:8883"


@dataclass(slots=True)
class Desk:
    """The folder that the guest sees as $SCRATCH, and who can open what leaves."""

    folder: Path
    disk: Path
    recipients: dict[str, bytes] = field(default_factory=dict)


def blocks() -> dict[str, str]:
    """What is typed, by name."""
    text = (ROOT / "docs/vehicle.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh guest\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = ["".join(f"{line.removeprefix('$ ')}\n" for line in block.splitlines()) for block in found]
    return dict(zip(BLOCKS, lines, strict=True))


def prepared(folder: Path) -> Desk:
    """Everything but the device itself. The packages come from the index that pip is set up for."""
    desk = Desk(folder, folder / "disk.img")
    subprocess.run([ROOT / "systemd/wheelhouse", folder / "wheelhouse"], env={**os.environ, "PYTHON": sys.executable}, check=True)
    (folder / "systemd").symlink_to("/share/systemd")
    typed = folder / "blocks"
    typed.mkdir()
    for name, text in {**blocks(), "install-broken": blocks()["install"], "install-exiting": f"cd exiting\n{blocks()['install']}"}.items():
        (typed / name).write_text(text, encoding="utf-8")
    authority = Authority(folder)
    authority.issue("broker", ("127.0.0.1", "localhost"))
    for name in ("device", "fleet", "call", "listener"):
        authority.issue(name)
    settings = device_settings()
    for name in re.findall(r"^\[recipients\.(\w+)\]", settings, re.MULTILINE):
        private = X25519PrivateKey.generate()
        desk.recipients[name] = private.private_bytes_raw()
        (folder / f"{name}.pub").write_bytes(private.public_key().public_bytes_raw())
    (folder / "vin").write_text(f"{VIN}\n", encoding="ascii")
    (folder / "agent.toml").write_text(settings, encoding="utf-8")
    (folder / "broker.conf").write_text(
        "listener 8883 127.0.0.1\nuser root\ncafile ca.pem\ncertfile broker.pem\nkeyfile broker.key\n"
        "require_certificate true\nuse_identity_as_username true\n",
        encoding="utf-8",
    )
    return desk


def device_settings() -> str:
    """The shipped example, with the guest's broker, the host's clock, no TPM and no modem."""
    text = (ROOT / "config/agent.toml").read_text(encoding="utf-8")
    text = re.sub(r'^url = "mqtts://\S+"', f'url = "{BROKER}"', text, flags=re.MULTILINE)
    text = re.sub(r"^addresses = .*$", 'addresses = ["127.0.0.0/8", "::1/128"]', text, flags=re.MULTILINE)
    text = re.sub(r'^sources = \["ntp", "gnss"\]', 'sources = ["system"]', text, flags=re.MULTILINE)
    text = text.replace('provider = "systemd" ', 'provider = "systemd-host" ')  # the guest has no TPM
    return text.replace('[modem]\nport = "/dev/modicum-at"\n', "")


def installed(folder: Path) -> Desk:
    """The device, switched off: `desk.disk` has it installed, with its files and keys."""
    desk = prepared(folder)
    run_in_guest("tests/guest/install.sh", folder, INSTALL_S, "--disk", str(desk.disk))
    for block in BLOCKS[:4]:
        assert (folder / f"{block}.status").read_text() == "0\n", (folder / f"{block}.out").read_text()
    return desk
