"""A device's ledger and audit log over the real keyring and the real database, in RAM or in a folder."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from agent.audit import Audit
from agent.clock import RELEASE_NS, SetClock
from agent.consent.ledger import Ledger
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database

CREDENTIAL = b"c" * 32
NOW_MS = RELEASE_NS // 1_000_000
DAY_MS = 86_400_000
TERM_S = 365 * 86_400.0


class Device:
    """`folder` None: RAM. `again` reads what a restart would read."""

    def __init__(self, folder: Path | None = None, *, new: bool = True) -> None:
        self.folder, self.clock = folder, SetClock()
        self.keys = Keyring.create(folder, CREDENTIAL) if new or folder is None else Keyring.open(folder, CREDENTIAL)
        self.db = open_database(folder and folder / "ledger.db", self.keys.database_key("ledger"), "ledger")
        self.ledger, self.audit = self.again(), Audit(self.db, self.keys, self.clock)

    def again(self) -> Ledger:
        return Ledger(self.db, self.keys, self.clock)

    def restarted(self) -> Device:
        self.close()
        return Device(self.folder, new=False)

    def close(self) -> None:
        self.db.close()
        self.keys.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """What an attacker with the database's key could do."""
        with self.db.atomic():
            return list(self.db.execute(statement, parameters).fetchall())

    def yes(self, item: str = "traffic.position", profile: str = "anna", days: float = 10) -> str:
        """Grants and gives the basis reference."""
        until_ms = self.now_ms + int(days * DAY_MS)
        return self.ledger.grant(profile, item, policy="2026-11", method="touch", max_term_s=TERM_S, until_ms=until_ms).ref

    @property
    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    def wait_ms(self, ms: int) -> None:
        self.clock.set(self.clock.now_ns() + ms * 1_000_000)
