"""What a car whispers: every text marker is really read by a live agent, sealed and sent, and stands in clear nowhere.

Six of them come over the bus and are read by a stream, two are names of profiles, one is agent.toml's VIN as well.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.catalogue.load import load_catalogue
from agent.cli.bench.device import BusChoice
from agent.cli.bench.programs import Programs
from agent.cli.bench.stage import Stage, default_bus
from agent.cli.bench.stage import play as play_live
from agent.folders import CONFIG_VARIABLE
from hw.bench.scenario import VIN
from tests.support.device import copied, opened
from tests.support.live import alone, frozen, outing_request
from tests.support.markers import Planted, files_of, scan
from tests.support.planted import NAMES, SERVICE, STREAM, TEXTS, config_with_secrets, signal_of, tell

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

SECONDS = 14.0
TELL_FROM_S, COPY_AT_S, HELD_S = 2.0, 8.0, 2.5


@dataclass(slots=True)
class Whispering:
    """The run while it goes on, and after it. `before`: the state while records wait."""

    folder: Path
    bus: BusChoice
    stage: Stage | None = None
    before: Path = Path()
    named: bool = False
    limits: dict[str, str] = field(default_factory=dict)

    def pulse(self, stage: Stage) -> None:
        """A few times a second: the bus tells everything; in the middle the uplink stands still, so that it waits."""
        if not self.named:
            self.named = True
            self.limits = {name: _core_limit(process.pid) for name, process in stage.programs.running.items()}
            for name in NAMES:
                stage.ask("profile.add", name=name)
        if stage.elapsed_s > TELL_FROM_S:
            tell(self.bus)
        if stage.elapsed_s > COPY_AT_S and self.before == Path():
            with frozen(stage.programs.running["uplink"]):
                end_s = time.monotonic() + HELD_S
                while time.monotonic() < end_s:
                    tell(self.bus)
                    time.sleep(0.2)
                with frozen(stage.programs.running["core"]):
                    self.before = copied(stage.device.state, self.folder / "before")


def _core_limit(pid: int) -> str:
    """The soft limit of core dumps, in bytes or `unlimited`."""
    lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    return next(line.removeprefix("Max core file size").split()[0] for line in lines if line.startswith("Max core file size"))


@contextmanager
def dumping() -> Iterator[None]:
    """What is started here would dump its memory, were it not for what it does itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.fixture(scope="module")
def whispering(tmp_path_factory: pytest.TempPathFactory) -> Whispering:
    folder = tmp_path_factory.mktemp("secrets")
    made = Whispering(folder, default_bus())
    config = config_with_secrets(folder)
    with pytest.MonkeyPatch.context() as patch, alone(), dumping():
        patch.setenv(CONFIG_VARIABLE, str(config))
        made.stage = play_live(
            outing_request(folder, SECONDS, catalogue=load_catalogue(config / "catalogue"), bus=made.bus, pulse=made.pulse)
        )
    return made


def stage_of(whispering: Whispering) -> Stage:
    assert whispering.stage is not None
    return whispering.stage


def lines_of(whispering: Whispering) -> list[dict[str, object]]:
    listeners = stage_of(whispering).listeners
    assert listeners is not None
    return [line for line in listeners.lines if (line["service"], line["stream"]) == (SERVICE, STREAM)]


def test_every_secret_of_the_bus_was_read_and_reached_its_recipient(whispering: Whispering) -> None:
    """Else their absence would show nothing: each text, whole, again and again."""
    found = {(str(line["signal"]), str(line["value"])) for line in lines_of(whispering)}
    assert found == {(signal_of(name), text) for name, text in TEXTS.items()}
    assert TEXTS["vin"] == VIN
    assert len(lines_of(whispering)) >= 5 * len(TEXTS)


def test_records_of_the_secrets_waited_while_the_state_was_copied(whispering: Whispering) -> None:
    """Sealed rows of the stream, and the ledger's entries of the names, were in the files that are scanned."""
    with opened(whispering.before) as store:
        assert [row for row in store.rows() if row.header.stream == f"{SERVICE}.{STREAM}"]
        assert set(NAMES) <= set(store.ledger.facts().profiles)


def logs_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core that is started has that fault."""
    start = Programs.start

    def faulty(self: Programs, name: str, *arguments: str, **how: bool) -> str:
        return start(self, name, *("tests.support.telltale_core" if one == "agent.daemons.core" else one for one in arguments), **how)

    monkeypatch.setattr(Programs, "start", faulty)


@pytest.mark.req("T16", control=logs_what_it_reads)
def test_no_secret_stands_in_files_logs_topics_or_payloads(whispering: Whispering) -> None:
    """The state while records waited and afterwards, WAL and keys; every log; every topic and payload as the broker saw it."""
    stage = stage_of(whispering)
    assert stage.listeners is not None
    sent = {f"message {n}": topic.encode() + b"\n" + payload for n, (_, topic, payload) in enumerate(stage.listeners.envelopes)}
    during = {f"during {name}": content for name, content in files_of(whispering.before).items()}
    logs = files_of(stage.programs.logs)
    assert {"core.log", "uplink.log"} <= set(logs)
    assert len(logs["core.log"]) > 0
    assert len(sent) >= 5
    assert any(name.endswith("-wal") and content for name, content in during.items())
    assert scan(Planted().spelled(), files_of(stage.device.state) | during | logs | sent) == set()


def test_the_scanner_would_find_them_there(whispering: Whispering, tmp_path: Path) -> None:
    """Each written once, plain, beside a copy of the state: every one is found, in that file alone."""
    state = copied(stage_of(whispering).device.state, tmp_path / "state")
    (state / "left-over").write_text("\n".join(Planted().texts().values()), encoding="utf-8")
    found = scan(Planted().spelled(), files_of(state))
    assert {(where, marker) for where, marker, _ in found} == {("left-over", marker) for marker in Planted().texts()}


def test_neither_daemon_dumps_its_memory(whispering: Whispering) -> None:
    """RLIMIT_CORE of both is zero, where another process that was started with them has what it was given."""
    assert {name: whispering.limits[name] for name in ("core", "uplink")} == {"core": "0", "uplink": "0"}
    if whispering.limits["car"] == "0":
        pytest.skip("this machine allows no core dump to anybody")
