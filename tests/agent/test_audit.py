"""agent.audit: one entry for each message, counts for what cannot be linked, and nothing of what was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import audit as module
from agent.audit import Audit, Disclosure
from agent.errors import IntegrityError
from agent.storage.chain import Chain
from tests.agent.consent.device import DAY_MS, NOW_MS, Device

STORE = bytes(range(8))
ALLOWED = {
    "disclosure": "kind trusted rules stream recipient identity policy basis_ref samples bytes seq store_epoch t_ms",
    "disclosure_day": "kind t_ms trusted day stream recipient identity policy basis_ref messages samples bytes rules",
    "compacted": "kind t_ms trusted through entries erased",
}
"""Everything that an entry may say."""


def sent(seq: int, **changes: Any) -> Disclosure:
    fields: dict[str, Any] = {"stream": "teleservices.service_report", "recipient": "teleservices", "identity": "vin", "profile": ""}
    fields |= {"policy": "p", "basis_ref": "contract", "rules": ("r1",), "samples": 3, "bytes": 100}
    fields |= {"seq": seq, "store_epoch": STORE, "t_ms": NOW_MS}
    return Disclosure(**(fields | changes))


def probe(seq: int, **changes: Any) -> Disclosure:
    return sent(
        seq, **({"stream": "real_time_traffic.probe", "recipient": "traffic", "identity": "none", "basis_ref": "ledger:2"} | changes)
    )


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as made:
        yield made


def anna(device: Device) -> str:
    device.ledger.add_profile("anna")
    return device.ledger.facts().profiles["anna"].id


def total(device: Device, name: str = "messages") -> int:
    """Messages (or another sum) that the log tells of, however they are written."""
    return sum(int(str(line.get(name, 1))) for line in device.audit.show(10**6) if str(line["kind"]).startswith("disclosure"))


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks."""
    monkeypatch.setattr(Audit, "verify", lambda self: None)


def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries forget on what basis they were sent."""
    monkeypatch.setattr(module, "_told", lambda entry: {"kind": entry.body["kind"], "basis_ref": ""})


def message_by_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlinkable messages are entered one by one, with their time and number."""
    monkeypatch.setattr(Audit, "_count", lambda self, entries: self._chain.append([self._message(e) for e in entries]))


def test_a_message_is_entered_once(device: Device) -> None:
    """However often its acknowledgement is written: in one call, in the next, after a restart."""
    device.audit.disclosed([sent(1), sent(1), sent(2)])
    device.audit.disclosed([sent(2), sent(3)])
    Audit(device.db, device.keys, device.clock).disclosed([sent(1)])
    assert sorted(str(line["seq"]) for line in device.audit.show()) == ["1", "2", "3"]
    device.audit.disclosed([sent(1, store_epoch=bytes(8)), sent(1, stream="other.stream")])
    assert total(device) == 5


def test_crash_between_audit_and_delete_counts_once(tmp_path: Path) -> None:
    """After the crash the row is still in the buffer, is offered and acknowledged again, linkable or not."""
    device = Device(tmp_path)
    device.audit.disclosed([sent(1), probe(1)])
    with device.restarted() as device:
        device.audit.disclosed([sent(1), probe(1)])
        assert total(device) == 2
        device.audit.verify()


@pytest.mark.parametrize("step", ["append", "write_note"])
def test_crash_inside_the_transaction_enters_nothing(device: Device, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """All or none of a call: entries, counters and checkpoint change together."""
    device.audit.disclosed([sent(1), probe(1)])
    work = getattr(Chain, step)

    def crash(self: Chain, what: Any) -> None:
        work(self, what)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Chain, step, crash)
        with pytest.raises(KeyboardInterrupt):
            device.audit.disclosed([sent(2), probe(2)])
    device.audit.verify()
    assert total(device) == 2
    device.audit.disclosed([sent(2), probe(2)])
    assert total(device) == 4


