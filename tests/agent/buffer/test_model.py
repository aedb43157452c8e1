"""The buffer against a dict: any order of calls and restarts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.body import unpack
from agent.buffer.counts import Counts
from agent.model import Value
from agent.seal.keyring import epoch_length_s
from tests.agent.buffer.test_store import opened
from tests.support.samples import T_NS, draft

STREAMS = ("a", "b", "c")
BASES = ("contract", "traffic.position")
PRIORITIES = {"a": 0, "b": 5, "c": 5}
KEEPS_S = {"a": 40, "b": 40, "c": 400}
T_S = T_NS // 10**9
DRAFTS = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.sampled_from(BASES), st.integers(0, 10**6), st.integers(-20, 0)), min_size=1, max_size=4
)


@dataclass
class Expected:
    """What a record must be until it goes."""

    stream: str
    basis_ref: str
    seq: int
    value: Value
    dies_s: int

    @property
    def turn(self) -> int:
        return PRIORITIES[self.stream]


def dies_s(stream: str, t_s: int) -> int:
    """docs/formats.md section 2, in whole seconds."""
    length_s = epoch_length_s(KEEPS_S[stream])
    return (T_S + t_s) // length_s * length_s + KEEPS_S[stream]


class BufferModel(RuleBasedStateMachine):
    """Every rule does the same to the buffer and to a dict; the invariant compares all that can be seen."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.ring, self.buffer = opened(self.folder)
        self.held: dict[int, Expected] = {}
        self.last_seq = dict.fromkeys(STREAMS, 0)
        self.last_n = 0
        self.now_s = 0

    @rule(drafts=DRAFTS)
    def append(self, drafts: list[tuple[str, str, int, int]]) -> None:
        made = []
        for stream, basis_ref, value, ago_s in drafts:
            t_s = self.now_s + ago_s
            made.append(draft(value, t_s=t_s, stream=stream, basis_ref=basis_ref, priority=PRIORITIES[stream], keep_s=KEEPS_S[stream]))
        for n, (stream, basis_ref, value, ago_s) in zip(self.buffer.append(made), drafts, strict=True):
            assert n > self.last_n
            self.last_n = n
            self.last_seq[stream] += 1
            self.held[n] = Expected(stream, basis_ref, self.last_seq[stream], value, dies_s(stream, self.now_s + ago_s))

    @rule(data=st.data())
    def acked(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True) if self.held else st.just([]))
        self.buffer.acked([*gone, 10**9])
        self.held = {n: record for n, record in self.held.items() if n not in gone}

    @rule(stream=st.sampled_from([*STREAMS, None]), basis_ref=st.sampled_from([*BASES, None]))
    def forget(self, stream: str | None, basis_ref: str | None) -> None:
        def dead(name: str, basis: str) -> bool:
            return (stream is None or name == f"tests.{stream}") and (basis_ref is None or basis == basis_ref)

        gone = [n for n, record in self.held.items() if dead(f"tests.{record.stream}", record.basis_ref)]
        assert self.buffer.forget(dead) == sorted(gone)
        assert not any(dead(key.stream, key.basis_ref) for key in self.ring.data_keys)
        self.held = {n: record for n, record in self.held.items() if n not in gone}

    @rule(later_s=st.integers(0, 60))
    def expire(self, later_s: int) -> None:
        self.now_s += later_s
        gone = [n for n, record in self.held.items() if record.dies_s <= T_S + self.now_s]
        assert self.buffer.expire((T_S + self.now_s) * 1000) == sorted(gone)
        self.held = {n: record for n, record in self.held.items() if n not in gone}

    @rule()
    def reopen(self) -> None:
        self.buffer._db.close()
        self.ring.close()
        self.ring, self.buffer = opened(self.folder)

    @invariant()
    def same_as_the_dict(self) -> None:
        found = self.buffer.waiting(1000, [])
        assert [stored.n for stored in found] == sorted(self.held, key=lambda n: (self.held[n].turn, n))
        for stored in found:
            record = self.held[stored.n]
            assert (stored.stream, stored.basis_ref, stored.seq) == (f"tests.{record.stream}", record.basis_ref, record.seq)
            assert [row.value for row in unpack(self.buffer.body_of(stored)).rows] == [record.value]
            assert stored.destroy_ms == record.dies_s * 1000
        assert sum(line["rows"] for line in self.buffer.statistics().values()) == len(self.held)
        assert self.buffer.findings() == []
        assert vars(self.buffer._counts) == vars(Counts(self.buffer._db))

    def teardown(self) -> None:
        self.buffer._db.close()
        self.ring.close()
        shutil.rmtree(self.folder)


class TestBufferModel(BufferModel.TestCase):  # type: ignore[misc,valid-type]  # hypothesis makes this base at run time
    """The machine as a test: append, acked, forget, expire and reopen in any order leave what the dict says."""

    settings = settings(max_examples=30, stateful_step_count=25)
