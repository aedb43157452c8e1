"""agent.ecall.selftest: each fault alone gives its own finding, and nothing is found where all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.ecall.centre import Centre
from agent.ecall.machine import Machine
from agent.ecall.message import VIN_UNKNOWN
from agent.ecall.positions import Place
from agent.ecall.selftest import CHECKS, EXPIRES_DAYS, LOST_NS, QUIET_NS, UNREACHED_NS, SelfTest
from agent.ecall.store import Store
from agent.ecall.switch import Switch
from agent.model import Finding
from agent.mqtt.terms import UNREADABLE
from agent.settings import watch
from hw.can.bus import BusReader
from hw.can.engine import BusCounters
from hw.modem.health import Health
from hw.modem.voice import Voice
from tests.agent.ecall.rig import FACTS
from tests.findings import fault

T_NS = 10**12
NOW_S = 1_795_000_000
NOW = datetime.fromtimestamp(NOW_S, UTC)
NO_SWAP = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@dataclass
class Part:
    """What the self-test looks at of a part: how it says that it is."""

    name: str = "pt"
    problem: str = ""
    stuck: bool = False
    online: bool = True
    why: str = "refused"
    refused: str = ""
    lives: bool = True
    counters: BusCounters = field(default_factory=BusCounters)
    health: Health = field(default_factory=lambda: Health(sim=True, registered=True, signal=20))

    beat_s: float = NOW_S
    patience_s: float = 30.0

    def alive(self) -> bool:
        return self.lives


def well(folder: Path) -> SelfTest:
    """A device on which everything works."""
    machine = Machine(FACTS)
    machine.ring.take(Place(T_NS, 39.9, 116.4, 5.0))
    swaps = folder / "swaps"
    swaps.write_text(NO_SWAP)
    return SelfTest(
        machine=machine,
        centre=cast("Centre", Part()),
        store=cast("Store", Part()),
        switch=Switch(folder / "switch", "third_party"),
        utc_s=lambda: NOW_S,
        readers=[cast("BusReader", Part())],
        watched=1,
        voice=cast("Voice", Part()),
        sos=Part(),
        beside={"record": Part(), "fixes": Part()},
        now_s=lambda: NOW_S + 30.0,
        certificate=certificate(folder, NOW + timedelta(days=365)),
        swaps=swaps,
        frame_ns=T_NS,
    )


def certificate(folder: Path, until: datetime) -> Path:
    """One that began ten days ago."""
    key, name = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "car")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = built.not_valid_before(NOW - timedelta(days=10)).not_valid_after(until).sign(key, None)
    path = folder / "device.pem"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return path


def health(test: SelfTest, sim: bool | None, registered: bool | None) -> None:
    test.voice = cast("Voice", Part(health=Health(sim=sim, registered=registered, signal=None)))


def offline(test: SelfTest, for_ns: int) -> None:
    test.centre, test.offline_ns = cast("Centre", Part(online=False)), T_NS - for_ns


def ends(test: SelfTest, in_days: int) -> None:
    assert test.certificate is not None
    certificate(test.certificate.parent, NOW + timedelta(days=in_days))


def sets(**parts: object) -> Callable[[SelfTest], None]:
    def do(test: SelfTest) -> None:
        for name, part in parts.items():
            setattr(test, name, part)

    return do


def switched_off(test: SelfTest) -> None:
    test.machine.enabled = False


def unreadable(test: SelfTest) -> None:
    assert test.certificate is not None
    test.certificate.unlink()


FAULTS = [
    fault("ecall-off", "switch", "the owner switched it off", switched_off),
    fault("ecall-crash", "crash frames", "no crash frame is described", sets(watched=0, readers=())),
    fault("ecall-bus", "bus", "the bus does not open", sets(readers=[Part(problem="the bus does not open")])),
    fault("ecall-bus", "bus", "the bus's thread is dead", sets(readers=[Part(lives=False)])),
    fault("ecall-bus-quiet", "bus", "no crash frame comes", sets(frame_ns=T_NS - QUIET_NS - 1)),
    fault("ecall-bus-quiet", "bus", "no crash frame ever came", sets(frame_ns=None)),
    fault("ecall-bus-lost", "bus", "a crash frame found no room", sets(readers=[Part(counters=BusCounters(lost=1))])),
    fault("ecall-sos", "sos", "the button is not read", sets(sos=Part(problem="no such line"))),
    fault("ecall-sos", "sos", "the button's thread is dead", sets(sos=Part(lives=False))),
    fault("ecall-sos-stuck", "sos", "the button is stuck", sets(sos=Part(stuck=True))),
    fault("ecall-vin", "vin", "no VIN is known", lambda test: setattr(test.machine, "facts", replace(FACTS, vin=VIN_UNKNOWN))),
    fault("ecall-sos-none", "sos", "no button is configured", sets(sos=None)),
    fault("ecall-unknown", "sim", "the modem has not said whether there is a SIM", lambda test: health(test, sim=None, registered=True)),
    fault("ecall-position", "position", "the place is not known", lambda test: test.machine.ring.clear()),
    fault("ecall-clock", "clock", "nobody vouches for the clock", sets(utc_s=lambda: None)),
    fault("ecall-certificate", "certificate", "the certificate is gone", unreadable),
    fault("ecall-certificate", "certificate", "the certificate has ended", lambda test: ends(test, -1)),
    fault("ecall-certificate", "certificate", "the certificate ends soon", lambda test: ends(test, EXPIRES_DAYS - 1)),
    fault("ecall-centre", "centre", "the centre is not reached", lambda test: offline(test, 1)),
    fault("ecall-refused", "centre", "the broker takes no message", sets(centre=Part(refused="write PREFIX/v1/+/ecall/msd"))),
    fault("settings-old", "settings", "agent.toml was changed", sets(changed=lambda: True)),
    fault("ecall-modem", "modem", "the modem does not answer", sets(voice=Part(problem="unplugged"))),
    fault("ecall-modem", "modem", "the modem's thread is dead", sets(voice=Part(lives=False))),
    fault("ecall-sim", "sim", "there is no SIM", lambda test: health(test, sim=False, registered=True)),
    fault("ecall-network", "network", "the modem is not registered", lambda test: health(test, sim=True, registered=False)),
    fault("ecall-swap", "memory", "memory may be swapped", lambda test: test.swaps.write_text(f"{NO_SWAP}/dev/sda2 partition\n")),
    fault("ecall-unknown", "memory", "the sandbox hides whether there is swap", lambda test: test.swaps.unlink()),
    fault("ecall-memory", "memory", "nothing would outlive a restart", sets(store=Part(problem="on ext4"))),
    fault("ecall-sockets", "sockets", "a thread beside the call is dead", sets(beside={"record": Part(), "fixes": Part(lives=False)})),
    fault("ecall-sockets", "sockets", "a thread beside the call hangs", sets(beside={"control": Part(beat_s=NOW_S - 1)})),
]
"""The code, its check, what is wrong, and how it comes to be."""


def test_lost_frames_are_told_for_an_hour(tmp_path: Path) -> None:
    """And again when more are lost; what happened once is no fault for ever."""
    test, counters = well(tmp_path), BusCounters(lost=3)
    test.readers = [cast("BusReader", Part(counters=counters))]

    def told(t_ns: int) -> bool:
        test.frame_ns = t_ns
        return test.run(t_ns)["bus"] is not None

    after_ns = T_NS + LOST_NS
    assert [told(t_ns) for t_ns in (T_NS, after_ns, after_ns + 1)] == [True, True, False]
    counters.lost += 1
    assert told(after_ns + 2)


def test_where_all_is_well_nothing_is_found(tmp_path: Path) -> None:
    """Of any check."""
    assert well(tmp_path).run(T_NS) == dict.fromkeys(CHECKS)


@pytest.mark.parametrize(("code", "name", "wrong", "cause"), FAULTS)
def test_each_fault_has_its_own_finding(code: str, name: str, wrong: str, cause: Callable[[SelfTest], object], tmp_path: Path) -> None:
    """Its own code under its own check, a hint, and nothing else is found."""
    test = well(tmp_path)
    cause(test)
    found = {check: finding for check, finding in test.run(T_NS).items() if finding}
    assert {check: finding.code for check, finding in found.items()} == {name: code}, wrong
    assert all(finding.hint and finding.severity in {"info", "warning", "error"} for finding in found.values())


def test_every_check_is_caused_or_made_at_start() -> None:
    """A check without a test of its fault could never fail."""
    assert CHECKS.keys() - {case.values[1] for case in FAULTS} == {"key", "region", "state"}


@pytest.mark.parametrize("name", ["key", "region", "state", "sockets", "crash frames"])
def test_what_was_found_at_start_stands(name: str, tmp_path: Path) -> None:
    """Whatever the check itself would say."""
    test, finding = well(tmp_path), Finding(code="x", severity="error", text="y", hint="z")
    test.at_start = {name: finding}
    assert test.run(T_NS)[name] == finding


def test_a_centre_that_stays_away_becomes_an_error(tmp_path: Path) -> None:
    """A tunnel is none."""
    test, told = well(tmp_path), []
    for for_ns in (UNREACHED_NS - 1, UNREACHED_NS):
        offline(test, for_ns)
        finding = test.run(T_NS)["centre"]
        told.append(finding and finding.severity)
    assert told == ["warning", "error"]


@pytest.mark.finding("ecall-centre")
def test_a_pair_that_it_may_not_read_is_an_error_at_once(tmp_path: Path) -> None:
    """No coverage heals that, and it is no other service's."""
    test = well(tmp_path)
    test.centre, test.offline_ns = cast("Centre", Part(online=False, why=f"{UNREADABLE}: Permission denied")), T_NS
    finding = test.run(T_NS)["centre"]
    assert finding is not None
    assert (finding.severity, "group modicum-ecall" in finding.hint) == ("error", True)