@pytest.mark.req("R39", control=message_by_message)
def test_unlinkable_messages_are_counts_of_a_day_only(device: Device) -> None:
    """Neither a time nor a number of a single message stands in the log or the counters' lines."""
    device.audit.disclosed([probe(n, t_ms=NOW_MS + n) for n in range(1, 6)])
    assert [line.get("open") for line in device.audit.show()] == [True]
    device.clock.set((NOW_MS + DAY_MS) * 1_000_000)
    device.audit.close_days()
    [line] = device.audit.show()
    assert (line["messages"], line["samples"], line["bytes"], line["day"]) == (5, 15, 500, "2026-11-01")
    assert "seq" not in line
    assert "open" not in line
    device.audit.verify()


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(0, 60))
@settings(max_examples=25)
def test_unlinkable_messages_are_counted_once_in_any_order(seqs: list[int], cut: int) -> None:
    """Repetitions and disorder inside the window change no count, in whatever pieces they come."""
    with Device() as device:
        device.audit.disclosed([probe(n) for n in seqs[:cut]])
        device.audit.disclosed([probe(n) for n in seqs[cut:]])
        assert total(device) == len(set(seqs))


def test_repetition_from_before_the_window_is_counted_again(device: Device) -> None:
    """The stated limit: the count is then too high, never too low."""
    device.audit.disclosed([probe(1), probe(1 + module.WINDOW)])
    device.audit.disclosed([probe(2 + module.WINDOW), probe(2), probe(2)])
    assert total(device) == 5
    device.audit.disclosed([probe(1 + module.WINDOW)])
    assert total(device) == 5


def test_new_store_counts_from_the_start(device: Device) -> None:
    """After the buffer was set aside the same numbers are other messages."""
    device.audit.disclosed([probe(1), probe(2)])
    device.audit.disclosed([probe(1, store_epoch=bytes(8))])
    assert total(device) == 3


def test_late_acknowledgement_of_a_closed_day_is_not_lost(device: Device) -> None:
    """It opens that day once more."""
    device.audit.disclosed([probe(1)])
    device.wait_ms(DAY_MS)
    device.audit.close_days()
    device.audit.disclosed([probe(2)])
    device.audit.close_days()
    assert [line["messages"] for line in device.audit.show()] == [1, 1]
    device.audit.verify()


def test_entries_of_an_erased_profile_die_and_the_chain_holds(device: Device) -> None:
    """Entries and open counts of the profile are unreadable at once; the others stay."""
    profile = anna(device)
    device.audit.disclosed([sent(1), sent(2, profile=profile), probe(1, profile=profile), probe(1, stream="other.open")])
    device.ledger.remove_profile("anna")
    assert [line["kind"] for line in device.audit.show()] == ["disclosure_day", "erased", "disclosure"]
    device.audit.verify()
    device.audit.close_days()
    assert [name for (name,) in device.sql("SELECT key FROM memory WHERE key LIKE 'audit.%'")] == ["audit.day."]
    device.audit.verify()


def test_acknowledgement_after_erasure_is_entered_without_its_basis(device: Device) -> None:
    """That something left is kept; whose word allowed it is not."""
    profile = anna(device)
    device.ledger.remove_profile("anna")
    device.audit.disclosed([sent(1, profile=profile, basis_ref="ledger:2"), probe(1, profile=profile)])
    assert [(line["basis_ref"], line["rules"], line["profile"]) for line in device.audit.show()] == [("", [], "")] * 2


def test_entry_says_only_what_is_allowed(device: Device) -> None:
    """The keys of every kind are a closed list: there is no place for a value, position, VIN or topic."""
    device.audit.disclosed([sent(1), probe(1)])
    device.wait_ms(40 * DAY_MS)
    device.audit.close_days()
    seen = {str(e.body["kind"]): set(e.body) for e in device.audit._chain.entries() if e.body}
    device.audit.compact()
    seen |= {str(e.body["kind"]): set(e.body) for e in device.audit._chain.entries() if e.body}
    assert seen == {kind: set(keys.split()) for kind, keys in ALLOWED.items()}
    assert set(Disclosure.__slots__) <= set(" ".join(ALLOWED.values()).split()) | {"profile"}


def test_plain_columns_name_no_stream(device: Device) -> None:
    """What stands beside the sealed entry tells nothing, also after its profile was erased."""
    device.audit.disclosed([sent(1)])
    [(key, entry)] = device.sql("SELECT key, entry FROM audit")
    assert isinstance(entry, bytes)
    assert "service" not in str(key)
    assert b"service" not in entry


@pytest.mark.parametrize("changes", [{"rules": ("r",) * 65}, {"basis_ref": "x" * 201}, {"store_epoch": b""}])
def test_disclosure_is_bounded(changes: dict[str, Any]) -> None:
    """Content does not fit into a disclosure."""
    with pytest.raises(ValueError, match="content"):
        sent(1, **changes)


