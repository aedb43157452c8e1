"""The buffer: what goes in comes out, in its turn, once, and not after its time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.body import unpack
from agent.buffer.store import Buffer
from agent.errors import IntegrityError
from agent.model import Draft, Position, Value
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database, rows, transaction
from agent.vss import LOCATION
from tests.agent.buffer.build import CREDENTIAL, UNITS
from tests.support.samples import BOOT, PLAN, T_NS, draft, sample

T_MS = T_NS // 10**6
DAY_MS = 86_400_000


def opened(folder: Path) -> tuple[Keyring, Buffer]:
    new = not (folder / "keys.block").exists()
    ring = Keyring.create(folder, CREDENTIAL) if new else Keyring.open(folder, CREDENTIAL)
    return ring, Buffer(open_database(folder / "buffer.db", ring.database_key("buffer"), "buffer"), ring, units=UNITS)


@pytest.fixture
def ring() -> Keyring:
    return Keyring.create(None, CREDENTIAL)


@pytest.fixture
def buffer(ring: Keyring) -> Buffer:
    return Buffer(open_database(None, ring.database_key("buffer"), "buffer"), ring, units=UNITS)


def values(buffer: Buffer) -> list[Value]:
    """Every value that waits, in the order of its turn."""
    return [row.value for stored in buffer.waiting(1000, []) for row in unpack(buffer.body_of(stored)).rows]


def test_a_record_says_what_its_sender_must_know(buffer: Buffer) -> None:
    """Route, rules and counts beside the sealed body, which holds the samples."""
    first = sample(50.0, 0, id="r1")
    record = Draft((first, sample(51.0, 1, id="r2"), sample(52.0, 2, id="r1")), PLAN, BOOT, trusted=False)
    (n,) = buffer.append([record])
    (stored,) = buffer.waiting(10, [])
    assert stored.n == n
    assert (stored.stream, stored.basis_ref, stored.seq, stored.plan_id) == ("tests.plain", "contract", 1, PLAN)
    assert (stored.recipient, stored.identity, stored.purpose, stored.policy) == ("teleservices", "pairwise", "service", "2026-11")
    assert (stored.priority, stored.rules, stored.samples) == (5, ("r1", "r2"), 3)
    read = unpack(buffer.body_of(stored))
    assert (read.boot, read.trusted, [(row.value, row.t_ms - T_MS) for row in read.rows]) == (
        BOOT,
        False,
        [(50.0, 0), (51.0, 1000), (52.0, 2000)],
    )


def test_a_stream_without_identity_carries_no_boot_id(buffer: Buffer) -> None:
    """The boot id would tie the messages of one drive together."""
    buffer.append([draft(1, identity="none")])
    (stored,) = buffer.waiting(10, [])
    assert unpack(buffer.body_of(stored)).boot == b""


def test_records_wait_by_priority_then_age(buffer: Buffer) -> None:
    """0 first; within a priority the oldest; what is being offered is left out."""
    numbers = [buffer.append([draft(priority, priority=priority, stream=f"s{priority}")])[0] for priority in (5, 0, 9, 0, 5)]
    expected = [numbers[place] for place in (1, 3, 0, 4, 2)]
    assert [stored.n for stored in buffer.waiting(10, [])] == expected
    assert [stored.n for stored in buffer.waiting(2, expected[:1])] == expected[1:3]


def test_a_lane_sees_only_its_own_records(buffer: Buffer) -> None:
    """By recipient, and streams without identity apart from those with one."""
    buffer.append(
        [draft(1, stream="a"), draft(2, stream="b", recipient="traffic", identity="none"), draft(3, stream="c", recipient="traffic")]
    )

    def seen(recipients: list[str] | None, unlinkable: bool | None) -> list[str]:
        return [stored.stream[-1] for stored in buffer.waiting(10, [], recipients=recipients, unlinkable=unlinkable)]

    assert seen(["traffic"], None) == ["b", "c"]
    assert seen(["traffic", "teleservices"], False) == ["a", "c"]
    assert seen(["traffic"], True) == ["b"]
    assert seen([], None) == []
    assert seen(None, None) == ["a", "b", "c"]


def test_counts_and_numbers_are_never_used_twice(tmp_path: Path) -> None:
    """Each stream counts from 1 on its own; not after deletion, nor a restart, is a number used again."""
    ring, buffer = opened(tmp_path)
    epoch = buffer.store_epoch
    first = buffer.append([draft(1), draft(2), draft(3, stream="other")])
    assert [(stored.stream, stored.seq) for stored in buffer.waiting(9, [])] == [("tests.plain", 1), ("tests.plain", 2), ("tests.other", 1)]
    buffer.acked(first)
    buffer.forget(lambda stream, basis_ref: True)
    ring.close()
    _, again = opened(tmp_path)
    (n,) = again.append([draft(4)])
    (stored,) = again.waiting(9, [])
    assert stored.seq == 3
    assert n > max(first)
    assert again.store_epoch == epoch
    assert len(epoch) == 8


def test_every_database_has_an_epoch_of_its_own(ring: Keyring) -> None:
    """So that a count that begins anew is not taken for a repetition; a replay may set it."""
    databases = [open_database(None, bytes(32), "buffer") for _ in range(3)]
    epochs = {Buffer(db, ring, units=UNITS).store_epoch for db in databases}
    assert len(epochs) == 3
    set_epoch = Buffer(open_database(None, bytes(32), "buffer"), ring, units=UNITS, store_epoch=b"12345678")
    assert set_epoch.store_epoch == b"12345678"
    assert Buffer(set_epoch._db, ring, units=UNITS, store_epoch=b"87654321").store_epoch == b"12345678"


def test_one_append_is_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure at the last draft leaves none of the others, and no count is spent."""
    _, buffer = opened(tmp_path)
    calls = []

    def fail_at_third(*arguments: object) -> bytes:
        calls.append(arguments)
        if len(calls) == 3:
            raise RuntimeError("cut")
        return os.urandom(50)

    with monkeypatch.context() as broken:
        broken.setattr("agent.buffer.store.seal", fail_at_third)
        with pytest.raises(RuntimeError, match="cut"):
            buffer.append([draft(1), draft(2), draft(3)])
    assert buffer.waiting(9, []) == []
    buffer.append([draft(4)])
    assert [stored.seq for stored in buffer.waiting(9, [])] == [1]


