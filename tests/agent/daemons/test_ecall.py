"""agent.daemons.ecall: what cannot be had costs only what needs it; the owner's switch; the clock that is believed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from agent.clock import RELEASE_NS
from agent.daemons import ecall as program
from agent.ecall.store import Store
from agent.errors import ConfigError
from agent.folders import vehicle_folder
from agent.settings import Settings, load_settings
from agent.vehicle import Vehicle, load_vehicle
from tests.agent.ecall.build import VIN

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


def settings(folder: Path, more: str = "") -> Settings:
    (folder / "agent.toml").write_text(CONFIG.format(vin=VIN, more=more))
    return load_settings(folder / "agent.toml")


def machine(folder: Path, more: str = "", mode: str = "third_party") -> Any:
    loaded, vehicle = settings(folder, more), load_vehicle(vehicle_folder("bench"))
    assert loaded.ecall is not None
    return program._machine(loaded, loaded.ecall, with_mode(vehicle, mode), Store(folder / "run"))


def with_mode(vehicle: Vehicle, mode: str) -> Vehicle:
    from msgspec.structs import replace  # noqa: PLC0415  the one place

    vehicle.file = replace(vehicle.file, ecall=replace(vehicle.file.ecall, mode=mode))
    return vehicle


@pytest.mark.parametrize("content", [None, b"", b"x" * 31, bytes(32), b"-----BEGIN PUBLIC KEY-----"])
def test_a_key_that_cannot_be_used_does_not_keep_the_call_from_being_made(tmp_path: Path, content: bytes | None) -> None:
    """Nothing can be sealed; the numbers are there all the same."""
    if content is not None:
        (tmp_path / "emergency.pub").write_bytes(content)
    loaded = settings(tmp_path)
    assert loaded.ecall is not None
    found = program._addresses(loaded, loaded.ecall)
    assert (found.recipient_key, found.number) == (b"", "+8610000001")


def test_the_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """The centre knows the vehicle by it; a folder that cannot be had costs only that."""
    loaded = settings(tmp_path)
    assert loaded.ecall is not None
    first, again = program._sender(loaded.ecall), program._sender(loaded.ecall)
    assert first.id == again.id
    (tmp_path / "state" / "secret").unlink()
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("in the way")
    assert program._sender(loaded.ecall).id != program._sender(loaded.ecall).id


@pytest.mark.parametrize(
    ("mode", "switch", "enabled"),
    [
        ("third_party", None, True),
        ("third_party", b"off\n", False),
        ("third_party", b"on", True),
        ("third_party", b"\xff\xfe", True),
        ("regulated", b"off", True),
        ("absent", None, False),
    ],
)
def test_the_owners_switch_is_honoured_where_it_is_the_owners(tmp_path: Path, mode: str, switch: bytes | None, *, enabled: bool) -> None:
    """What cannot be read is no "off"; the call that the law asks for has no switch."""
    if switch is not None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "switch").write_bytes(switch)
    assert machine(tmp_path, mode=mode).enabled is enabled


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
