"""A real modicum-core in a process of its own, with a car on its bus that stands with the ignition on."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.main import main
from agent.control.protocol import ask
from agent.errors import ModicumError
from tests.support.wait import until

START_S = 20.0
ERROR = re.compile(r"modicum: \S.* \(.+\): \S.*\n\Z")
"""WHAT (WHERE): WHAT TO DO, in one line."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of --json, with nothing else beside it."""
        assert len(self.out.splitlines()) == 1
        return json.loads(self.out)

    def refused(self, status: int) -> str:
        """The one line of an error; nothing else was said."""
        assert (self.status, self.out) == (status, ""), self
        assert ERROR.match(self.err), self.err
        assert len(self.err.splitlines()) == 1
        return self.err


Cli = Callable[..., Said]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """`modicum` in this process."""

    def go(*arguments: object) -> Said:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return go


def write_device(folder: Path, *, channel: str = "", catalogue: Path | None = None) -> Path:
    """agent.toml of a device with every recipient of the shipped catalogue; with a CAN adapter when there is a `channel`."""
    shipped = load_catalogue(catalogue or shipped_catalogue())
    for name in shipped.recipients():
        public = X25519PrivateKey.generate().public_key()
        (folder / f"{name}.pub").write_bytes(public.public_bytes_raw())
    lines = [
        '[vehicle]\nplatform = "bench"\nvin = "WMWTESTCAR0000001"',
        '[state]\ndir = "state"\n[keys]\nprovider = "file"\n[control]\nsocket = "control.sock"\n[link]\nsocket = "link.sock"',
        '[clock]\nsources = ["system"]\n[entitlement]\npackage = "navigation_plus"\n[regions]\nallowed = ["CN"]',
        '[brokers.main]\nurl = "mqtt://127.0.0.1:1"\nregion = "CN"',
        *(f'[recipients.{name}]\nbroker = "main"\nkey = "{name}.pub"\nregion = "CN"' for name in sorted(shipped.recipients())),
    ]
    if channel:
        lines.append(f'[[bus]]\nname = "pt"\ninterface = "slcan"\nchannel = "{channel}"\noptions = {{ sleep_after_open = 0.0 }}')
    if catalogue is not None:
        lines.append(f'[catalogue]\ndir = "{catalogue}"')
    config = folder / "agent.toml"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


@dataclass(slots=True)
class Agent:
    """A running core. `ignition` is what the car says ten times a second on a serial CAN adapter (LAWICEL's protocol)."""

    folder: Path
    ignition: str = "t130802" + "00" * 7 + "\r"
    config: Path = Path()
    process: subprocess.Popen[str] | None = None
    master: int = -1
    slave: int = -1
    over: threading.Event = field(default_factory=threading.Event)

    def start(self, catalogue: Path | None = None) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.config = write_device(self.folder, channel=os.ttyname(self.slave), catalogue=catalogue)
        assert main(["keys", "init", "--config", str(self.config)]) == 0
        self.run()
        threading.Thread(target=self._car, daemon=True).start()

    def run(self) -> None:
        log = (self.folder / "core.log").open("a")
        arguments = [sys.executable, "-m", "agent.daemons.core", "--config", str(self.config)]
        self.process = subprocess.Popen(arguments, stdout=log, stderr=log, text=True)
        log.close()
        self.wait_for(lambda: bool(self.ask("ping")))

    def _car(self) -> None:
        while not self.over.wait(0.1):
            os.write(self.master, self.ignition.encode())

    def ask(self, route: str, **args: object) -> Any:
        return ask(self.folder / "control.sock", route, **args)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            try:
                return condition()
            except ModicumError:
                return False

        try:
            until(holds, within_s=START_S)
        except AssertionError as error:
            raise AssertionError(f"it did not come to that: {self.log()}") from error

    def log(self) -> str:
        return (self.folder / "core.log").read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def close(self) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
        finally:
            self.over.set()
            time.sleep(0.15)
            os.close(self.master)
            os.close(self.slave)


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A core with the shipped catalogue: policy accepted, a trip begun, drivers anna and bob. Tests share it and say who drives."""
    made = Agent(tmp_path_factory.mktemp("agent"))
    try:
        made.start()
        made.wait_for(lambda: bool(made.ask("live")["trip"]))
        made.ask("policy.accept")
        for name in ("anna", "bob"):
            made.ask("profile.add", name=name)
        yield made
        assert made.stop() == 0
        assert "Traceback" not in made.log()
    finally:
        made.close()
