"""What core says of itself and finds: each of its faults caused in a whole core whose devices the test plays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.control.routes import ROUTES
from agent.core.assembly import Assembled
from agent.core.numbers import Numbers
from agent.core.power import SILENT_S
from agent.errors import DeviceError
from agent.health.buses import GONE_S, receiver
from agent.health.facts import ReceiverFacts
from agent.health.going import power
from agent.link import State
from agent.model import Finding
from agent.seal.keyblock import KeyBlockFull
from agent.seal.keyring import Keyring
from agent.settings import watch
from hw.ports import Fix, Silence
from tests.agent.core.stage import VIN, Stage
from tests.agent.core.test_loop import fails_once
from tests.agent.core.test_vin import tells_vin

LAT, LON = 31.2345, 121.4567


class Bench:
    """A stage with its numbers; `time_s` is the time of time.monotonic there."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage, self.time_s = stage, 1000.0
        times = SimpleNamespace(monotonic=lambda: self.time_s, time=lambda: stage.clock.now_ns() / 1e9)
        monkeypatch.setattr("agent.core.numbers.time", times)
        stage.clock.source = "ntp"  # type: ignore[attr-defined]  # of the clock of a running agent
        reader: Any = SimpleNamespace(
            name="pt",
            problem="",
            losses=0,
            counters=SimpleNamespace(read=9, lost=0, error=0, unknown=0, errors={}),
            engine="software",
            gaps=[],
            gate=SimpleNamespace(short=0, wanted=1, delivered=1),
        )
        counted = SimpleNamespace(good=90, bad_checksum=0, malformed=0, void=0)
        receiver: Any = SimpleNamespace(port="/dev/x", problem="", epochs=counted)
        self.reader, self.receiver = reader, receiver
        assembled = SimpleNamespace(findings=[], parts=stage.core.parts, clock=stage.clock, starts=1)
        self.numbers = Numbers([reader], cast("Assembled", assembled), receiver=receiver, quota_bytes=1 << 20)
        self.numbers.attach(stage.core, stage.loop)
        stage.loop.uplinked.link = None

    def fix(self, mode: int = 3) -> None:
        self.stage.core.fix(Fix(self.stage.clock.now_ns(), mode=mode, lat_deg=LAT, lon_deg=LON, satellites=9))

    def wait(self, seconds: float) -> None:
        self.time_s += seconds
        self.stage.clock.set(self.stage.clock.now_ns() + round(seconds * 1e9))

    def codes(self) -> list[str]:
        return [finding.code for finding in self.numbers.findings()]


