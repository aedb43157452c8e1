"""agent.daemons.ecall: what cannot be had costs only what needs it; the owner's switch; the clock that is believed."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.clock import RELEASE_NS, boot_ns
from agent.control.server import ControlServer
from agent.daemons import ecall as program
from agent.ecall.fixes import FixHearer
from agent.ecall.loop import Loop
from agent.ecall.record import Recorder
from agent.ecall.session import Kind, Session
from agent.ecall.store import Store
from agent.ecall.switch import Switch
from agent.ecall.table import IN_SESSION, State
from agent.errors import ConfigError, DeviceError, UsageError
from agent.folders import vehicle_folder
from agent.model import Finding
from agent.settings import Settings, load_settings
from agent.vehicle import load_vehicle
from hw.can.bus import BusReader
from hw.modem.voice import Voice
from tests.agent.ecall.build import VIN

LOADS = {
    "agent": "its own part, the leaves, and the control socket's form and server: see PARTS",
    "hw": "the bus, the modem, and the plain form of the SOS line",
    "bitstruct": "of cantools",
    "can": "the bus",
    "cantools": "what a crash frame says",
    "cbor2": "the form of what is sealed",
    "cryptography": "the envelope, its signature, the certificate's dates",
    "msgspec": "agent.toml, and what is kept for a restart",
    "paho": "MQTT",
    "pynmeagps": "a modem's position goes the way of every fix",
    "serial": "the modem's port",
    "textparser": "of cantools",
    "typing_extensions": "of python-can",
    "wrapt": "of python-can",
}
"""All that it loads beyond the standard library, and why."""
PARTS = {
    *(
        "agent.allowed",
        "agent.control",
        "agent.daemons",
        "agent.ecall",
        "agent.body",
        "agent.clock",
        "agent.crash",
        "agent.envelope",
        "agent.errors",
    ),
    *("agent.expression", "agent.folders", "agent.formula", "agent.kuksa", "agent.link", "agent.model", "agent.mqtt", "agent.notify"),
    *("agent.sections", "agent.settings"),
    *("agent.toml", "agent.units", "agent.vehicle", "agent.vss"),
    *("hw.can", "hw.errors", "hw.gnss", "hw.modem", "hw.ports", "hw.registry", "hw.sos", "hw.supervision"),
}
CALM = (State.IDLE,)
KINDS: tuple[Kind, ...] = ("automatic", "manual", "test")
CONFIG = """
[vehicle]
platform = "bench"
vin = "{vin}"
[regions]
allowed = ["CN"]
[brokers.main]
url = "mqtt://127.0.0.1:1883"
region = "CN"
[recipients.emergency]
broker = "main"
key = "emergency.pub"
region = "CN"
[ecall]
broker = "main"
number = "+8610000001"
test_number = "+8610000002"
state = "state"
run = "run"
{more}
"""


def test_it_loads_what_is_listed_and_nothing_else() -> None:
    """Each import is a way to fail, and a part of the time until it watches."""
    ask = "import sys; before = set(sys.modules); import agent.daemons.ecall; print(*sys.modules.keys() - before)"
    loaded = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert {name for name in tops if not name.startswith("_")} == LOADS.keys()
    assert {".".join(name.split(".")[:2]) for name in loaded if name.startswith(("agent.", "hw."))} == PARTS


def settings(folder: Path, more: str = "") -> Settings:
    (folder / "agent.toml").write_text(CONFIG.format(vin=VIN, more=more))
    return load_settings(folder / "agent.toml")


def machine(folder: Path, more: str = "") -> Any:
    loaded = settings(folder, more)
    assert loaded.ecall is not None
    switch, store = Switch(folder / "switch", "third_party"), Store(folder / "run")
    return program._machine(loaded.ecall, loaded.vehicle.vin, load_vehicle(vehicle_folder("bench")), switch, store)


def test_waits_can_be_shortened_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    """For the bench; a misspelt one would be the shipped one."""
    made = machine(tmp_path, "[ecall.timers]\ncountdown_s = 1\nretry_s = [0.5, 1.0]").timers
    assert (made.countdown_s, made.retry_s) == (1.0, (0.5, 1.0))
    for wrong in ("countdown = 1", 'countdown_s = "1"'):
        with pytest.raises(ConfigError, match="no such wait"):
            machine(tmp_path, f"[ecall.timers]\n{wrong}")


def test_the_message_of_the_machine_is_that_of_this_vehicle(tmp_path: Path) -> None:
    """As its file and agent.toml say."""
    facts = machine(tmp_path).facts
    assert (facts.vin, facts.version, facts.vehicle_type) == (VIN, 3, 1)
    assert facts.propulsion == load_vehicle(vehicle_folder("bench")).file.vehicle.propulsion


def test_the_clock_is_believed_where_somebody_vouches_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The integrator, or the kernel; and never before this release."""
    monkeypatch.setattr(program, "kernel_synchronised", lambda: False)
    assert program.utc_s(["ntp", "gnss"]) is None
    assert program.utc_s(["system"]) == pytest.approx(time.time(), abs=2)
    monkeypatch.setattr(program, "kernel_synchronised", lambda: True)
    assert program.utc_s(["ntp"]) is not None
    assert program.utc_s(["gnss"]) is None
    monkeypatch.setattr("agent.daemons.ecall.time.time_ns", lambda: RELEASE_NS - 1)
    assert program.utc_s(["system", "ntp"]) is None


