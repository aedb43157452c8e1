"""Faults by name: power and process cuts, a full disk, a damaged file, a wrong key, old copies, and what the medium shows."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.body import unpack
from agent.buffer.counts import Counts
from agent.buffer.store import Buffer
from agent.clock import RELEASE_NS
from agent.errors import DeviceError, IntegrityError
from agent.model import Position
from agent.seal.keyring import Keyring
from agent.storage.sqlite import PRAGMAS, open_database, open_or_set_aside, rows
from agent.vss import LOCATION
from tests.agent.buffer.build import CREDENTIAL, UNITS
from tests.agent.buffer.test_store import opened
from tests.agent.buffer.writer import KEEP_S
from tests.agent.buffer.writer import opened as writer_opened
from tests.support.noise import packed, unevenness
from tests.support.samples import draft

ROOT = Path(__file__).parents[3]
KILLS = 20
FRAME_HEAD_BYTES, PAGE_BYTES, WAL_HEAD_BYTES = 24, 4096, 32


@pytest.fixture
def nursery() -> Iterator[subprocess.Popen[str]]:
    """Forks writers on demand (tests/agent/buffer/writer.py)."""
    command = [sys.executable, "-m", "tests.agent.buffer.writer"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def killed_run(nursery: subprocess.Popen[str], folder: Path, seed: int, rng: random.Random) -> list[dict[str, Any]]:
    """What a writer said until it was killed at a random moment after its first record."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(json.dumps([str(folder), seed]) + "\n")
    nursery.stdin.flush()
    heard: list[dict[str, Any]] = []
    while not {"pid", "appended"} <= {key for said in heard for key in said}:
        heard.append(json.loads(nursery.stdout.readline()))
    time.sleep(rng.uniform(0.0, 0.15))
    (pid,) = (said["pid"] for said in heard if "pid" in said)
    os.kill(pid, signal.SIGKILL)
    lines = list(iter(nursery.stdout.readline, json.dumps({"ended": pid}) + "\n"))
    return heard + [json.loads(line) for line in lines[:-1]] + [json.loads(line) for line in lines[-1:] if line.endswith("}\n")]


def dies_ms(t_ms: int) -> int:
    """docs/formats.md section 2 for the writer's lifetime."""
    length_ms = KEEP_S // 4 * 1000
    return t_ms // length_ms * length_ms + KEEP_S * 1000


