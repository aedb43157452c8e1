"""The emergency call's self-test: each check has its own finding, and what is found stands as long as it holds.

Promises to ask nothing of a device and to wait for nothing: it reads what the parts say of themselves. A check that cannot be made is
no failed call: whatever it finds, a crash is told as well as can be. The list of checks: docs/ecall.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509

from agent.ecall.centre import Centre
from agent.ecall.machine import Machine
from agent.ecall.message import VIN_UNKNOWN
from agent.ecall.store import Store
from agent.ecall.switch import Switch
from agent.ecall.timers import NS
from agent.model import Finding, error, info, warning
from agent.mqtt.terms import UNREADABLE
from agent.notify import Voter, wrong
from hw.can.bus import BusReader
from hw.modem.voice import Voice

QUIET_NS = 10 * NS
"""So long without any frame that the call watches for, or without a position."""
LOST_NS = 3600 * NS
"""So long frames that were lost are told; more of them begin it anew."""
UNREACHED_NS = 300 * NS
"""So long without the centre's broker is a fault; less is a tunnel."""
EXPIRES_DAYS = 14


class Device(Protocol):
    """What has a thread of its own."""

    problem: str

    def alive(self) -> bool: ...


class SosInput(Device, Protocol):
    """The button's line."""

    stuck: bool


@dataclass(slots=True, kw_only=True)
class SelfTest:
    """Reads the parts. `at_start`: check -> what was found when the program began; `watched`: how many crash frames there are.

    `frame_ns`: when the last of them came, `offline_ns`: since when there is no connection to the centre's broker; both on
    CLOCK_BOOTTIME and kept by the loop. `lost`, `lost_ns`: how many frames the readers had no room for, and when that was seen.
    """

    machine: Machine
    centre: Centre
    store: Store
    switch: Switch
    utc_s: Callable[[], int | None]
    readers: Sequence[BusReader] = ()
    watched: int = 0
    voice: Voice | None = None
    sos: SosInput | None = None
    certificate: Path | None = None
    at_start: Mapping[str, Finding] = field(default_factory=dict)
    changed: Callable[[], bool] = lambda: False
    """Whether agent.toml is another than the one that the program goes by."""
    beside: Mapping[str, Voter] = field(default_factory=dict)
    """Threads that a call can do without, by name."""
    now_s: Callable[[], float] = time.monotonic
    swaps: Path = Path("/proc/swaps")
    frame_ns: int | None = None
    offline_ns: int | None = None
    lost: int = 0
    lost_ns: int | None = None

    def run(self, t_ns: int) -> dict[str, Finding | None]:
        """Each check, in the order of a call's way, and what is wrong."""
        return {name: self.at_start.get(name) or check(self, t_ns) for name, check in CHECKS.items()}


def _trouble(device: Device) -> str:
    """Why it is not read; empty while it is."""
    return device.problem or ("" if device.alive() else "its thread has ended by a fault of ours: it is started anew once no call stands")


def _unknown() -> Finding:
    return info("ecall-unknown", "not known: the modem has not said yet", "wait, or see the modem")


def _vin(test: SelfTest, _: int) -> Finding | None:
    if test.machine.facts.vin != VIN_UNKNOWN:
        return None
    return warning("ecall-vin", "no VIN is known: a message names no vehicle", "write it into a file and name that in [vehicle] vin_file")


def _switch(test: SelfTest, _: int) -> Finding | None:
    if test.machine.enabled:
        return None
    if test.switch.mode == "absent":
        return warning("ecall-absent", "this vehicle has no emergency call: nothing triggers one", "see ecall.mode of vehicle.toml")
    return warning("ecall-off", "switched off: after a crash nobody is called and nothing is sent", "modicum ecall on")


def _bus(test: SelfTest, t_ns: int) -> Finding | None:
    lost = [f"{reader.name}: {trouble}" for reader in test.readers if (trouble := _trouble(reader))]
    if lost:
        return error("ecall-bus", f"a crash would not be seen: {lost[0]}", "see the interface: ip -details link")
    if test.watched and (test.frame_ns is None or t_ns - test.frame_ns > QUIET_NS):
        return warning(
            "ecall-bus-quiet", "none of the crash frames comes", "usual while the car sleeps; else see the bit rate and vehicle.toml"
        )
    frames = sum(reader.counters.lost for reader in test.readers)
    if frames != test.lost:
        test.lost, test.lost_ns = frames, t_ns
    if test.lost_ns is not None and t_ns - test.lost_ns <= LOST_NS:
        text = "frames were lost for want of room: one that tells of a crash may be among them"
        return warning("ecall-bus-lost", text, "see the load of the processor")
    return None


def _crash(test: SelfTest, _: int) -> Finding | None:
    if test.watched:
        return None
    return warning("ecall-crash", "no crash frame is watched: only the button calls", "describe [crash] in vehicle.toml")


def _sos(test: SelfTest, _: int) -> Finding | None:
    if test.sos is None:
        return info("ecall-sos-none", "no button is configured: the head unit alone calls by hand", "[ecall.sos] names its line")
    if trouble := _trouble(test.sos):
        return error("ecall-sos", f"the SOS button is not read: {trouble}", "see [ecall.sos] and the wiring")
    if test.sos.stuck:
        return error("ecall-sos-stuck", "the SOS button is held all the time", "see the button and its wiring")
    return None


