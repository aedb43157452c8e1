"""The SOS line on a real kernel's simulated chips, in a guest that has gpio-sim: one boot, one story (sos.py), and what it found.

Debian's own user-mode-linux has no GPIO: there these are skipped. One built with GPIOLIB, GPIO_CDEV and GPIO_SIM runs them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.guest import kernel_mentions, needs_guest, run_in_guest

pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]

STORY_S = 240
BACK_S_MAX = 3 * 3.0
"""A chip that is back is read within 3 s; factor 3 in real time."""
LATE_S_MAX = 3 * 0.2


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    needs_guest()
    if not kernel_mentions("gpiochip"):
        pytest.skip("the guest's kernel has no GPIO: it wants GPIOLIB, GPIO_CDEV and GPIO_SIM")
    folder = tmp_path_factory.mktemp("guest")
    run_in_guest("tests/guest/sos.sh", folder, STORY_S)
    if not (folder / "sos.json").is_file():
        pytest.skip("the guest's kernel has no gpio-sim")
    found: dict[str, Any] = json.loads((folder / "sos.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("step", ["by label and name", "by path and offset", "without debounce", "after the loss"])
def test_a_button_is_a_button_however_its_line_is_named(story: dict[str, Any], step: str) -> None:
    """Held it tells, once and in time; pressed for 1.2 s it does not; shaken it does."""
    found = story[step]
    assert (found["once"], found["short"], found["shaken"]) == (1, 0, 1)
    assert 0 <= found["late_s"] < LATE_S_MAX


def test_a_chip_that_is_not_there_is_told_and_read_when_it_comes(story: dict[str, Any]) -> None:
    """As at a start before the chip's driver."""
    assert story["absent"].endswith(": no chip that can be read has this name or label; tried again by itself")
    assert story["back_s"] < BACK_S_MAX


def test_a_chip_that_goes_is_told_and_read_when_it_is_back(story: dict[str, Any]) -> None:
    """The kernel's answer while the line is open."""
    assert story["away"]["problem"].startswith("the SOS line broke off (sos-bench line SOS): ")
    assert story["away"]["gone_s"] < LATE_S_MAX
    assert story["away"]["back_s"] < BACK_S_MAX


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ("taken", "another program or driver has it"),
        ("no such line", "the chip has no such line"),
        ("no such offset", "the chip has no such line"),
    ],
)
def test_a_line_that_cannot_be_had_says_why(story: dict[str, Any], step: str, cause: str) -> None:
    """In words, from the kernel's own refusals."""
    assert story[step].startswith("the SOS line does not open (")
    assert f": {cause}; " in story[step]


def test_edges_that_nobody_read_in_time_are_a_loss(story: dict[str, Any]) -> None:
    """The kernel drops the oldest without a word; their numbers tell."""
    assert story["dropped"] == "edges were lost"


def test_a_button_that_was_down_before_calls_nobody_until_it_was_released(story: dict[str, Any]) -> None:
    """The kernel tells no edge for it, and the press after it counts."""
    assert story["down before"] == [0, 1]
