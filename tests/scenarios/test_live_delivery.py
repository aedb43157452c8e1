"""A real broker that stops, a link that breaks: every sealed record arrives, once; what was withdrawn meanwhile never does."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.device import Row, Store, copied, opened, opens
from tests.support.live import alone, frozen, modicum
from tests.support.rig import Rig

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

STOPPED_S = 30.0
CUT_S = 3.0
CUTS = 6
NAMED = ("steady.pairwise", "steady.named")


@dataclass(slots=True)
class Outages:
    """What happened, in seconds since the epoch, and what was copied on the way."""

    rig: Rig
    stopped_s: float = 0.0
    withdrawn_s: float = 0.0
    came_back_s: float = 0.0
    waiting: list[Row] = field(default_factory=list)
    after: Path = Path()
    counts: dict[str, int] = field(default_factory=dict)
    left: list[Row] = field(default_factory=list)


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """Cuts in the middle of messages, one longer cut, a clean stop of the broker with a withdrawal in it."""
    with alone(), Rig(tmp_path_factory.mktemp("delivery")) as rig:
        seen = Outages(rig)
        _cut(rig)
        _stop(rig, seen)
        time.sleep(2.0)
        rig.rest()
        with opened(rig.device.state) as store:
            seen.counts, seen.left = store.counts(), store.rows()
        yield seen


def _cut(rig: Rig) -> None:
    chance = random.Random(5)
    for _ in range(CUTS):  # messages got through, and the broker's word for it did not
        rig.proxy.mute()
        time.sleep(chance.uniform(0.6, 1.2))
        rig.proxy.cut()
        rig.proxy.restore()
        time.sleep(chance.uniform(0.2, 0.8))
    rig.proxy.cut(admit=False)
    time.sleep(CUT_S)
    rig.proxy.restore()
    time.sleep(1.5)


def _stop(rig: Rig, seen: Outages) -> None:
    rig.broker.stop()
    seen.stopped_s = time.time()
    time.sleep(STOPPED_S / 2)
    with frozen(rig.programs.running["core"]):
        before = copied(rig.device.state, rig.device.folder / "before")
    with opened(before) as store:
        seen.waiting = [row for row in store.rows() if row.header.stream == "steady.granted" and opens(row, store.keyring)]
    done = modicum("consent", "withdraw", "steady.share", "--config", str(rig.device.config))
    assert (done.returncode, done.stderr) == (0, "")
    seen.withdrawn_s = time.time()
    with frozen(rig.programs.running["core"]):
        seen.after = copied(rig.device.state, rig.device.folder / "after")
    time.sleep(max(0.0, seen.stopped_s + STOPPED_S - time.time()))
    rig.broker.start()
    seen.came_back_s = time.time()


def test_records_sealed_before_during_and_after_arrive_exactly_once(outages: Outages) -> None:
    """Named records: every number that the store gave, none twice, one for each second of the run."""
    mailbox = outages.rig.mailbox
    for stream in NAMED:
        messages = mailbox.of(stream)
        assert sorted(message.seq for message in messages) == list(range(1, outages.counts[stream] + 1))
        times = [message.t_s for message in messages]
        assert times == [times[0] + second for second in range(len(times))]
        assert times[0] < outages.stopped_s
        assert times[-1] > outages.came_back_s
    assert (mailbox.different, [row for row in outages.left if row.header.stream in NAMED]) == (0, [])


def test_records_without_identity_arrive_exactly_once(outages: Outages) -> None:
    """They carry no number, so a repetition is known by its key alone: as many keys as the store sealed records."""
    messages = outages.rig.mailbox.of("steady.unnamed")
    assert len(messages) == outages.counts["steady.unnamed"]
    times = [message.t_s for message in messages]
    assert times == [times[0] + second for second in range(len(times))]


def test_the_outages_were_real(outages: Outages) -> None:
    """Records waited on the device during the stop, and cuts made the uplink send some again."""
    during = [m for m in outages.rig.mailbox.of("steady.pairwise") if outages.stopped_s < m.t_s < outages.came_back_s]
    assert len(during) >= STOPPED_S - 2
    assert len(outages.waiting) >= STOPPED_S / 2 - 2
    assert outages.rig.proxy.connections > CUTS
    assert {message.stream for message in outages.rig.mailbox.messages.values() if message.times > 1} >= {*NAMED, "steady.unnamed"}


def test_what_was_withdrawn_while_it_waited_never_arrives(outages: Outages) -> None:
    """Nothing of the item that was sealed since the broker went arrives, nor anything of one that was never granted."""
    mailbox = outages.rig.mailbox
    granted = [message.t_s for message in mailbox.of("steady.granted")]
    assert granted
    assert max(granted) < outages.stopped_s + 1
    assert mailbox.of("steady.refused") == []


def test_what_was_withdrawn_cannot_be_read_any_more(outages: Outages) -> None:
    """Its rows are gone, its keys are gone, and the rows of an older copy open with none of the keys that are left."""
    with opened(outages.after) as store:
        assert _rows_of(store, "steady.granted") == []
        assert not [key for key in store.keyring.data_keys if key.stream == "steady.granted"]
        assert not [row for row in outages.waiting if opens(row, store.keyring)]
        assert _rows_of(store, "steady.pairwise")


def _rows_of(store: Store, stream: str) -> list[Row]:
    return [row for row in store.rows() if row.header.stream == stream]