@pytest.mark.finding("settings-old")
def test_settings_that_were_changed_since_the_start_are_found(tmp_path: Path) -> None:
    """A restart of core alone would leave a call with the old number."""
    test, file = well(tmp_path), tmp_path / "agent.toml"
    file.write_text("[ecall]")
    test.changed = watch(file)
    assert test.run(T_NS)["settings"] is None
    file.write_text("[ecall]\n")
    finding = test.run(T_NS)["settings"]
    assert finding is not None
    assert (finding.code, "restart modicum-ecall" in finding.hint) == ("settings-old", True)


def test_without_a_trusted_clock_no_certificate_is_called_ended(tmp_path: Path) -> None:
    """1970 is before every one of them."""
    test = well(tmp_path)
    ends(test, -1)
    test.utc_s = lambda: None
    assert test.run(T_NS)["certificate"] is None


@pytest.mark.finding("ecall-absent")
def test_a_vehicle_without_an_emergency_call_says_so(tmp_path: Path) -> None:
    """It is no switch that anybody could turn."""
    test = well(tmp_path)
    test.machine.enabled, test.switch = False, Switch(tmp_path / "switch", "absent")
    finding = test.run(T_NS)["switch"]
    assert finding is not None
    assert finding.code == "ecall-absent"


def test_without_a_modem_nobody_is_called_and_nothing_is_known_of_a_sim(tmp_path: Path) -> None:
    """Not "ok": what cannot be known is said to be so."""
    test = well(tmp_path)
    test.voice = None
    found = test.run(T_NS)
    assert [finding.code for name in ("modem", "sim", "network") if (finding := found[name])] == ["ecall-modem", *["ecall-unknown"] * 2]
