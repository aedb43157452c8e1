"""What the full buffer gives up, in which order, and that it says so."""

from __future__ import annotations

import os
import random

import pytest

from agent.buffer.counts import Counts
from agent.buffer.quota import ROW_BYTES
from agent.buffer.store import Buffer
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database, rows
from tests.agent.buffer.build import CREDENTIAL, UNITS
from tests.support.samples import draft


def noise() -> str:
    return os.urandom(1000).hex()


@pytest.fixture
def buffer() -> Buffer:
    """Room for eight such records."""
    ring = Keyring.create(None, CREDENTIAL)
    return Buffer(open_database(None, bytes(32), "buffer"), ring, units=UNITS, quota_bytes=8 * (ROW_BYTES + 1300))


def put(buffer: Buffer, *priorities: int) -> list[int]:
    """One record each; the numbers of those that stayed."""
    return buffer.append([draft(noise(), signal="Test.Text", priority=priority, stream=f"p{priority}") for priority in priorities])


def held(buffer: Buffer) -> list[int]:
    return sorted(stored.n for stored in buffer.waiting(100, []))


def held_bytes(buffer: Buffer) -> int:
    return int(rows(buffer._db, "SELECT sum(length(sealed) + ?) FROM records", (ROW_BYTES,))[0][0])


@pytest.mark.finding("buffer-quota")
def test_the_least_important_then_the_oldest_go_first(buffer: Buffer) -> None:
    """Highest priority number first, within it the oldest; the others stay."""
    numbers = put(buffer, 0, 9, 5, 9, 5, 0, 0, 0)
    assert len(numbers) == 8
    newer = put(buffer, 0, 0, 0)
    assert len(newer) == 3
    expected = {*numbers, *newer} - {numbers[1], numbers[3], numbers[2]}
    assert held(buffer) == sorted(expected)
    assert {finding.text.split(":")[0] for finding in buffer.findings()} == {"tests.p5", "tests.p9"}
    assert all(finding.code == "buffer-quota" for finding in buffer.findings())


def test_a_new_record_takes_part_and_is_not_called_stored(buffer: Buffer) -> None:
    """When nothing held is less important, the new one is dropped, counted, and not returned."""
    numbers = put(buffer, *[0] * 8)
    assert put(buffer, 9) == []
    assert held(buffer) == numbers
    assert [finding.text for finding in buffer.findings()] == ["tests.p9: 1 lost, the buffer was full"]


def test_a_record_that_is_being_offered_is_never_dropped(buffer: Buffer) -> None:
    """It may be on its way: neither what `waiting` returned last, nor what it was told to leave out."""
    numbers = put(buffer, *[9] * 8)
    offered = [stored.n for stored in buffer.waiting(3, numbers[:2])]
    assert offered == numbers[2:5]
    put(buffer, *[0] * 4)
    assert set(numbers[:5]) <= set(buffer_numbers(buffer))
    assert not {numbers[5], numbers[6], numbers[7]} & set(buffer_numbers(buffer))


def test_each_lane_protects_what_it_offers(buffer: Buffer) -> None:
    """One lane's call does not give up what another lane has under way; its own next call does."""
    (mine,) = put(buffer, 9)
    buffer.waiting(1, [], recipients=["teleservices"])
    buffer.waiting(1, [], recipients=["traffic"])
    put(buffer, *[0] * 8)
    assert mine in buffer_numbers(buffer)
    buffer.acked([])
    assert [stored.n for stored in buffer.waiting(1, [mine], recipients=["teleservices"])] != [mine]
    buffer.waiting(0, [], recipients=["teleservices"])
    put(buffer, 0)
    assert mine not in buffer_numbers(buffer)


def buffer_numbers(buffer: Buffer) -> list[int]:
    """Without `waiting`, which would mark them as offered."""
    return [n for (n,) in rows(buffer._db, "SELECT n FROM records ORDER BY n")]


def test_the_buffer_never_holds_more_than_its_quota(buffer: Buffer) -> None:
    """After every append, also after deletions in between."""
    for round_ in range(30):
        put(buffer, *[round_ % 10] * (round_ % 4 + 1))
        assert held_bytes(buffer) <= 8 * (ROW_BYTES + 1300)
        assert buffer._counts.total_bytes == held_bytes(buffer)
        if round_ % 7 == 0:
            buffer.acked(buffer_numbers(buffer)[:2])


def test_what_was_held_counts_after_a_restart() -> None:
    """A new object over the same rows drops for the same quota."""
    ring = Keyring.create(None, CREDENTIAL)
    db = open_database(None, bytes(32), "buffer")
    first = Buffer(db, ring, units=UNITS, quota_bytes=3 * (ROW_BYTES + 1300))
    numbers = put(first, 5, 5, 5)
    again = Buffer(db, ring, units=UNITS, quota_bytes=3 * (ROW_BYTES + 1300))
    newer = put(again, 5)
    assert buffer_numbers(again) == [*numbers[1:], *newer]


def test_the_counts_in_ram_are_those_of_the_table(buffer: Buffer) -> None:
    """After appends, drops for the quota, acknowledgements and a forgetting in any order: the same numbers as the table's."""
    draw = random.Random(7)
    for _ in range(60):
        recipient, identity = draw.choice([("teleservices", "pairwise"), ("traffic", "none"), ("traffic", "vin")])
        stream, priority = f"{recipient}-{identity}", draw.randrange(10)
        buffer.append([draft(noise(), signal="Test.Text", stream=stream, recipient=recipient, identity=identity, priority=priority)])
        if draw.random() < 0.3:
            buffer.acked(draw.sample(held(buffer), 1))
        if draw.random() < 0.1:
            buffer.forget(lambda name, _, gone=stream: name == f"tests.{gone}")  # type: ignore[misc]  # bound early
        buffer.waiting(0, [])
        assert vars(buffer._counts) == vars(Counts(buffer._db))
    assert buffer.findings(), "something was dropped"


def test_nothing_is_read_for_a_lane_that_nothing_waits_for(buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty lane, the routes and the statistics cost no look into the table."""
    put(buffer, 5)
    monkeypatch.setattr("agent.buffer.store.rows", lambda *_: pytest.fail("the table was read"))
    assert buffer.waiting(20, [], recipients=["nobody"], unlinkable=False) == []
    assert buffer.waiting(20, [], recipients=["teleservices"], unlinkable=True) == []
    assert buffer.routes() == {("teleservices", False)}
    assert buffer.statistics()["tests.p5"]["rows"] == 1
