"""The bench in real time, with real processes: the oracle, a withdrawal as a user makes it, and what the device's files betray.

One run serves all tests but the last. Along with the car's own frames the bus carries planted ones that nobody asked for.
What the agent reads and must hide, besides places, is planted in tests/scenarios/test_live_secrets.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import can
import pytest

from agent.cli.bench.device import BusChoice
from agent.cli.bench.stage import Stage, default_bus
from agent.cli.bench.stage import play as play_live
from agent.envelope import open_envelope
from hw.bench.car import open_bus
from hw.bench.scenario import VIN
from hw.bench.truth import Drive
from tests.support.device import copied, opened, opens, profile_cell
from tests.support.live import SEED, alone, frozen, modicum, outing_request
from tests.support.markers import Planted, files_of, names_in, readable_pages, scan
from tests.support.moments import Run
from tests.support.oracle import Oracle
from tests.support.rules import SHIPPED, Book
from tests.support.truth import NS, Truth
from tests.support.virtual import NONE, scenario_file

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ITEM = "traffic.position"
TRAFFIC = "real_time_traffic"
CLEAR_S = 40
"""By then the outing is past its start cell and the 500 m."""
RAIN_OVER_S = 47
"""By then the rain of second 42 has been told."""
PERIOD_S, WINDOW_S, SET_UP_S = 30, 10, 5
PLANT_FROM_S = 3.0
UNKNOWN_ID = 0x6F3


@dataclass(slots=True)
class Outing:
    """A live run while it goes on, and after it."""

    folder: Path
    bus: BusChoice
    stage: Stage | None = None
    before: Path = Path()
    withdrawn: tuple[int, int] | None = None
    arrived: list[tuple[int, int]] = field(default_factory=list)
    planted: int = 0

    def pulse(self, stage: Stage) -> None:
        """A few times a second while the car drives."""
        assert stage.listeners is not None
        traffic = [line for line in stage.listeners.lines if line["service"] == TRAFFIC]
        self.arrived.append((time.time_ns(), len(traffic)))
        if stage.elapsed_s > PLANT_FROM_S and self.planted < 5:
            self.planted += 1
            self._plant()
        if self.withdrawn is None and stage.elapsed_s > RAIN_OVER_S and any(line["stream"] == "probe" for line in traffic):
            with frozen(stage.programs.running["core"]):
                self.before = copied(stage.device.state, self.folder / "before")
            self.withdrawn = self._withdraw(stage)

    def _withdraw(self, stage: Stage) -> tuple[int, int]:
        begun_ns = time.time_ns()
        done = modicum("consent", "withdraw", ITEM, "--config", str(stage.device.config))
        assert (done.returncode, done.stderr) == (0, "")
        return begun_ns, time.time_ns()

    def _plant(self) -> None:
        """Every text marker, on an identifier that no rule wants. Those that are read: tests/scenarios/test_live_secrets.py."""
        with open_bus(self.bus.interface, self.bus.channel, self.bus.port) as bus:
            for text in Planted().texts().values():
                data = text.encode().ljust(32, b"\0")
                bus.send(can.Message(arbitration_id=UNKNOWN_ID, is_extended_id=False, is_fd=True, data=data[:32]))


def seconds_needed() -> float:
    """Until the first probe message after the trimmed beginning has arrived, and one more was due after it."""
    start_s = time.time() + SET_UP_S
    first_s = -(-(start_s + CLEAR_S) // PERIOD_S) * PERIOD_S
    return first_s - start_s + WINDOW_S + PERIOD_S + 6


@pytest.fixture(scope="module")
def outing(tmp_path_factory: pytest.TempPathFactory) -> Outing:
    folder = tmp_path_factory.mktemp("outing")
    made = Outing(folder, default_bus())
    with alone():
        made.stage = play_live(outing_request(folder, seconds_needed(), bus=made.bus, pulse=made.pulse))
    return made


def stage_of(outing: Outing) -> Stage:
    assert outing.stage is not None
    assert outing.stage.listeners is not None
    return outing.stage


def oracle_of(outing: Outing) -> Oracle:
    stage = stage_of(outing)
    assert outing.withdrawn is not None
    with opened(stage.device.state) as store:
        cell = profile_cell(store.keyring, store.ledger)
    return Oracle(
        Run(
            truth=Truth(Drive.load(scenario_file("outing"), SEED), stage.start_ns),
            seconds=stage.request.seconds,
            package="navigation_plus",
            cell_of=lambda _: cell,
            started=(stage.start_ns - 40 * NS, stage.start_ns),
            withdrawn={ITEM: outing.withdrawn},
            slack_ns=NS,
        )
    )


def lines_of(outing: Outing) -> list[dict[str, object]]:
    listeners = stage_of(outing).listeners
    assert listeners is not None
    return listeners.lines


def planted_in(outing: Outing) -> Planted:
    """Every place that the receiver told of, and every coarse one that a recipient got."""
    truth = Truth(Drive.load(scenario_file("outing"), SEED), stage_of(outing).start_ns)
    fixes = truth.fixes(truth.start_ns, truth.start_ns + int(stage_of(outing).request.seconds * NS))
    exact = [(fix.lat_deg, fix.lon_deg) for fix in fixes if fix.lat_deg is not None and fix.lon_deg is not None]
    tudes = [float(str(line["value"])) for line in lines_of(outing) if str(line["signal"]).endswith("tude")]
    return Planted(places=(*exact, *zip(tudes[::2], tudes[1::2], strict=True)))


def test_recipients_got_exactly_what_the_truth_gives(outing: Outing) -> None:
    """The oracle over real processes: true, complete, nothing besides, up to the withdrawal and after it."""
    oracle = oracle_of(outing)
    assert oracle.faults(lines_of(outing)) == []
    seen = {sample.stream for sample in oracle.expected if sample.certain}
    assert seen >= {"real_time_traffic.hazard", "teleservices.service_report", "operations.health"}


def test_a_withdrawn_stream_stops_at_the_recipient(outing: Outing) -> None:
    """Nothing of it has a time after the command returned, and nothing arrives later than its way through the network."""
    assert outing.withdrawn is not None
    returned_ns = outing.withdrawn[1]
    times_ns = [float(str(line["t"])) * NS for line in lines_of(outing) if line["service"] == TRAFFIC]
    assert times_ns
    assert max(times_ns) < returned_ns
    later = {count for t_ns, count in outing.arrived if t_ns > returned_ns + NS // 2}
    assert later == {len(times_ns)}


def test_nothing_withdrawn_is_readable_in_the_files(outing: Outing) -> None:
    """The stream's keys were there before and are gone, and no zone is remembered; also an older copy's rows do not open."""
    with opened(outing.before) as store:
        old_keys = {key.key for key in store.keyring.data_keys if key.stream.startswith(TRAFFIC)}
        old_rows = [row for row in store.rows() if row.header.stream.startswith(TRAFFIC)]
    assert old_keys
    with opened(stage_of(outing).device.state) as store:
        assert not [row for row in store.rows() if row.header.stream.startswith(TRAFFIC)]
        assert not old_keys & {key.key for key in store.keyring.data_keys}
        assert not [row for row in old_rows if opens(row, store.keyring)]
        assert not [name for name in store.memories() if name.startswith("zones")]


def test_no_place_of_the_drive_is_in_the_devices_files_messages_or_topics(outing: Outing) -> None:
    """Nor what an unread identifier said. Databases, WAL, key block, logs, during the run and after it; all that the broker saw."""
    stage = stage_of(outing)
    assert stage.listeners is not None
    logs = files_of(stage.programs.logs / "core.log", stage.programs.logs / "uplink.log")
    sent = {f"message {n}": topic.encode() + b"\n" + payload for n, (_, topic, payload) in enumerate(stage.listeners.envelopes)}
    during = {f"during {name}": content for name, content in files_of(outing.before).items()}
    contents = files_of(stage.device.state) | logs | sent | during
    assert len(logs["core.log"]) > 0
    assert len(sent) >= 4
    assert scan(planted_in(outing).spelled(), contents) == set()


def test_the_state_folder_shows_no_database_no_name_and_only_noise(outing: Outing) -> None:
    """No SQLite header, no service's or stream's name; pages and WAL payloads are as even as random bytes."""
    names = {str(part) for one in Book(SHIPPED).candidates() for part in (one.service["id"], one.stream["id"], one.name) if len(part) > 4}
    files = [*files_of(stage_of(outing).device.state).items(), *files_of(outing.before).items()]
    for name, content in files:
        assert names_in(["SQLite format 3", *names], content) == []
        if name.endswith((".db", "-wal")):
            assert readable_pages(name, content) == []
    assert any(content for name, content in files if name.endswith("-wal"))


def test_the_vin_travels_only_inside_the_seal_and_only_where_it_belongs(outing: Outing) -> None:
    """Its recipient finds it in the service report; nobody else's message holds it, and no other recipient opens any."""
    stage = stage_of(outing)
    assert stage.listeners is not None
    holders = {stream for stream, _, payload in stage.listeners.envelopes if open_envelope(payload, _key(stage, stream)).vin == VIN}
    assert holders == {"teleservices.service_report"}
    assert (stage.listeners.opened_by_others, stage.listeners.refused) == (0, 0)


def test_live_without_consent_no_position_arrives(tmp_path: Path) -> None:
    """Real processes with `--consent none`: the contract's messages, and no rule, subscription or sample of a position."""
    idle = Outing(tmp_path, default_bus(), withdrawn=(0, 0))
    with alone():
        idle.stage = play_live(outing_request(tmp_path, 12, choice=NONE, bus=idle.bus, pulse=idle.pulse))
    assert idle.stage.listeners is not None
    lines = idle.stage.listeners.lines
    assert {line["service"] for line in lines} == {"operations"}
    assert not [rule for rule in idle.stage.plan["rules"] if rule["category"] == "position"]


def _key(stage: Stage, stream: str) -> bytes:
    assert stage.listeners is not None
    return stage.device.recipients[stage.listeners.recipient_of[stream]]