@pytest.fixture
def bench(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(stage, monkeypatch)


def test_where_all_is_well_nothing_is_found(bench: Bench) -> None:
    """The receiver has a fix, the buses are read."""
    bench.wait(GONE_S)
    bench.fix()
    assert bench.codes() == []


@pytest.mark.finding("bus-lost")
def test_a_bus_that_was_lost_is_found_until_it_is_back(bench: Bench) -> None:
    """One that has not been opened yet is no fault."""
    bench.reader.problem = "not opened yet"
    assert bench.codes() == []
    bench.reader.losses = 1
    assert bench.codes() == ["bus-lost"]
    bench.reader.problem = ""
    assert bench.codes() == []


@pytest.mark.finding("bus-frames-lost")
def test_lost_frames_are_found(bench: Bench) -> None:
    """They stay found: what was lost is lost."""
    bench.reader.counters.lost = 2
    assert bench.codes() == ["bus-frames-lost"]


@pytest.mark.finding("bus-quiet")
def test_a_wanted_message_that_does_not_come_is_found_while_others_do(bench: Bench) -> None:
    """By its name in the DBC, and no more once it comes. A whole bus that is silent is a car that sleeps."""
    bench.stage.trip_of("anna", "x.speed")
    parts, plan = bench.stage.core.parts, bench.stage.core.plan
    sources = {source.message.name: source for name in plan.wanted if (source := parts.vehicle.sources.get(name))}
    bench.stage.core.silence(Silence("pt", sources["MOTION"].can_id, bench.stage.clock.now_ns()))
    assert bench.codes() == []
    bench.wait(10)
    [finding] = bench.numbers.findings()
    assert (finding.code, "MOTION" in finding.text) == ("bus-quiet", True)
    for source in sources.values():
        bench.stage.core.silence(Silence("pt", source.can_id, bench.stage.clock.now_ns()))
    bench.wait(10)
    assert bench.codes() == []
    for name in sources:
        bench.stage.frame(name)
    assert bench.codes() == []


def test_a_message_that_is_wanted_again_is_not_quiet_at_once(bench: Bench) -> None:
    """How long it was silent before it was withdrawn says nothing: nobody listened since."""
    core, sources = bench.stage.core, bench.stage.core.parts.vehicle.sources
    bench.stage.trip_of("anna", "x.speed")
    core.silence(Silence("pt", sources["Vehicle.Speed"].can_id, bench.stage.clock.now_ns()))
    for route in ("consent.withdraw", "consent.grant"):
        ROUTES[route].run(core, {"item": "x.speed", "trip": True})
        bench.wait(10)
    assert "Vehicle.Speed" in core.plan.wanted
    assert bench.codes() == []


@pytest.mark.finding("receiver-lost")
def test_a_receiver_that_stays_away_is_found(bench: Bench) -> None:
    """One that is plugged in late is no fault."""
    bench.receiver.problem = "the receiver is unplugged"
    bench.fix()
    assert bench.codes() == []
    bench.wait(GONE_S)
    assert bench.codes() == ["receiver-lost"]


@pytest.mark.finding("receiver-lost")
def test_a_receiver_that_never_was_there_is_told_so_whenever_it_is_asked_for(bench: Bench) -> None:
    """Not that its port is open, nor how old a position is that never was."""
    bench.receiver.problem = "the receiver is unplugged"
    bench.wait(GONE_S + 80)
    facts = bench.numbers.receiver_facts()
    assert facts is not None
    assert (bench.codes(), facts.heard_age_s, facts.fix_age_s) == (["receiver-lost"], None, None)
    assert receiver(facts).says == "/dev/x, no port"


@pytest.mark.finding("receiver-silent", "receiver-no-fix")
def test_a_receiver_that_is_silent_or_sees_no_sky_is_found(bench: Bench) -> None:
    """Each as what it is, after its time."""
    bench.wait(GONE_S)
    assert bench.codes() == ["receiver-silent"]
    bench.wait(40)
    bench.fix(mode=0)
    assert bench.codes() == ["receiver-no-fix"]
    bench.fix()
    assert bench.codes() == []
    bench.wait(11)
    assert bench.codes() == ["receiver-silent"]


@pytest.mark.finding("broker-credential", "broker-refused")
def test_a_lane_that_does_not_come_back_by_itself_is_found(bench: Bench) -> None:
    """A network that is away is no fault of the device, and a lane that is online is none."""
    bench.stage.trip_of("anna", "x.speed")
    bench.stage.connect()
    found = []
    for why in ("a credential cannot be read", "modicum: no credential for this lane (id:main)", "the broker refused: no", "no connection"):
        bench.stage.loop.take(State(lane="id:main", online=False, why=why, protocol=0))
        found.append(bench.codes())
    bench.stage.loop.take(State(lane="id:main", online=True, why="", protocol=5))
    assert [*found, bench.codes()] == [["broker-credential"], ["broker-credential"], ["broker-refused"], [], []]


@pytest.mark.finding("settings-old")
def test_settings_that_were_changed_since_the_start_are_found(bench: Bench, tmp_path: Path) -> None:
    """Edited, or gone, until the file is again what core has; a core that does not know its file finds nothing."""
    file = tmp_path / "agent.toml"
    file.write_text("[gnss]")
    bench.numbers = Numbers([bench.reader], bench.numbers.assembled, bench.stage.core, bench.stage.loop, settings_changed=watch(file))
    found = [bench.codes()]
    for text in ("[bus]", None, "[gnss]"):
        file.unlink() if text is None else file.write_text(text)
        found.append(bench.codes())
    assert found == [[], ["settings-old"], ["settings-old"], []]


@pytest.mark.finding("power-unheard")
def test_a_device_that_nobody_switches_off_is_found(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where [power] asks for it; and status tells what it waits for."""
    unit = tmp_path / "modicum-power.service"
    unit.touch()
    monkeypatch.setattr("agent.core.numbers.power", lambda waits: power(waits, unit))
    assert (bench.codes(), bench.numbers.status()["power"]) == ([], None)
    bench.stage.core.parts.power.off_delay_s = 300.0
    bench.stage.core.may_go()
    bench.wait(20)
    assert bench.codes() == ["power-unheard"]
    assert bench.numbers.status()["power"] == {
        "ignition": None,
        "ignition_s": 20.0,
        "low_s": None,
        "left_s": SILENT_S - 20.0,
    }


@pytest.mark.parametrize(("code", "broken"), [("none", ()), ("ledger-broken", ("chain",)), ("audit-broken", ("audit",))])
def test_status_says_how_the_ledger_stands(bench: Bench, code: str, broken: tuple[str, ...]) -> None:
    """Which policy counts, how many grants stand now, and which of the chains did not hold when it was read."""
    bench.stage.trip_of("anna", "x.speed")
    bench.numbers.assembled.findings.append(Finding(code=code, severity="error", text="", hint=""))
    facts = bench.stage.core.parts.ledger.facts()
    chains = {name: "broken" if name in broken else "whole" for name in ("chain", "audit")}
    assert bench.numbers.status()["ledger"] == {"policy": facts.policy, "grants": 1} | chains
    ROUTES["consent.withdraw"].run(bench.stage.core, {"item": "x.speed"})
    assert cast("dict[str, object]", bench.numbers.status()["ledger"])["grants"] == 0


@pytest.mark.finding("clock-unsure")
def test_a_time_that_nobody_vouches_for_is_found(bench: Bench) -> None:
    """Dated grants do not count meanwhile."""
    bench.stage.clock.believed = False
    assert bench.codes() == ["clock-unsure"]


@pytest.mark.finding("vin-differs")
def test_another_cars_bus_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither VIN is told."""
    with Stage(tmp_path, tells_vin=True) as stage:
        bench = Bench(stage, monkeypatch)
        stage.trip_of("anna")
        tells_vin(stage, "9999999")
        [finding] = bench.numbers.findings()
        assert finding.code == "vin-differs"
        assert not any(vin in f"{finding}" for vin in (VIN, VIN[-7:], "9999999"))


@pytest.mark.finding("buffer-filling", "buffer-old")
def test_what_waits_long_or_takes_much_is_found(bench: Bench) -> None:
    """A day is usual in a garage."""
    bench.stage.trip_of("anna", "x.speed")
    bench.stage.drive(3)
    assert bench.codes() == []
    told = bench.numbers.status()
    size = sum(row["bytes"] for row in cast("dict[str, dict[str, int]]", told["buffer"]).values())
    assert 0 < cast("float", told["oldest_s"]) < 4
    bench.numbers.quota_bytes = round(size / 0.91)
    assert bench.codes() == ["buffer-filling"]
    bench.numbers.quota_bytes = 1 << 20
    bench.numbers.receiver = None
    bench.stage.clock.set(bench.stage.clock.now_ns() + 86_400 * 10**9)
    assert bench.codes() == ["buffer-old"]
    bench.stage.clock.believed = False
    assert bench.codes() == ["clock-unsure"]


def test_a_disk_that_fails_does_not_silence_the_status(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked then above all; what waits, and since when, is known without the disk."""
    bench.stage.trip_of("anna", "x.speed")
    bench.stage.drive(3)

    def broken(*_: object) -> None:
        raise DeviceError("the disk does not answer", "buffer.db", "replace it")

    for module in ("agent.buffer.store", "agent.buffer.counts"):
        monkeypatch.setattr(f"{module}.rows", broken)
    assert 0 < cast("float", bench.numbers.status()["oldest_s"]) < 4
    assert bench.numbers.signals()["Modicum.Health.Findings"] == 0


def test_errors_are_looked_for_once_a_second(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the loop turns; a new one counts within a second."""
    looks, counted, plain = list[float](), [], Numbers.findings

    def findings(numbers: Numbers) -> list[Finding]:
        looks.append(bench.time_s)
        return plain(numbers)

    monkeypatch.setattr(Numbers, "findings", findings)
    for turn in range(21):
        bench.reader.losses, bench.reader.problem = int(turn > 0), "the bus is gone"
        counted.append(bench.numbers.signals()["Modicum.Health.Findings"])
        bench.time_s += 0.125
    assert (looks, counted) == ([1000.0, 1001.0, 1002.0], [0] * 8 + [1] * 13)


@pytest.mark.finding("storage-trouble")
def test_a_disk_that_fails_once_is_found_until_it_works_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pass of the loop that met it."""
    fails_once(monkeypatch, type(bench.stage.buffer), "expire")
    bench.stage.loop.turn(0)
    assert bench.codes() == ["storage-trouble"]
    bench.stage.clock.set(bench.stage.clock.now_ns() + 60 * 10**9)
    bench.stage.loop.turn(0)
    assert "storage-trouble" not in bench.codes()


@pytest.mark.finding("buffer-keys")
def test_records_without_room_for_their_key_are_counted_and_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key block has a fixed size."""

    def full(*_: object) -> None:
        raise KeyBlockFull("the key block is full", "keys.block", "")

    bench.stage.trip_of("anna", "x.speed")
    monkeypatch.setattr(Keyring, "data_key", full)
    bench.stage.drive(2)
    assert set(bench.codes()) == {"buffer-keys"}


def test_the_status_can_be_read_back_as_facts_and_holds_no_place(bench: Bench) -> None:
    """The doctor judges the same facts by the same checks."""
    bench.fix()
    bench.wait(2)
    told = bench.numbers.status()
    facts = ReceiverFacts(**cast("dict[str, Any]", told["receiver"]))
    assert (facts.satellites, facts.heard_age_s, facts.fix_age_s, facts.good) == (9, 2.0, 2.0, 90)
    assert not any(text in str(told) for text in (str(LAT), str(LON), VIN))