@pytest.mark.req("R61", control=blind)
@settings(max_examples=60)
@given(data=st.data())
def test_any_change_is_found(data: st.DataObject) -> None:
    """A changed entry, hash, key, day or counter, a removed row or counter: `verify` refuses."""
    with Device() as device:
        device.audit.disclosed([sent(1), sent(2), sent(3), probe(1), probe(2)])
        what = data.draw(st.sampled_from(["entry", "hash", "key", "day", "row", "counter", "counter gone", "checkpoint"]))
        n = data.draw(st.integers(1, 3))
        bit = data.draw(st.integers(0, 7))
        if what in ("entry", "hash"):
            [(raw,)] = device.sql(f"SELECT {what} FROM audit WHERE n = ?", n)
            device.sql(f"UPDATE audit SET {what} = ? WHERE n = ?", flipped(raw, data, bit), n)
        elif what in ("counter", "checkpoint"):
            name = "audit.day." if what == "counter" else "head.audit"
            [(raw,)] = device.sql("SELECT value FROM memory WHERE key = ?", name)
            device.sql("UPDATE memory SET value = ? WHERE key = ?", flipped(raw, data, bit), name)
        else:
            device.sql({
                "key": f"UPDATE audit SET key = 'x' WHERE n = {n}",
                "day": f"UPDATE audit SET day = day + 1 WHERE n = {n}",
                "row": f"DELETE FROM audit WHERE n = {n}",
                "counter gone": "DELETE FROM memory WHERE key = 'audit.day.'",
            }[what])  # fmt: skip
        with pytest.raises(IntegrityError):
            device.audit.verify()


