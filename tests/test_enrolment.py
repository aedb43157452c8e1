"""docs/enrolment.md, typed word by word on this machine: its certificates and its lists of rights, at a real mosquitto."""

from __future__ import annotations

import getpass
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.cli.open_ import read_private_key
from agent.envelope import public_key
from agent.health.facts import BrokerFacts
from agent.health.probe import PROBE, probe
from agent.mqtt.connection import access
from hw.bench.authority import Authority
from tests.sources import ROOT
from tests.support.installed import device_settings
from tests.support.mosquitto import binary, free_port

DEVICES = ("car-0001", "car-0002")
"""The document's own, and another that is enrolled as it says."""
SHIMS = {
    "sudo": 'exec "$@"',
    "modicum": f'cd {ROOT} && exec {sys.executable} -m agent.cli.main "$@" --config "$DESK/$DEVICE.toml"',
    "systemctl": 'case $1 in restart) exec {binary} -d -c "$DESK/etc/modicum.conf" ;; reload) kill -HUP "$(cat "$DESK/pid")" ;; esac',
}
"""What is elsewhere, or is not, on a machine that is neither the device nor the broker's."""


@dataclass(slots=True)
class Desk:
    """`folder`: where everything was typed; the broker listens at `port`."""

    folder: Path
    port: int

    def ids(self, device: str) -> list[str]:
        """As `modicum keys show` says them."""
        return re.findall(r"id ([0-9a-f]+),", (self.folder / f"{device}.ids").read_text())

    def tried(self, pair: str, *ids: str) -> BrokerFacts:
        """The doctor's own try to write below these ids, with a pair of the document's."""
        cert, key = (self.folder / f"{pair}.{kind}" for kind in ("pem", "key"))
        to = access(f"mqtts://localhost:{self.port}", ca=self.folder / "car-0001/ca.pem", cert=cert, key=key)
        return probe("main", "id:main", to, [f"modicum/v1/{one}/{PROBE}" for one in ids])


def blocks(language: str) -> list[str]:
    """The document's of one language, as they are typed."""
    text = (ROOT / "docs/enrolment.md").read_text(encoding="utf-8")
    return [re.sub(r"(?m)^\$ ", "", found) for found in re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def here(text: str, folder: Path) -> str:
    """The document's text with the host, the folder and the broker's user of this machine."""
    for theirs, ours in (("broker.example", "localhost"), ("/etc/mosquitto", f"{folder}/etc"), ("-o mosquitto ", "")):
        text = text.replace(theirs, ours)
    return text


def prepared(folder: Path, port: int) -> None:
    """What is there before the first line: the two files of the document, the devices' agent.toml, the shims."""
    for place in ("etc", "tools"):
        (folder / place).mkdir()
    for name, script in SHIMS.items():
        (folder / "tools" / name).write_text(f"#!/bin/sh\n{script.replace('{binary}', binary())}\n")
        (folder / "tools" / name).chmod(0o755)
    own = f"user {getpass.getuser()}\npid_file {folder}/pid\nlog_dest file {folder}/mosquitto.log\n"
    listens = here(blocks("conf modicum.conf")[0], folder).replace("listener 8883", f"listener {port} 127.0.0.1")
    (folder / "etc/modicum.conf").write_text(listens + own)
    (folder / "acl").write_text(blocks("conf acl")[0])
    for device in DEVICES:
        settings = device_settings().replace('"/var/lib/modicum"', f'"{folder}/{device}.state"').replace('"systemd-host"', '"file"')
        (folder / f"{device}.toml").write_text(settings)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder, port = tmp_path_factory.mktemp("desk"), free_port()
    prepared(folder, port)
    authority, recipients, device, broker, *ids = (here(block, folder) for block in blocks("sh desk"))
    each = "".join(["export DEVICE=car-0001\nmodicum keys init\n", device, *ids])
    script = "".join(["set -eu\n", authority, recipients, broker, each, each.replace(*DEVICES)])
    environment = {**os.environ, "PATH": f"{folder}/tools:{os.environ['PATH']}", "DESK": str(folder)}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stderr
        yield Desk(folder, port)
    finally:
        if (folder / "pid").exists():
            os.kill(int((folder / "pid").read_text()), signal.SIGTERM)


def test_a_device_gets_through_with_its_own_pair(desk: Desk) -> None:
    """Each of its messages is taken: below every id that it has."""
    ids = desk.ids("car-0001")
    assert len(ids) == len(set(ids)) == len(re.findall(r"(?m)^\[recipients\.", device_settings()))
    facts = desk.tried("car-0001/device", *ids)
    assert (facts.step, facts.published) == ("", True), facts.why


def test_another_device_does_not_get_into_its_topics(desk: Desk) -> None:
    """Nor the fleet's pair, nor the call's, nor a recipient's; the other device gets into its own."""
    one, other = (desk.ids(device)[0] for device in DEVICES)
    for pair in ("car-0002/device", "car-0001/fleet", "car-0001/call", "recipients/traffic"):
        assert (desk.tried(pair, one).step, pair) == ("acl", pair)
    assert desk.tried("car-0002/device", other).published


def test_without_an_identity_only_the_fleet_writes(desk: Desk) -> None:
    """A device that wrote there with its own pair would be seen."""
    assert desk.tried("car-0001/fleet", "open").published
    assert desk.tried("car-0001/device", "open").step == "acl"


def test_who_has_no_certificate_of_the_authority_is_not_let_in(desk: Desk) -> None:
    """Though it bears the name of a device."""
    Authority(desk.folder / "stranger").issue("car-0001")
    assert desk.tried("stranger/car-0001", desk.ids("car-0001")[0]).step == "handshake"


def test_the_device_can_seal_for_each_recipient_and_that_one_can_open(desk: Desk) -> None:
    """The public keys that lie in the device's folder are the private ones' that the recipients keep; none lacks and none is too many."""
    names = re.findall(r"(?m)^\[recipients\.(\w+)\]", device_settings())
    assert sorted(names) == sorted(path.stem for path in (desk.folder / "car-0001").glob("*.pub"))
    for name in names:
        public = public_key((desk.folder / f"car-0001/{name}.pub").read_bytes(), name)
        private = read_private_key(desk.folder / f"{name}.key")
        assert X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw() == public


def test_the_device_s_folder_has_every_file_that_its_installation_takes(desk: Desk) -> None:
    """Those that section 4 of docs/vehicle.md names."""
    typed = (ROOT / "docs/vehicle.md").read_text(encoding="utf-8")
    wanted = {name for line in re.findall(r"install -m \d+ -t /etc/modicum/\w+ (.*)", typed) for name in line.split()} - {"*.pub"}
    assert {"ca.pem", "device.key", "call.pem"} <= wanted
    assert [name for name in sorted(wanted) if not (desk.folder / "car-0001" / name).is_file()] == []
