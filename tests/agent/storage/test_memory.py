"""Small values by name: the same promises on disk and in RAM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.storage.memory import DictMemory, Memory, MemoryStore, PatientMemory
from agent.storage.sqlite import open_database, transaction

KEY = bytes(range(32))


@pytest.fixture(params=["disk", "RAM"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryStore:
    return DictMemory() if request.param == "RAM" else Memory(open_database(tmp_path / "ledger.db", KEY, "ledger"))


def test_a_value_is_there_until_it_is_replaced_or_deleted(store: MemoryStore) -> None:
    """get, set, delete; deleting nothing is no error."""
    assert store.get("trip") is None
    store.set("trip", b"\x00first")
    store.set("trip", b"second")
    assert store.get("trip") == b"second"
    store.delete("trip")
    store.delete("trip")
    assert store.get("trip") is None


def test_names_are_found_by_their_beginning(store: MemoryStore) -> None:
    """A prefix is text, not a pattern; the names come sorted."""
    for name in ("zone.b", "zone.a", "zoneXa", "zone%", "other", "zone._"):
        store.set(name, b"")
    assert store.keys("zone.") == ["zone._", "zone.a", "zone.b"]
    assert store.keys("zone%") == ["zone%"]
    assert store.keys("nothing") == []
    assert len(store.keys()) == 6


def reopening(folder: Path) -> Callable[[], Memory]:
    return lambda: Memory(open_database(folder / "ledger.db", KEY, "ledger"))


def test_a_value_outlives_a_restart(tmp_path: Path) -> None:
    """Durable on return: a second connection sees it while the first was never closed."""
    opened = reopening(tmp_path)
    first = opened()
    first.set("trip", b"1")
    assert opened().get("trip") == b"1"


def test_a_value_set_inside_a_transaction_goes_with_it(tmp_path: Path) -> None:
    """An owner can commit a value together with other rows, or neither."""
    db = open_database(tmp_path / "ledger.db", KEY, "ledger")
    memory = Memory(db)

    def cut() -> None:
        with transaction(db):
            memory.set("trip", b"1")
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        cut()
    assert memory.get("trip") is None


class Refusing(DictMemory):
    """A store that takes nothing while `full`."""

    full = False

    def set(self, key: str, value: bytes) -> None:
        if self.full:
            raise DeviceError("the disk is full", "here", "make room")
        super().set(key, value)


def test_patient_memory_goes_on_while_the_disk_is_full() -> None:
    """What was said last counts, and is written with the next change after there is room."""
    inner = Refusing()
    memory = PatientMemory(inner)
    memory.set("trip", b"1")
    inner.full = True
    memory.set("trip", b"2")
    assert (memory.get("trip"), inner.get("trip"), memory.keys(), memory.problem) == (b"2", b"1", ["trip"], "the disk is full")
    inner.full = False
    memory.set("other", b"3")
    assert (inner.get("trip"), inner.get("other"), memory.problem) == (b"2", b"3", "")