def _modem(test: SelfTest, _: int) -> Finding | None:
    if test.voice is None:
        return error("ecall-modem", "no modem is configured: nobody is called", "name the port in [modem]")
    if trouble := _trouble(test.voice):
        return error("ecall-modem", f"the modem does not answer: {trouble}", "see the port, and that nothing else holds it")
    return None


def _sim(test: SelfTest, _: int) -> Finding | None:
    if test.voice is None or test.voice.health.sim is None:
        return _unknown()
    if not test.voice.health.sim:
        return error("ecall-sim", "the modem has no SIM that it can use", "insert one, without a PIN")
    return None


def _network(test: SelfTest, _: int) -> Finding | None:
    if test.voice is None or test.voice.health.registered is None:
        return _unknown()
    if not test.voice.health.registered:
        return error("ecall-network", "the modem is not registered", "see the antenna, the coverage and the contract of the SIM")
    return None


def _position(test: SelfTest, t_ns: int) -> Finding | None:
    last = test.machine.ring.last
    if last is not None and t_ns - last.t_ns <= QUIET_NS:
        return None
    return warning("ecall-position", "the place is not known: neither core nor the modem tells it", "see the antenna; usual under a roof")


def _certificate(test: SelfTest, _: int) -> Finding | None:
    """Whether the broker will still know us; with a clock that nobody trusts only whether there is one."""
    if test.certificate is None:
        return None
    try:
        found = x509.load_pem_x509_certificate(test.certificate.read_bytes())
    except (OSError, ValueError):
        return error("ecall-certificate", "the device's certificate cannot be read", f"see {test.certificate}")
    now_s = test.utc_s()
    if now_s is None:
        return None
    now = datetime.fromtimestamp(now_s, UTC)
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        return error("ecall-certificate", "the device's certificate is not valid now", "give it a new one")
    if found.not_valid_after_utc - now < timedelta(days=EXPIRES_DAYS):
        return warning("ecall-certificate", f"the device's certificate ends within {EXPIRES_DAYS} days", "give it a new one")
    return None


def _centre(test: SelfTest, t_ns: int) -> Finding | None:
    if test.centre.online:
        if not test.centre.refused:
            return None
        text = f"the centre's broker does not let this device {test.centre.refused.split()[0]}: a message does not arrive, or no answer"
        hint = f"the ACL lacks `topic {test.centre.refused}` (docs/enrolment.md, section 5); then modicum ecall test"
        return error("ecall-refused", text, hint)
    text, hint = f"no connection to the centre: {test.centre.why}", "see [brokers] and the coverage; it is tried all the time"
    if UNREADABLE in test.centre.why:  # which no coverage heals
        return error("ecall-centre", text, "its certificate and key ([brokers]) must be readable for it: chmod 640, group modicum-ecall")
    if test.offline_ns is not None and t_ns - test.offline_ns >= UNREACHED_NS:
        return error("ecall-centre", text, hint)
    return warning("ecall-centre", text, hint)


def _settings(test: SelfTest, _: int) -> Finding | None:
    if not test.changed():
        return None
    text = "agent.toml is not what modicum-ecall started with, and a call goes by that"
    return warning("settings-old", text, "while no call stands: sudo systemctl restart modicum-ecall")


def _clock(test: SelfTest, _: int) -> Finding | None:
    if test.utc_s() is not None:
        return None
    return warning("ecall-clock", "the time is not trusted: a message would say none", "see [clock] sources, and NTP")


def _memory(test: SelfTest, _: int) -> Finding | None:
    if test.store.problem:
        return warning(
            "ecall-memory", f"a call would not survive a restart: {test.store.problem}", "name a folder of a tmpfs in [ecall] run"
        )
    try:
        swaps = test.swaps.read_text().splitlines()
    except OSError:  # the unit's sandbox hides it (ProcSubset=)
        return info(
            "ecall-unknown", "not known: its sandbox does not show whether memory may be swapped", "modicum doctor looks from outside"
        )
    if len(swaps) > 1:
        return warning("ecall-swap", "memory may be swapped to a disk, and a place or a VIN with it", "swapoff, or an encrypted swap")
    return None


def _beside(test: SelfTest, _: int) -> Finding | None:
    """While a call stands nobody else looks at them."""
    for name, thread in test.beside.items():
        if what := wrong(name, thread, test.now_s()):
            text, hint = f"core or the command line is not served: {what}", "nothing: the program is started anew once no call stands"
            return error("ecall-sockets", text, hint)
    return None


def _at_start(_: SelfTest, __: int) -> Finding | None:
    return None  # looked at once, and told by whoever looked


Check = Callable[[SelfTest, int], Finding | None]
CHECKS: Mapping[str, Check] = {
    "switch": _switch,
    "vin": _vin,
    "crash frames": _crash,
    "bus": _bus,
    "sos": _sos,
    "position": _position,
    "clock": _clock,
    "key": _at_start,
    "certificate": _certificate,
    "centre": _centre,
    "modem": _modem,
    "sim": _sim,
    "network": _network,
    "memory": _memory,
    "region": _at_start,
    "state": _at_start,
    "sockets": _beside,
    "settings": _settings,
}
"""A new check is a function and a line."""
