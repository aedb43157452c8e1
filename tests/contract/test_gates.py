"""One gate, two engines: the same traffic on a real vcan through the kernel's gate and the software's, in a guest that has CAN_BCM.

What is compared is what was delivered, to the frame: payloads and silences in their order, by identifier.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cases import MARGIN_MS, MS, NAMED, SILENT, Course, random_courses
from tests.contract.stories import (
    CASES,
    ENGINES,
    FLOOD,
    NARROWED,
    NEW,
    RANDOM_IDS,
    SEEDS,
    SWAPS,
    UNCHANGED,
    UNDER_WAY,
    WITHDRAWN,
)
from tests.support.guest import needs_guest, run_in_guest

pytestmark = [pytest.mark.guest, pytest.mark.timeout(420)]

STORY_S = 300


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    needs_guest()
    folder: Path = tmp_path_factory.mktemp("guest")
    run_in_guest("tests/contract/gates.sh", folder, STORY_S)
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def told(played: dict[str, Any], engine: str, course: Course) -> list[str]:
    """What it delivered; those that come in any order, in order."""
    said = [one for one, _ in played["told"][engine][course.name]]
    first = len(said) - course.at_once
    return said[:first] + sorted(said[first:])


def expected(course: Course, engine: str) -> list[str]:
    """By the contract."""
    whole = list((course.kernel if engine == "kernel" else None) or course.delivered)
    first = len(whole) - course.at_once
    return whole[:first] + sorted(whole[first:])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("course", NAMED, ids=lambda course: course.name)
def test_each_point_of_the_contract_holds(stories: dict[str, Any], course: Course, engine: str) -> None:
    """What the gate documents, and beside it what it tolerates of the kernel."""
    assert told(stories["courses"]["named"], engine, course) == expected(course, engine)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_traffic_is_delivered_alike_to_the_frame(stories: dict[str, Any], seed: int) -> None:
    """By both, and by the gate in virtual time."""
    played = stories["courses"][f"seed {seed}"]
    courses = random_courses(seed, RANDOM_IDS)
    assert sum(len(course.delivered) for course in courses) > 50
    for course in courses:
        for engine in ENGINES:
            assert told(played, engine, course) == list(course.delivered), f"seed {seed}, {course.name}, {engine}: {course}"


def test_the_traffic_kept_its_margins(stories: dict[str, Any]) -> None:
    """Else nothing of the above would mean anything."""
    assert max(played["late_ms"] for played in stories["courses"].values()) < MARGIN_MS


def test_a_frame_has_the_time_of_its_arrival_in_both(stories: dict[str, Any]) -> None:
    """The kernel's own; a held one that of the newest of its identifier, at most the throttle later."""
    played = stories["courses"]["named"]
    for course in NAMED:
        if course.kernel or course.at_once:
            continue
        kernel, software = (played["told"][engine][course.name] for engine in ENGINES)
        for (said, at_ms), (_, own_ms) in zip(kernel, software, strict=True):
            if said != SILENT:
                assert -1 <= at_ms - own_ms <= course.wish.throttle_ns / MS + 1, course.name


def test_error_frames_are_counted_by_both(stories: dict[str, Any]) -> None:
    """The broadcast manager brings none, the raw socket beside it does."""
    assert [stories["courses"]["named"]["counts"][engine]["errors"] for engine in ENGINES] == [{"error-active": 1}] * 2


def test_the_kernel_wakes_nobody_for_what_says_nothing_new(stories: dict[str, Any]) -> None:
    """What its engine has read is what was delivered, and the error frame; the other has read all."""
    played = stories["courses"]["named"]
    frames = sum(one != SILENT for course in NAMED for one in expected(course, "kernel"))
    sent = sum(len(course.steps) for course in NAMED)
    assert played["counts"]["kernel"]["read"] == frames + 1
    assert played["counts"]["software"]["read"] == sent


def payloads(delivered: Iterable[tuple[int, int, str]], can_id: int) -> list[int]:
    """The rounds of one identifier's frames; of the multiplexed one those of case 1."""
    said = [text for _, one, text in delivered if one == can_id and (can_id != CASES or text.startswith("01"))]
    return [int.from_bytes(bytes.fromhex(text)[-2:], "little") for text in said]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("can_id", [UNCHANGED, NARROWED, CASES])
def test_no_swap_costs_a_frame_that_is_wanted_before_and_after(stories: dict[str, Any], engine: str, can_id: int) -> None:
    """Each frame was a change: each is delivered, once, whether its subscription stayed as it was, narrowed or got one more case."""
    story = stories["swaps"][engine]
    rounds = payloads(story["delivered"], can_id)
    assert rounds == list(range(rounds[0], story["sent"] + 1))
    assert (len(story["rounds"]), story["lost"], story["losses"]) == (SWAPS + 1, 0, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_withdrawn_frame_is_delivered_once_subscribe_has_returned(stories: dict[str, Any], engine: str) -> None:
    """Neither an identifier nor a case, while a sender goes on with them."""
    story = stories["swaps"][engine]["delivered"]
    odd = [(can_id, said) for era, can_id, said in story if era != UNDER_WAY and era % 2]
    even = [(can_id, said) for era, can_id, said in story if era != UNDER_WAY and not era % 2]
    assert not [said for can_id, said in odd if can_id == WITHDRAWN]
    assert not [said for can_id, said in even if can_id == NEW or (can_id == CASES and said.startswith("02"))]
    assert [said for can_id, said in even if can_id == WITHDRAWN]
    assert [said for can_id, said in odd if can_id == CASES and said.startswith("02")]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_new_is_read_from_the_first_frame_after_subscribe_on(stories: dict[str, Any], engine: str) -> None:
    """No later than the first that was sent after it returned, and without a gap."""
    story = stories["swaps"][engine]
    for era in range(1, SWAPS, 2):
        rounds = payloads((one for one in story["delivered"] if one[0] == era), NEW)
        assert rounds == list(range(rounds[0], rounds[-1] + 1))
        # One round may have been under way when its number was read.
        assert rounds[0] <= story["rounds"][era] + 2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_queue_that_ran_over_is_counted_and_made_good(stories: dict[str, Any], engine: str) -> None:
    """The last change had no room; the unchanged repetition after it is delivered, once."""
    found = stories["losses"][engine]["queue"]
    assert found["before"] + found["lost"] == FLOOD
    assert found["lost"] > 0
    assert found["after"] == [(FLOOD - 1).to_bytes(2, "little").hex()]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_inbox_refused_is_told_again(stories: dict[str, Any], engine: str) -> None:
    """A change with its next repetition, a silence by itself."""
    assert stories["losses"][engine]["inbox"] == {"items": ["0100", "0200", SILENT], "lost": 2}
