"""A device on which somebody has lived: records, drivers, a choice and a place in its state folder, all of them planted markers."""

from __future__ import annotations

import json
from pathlib import Path

from agent.body import unpack
from agent.buffer.store import Buffer
from agent.clock import SystemClock
from agent.consent.ledger import Ledger
from agent.model import Position
from agent.seal.keyring import Keyring
from agent.seal.record import unseal
from agent.storage.memory import Memory
from agent.storage.sqlite import open_database
from agent.vss import LOCATION
from tests.support.device import Store, opened
from tests.support.markers import Planted
from tests.support.samples import draft

PLACE = (39.908722, 116.397499)
PLANTED = Planted(places=(PLACE,))
UNITS = {"Test.Text": "", LOCATION: "degrees"}


def live_in(state: Path, credential: bytes) -> None:
    """Leaves every marker in the state folder, whose keys are made already."""
    keyring = Keyring.open(state, credential)
    buffer_db, ledger_db = (open_database(state / f"{name}.db", keyring.database_key(name), name) for name in ("buffer", "ledger"))
    clock = SystemClock(frozenset({"system"}))
    ledger = Ledger(ledger_db, keyring, clock)
    ledger.add_profile(PLANTED.name)
    ledger.accept_policy("2026-11", "test")
    Memory(ledger_db).set("test/zone", f"{PLACE[0]:.6f} {PLACE[1]:.6f}".encode())
    buffer = Buffer(buffer_db, keyring, units=UNITS)
    buffer.append([draft(text, signal="Test.Text") for text in PLANTED.texts().values()])
    buffer.append([draft(Position(*PLACE), signal=LOCATION)])
    for database in (buffer_db, ledger_db):
        database.conn.close()
    keyring.close()


def told(state: Path) -> dict[str, bytes]:
    """What the folder tells to whoever has the credential that lies in it. Raises IntegrityError, OSError where that opens nothing."""
    with opened(state) as store:
        bodies = [unpack(_body(store, at)).rows for at in range(len(store.rows()))]
        texts = {
            "records": json.dumps([str(row.value) for rows in bodies for row in rows], ensure_ascii=False),
            "ledger": json.dumps(store.ledger.history(), ensure_ascii=False, default=str),
            "drivers": json.dumps(sorted(store.ledger.facts().profiles), ensure_ascii=False),
            "memory": (Memory(store.ledger_db).get("test/zone") or b"").decode(),
            "device": store.keyring.device_secret.hex(),
        }
    return {name: text.encode() for name, text in texts.items()}


def _body(store: Store, at: int) -> bytes:
    row = store.rows()[at]
    key = store.keyring.find(row.header.stream, row.header.basis_ref, row.header.epoch)
    assert key is not None
    return unseal(key, row.header, row.sealed)