class Promises:
    """What writers said, all lives of the store together."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.dies_ms: dict[int, int] = {}
        self.acking: set[int] = set()
        self.now_ms = 0

    def hear(self, said: Any) -> None:
        for n, text in said.get("appended", []):
            assert n not in self.texts, "a number was used twice"
            self.texts[n], self.dies_ms[n] = text, dies_ms(said["t_ms"])
        self.acking |= set(said.get("acking", []))
        self.now_ms = max(self.now_ms, said.get("expiring", 0))

    def must_be_there(self) -> set[int]:
        return {n for n in self.texts if n not in self.acking and self.dies_ms[n] > self.now_ms}


def test_kill_9_of_the_writer_loses_nothing_that_append_returned(tmp_path: Path, nursery: subprocess.Popen[str]) -> None:
    """20 kills of one store: every record that was said to be stored opens with its content, unless it was let go on purpose."""
    rng = random.Random(20)
    promises, checked = Promises(), 0
    for seed in range(1, KILLS + 1):
        before = len(promises.texts)
        for said in killed_run(nursery, tmp_path, seed, rng):
            promises.hear(said)
        assert len(promises.texts) > before
        ring, buffer = writer_opened(tmp_path)
        found = {stored.n: stored for stored in buffer.waiting(10**6, [])}
        assert promises.must_be_there() <= found.keys()
        checked += len(promises.must_be_there())
        for n, stored in found.items():
            (row,) = unpack(buffer.body_of(stored)).rows
            assert row.value == promises.texts.get(n, row.value)
        assert len({(stored.stream, stored.seq) for stored in found.values()}) == len(found)
        assert buffer.findings() == []
        buffer._db.close()
        ring.close()
    assert checked > 10 * KILLS


def fill(buffer: Buffer, count: int, stream: str = "plain") -> list[int]:
    texts = [f"text {number} " + os.urandom(300).hex() for number in range(count)]
    return [n for text in texts for n in buffer.append([draft(text, signal="Test.Text", stream=stream)])]


def held(buffer: Buffer) -> list[int]:
    return sorted(stored.n for stored in buffer.waiting(10**6, []))


def test_disk_full_refuses_the_append_and_loses_nothing_before_it(tmp_path: Path) -> None:
    """A device error, all earlier records are there, no count is spent, and it goes on when there is room."""
    _, buffer = opened(tmp_path)
    buffer._db.execute("PRAGMA max_page_count = 60").fetchall()
    done: list[int] = []

    def fill_for_ever() -> None:
        while len(done) < 5000:
            done.extend(fill(buffer, 1))

    with pytest.raises(DeviceError, match="full"):
        fill_for_ever()
    assert held(buffer) == done
    assert len(done) > 10
    buffer.acked(done[:5])
    buffer._db.execute("PRAGMA max_page_count = 100000").fetchall()
    fill(buffer, 1)
    assert max(stored.seq for stored in buffer.waiting(10**6, [])) == len(done) + 1


@pytest.mark.finding("buffer-set-aside")
def test_corrupt_database_costs_its_records_and_nothing_else(tmp_path: Path) -> None:
    """Set aside with a finding; the agent goes on with the same keys, a new epoch and counts from 1."""
    ring, buffer = opened(tmp_path)
    fill(buffer, 20)
    epoch = buffer.store_epoch
    buffer._db.close()
    path = tmp_path / "buffer.db"
    content = bytearray(path.read_bytes())
    content[9000:9100] = bytes(100)
    path.write_bytes(content)
    db, finding = open_or_set_aside(path, ring.database_key("buffer"), "buffer")
    again = Buffer(db, ring, units=UNITS)
    assert finding is not None
    assert finding.code == "buffer-set-aside"
    assert held(again) == []
    fill(again, 1)
    assert [stored.seq for stored in again.waiting(9, [])] == [1]
    assert again.store_epoch != epoch


def test_damage_while_running_is_an_integrity_error(tmp_path: Path) -> None:
    """A page that turns bad under an open database is not read as something else."""
    _, buffer = opened(tmp_path)
    fill(buffer, 300)
    buffer._db.close()
    _, buffer = opened(tmp_path)
    buffer._db.execute("PRAGMA cache_size = 1")
    path = tmp_path / "buffer.db"
    content = bytearray(path.read_bytes())
    for at in range(8192, len(content), 4096):
        content[at + 50 : at + 60] = bytes(10)
    with path.open("r+b") as file:
        file.write(content)
    with pytest.raises(IntegrityError):
        buffer.waiting(10**6, [])


def test_wrong_key_opens_neither_keys_nor_records(tmp_path: Path) -> None:
    """Another credential, another keyring: an integrity error each, and nothing was changed by trying."""
    ring, buffer = opened(tmp_path)
    numbers = fill(buffer, 3)
    buffer._db.close()
    with pytest.raises(IntegrityError):
        Keyring.open(tmp_path, b"a credential of somebody else...")
    with pytest.raises(IntegrityError):
        open_database(tmp_path / "buffer.db", Keyring.create(None, CREDENTIAL).database_key("buffer"), "buffer")
    with pytest.raises(IntegrityError):
        open_database(tmp_path / "buffer.db", ring.database_key("ledger"), "buffer")
    ring.close()
    assert held(opened(tmp_path)[1]) == numbers


def test_crash_between_keys_and_rows_leaves_rows_that_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after the keys were destroyed: the rows do not open in this process, and the next start deletes them."""
    ring, buffer = opened(tmp_path)
    fill(buffer, 3, stream="gone")
    kept = fill(buffer, 2, stream="kept")
    offered = buffer.waiting(1, [])

    def cut(self: Buffer) -> list[int]:
        raise SystemExit("cut")

    with monkeypatch.context() as broken:
        broken.setattr("agent.buffer.store.Buffer._sweep", cut)
        with pytest.raises(SystemExit):
            buffer.forget(lambda stream, basis_ref: stream == "tests.gone")
    assert len(rows(buffer._db, "SELECT n FROM records")) == 5
    with pytest.raises(IntegrityError):
        buffer.body_of(offered[0])
    buffer._db.close()
    ring.close()
    assert held(opened(tmp_path)[1]) == kept


def spare_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.seal.keyring.Keyring.destroy", lambda self, dead: 0)


