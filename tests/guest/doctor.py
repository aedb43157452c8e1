"""Told by test_doctor.py: a whole device on vcan0 with a real broker, and each fault that a technician meets. Runs in the guest.

What `modicum doctor --json` said at each step, and its exit status, stands in $SCRATCH/doctor.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import BusChoice, Device, make_credentials, prepare_state, write_config
from agent.cli.bench.programs import Programs
from agent.cli.loading import load_choice
from agent.cli.main import main
from agent.control.protocol import ask
from agent.errors import ModicumError
from hw.bench.authority import Authority
from hw.bench.scenario import FOLDER
from tests.support.mosquitto import Mosquitto

STEP_S = 60.0
ERROR_FRAME = struct.pack("=IBxxx8x", 0x2000_0088, 8)
"""A protocol violation and a bus error, as a controller's driver makes it at every frame of another bit rate."""
STATE_MIB = 32
LONG = "seconds = 900"


class Story:
    def __init__(self, folder: Path) -> None:
        self.device = Device(folder, folder)
        self.programs = Programs(folder / "logs")
        self.found: dict[str, Any] = {}
        catalogue = load_catalogue(shipped_catalogue())
        make_credentials(self.device, catalogue)
        assert self.device.server is not None
        self.broker = Mosquitto(folder, cast("Authority", SimpleNamespace(ca=self.device.ca)), self.device.server)
        self.device.broker_url = f"mqtts://localhost:{self.broker.port}"
        write_config(self.device, BusChoice(interface="socketcan", channel="vcan0"), "basic", None, call="# no emergency call")
        prepare_state(self.device, catalogue, load_choice("none"))
        made = self.device.state.rename(folder / "made")
        self.device.state.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STATE_MIB}m,mode=0700", "state", self.device.state], check=True)
        shutil.copytree(made, self.device.state, dirs_exist_ok=True)
        drive = (FOLDER / "drive.toml").read_text(encoding="utf-8").replace("seconds = 120", LONG)
        self.scenario = folder / "long.toml"
        self.scenario.write_text(drive, encoding="utf-8")

    def start(self) -> None:
        self.broker.start()
        start_ns = str(time.time_ns())
        drive = ["--scenario", str(self.scenario), "--start-ns", start_ns]
        self.programs.start("receiver", "hw.bench.receiver", "--link", str(self.device.gnss), *drive, ready=True)
        self.programs.start("car", "hw.bench.car", "--interface", "socketcan", "--channel", "vcan0", *drive, ready=True)
        self.agent()
        until(lambda: self.status()["lanes"] and all(lane["online"] for lane in self.status()["lanes"].values()), "the lanes")
        until(lambda: self.status()["fixes"] > 2, "fixes")

    def agent(self) -> None:
        self.programs.start("core", "agent.daemons.core", "--config", str(self.device.config))
        until(self.status, "core")
        self.programs.start("uplink", "agent.daemons.uplink", "--config", str(self.device.config))

    def status(self) -> Any:
        with contextlib.suppress(ModicumError):
            return ask(self.device.control, "status")
        return None

    def doctor(self, step: str) -> None:
        self.found[step] = self.modicum("doctor", "--json")

    def modicum(self, *arguments: str) -> dict[str, Any]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([*arguments, "--config", str(self.device.config)])
        return {"status": status, "out": out.getvalue(), "err": err.getvalue()}

    @contextlib.contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        self.programs.running[name].send_signal(signal.SIGSTOP)
        yield
        self.programs.running[name].send_signal(signal.SIGCONT)

    def run(self) -> None:
        self.start()
        self.doctor("well")
        self.found["text"] = self.modicum("doctor")
        self.found["list"] = self.modicum("can", "list", "--seconds", "2", "--json")
        self.found["watch"] = self.modicum("gnss", "watch", "--seconds", "2")
        self.bus()
        self.receiver()
        self.network()
        self.disk()
        self.clock()
        self.swap()
        self.keys()

    def bus(self) -> None:
        with self.stopped("car"):
            self.doctor("no frames")
            with errors_only():
                self.doctor("wrong bit rate")
            link("set", "vcan0", "down")
            self.doctor("interface down")
            link("set", "vcan0", "name", "elsewhere")
            self.doctor("no interface")
            link("set", "elsewhere", "name", "vcan0")
            link("set", "vcan0", "up")

    def receiver(self) -> None:
        with self.stopped("receiver"):
            time.sleep(11)
            self.doctor("receiver silent")
        before = self.status()["fixes"]
        until(lambda: self.status()["fixes"] > before + 1, "the receiver again")

    def network(self) -> None:
        self.broker.stop()
        self.doctor("broker down")
        stranger = Authority(self.device.folder, "other").issue("stranger", ("localhost",))
        config = self.device.folder / "mosquitto.conf"
        ours = config.read_text()
        assert self.device.server is not None
        config.write_text(
            ours.replace(str(self.device.server.cert), str(stranger.cert)).replace(str(self.device.server.key), str(stranger.key))
        )
        self.broker.start()
        self.doctor("wrong certificate")
        self.broker.stop()
        config.write_text(ours)
        self.broker.start()

    def disk(self) -> None:
        filler = self.device.state / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        self.doctor("disk full")
        filler.unlink()

    def swap(self) -> None:
        """Of a service that the kernel does not keep out of it, and of one that it does."""
        run("dd", "if=/dev/zero", "of=/var/swap", "bs=1M", "count=4", "status=none")
        run("mkswap", "-q", "/var/swap")
        run("swapon", "/var/swap")
        run("systemd-run", "-q", "--unit=modicum-core", "sleep", "600")
        run("systemd-run", "-q", "--unit=modicum-uplink", "-p", "MemorySwapMax=0", "sleep", "600")
        self.doctor("swap")
        run("swapoff", "/var/swap")

    def clock(self) -> None:
        now_s, mono_s = time.time(), time.monotonic()
        subprocess.run(["date", "-s", "1970-01-02"], check=True, stdout=subprocess.DEVNULL)
        time.sleep(3)  # core looks at the host's clock once a second
        self.doctor("clock in 1970")
        subprocess.run(["date", "-s", f"@{now_s + time.monotonic() - mono_s:.3f}"], check=True, stdout=subprocess.DEVNULL)

    def keys(self) -> None:
        self.end("core", "uplink")
        (self.device.state / "credential").unlink()
        self.agent()
        until(lambda: self.status()["uplink"], "the uplink")
        until(lambda: self.status()["fixes"] > 2, "fixes")
        self.doctor("key missing")
        self.end("core", "uplink", "receiver")
        self.doctor("nothing runs")

    def end(self, *names: str) -> None:
        for name in names:
            self.programs.running[name].terminate()
            self.programs.running[name].wait(STEP_S)


@contextlib.contextmanager
def errors_only() -> Iterator[None]:
    """Meanwhile the controller tells of errors alone, fifty a second."""
    over = threading.Event()

    def tell() -> None:
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
            raw.bind(("vcan0",))
            while not over.wait(0.02):
                raw.send(ERROR_FRAME)

    thread = threading.Thread(target=tell)
    thread.start()
    yield
    over.set()
    thread.join()


def link(*words: str) -> None:
    run("ip", "link", *words)


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def until(holds: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + STEP_S
    while not holds():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.2)


if __name__ == "__main__":
    scratch = Path(os.environ["SCRATCH"])
    place = Path("/run/doctor")
    place.mkdir()
    story = Story(place)
    try:
        story.run()
    finally:
        (scratch / "doctor.json").write_text(json.dumps(story.found, indent=1))
        story.programs.stop_all()
        story.broker.stop()
        for log in (place / "logs").iterdir():
            (scratch / log.name).write_bytes(log.read_bytes())
