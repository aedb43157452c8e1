"""Power cuts in the guest, the short form: ten of them, and the control. The long form is `python -m tests.guest.cuts --cuts 200`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.storage.sqlite import open_or_set_aside
from tests.guest.cuts import Tally, cut_again_and_again, numbers
from tests.support.guest import needs_guest

CUTS = 10
CONTROL_SEED = 2
"""Its one cut comes while core runs."""


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Tally:
    needs_guest()
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return cut_again_and_again(tmp_path_factory.mktemp("cuts"), CUTS, seed)


@pytest.mark.guest
@pytest.mark.timeout(900)
def test_no_record_that_was_said_to_be_durable_is_lost(tally: Tally) -> None:
    """All that `append` had returned before the cut lies there after it, and no number is used twice."""
    assert (tally.cuts, tally.lost, tally.twice) == (CUTS, 0, 0), tally
    assert tally.durable > CUTS


@pytest.mark.guest
@pytest.mark.timeout(900)
def test_every_database_opens_and_core_comes_up_after_each_cut(tally: Tally) -> None:
    """Nothing is set aside, no start fails, and the file system is sound."""
    assert (tally.set_aside, tally.ended) == (0, 0), tally


@pytest.mark.guest
@pytest.mark.timeout(300)
def test_what_is_not_kept_is_found_to_be_lost(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The control: databases that do not wait for the disk."""
    needs_guest()
    control = cut_again_and_again(tmp_path_factory.mktemp("control"), 1, CONTROL_SEED, off=True)
    assert control.lost or control.set_aside or control.ended, control


def test_a_word_that_the_cut_came_into_counts_for_nothing() -> None:
    """`durable 19` of `durable 194` is not 19."""
    tally = Tally()
    tally.hear("opened 1-3,7\ndurable 8-9\ndurable 1guest: power cut 2.01 s after the command began\n")
    assert (tally.held, tally.durable, tally.lost) == ({1, 2, 3, 7, 8, 9}, 2, 0)
    tally.hear("opened 1-3,8\ngoing 1\n")
    assert (tally.held, tally.lost) == ({2, 3, 8}, 2)


def test_a_core_that_is_started_anew_in_a_life_has_not_come_up() -> None:
    """systemd would go on doing so, and the databases would be sound."""
    tally = Tally()
    tally.hear("opened 1\n")
    tally.hear("opened 1\nopened 1\n")
    assert (tally.ended, tally.lost) == (1, 0)


def test_a_database_that_core_has_set_aside_is_counted(tmp_path: Path) -> None:
    """By core's own word for it, as its log has it."""
    (tmp_path / "buffer.db").write_bytes(b"no database" * 1000)
    db, finding = open_or_set_aside(tmp_path / "buffer.db", bytes(32), "buffer")
    db.close()
    assert finding is not None
    tally = Tally()
    tally.hear(f"modicum.core: {finding.code}: {finding.text}: {finding.hint}\n")
    assert tally.set_aside == 1


def test_ranges_are_read_as_they_are_written() -> None:
    """Those of cut_core.py."""
    assert list(numbers("1-3,7")) == [1, 2, 3, 7]
    assert list(numbers("")) == []