def flipped(raw: object, data: st.DataObject, bit: int) -> bytes:
    assert isinstance(raw, bytes)
    changed = bytearray(raw)
    changed[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << bit
    return bytes(changed)


@pytest.mark.req("R31", control=nameless)
def test_each_message_names_a_grant_that_stood_then(device: Device) -> None:
    """After the withdrawal the log still leads to the entry that allowed the message, given before it was sent."""
    profile = anna(device)
    ref = device.yes()
    device.wait_ms(1_000)
    device.audit.disclosed([sent(1, basis_ref=ref, profile=device.ledger.subject_of(ref), t_ms=device.now_ms)])
    device.ledger.withdraw("anna", "traffic.position")
    [line] = device.audit.show()
    found = [told for told in device.ledger.history() if f"ledger:{told['entry']}" == line["basis_ref"]]
    assert len(found) == 1
    granted = found[0]
    assert (granted["kind"], granted["profile"], line["profile"]) == ("grant", "anna", profile)
    assert str(granted["t"]) < str(line["t"]) < str(granted["until"])


def test_old_messages_become_days(device: Device) -> None:
    """After 30 days one line a day with the sums; the younger ones stay single; the chain holds and still finds a removal."""
    for day in range(33):
        device.audit.disclosed([sent(day * 2 + i, t_ms=device.now_ms) for i in range(2)])
        device.wait_ms(DAY_MS)
    before = [total(device, name) for name in ("messages", "samples", "bytes")]
    assert device.audit.compact() == 6
    assert [total(device, name) for name in ("messages", "samples", "bytes")] == before == [66, 198, 6600]
    assert [line["day"] for line in reversed(device.audit.show()) if line["kind"] == "disclosure_day"] == [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
    ]
    device.audit.verify()
    device.sql("DELETE FROM audit WHERE n = 7")
    with pytest.raises(IntegrityError, match="entry 7 "):
        device.audit.verify()


def test_compacting_again_does_nothing(device: Device) -> None:
    """Sums are moved only when a message behind them grows old."""
    device.audit.disclosed([sent(1)])
    device.wait_ms(31 * DAY_MS)
    assert (device.audit.compact(), device.audit.compact()) == (1, 0)
    device.audit.disclosed([sent(2, t_ms=device.now_ms)])
    assert device.audit.compact() == 0
    device.wait_ms(31 * DAY_MS)
    assert device.audit.compact() == 3
    assert (total(device), device.audit.compact()) == (2, 0)


def test_counts_of_years_are_not_read_where_nothing_is_due(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop asks every hour; only a message that grew old costs it the reading."""
    device.audit.disclosed([sent(1)])
    device.wait_ms(31 * DAY_MS)
    device.audit.compact()
    device.audit.disclosed([sent(2, t_ms=device.now_ms)])
    with monkeypatch.context() as patch:
        patch.setattr(Chain, "entries", lambda _: pytest.fail("the chain was read"))
        assert device.audit.compact() == 0
    device.wait_ms(31 * DAY_MS)
    assert device.audit.compact() == 3


def test_untrusted_clock_compacts_nothing(device: Device) -> None:
    """No entry goes because of a date that nobody vouches for."""
    device.audit.disclosed([sent(1)])
    device.wait_ms(100 * DAY_MS)
    device.clock.believed = False
    assert device.audit.compact() == 0


def test_counts_end_after_four_years_and_erased_entries_when_compacted(device: Device) -> None:
    """Nothing is kept for ever, and what is gone is itself on record."""
    profile = anna(device)
    device.audit.disclosed([sent(1), sent(2, profile=profile)])
    device.ledger.remove_profile("anna")
    device.wait_ms(31 * DAY_MS)
    assert device.audit.compact() == 2
    assert (device.audit.show(1)[0]["erased"], total(device)) == (1, 1)
    device.wait_ms(module.KEEP_DAYS * DAY_MS)
    assert device.audit.compact() == 2
    assert [line["kind"] for line in device.audit.show()] == ["compacted"]
    device.audit.verify()


def test_an_unlocking_stays_as_it_was_entered_for_as_long_as_counts_do(device: Device) -> None:
    """Messages around it become sums of their day; it goes on saying when, for how long and why."""
    device.audit.unlocked(10, "no fix")
    [entered] = device.audit.show()
    device.audit.disclosed([sent(1)])
    device.wait_ms(31 * DAY_MS)
    assert device.audit.compact() == 2
    [kept] = [line for line in device.audit.show() if line["kind"] == "unlocked"]
    assert {**kept, "entry": 0} == {**entered, "entry": 0}
    device.audit.verify()
    device.wait_ms(module.KEEP_DAYS * DAY_MS)
    device.audit.compact()
    assert [line["kind"] for line in device.audit.show()] == ["compacted"]


def test_a_reason_that_is_no_line_is_refused(device: Device) -> None:
    """The audit log is no place for long texts."""
    with pytest.raises(ValueError, match="line"):
        device.audit.unlocked(10, "x" * 121)


@given(
    st.lists(st.tuples(st.integers(0, 45), st.sampled_from(["message", "open", "anna", "compact", "close"])), max_size=14),
)
@settings(max_examples=25)
def test_no_message_is_lost_or_doubled_by_compacting(steps: list[tuple[int, str]]) -> None:
    """Whatever is entered, closed and compacted on whatever days: the sums are those of the messages, and the chain holds."""
    with Device() as device:
        profile, messages = anna(device), 0
        for seq, (days, step) in enumerate(steps, 1):
            device.wait_ms(days * DAY_MS)
            if step in ("message", "open", "anna"):
                make = sent if step == "message" else probe
                device.audit.disclosed([make(seq, t_ms=device.now_ms, profile=profile if step == "anna" else "")])
                messages += 1
            elif step == "compact":
                device.audit.compact()
            else:
                device.audit.close_days()
            device.audit.verify()
            assert total(device) == messages


def test_showing_a_long_log_opens_only_what_is_shown(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of years costs the loop no more than one of a day; a counter that is shown takes an entry's place."""
    device.audit.disclosed([*(sent(n) for n in range(1, 200)), probe(1)])
    opened, work = [], Chain._open

    def noted(self: Chain, row: Any, n: int, prev: bytes) -> Any:
        opened.append(n)
        return work(self, row, n, prev)

    monkeypatch.setattr(Chain, "_open", noted)
    assert [line.get("seq", "open") for line in device.audit.show(3)] == ["open", 199, 198]
    assert opened == [199, 198]
    assert len(device.audit.show(1)) == 1
    assert opened == [199, 198]


def test_show_is_newest_first_and_limited(device: Device) -> None:
    """The last lines, with a time for people."""
    device.audit.disclosed([sent(n) for n in range(1, 6)])
    assert [line["seq"] for line in device.audit.show(2)] == [5, 4]
    assert device.audit.show(1)[0]["t"] == "2026-11-01T00:00:00.000Z"