def test_acked_records_are_gone_and_others_stay(buffer: Buffer) -> None:
    """Acknowledging what is no longer there is no error."""
    first, second = buffer.append([draft(1), draft(2)])
    buffer.acked([first])
    buffer.acked([first, 999])
    buffer.acked([])
    assert [stored.n for stored in buffer.waiting(9, [])] == [second]


@pytest.mark.finding("buffer-oversize")
def test_a_draft_too_large_for_a_record_becomes_several(buffer: Buffer) -> None:
    """No sample is lost and none comes twice; a single sample too large is counted and reported."""
    texts = [os.urandom(6000).hex() for _ in range(20)]
    numbers = buffer.append(
        [Draft(tuple(sample(text, t_s, signal="Test.Text") for t_s, text in enumerate(texts)), PLAN, BOOT, trusted=True)]
    )
    assert len(numbers) > 2
    assert values(buffer) == texts
    assert buffer.append([draft(os.urandom(60_000).hex(), signal="Test.Text")]) == []
    assert [(finding.code, finding.text) for finding in buffer.findings()] == [
        ("buffer-oversize", "tests.plain: 1 lost, a single sample did not fit into a record")
    ]


def test_mixed_streams_and_streams_that_live_in_ram_are_bugs(buffer: Buffer) -> None:
    """Neither can reach the disk by mistake."""
    with pytest.raises(ValueError, match="one stream"):
        buffer.append([Draft((sample(1), sample(2, stream="other")), PLAN, BOOT, trusted=True)])
    with pytest.raises(ValueError, match="RAM"):
        buffer.append([draft(1, keep_s=0)])
    assert buffer.statistics() == {}


def test_statistics_count_by_stream(buffer: Buffer) -> None:
    """Rows and sealed bytes."""
    buffer.append([draft(1, t_s=9), draft(2, t_s=4), draft(3, stream="other")])
    sealed = {stored.seq: len(stored.sealed) for stored in buffer.waiting(9, []) if stored.stream == "tests.plain"}
    found = buffer.statistics()
    assert list(found) == ["tests.other", "tests.plain"]
    assert found["tests.plain"] == {"rows": 2, "bytes": sum(sealed.values())}


def immortal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.seal.keyring.Keyring.destroy", lambda self, dead: 0)


@pytest.mark.req("R26", control=immortal)
def test_no_sample_outlives_its_keep(ring: Keyring, buffer: Buffer) -> None:
    """At the oldest sample's time plus its keep the record and its key are gone; a longer-lived one stays."""
    record = Draft((sample(1, 700, keep_s=300), sample(2, 0, keep_s=300)), PLAN, BOOT, trusted=True)
    (short,) = buffer.append([record])
    (long,) = buffer.append([draft(3, keep_s=3600, stream="other")])
    assert buffer.expire(T_MS + 200_000) == []
    assert buffer.expire(T_MS + 300_000) == [short]
    assert [stored.n for stored in buffer.waiting(9, [])] == [long]
    assert [key.stream for key in ring.data_keys] == ["tests.other"]


def forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.buffer.store.POSITION_KEEP_S_MAX", 10**9)


@pytest.mark.req("R26", control=forever)
def test_a_position_lives_seven_days_at_most_whatever_the_catalogue_says(buffer: Buffer) -> None:
    """The house limit holds at the last place before the disk."""
    (n,) = buffer.append([draft(Position(48.0, 11.0), signal=LOCATION, category="position", keep_s=400 * 86_400)])
    assert buffer.expire(T_MS + 5 * DAY_MS) == []
    assert buffer.expire(T_MS + 7 * DAY_MS) == [n]


@pytest.mark.req("R30", control=immortal)
def test_forgetting_leaves_no_row_and_no_key_of_that_basis(ring: Keyring, buffer: Buffer) -> None:
    """Of the withdrawn basis nothing is left; other streams and bases are untouched."""
    probes = [draft(n, t_s=90_000 * n, stream="probe", basis_ref="traffic.position") for n in range(2)]
    numbers = buffer.append([*probes, draft(3), draft(4, stream="probe")])
    offered = buffer.waiting(1, [])
    gone = buffer.forget(lambda stream, basis_ref: basis_ref == "traffic.position")
    assert gone == numbers[:2]
    assert sorted(values(buffer), key=str) == [3, 4]
    assert {key.basis_ref for key in ring.data_keys} == {"contract"}
    with pytest.raises(IntegrityError):
        buffer.body_of(offered[0])
    assert buffer.findings() == []


def test_forgetting_what_is_not_there_changes_nothing(ring: Keyring, buffer: Buffer) -> None:
    """No key is made anew for it."""
    buffer.append([draft(1)])
    before = ring.generation
    assert buffer.forget(lambda stream, basis_ref: stream == "tests.nothing") == []
    assert ring.generation == before
    assert values(buffer) == [1]


def test_a_forgotten_stream_can_begin_again_with_a_new_key(ring: Keyring, buffer: Buffer) -> None:
    """Within the same epoch: the old key does not come back, the count goes on."""
    buffer.append([draft(1)])
    old = ring.data_keys[0].key
    buffer.forget(lambda stream, basis_ref: True)
    buffer.append([draft(2)])
    assert ring.data_keys[0].key != old
    assert [stored.seq for stored in buffer.waiting(9, [])] == [2]


def damage_sealed(buffer: Buffer, n: int) -> None:
    with transaction(buffer._db):
        ((sealed,),) = rows(buffer._db, "SELECT sealed FROM records WHERE n = ?", (n,))
        buffer._db.execute("UPDATE records SET sealed = ? WHERE n = ?", (sealed[:-1] + bytes([sealed[-1] ^ 1]), n))


def move_to_other_header(buffer: Buffer, n: int) -> None:
    with transaction(buffer._db):
        buffer._db.execute("UPDATE records SET basis_ref = 'another' WHERE n = ?", (n,))


def believe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.buffer.store.unseal", lambda key, header, sealed: b"whatever")


@pytest.mark.finding("buffer-unreadable")
@pytest.mark.req("R61", control=believe)
@pytest.mark.parametrize("damage", [damage_sealed, move_to_other_header])
def test_altered_row_is_set_aside_counted_and_stops_nobody(buffer: Buffer, damage: Callable[[Buffer, int], None]) -> None:
    """The row is dropped with a finding; the next one goes on."""
    bad, good = buffer.append([draft(1), draft(2)])
    damage(buffer, bad)
    if damage is move_to_other_header:
        buffer._keyring.data_key("tests.plain", "another", T_NS, 86_400)
    stored = {record.n: record for record in buffer.waiting(9, [])}
    with pytest.raises(IntegrityError):
        buffer.body_of(stored[bad])
    assert values(buffer) == [2]
    assert [finding.code for finding in buffer.findings()] == ["buffer-unreadable"]
    assert [record.n for record in buffer.waiting(9, [])] == [good]


def test_a_stored_record_shows_no_content_in_its_repr(buffer: Buffer) -> None:
    """Not even sealed bytes belong in a log."""
    buffer.append([draft(4711)])
    (stored,) = buffer.waiting(9, [])
    assert repr(stored.sealed) not in repr(stored)
    assert "sealed" not in repr(replace(stored, n=1))