@pytest.mark.req("R47", control=spare_the_keys)
def test_old_copy_of_the_database_does_not_open_with_the_new_keys(tmp_path: Path) -> None:
    """A backup from before the forgetting, put back beside today's key block, gives back nothing of what was forgotten."""
    ring, buffer = opened(tmp_path)
    forgotten, kept = fill(buffer, 5, stream="gone"), fill(buffer, 5, stream="kept")
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path, backup)
    buffer.forget(lambda stream, basis_ref: stream == "tests.gone")
    buffer._db.close()
    ring.close()
    assert openable(backup) == [*forgotten, *kept]  # the copy as it was taken is whole: the keys make the difference
    shutil.copy(tmp_path / "keys.block", backup)
    assert openable(backup) == kept


def openable(folder: Path) -> list[int]:
    """Numbers of all rows in a copy whose body opens, without the sweep of a start."""
    with_copy = folder.with_name(folder.name + "-read")
    shutil.rmtree(with_copy, ignore_errors=True)
    shutil.copytree(folder, with_copy)
    ring = Keyring.open(with_copy, CREDENTIAL)
    buffer = Buffer(open_database(None, bytes(32), "buffer"), ring, units=UNITS)
    buffer._db = open_database(with_copy / "buffer.db", ring.database_key("buffer"), "buffer")
    buffer._counts = Counts(buffer._db)
    found = []
    for stored in buffer.waiting(10**6, []):
        try:
            unpack(buffer.body_of(stored))
            found.append(stored.n)
        except IntegrityError:
            continue
    return sorted(found)


# -- what the medium shows --------------------------------------------------------------------------------------------

MARKERS = (b"SQLite format 3", b"tests.plain", b"planted marker", b"48.137154", b"CREATE TABLE", b"traffic.position", b"a-recipient")


def payload(path: Path) -> bytes:
    """What of a file has to look like noise: a WAL without its own and its frames' heads, others whole."""
    data = path.read_bytes()
    if not path.name.endswith("-wal"):
        return data
    step = FRAME_HEAD_BYTES + PAGE_BYTES
    return b"".join(data[at + FRAME_HEAD_BYTES : at + step] for at in range(WAL_HEAD_BYTES, len(data), step))


def assert_shows_nothing(folder: Path) -> None:
    files = [path for path in folder.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"keys.block", "buffer.db", "buffer.db-wal", "buffer.db-shm"}
    for path in files:
        data = path.read_bytes()
        assert not [marker for marker in MARKERS if marker in data], path.name
        if not path.name.endswith("-shm"):
            assert unevenness(payload(path)) < 8, path.name
            assert packed(payload(path)) > 0.999, path.name


def in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlocked(connection: sqlite3.Connection, key: bytes | None, where: str) -> None:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()

    monkeypatch.setattr("agent.storage.sqlite._unlock", unlocked)


@pytest.mark.req("R43", control=in_plain_text)
def test_no_file_shows_a_name_a_value_or_a_structure(tmp_path: Path) -> None:
    """Every file in use, WAL included: no marker, no SQLite header, no stream name; pages that cannot be told from noise."""
    _, buffer = opened(tmp_path)
    for number in range(60):
        text = draft("planted marker " * 20, t_s=number * 10_000, signal="Test.Text", recipient="a-recipient")
        buffer.append([text, draft(Position(48.137154, 11.5), signal=LOCATION, basis_ref="traffic.position")])
    buffer.acked(buffer_numbers(buffer)[:20])
    buffer.expire(RELEASE_NS // 10**6 + 100_000_000)
    buffer.append(
        [draft("planted marker", signal="Test.Text"), draft(Position(48.137154, 11.5), signal=LOCATION, basis_ref="traffic.position")]
    )
    assert (tmp_path / "buffer.db-wal").stat().st_size > 0
    assert_shows_nothing(tmp_path)


def buffer_numbers(buffer: Buffer) -> list[int]:
    return [n for (n,) in rows(buffer._db, "SELECT n FROM records ORDER BY n")]


def test_the_scan_finds_what_is_planted(tmp_path: Path) -> None:
    """The positive control: the same scan over a plain SQLite file fails by markers, and by its statistics alone."""
    path = tmp_path / "plain.db"
    with sqlite3.connect(path) as plain:
        plain.execute("CREATE TABLE records (stream, text)")
        plain.executemany("INSERT INTO records VALUES ('tests.plain', ?)", [("planted marker " * 20,)] * 300)
    plain.close()
    data = path.read_bytes()
    assert [marker in data for marker in MARKERS[:3]] == [True, True, True]
    assert unevenness(data) > 1000
    assert packed(data) < 0.5
    assert unevenness(os.urandom(len(data))) < 8