@pytest.mark.finding("ecall-vehicle")
@pytest.mark.parametrize("content", [None, "no TOML", "[vehicle]"])
def test_a_vehicle_file_that_cannot_be_used_costs_the_crash_and_not_the_button(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """The program runs, watches nothing, and says so."""
    monkeypatch.setattr(program, "vehicle_folder", lambda _: tmp_path)
    if content is not None:
        (tmp_path / "vehicle.toml").write_text(content)
    vehicle, found = program._vehicle(settings(tmp_path))
    assert (vehicle, [finding.code for finding in found.values()]) == (None, ["ecall-vehicle"])
    assert list(program._trigger(vehicle, found, armed=False).frames) == []
    loaded = settings(tmp_path)
    assert loaded.ecall is not None
    assert program._machine(loaded.ecall, None, vehicle, Switch(tmp_path / "switch", "third_party"), Store(tmp_path / "run")).enabled


def test_the_opt_in_for_texts_is_a_number(tmp_path: Path) -> None:
    """None is the default."""
    assert not machine(tmp_path).sms
    assert machine(tmp_path, 'sms = "+8610000003"').sms


def test_what_was_kept_of_a_call_and_cannot_be_read_is_erased(tmp_path: Path) -> None:
    """Of an earlier release, or torn: nobody would erase it later."""
    written = list[bytes | None]()
    store = cast("Store", SimpleNamespace(read=lambda: b"noise", write=written.append))
    assert (program._standing(store).session, written) == (None, [None])


@pytest.mark.finding("ecall-sos")
def test_a_button_whose_library_does_not_load_costs_the_button(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is found."""

    def broken(*_: str) -> object:
        raise ImportError("libgpiod")

    loaded, found = settings(tmp_path, '[ecall.sos]\nchip = "gpiochip0"\nline = 17'), dict[str, Finding]()
    assert loaded.ecall is not None
    monkeypatch.setattr(program, "driver", broken)
    assert program._sos(loaded.ecall, program.Inbox(), found) is None
    assert found["sos"].code == "ecall-sos"


@pytest.mark.parametrize("wrong", ["retry_s = []", "redial_s = [5, 0]", "countdown_s = -1"])
def test_a_wait_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    """Before a crash finds it."""
    with pytest.raises(ConfigError, match="no such wait"):
        machine(tmp_path, f"[ecall.timers]\n{wrong}")


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    """It would take the sockets of the first away with it."""
    loaded = settings(tmp_path)
    assert loaded.ecall is not None
    (tmp_path / "run").mkdir()
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        program._alone(loaded.ecall, first)
        with pytest.raises(UsageError, match="runs already"):
            program._alone(loaded.ecall, second)
    with contextlib.ExitStack() as later:
        program._alone(loaded.ecall, later)


@pytest.mark.finding("ecall-sockets")
def test_a_socket_that_cannot_be_had_is_found_and_bars_no_call(tmp_path: Path) -> None:
    """Then nobody can ask it for anything, and a crash is told all the same."""
    loaded, selftest = settings(tmp_path), SimpleNamespace(at_start={})
    assert loaded.ecall is not None
    (tmp_path / "run" / "control.sock").mkdir(parents=True)
    opened = program._sockets(loaded.ecall, cast("Any", SimpleNamespace(inbox=program.Inbox())), cast("Any", selftest))
    for one in opened.values():
        one.close()
    assert selftest.at_start["sockets"].code == "ecall-sockets"


@pytest.mark.parametrize(
    ("kind", "dead", "ends"),
    [(Recorder, "record", CALM), (FixHearer, "fixes", CALM), (ControlServer, "control", CALM), (Voice, "modem", State)],
)
def test_a_thread_that_a_call_can_do_without_ends_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, dead: str, ends: Collection[State]
) -> None:
    """It is found, in each state of a call; it ends the program only where nothing of one stands, the hour in which the centre may call
    back included. What the call needs does so at any time.
    """
    found: list[State] = []

    def look(loop: Loop) -> None:
        for state in State:
            loop.machine.standing.state = state
            cast("Any", loop.vote).__self__._due_s = 0.0
            with pytest.raises(DeviceError, match=f"a thread has ended: {dead}") if state in ends else contextlib.nullcontext():
                loop.vote()
            finding = loop.selftest.run(boot_ns())["sockets"]
            found.extend([state] if finding and dead in finding.text else [])

    (tmp_path / "run").mkdir()
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(Loop, "run", look)
    monkeypatch.setattr(kind, "alive", lambda _: False)
    program.run(settings(tmp_path, '[modem]\nport = "absent"' if dead == "modem" else ""), tmp_path / "agent.toml")
    assert found == (list(State) if ends is CALM else [])


def test_a_bus_ends_no_call_that_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash may have torn its adapter off, again and again: it is found, and the call goes on. Before a session, in a test and after
    it a crash would be news: there it ends the program.
    """
    cases = [(None, state) for state in State if state not in IN_SESSION] + [(kind, state) for kind in KINDS for state in IN_SESSION]
    voted: list[object] = []

    def look(loop: Loop) -> None:
        assert loop.selftest.run(boot_ns())["bus"]
        for kind, state in cases:
            loop.machine.standing.session = Session("1", kind, 0, 0) if kind else None
            loop.machine.standing.state = state
            cast("Any", loop.vote).__self__._due_s = 0.0
            ends = kind in {None, "test"}
            with pytest.raises(DeviceError, match="a thread has ended: bus pt") if ends else contextlib.nullcontext():
                loop.vote()
            voted.append((kind, state))

    (tmp_path / "run").mkdir()
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(Loop, "run", look)
    monkeypatch.setattr(BusReader, "alive", lambda _: False)
    program.run(settings(tmp_path, '[[bus]]\nname = "pt"\ninterface = "virtual"\nchannel = "ends-no-call"'), tmp_path / "agent.toml")
    assert voted == cases


def test_a_folder_that_cannot_be_locked_bars_nobody(tmp_path: Path) -> None:
    """The call is worth more than the order."""
    loaded = settings(tmp_path)
    assert loaded.ecall is not None
    with contextlib.ExitStack() as built:
        program._alone(loaded.ecall, built)


def test_what_is_wrong_in_a_section_that_it_does_not_need_costs_no_call(tmp_path: Path) -> None:
    """Of core's receiver, say; core itself does not start with it."""
    settings(tmp_path)
    path = tmp_path / "agent.toml"
    path.write_text(path.read_text() + "\n[gnss]\nprot = 1\n")
    assert load_settings(path, program.CALL_SECTIONS).ecall is not None
    with pytest.raises(ConfigError):
        load_settings(path)


def test_it_comes_first_where_it_may() -> None:
    """In a process of its own: the kernel says which priority it has, and its threads have the same."""
    ask = (
        "import os, threading; from agent.daemons.ecall import come_first; come_first(); "
        "t = threading.Thread(target=lambda: print(os.sched_getscheduler(0) == os.SCHED_RR, end=' ')); t.start(); t.join(); "
        "print(os.sched_getscheduler(0) == os.SCHED_RR)"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    may = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] > 0
    assert said == ["True", "True"] or not may


def test_without_the_right_to_come_first_it_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user without it, or in a container."""

    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    program.come_first()
