"""A real mosquitto on a random port of this machine, for everything that tests delivery."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from hw.bench.authority import Authority, Credential

START_S = 10.0


def binary() -> str:
    """mosquitto's path; skips the test where there is none."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Mosquitto:
    """One broker. `server` None: plain MQTT without credentials; else TLS with client certificates required.

    `acl`: text of an ACL file (user names are the certificates' common names). `persistent`: keeps its store in `folder`.
    `options`: further lines of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority | None = None,
        server: Credential | None = None,
        *,
        acl: str = "",
        persistent: bool = False,
        options: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self._binary, self._log = binary(), folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", "max_queued_messages 100000", *options]
        if authority is not None and server is not None:
            lines += [f"cafile {authority.ca}", f"certfile {server.cert}", f"keyfile {server.key}"]
            lines += ["require_certificate true", "use_identity_as_username true"]
        else:
            lines.append("allow_anonymous true")
        if acl:
            (folder / "acl").write_text(acl)
            (folder / "acl").chmod(0o600)
            lines.append(f"acl_file {folder / 'acl'}")
        if persistent:
            lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1800"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> Self:
        """Returns once the port answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._binary, "-c", str(self._config)], stdout=log, stderr=log)
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.02)
        raise RuntimeError(f"mosquitto did not start: {self._log.read_text()}")

    def stop(self) -> None:
        """A clean end: it saves its store and says DISCONNECT."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It no longer answers; its kernel still acknowledges TCP."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def log(self) -> str:
        return self._log.read_text()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(START_S)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(signal.SIGKILL)
