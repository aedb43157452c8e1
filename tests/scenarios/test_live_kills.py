"""kill -9 of core and of uplink at fifty random moments of a run: nothing that was buffered is lost, nothing that was refused appears."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.device import opened
from tests.support.live import alone, modicum
from tests.support.rig import Message, Rig

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

SEED = int(os.environ.get("MODICUM_SEED") or time.time())
"""MODICUM_SEED, to run the same moments again; else another each time. Printed, and in every message of a failure."""
CORE_KILLS, UPLINK_KILLS = 20, 30
STARTING_S, WORKING_S, UPLINK_S = (0.1, 1.4), (0.1, 2.8), (0.2, 2.4)
"""When the next kill comes: after a start, after core was seen at work (six times in ten), after a start of uplink."""
AT_WORK = 0.6
NAMED = ("steady.pairwise", "steady.named")
NO_AGENT = 3


@dataclass(slots=True)
class Survivor:
    """What was left when it was over. `disclosed`: message numbers in the audit log, by stream."""

    rig: Rig
    withdrawn_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    disclosed: dict[str, list[int]] = field(default_factory=dict)
    unnamed: int = 0
    set_aside: list[Path] = field(default_factory=list)

    def of(self, stream: str) -> list[Message]:
        return self.rig.mailbox.of(stream)


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Survivor:
    print(f"kills of seed {SEED}: again with MODICUM_SEED={SEED}")
    with alone(), Rig(tmp_path_factory.mktemp("kills")) as rig:
        seen = Survivor(rig)
        _kill(rig, seen)
        rig.until(rig.trip, "core after the last kill")
        rig.until(lambda: rig.answer("status", {"offered": 0})["offered"] == 0, "the rest of what was offered")
        time.sleep(1.5)
        rig.rest()
        _look(rig, seen)
    return seen


def _kill(rig: Rig, seen: Survivor) -> None:
    """Each of both at its own random moments; half-way the driver withdraws an item."""
    chance = random.Random(SEED)
    with ThreadPoolExecutor(1) as beside:
        uplink = beside.submit(_kill_uplink, rig, random.Random(chance.random()))
        for number in range(CORE_KILLS):
            if chance.random() < AT_WORK:
                rig.until(rig.trip, "core to work again")
                time.sleep(chance.uniform(*WORKING_S))
            else:
                time.sleep(chance.uniform(*STARTING_S))
            rig.kill("core")
            rig.start("core")
            if number == CORE_KILLS // 2:
                _withdraw(rig, seen)
        uplink.result()


def _kill_uplink(rig: Rig, chance: random.Random) -> None:
    for _ in range(UPLINK_KILLS):
        time.sleep(chance.uniform(*UPLINK_S))
        rig.kill("uplink")
        rig.start("uplink")


def _withdraw(rig: Rig, seen: Survivor) -> None:
    """As a driver does, who tries again while the agent does not answer."""
    give_up_s = time.monotonic() + 30
    while (done := modicum("consent", "withdraw", "steady.share", "--config", str(rig.device.config))).returncode == NO_AGENT:
        assert time.monotonic() < give_up_s
    assert (done.returncode, done.stderr) == (0, "")
    seen.withdrawn_s = time.time()


def _look(rig: Rig, seen: Survivor) -> None:
    state = rig.device.state
    seen.set_aside = list(state.glob("*.corrupt-*"))
    with opened(state) as store:
        seen.counts = store.counts()
        for row in store.rows():
            seen.waiting[row.header.stream] = seen.waiting.get(row.header.stream, 0) + 1
        store.ledger.facts()
        store.audit.verify()
        for line in store.disclosed():
            if line["kind"] == "disclosure":
                seen.disclosed.setdefault(line["stream"], []).append(line["seq"])
            elif line["stream"] == "steady.unnamed":
                seen.unnamed += line["messages"]


@pytest.mark.parametrize("stream", NAMED)
def test_every_buffered_record_arrives_in_spite_of_fifty_kills(survivor: Survivor, stream: str) -> None:
    """Every number that the store ever gave is at the recipient, with one content, however often it was sent."""
    numbers = [message.seq for message in survivor.of(stream)]
    assert sorted(numbers) == list(range(1, survivor.counts[stream] + 1)), f"seed {SEED}"
    assert len(numbers) >= CORE_KILLS * AT_WORK / 2, f"seed {SEED}"
    assert (survivor.rig.mailbox.different, survivor.waiting) == (0, {}), f"seed {SEED}"


def test_records_without_identity_survive_the_kills_too(survivor: Survivor) -> None:
    """As many different messages as records were sealed, although core forgot what it had offered."""
    assert len(survivor.of("steady.unnamed")) == survivor.counts["steady.unnamed"], f"seed {SEED}"


def test_nothing_refused_appears_between_the_kills(survivor: Survivor) -> None:
    """Neither what was never granted nor, from its withdrawal on, what was: whatever state a kill left behind."""
    granted = [message.t_s for message in survivor.of("steady.granted")]
    assert len(granted) >= 5, f"seed {SEED}"
    assert max(granted) < survivor.withdrawn_s, f"seed {SEED}"
    assert survivor.of("steady.refused") == [], f"seed {SEED}"


def test_ledger_and_audit_hold_and_the_log_names_each_message_once(survivor: Survivor) -> None:
    """Both chains verify (else the run could not have been read); the log has each message that arrived, no other, none twice."""
    for stream in NAMED:
        assert sorted(survivor.disclosed[stream]) == sorted(message.seq for message in survivor.of(stream)), f"seed {SEED}"
    assert survivor.unnamed == survivor.counts["steady.unnamed"], f"seed {SEED}"


def test_no_database_had_to_be_set_aside(survivor: Survivor) -> None:
    """The buffer opened after each kill."""
    assert survivor.set_aside == [], f"seed {SEED}"
