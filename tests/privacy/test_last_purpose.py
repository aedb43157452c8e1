"""One measurement, several purposes: each keeps a copy of its own, and what can be read is what some purpose still lives for.

A model over the real buffer and key ring in a folder. Purposes end in time, by withdrawal, by a withdrawal that power cut short;
a thief keeps every sealed row that ever was and takes all keys that are left.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from agent.body import Row, unpack
from agent.buffer.store import Buffer, Stored
from agent.errors import IntegrityError
from agent.seal.keyring import Keyring
from agent.seal.record import unseal
from agent.storage.sqlite import open_database
from tests.agent.buffer.build import CREDENTIAL, UNITS
from tests.support.samples import T_NS, draft

KEEPS_S = {"minutes": 20, "hour": 80, "day": 400}
T_S = T_NS // 10**9


def dies_s(purpose: str, t_s: int) -> int:
    """Keep after the beginning of the sample's epoch, a quarter of the keep long (docs/formats.md section 2)."""
    length_s = KEEPS_S[purpose] // 4
    return (T_S + t_s) // length_s * length_s + KEEPS_S[purpose]


@dataclass
class Measured:
    """One value, and for which purposes it was taken: until when each lives, and the sealed row that a thief has."""

    value: int
    lives: dict[str, int]
    stolen: dict[str, Stored] = field(default_factory=dict)


class LastPurpose(RuleBasedStateMachine):
    """`measured` is the model: `lives` loses a purpose when it ends, whatever way."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.ring = Keyring.create(self.folder, CREDENTIAL)
        self.measured: list[Measured] = []
        self.now_s = 0
        self.open()

    def open(self) -> None:
        self.buffer = Buffer(open_database(self.folder / "buffer.db", self.ring.database_key("buffer"), "buffer"), self.ring, units=UNITS)

    def end_of(self, purpose: str) -> None:
        for one in self.measured:
            one.lives.pop(purpose, None)

    @rule(purposes=st.sets(st.sampled_from(sorted(KEEPS_S)), min_size=1), ago_s=st.integers(0, 15))
    def measure(self, purposes: set[str], ago_s: int) -> None:
        one = Measured(len(self.measured) + 1, {})
        for purpose in sorted(purposes):
            t_s = self.now_s - ago_s
            [n] = self.buffer.append([draft(one.value, t_s=t_s, stream=purpose, basis_ref=f"ledger:{purpose}", keep_s=KEEPS_S[purpose])])
            one.lives[purpose] = dies_s(purpose, t_s)
            one.stolen[purpose] = next(stored for stored in self.buffer.waiting(1000, []) if stored.n == n)
        self.measured.append(one)

    @rule(later_s=st.integers(0, 90))
    def time_passes(self, later_s: int) -> None:
        self.now_s += later_s
        self.buffer.expire((T_S + self.now_s) * 1000)
        for one in self.measured:
            one.lives = {purpose: end_s for purpose, end_s in one.lives.items() if end_s > T_S + self.now_s}

    @rule(purpose=st.sampled_from(sorted(KEEPS_S)))
    def withdrawn(self, purpose: str) -> None:
        self.buffer.forget(lambda stream, _: stream == f"tests.{purpose}")
        self.end_of(purpose)

    @rule(purpose=st.sampled_from(sorted(KEEPS_S)))
    def withdrawn_and_power_fails(self, purpose: str) -> None:
        """The keys go first; the rows were not reached."""
        self.ring.destroy(lambda key: key.stream == f"tests.{purpose}")
        self.end_of(purpose)
        self.restart()

    @rule()
    def restart(self) -> None:
        self.buffer._db.close()
        self.ring.close()
        self.ring = Keyring.open(self.folder, CREDENTIAL)
        self.open()

    @invariant()
    def readable_while_some_purpose_lives(self) -> None:
        held = {(row.value, stored.stream.partition(".")[2]) for stored, row in self._rows()}
        assert held == {(one.value, purpose) for one in self.measured for purpose in one.lives}
        for one in self.measured:
            assert {purpose for purpose, stored in one.stolen.items() if self._opens(stored)} == set(one.lives)

    def _rows(self) -> list[tuple[Stored, Row]]:
        waiting = self.buffer.waiting(1000, [])
        return [(stored, row) for stored in waiting for row in unpack(self.buffer.body_of(stored)).rows]

    def _opens(self, stored: Stored) -> bool:
        for key in self.ring.data_keys:
            try:
                unseal(key.key, stored.header, stored.sealed)
            except IntegrityError:
                continue
            return True
        return False

    def teardown(self) -> None:
        self.buffer._db.close()
        self.ring.close()
        shutil.rmtree(self.folder)


def never_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keyring, "expire", lambda self, now_ms: 0)


def rows_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A withdrawal deletes the rows and leaves the keys."""

    def forget(self: Buffer, dead: Callable[[str, str], bool]) -> list[int]:
        return self._delete([stored.n for stored in self.waiting(1000, []) if dead(stored.stream, stored.basis_ref)])

    monkeypatch.setattr(Buffer, "forget", forget)


def one_key_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies of all purposes are sealed alike."""
    monkeypatch.setattr("agent.seal.keyring.os.urandom", bytes)


@pytest.mark.req("R27", "T14", control=never_too_old)
@pytest.mark.req("R27", "T14", control=rows_without_keys)
@pytest.mark.req("R27", "T14", control=one_key_for_all)
def test_a_copy_can_be_read_exactly_while_its_purpose_lives() -> None:
    """Any order of measurements, time, withdrawals, power cuts and restarts: by the device, and by a thief with all old rows."""
    options = settings(max_examples=20, stateful_step_count=20, derandomize=True, phases=[Phase.generate])
    run_state_machine_as_test(LastPurpose, settings=options)
