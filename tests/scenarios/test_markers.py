"""The scanner of planted markers finds what it has to find, and nothing in noise: else its silence would prove nothing."""

from __future__ import annotations

import base64
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.markers import (
    PAIR_BYTES,
    Planted,
    Spelling,
    files_of,
    hits,
    is_noise,
    names_in,
    readable_pages,
    scan,
    spelled_text,
)

PLACE = (39.81273, 116.46138)
SPELLINGS = list(Planted(places=(PLACE,)).spelled())
PAIRS = [one for one in SPELLINGS if one.pair]
NOISE = random.Random(3).randbytes(1 << 16)


def planted(one: Spelling, gap: int = 20) -> bytes:
    """The spelling in the middle of noise; of a pair the second `gap` bytes after the first."""
    return NOISE[:5000] + one.data + (NOISE[:gap] + one.pair if one.pair else b"") + NOISE[5000:9000]


@pytest.mark.parametrize("one", SPELLINGS, ids=lambda one: f"{one.marker}-{one.encoding}")
def test_a_planted_marker_is_found_in_each_encoding(one: Spelling) -> None:
    """One at a time, in noise."""
    assert (one.marker, one.encoding) in hits(SPELLINGS, planted(one))


def test_there_are_enough_markers() -> None:
    """Twelve are asked for; texts, numbers and packed digits among them."""
    assert len({one.marker for one in SPELLINGS}) >= 12


def test_noise_holds_no_marker() -> None:
    """A mebibyte of it, with as many places as a drive has."""
    places = tuple((39.8 + n / 1000, 116.4 + n / 1000) for n in range(40))
    assert hits(Planted(places=places).spelled(), random.Random(4).randbytes(1 << 20)) == set()


@pytest.mark.parametrize("one", PAIRS, ids=lambda one: f"{one.marker}-{one.encoding}")
def test_four_byte_numbers_count_only_close_together(one: Spelling) -> None:
    """Latitude and longitude within 64 bytes, in either order; further apart it is chance."""
    assert one.found_in(planted(one, PAIR_BYTES - 4))
    assert one.found_in(NOISE[:999] + one.pair + NOISE[:8] + one.data + NOISE[:999])
    assert not one.found_in(planted(one, PAIR_BYTES + 8))


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_a_text_inside_longer_base64_is_found(before: bytes, behind: bytes) -> None:
    """Wherever it begins."""
    text = Planted().vin
    content = base64.b64encode(before + text.encode() + behind)
    assert any(one.found_in(content) for one in spelled_text("vin", text))


def test_files_are_scanned_with_their_names(tmp_path: Path) -> None:
    """A folder, the folder in it, and a single file."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "core.log").write_text(f"vin {Planted().vin}")
    (tmp_path / "other.bin").write_bytes(NOISE)
    assert scan(SPELLINGS, files_of(tmp_path)) == {("core.log", "vin", "utf-8")}
    assert scan(SPELLINGS, files_of(tmp_path / "other.bin")) == set()


def test_a_plain_database_is_recognised(tmp_path: Path) -> None:
    """Its header, its words and its even-ness: every page of the file and of the WAL."""
    path = tmp_path / "plain.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE records (stream TEXT)")
        database.executemany("INSERT INTO records VALUES (?)", [("real_time_traffic.probe",)] * 500)
        database.commit()
        files = files_of(tmp_path)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files |= {"checkpointed.db": path.read_bytes()}
    database.close()
    assert len(readable_pages("plain.db-wal", files["plain.db-wal"])) > 3
    assert len(readable_pages("checkpointed.db", files["checkpointed.db"])) > 3
    assert names_in(["SQLite format 3", "probe", "nowhere"], files["checkpointed.db"]) == ["SQLite format 3", "probe"]


def test_random_pages_are_noise_and_coded_ones_are_not() -> None:
    """Also base64, which uses 64 values evenly."""
    assert all(is_noise(random.Random(seed).randbytes(4096)) for seed in range(300))
    assert not is_noise(base64.b64encode(NOISE)[:4096])
    assert not is_noise(bytes(2048) + NOISE[:2048])
