"""Requests: what somebody in the car asks for leaves once, fresh, on the asker's own grant, and is waited for no longer than 30 s."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from agent.collect.request import WAIT_NS_MAX, Requests
from agent.collect.trip import TRIP_GAP_S
from agent.errors import FindingsError, UsageError
from agent.vss import GNSS_SIGNALS, LOCATION, ODOMETER, SPEED
from hw.ports import Fix, Silence
from tests.agent.catalogue.trees import Tree
from tests.agent.core.stage import PLACE, TREE, Stage, one

FIND, STATE = "a.find", "a.state"
FRESH_S = 10


def tree() -> Tree:
    """The stage's catalogue with two streams that are sent on request only."""
    made = copy.deepcopy(TREE)
    on_request: dict[str, Any] = {"triggers": ["request:x"], "every_s": 0}
    find = one("find", LOCATION, item="x.place", **on_request)
    find["signal"] = [{"id": LOCATION, "fresh_s": FRESH_S}]
    state = one("state", SPEED, **on_request)
    state["signal"] = [{"id": SPEED, "fresh_s": FRESH_S}, {"id": ODOMETER}]
    made["services/a.toml"]["stream"] += [find, state]
    made["consent.toml"]["items"]["x.place"]["precision"] = "exact"
    return made


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Stage]:
    """Anna drives and has granted her place."""
    with Stage(tmp_path, tree=tree()) as made:
        made.trip_of("anna", "x.place")
        yield made


def ask(stage: Stage, stream: str) -> Future[Any]:
    return stage.ask("request", stream=stream)


def turn(stage: Stage, seconds: float) -> None:
    stage.clock.set(stage.clock.now_ns() + round(seconds * 1e9))
    stage.loop.turn(0)


def park(stage: Stage) -> None:
    """Ignition off for longer than a trip bears; the trip is over."""
    stage.ignition(on=False)
    stage.wait(TRIP_GAP_S + 2)
    assert stage.core.trip.id is None


def places(stage: Stage) -> list[str]:
    return sorted(GNSS_SIGNALS & stage.core.pipeline.latest.readings.keys())


def asks_for_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is decided as if everything were granted by whoever asks."""
    monkeypatch.setattr("agent.plan.compile.basis_stands", lambda candidate, inputs: None)
    monkeypatch.setattr("agent.plan.compile.CHECKS", ())


@pytest.mark.req("R29", control=asks_for_anybody)
def test_without_a_grant_nothing_is_given_to_whoever_asks(asking: Stage) -> None:
    """The answer is no, with the reason, also for another driver than the one who granted."""
    asking.ledger.add_profile("ben")
    asking.ledger.use_profile("ben", asking.core.trip.id or "")
    asking.core.decide()
    asking.fix()
    with pytest.raises(FindingsError, match="profile"):
        ask(asking, FIND).result(0)
    assert FIND not in asking.stored()


def test_what_is_known_and_fresh_is_given_at_once(asking: Stage) -> None:
    """One record of the last values; asking again gives another, and nothing comes without asking."""
    asking.drive(3)
    answer = ask(asking, STATE).result(0)
    assert answer == {"stream": STATE, "given": sorted([SPEED, ODOMETER]), "none": []}
    asking.drive(5)
    assert asking.stored()[STATE] == 1
    ask(asking, STATE).result(0)
    assert asking.stored()[STATE] == 2


def test_what_has_to_be_fresh_is_waited_for(asking: Stage) -> None:
    """The last fix is too old: the answer comes with the next one, and the record holds that one."""
    asking.fix()
    asking.clock.set(asking.clock.now_ns() + 11 * 10**9)
    answer = ask(asking, FIND)
    turn(asking, 1)
    assert not answer.done()
    asking.fix(lat=31.25)
    turn(asking, 0.1)
    assert answer.result(0)["given"] == [LOCATION]
    assert asking.stored()[FIND] == 1


def waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collect.request.WAIT_NS_MAX", 10**18)


@pytest.mark.req("T05", control=waits_for_ever)
def test_after_thirty_seconds_the_answer_is_none(asking: Stage) -> None:
    """Not earlier, not later; nothing is collected, and a fix that comes then is nobody's."""
    answer = ask(asking, FIND)
    turn(asking, WAIT_NS_MAX / 1e9 - 1)
    assert not answer.done()
    turn(asking, 2)
    assert answer.done()
    assert answer.result(0) == {"stream": FIND, "given": [], "none": [LOCATION]}
    asking.fix()
    turn(asking, 1)
    assert FIND not in asking.stored()


def test_a_signal_whose_frame_still_arrives_is_fresh(asking: Stage) -> None:
    """An unchanged frame is not delivered again; a silent one is old after its seconds."""
    asking.drive(1)
    asking.clock.set(asking.clock.now_ns() + 60 * 10**9)
    assert SPEED in ask(asking, STATE).result(0)["given"]
    asking.core.silence(Silence("pt", 0xA5, asking.clock.now_ns()))
    asking.clock.set(asking.clock.now_ns() + 12 * 10**9)
    late = ask(asking, STATE)
    turn(asking, 31)
    assert late.result(0) == {"stream": STATE, "given": [ODOMETER], "none": [SPEED]}


def always_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Requests, "want", lambda self, signals: True)


@pytest.mark.req("R24", control=always_wanted)
def test_a_parked_car_gives_its_place_once_to_who_drove_last(asking: Stage) -> None:
    """One fresh fix for the request, none for anybody else, and nothing of it stays in RAM."""
    asking.drive(2)
    park(asking)
    asking.fix()
    assert places(asking) == []
    answer = ask(asking, FIND)
    asking.fix()
    turn(asking, 0.1)
    assert answer.result(0)["given"] == [LOCATION]
    assert places(asking) == []
    asking.fix()
    asking.wait(5)
    assert asking.stored()[FIND] == 1
    assert PLACE not in asking.stored()


def test_the_place_of_a_parked_car_is_sent_to_its_recipient(asking: Stage) -> None:
    """It is a record like any other and leaves while the car stands; another trip does not bring it back."""
    asking.drive(1)
    park(asking)
    asking.connect()
    asking.deliver_all()
    answer = ask(asking, FIND)
    asking.fix()
    turn(asking, 0.1)
    answer.result(0)
    assert [offer.topic.split("/")[-1] for offer in asking.deliver_all() or asking.offers[-1:]] == ["find"]


def ends_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Requests, "withdraw", lambda self, live: None)


@pytest.mark.req("R29", "R30", control=ends_no_request)
@pytest.mark.parametrize("parked", [False, True])
def test_a_request_ends_with_its_grant(asking: Stage, parked: bool) -> None:
    """Withdrawn while the fix is waited for: the fix that comes then is taken by nobody."""
    asking.drive(1)
    if parked:
        park(asking)
    asking.clock.set(asking.clock.now_ns() + 11 * 10**9)
    answer = ask(asking, FIND)
    assert not answer.done()
    asking.ask("consent.withdraw", item="x.place")
    asking.fix()
    turn(asking, 0.1)
    assert answer.result(0)["given"] == []
    assert FIND not in asking.stored()


@pytest.mark.parametrize("stream", ["a.speed", "a.nothing", "", "find"])
def test_what_cannot_be_asked_for_is_an_error_that_says_what_can(asking: Stage, stream: str) -> None:
    """A stream with other triggers, none at all, half a name."""
    with pytest.raises(UsageError, match=r"a\.find, a\.state"):
        ask(asking, stream).result(0)


def test_a_void_fix_answers_nothing(asking: Stage) -> None:
    """No position, no answer yet."""
    asking.clock.set(asking.clock.now_ns() + 11 * 10**9)
    answer = ask(asking, FIND)
    asking.core.fix(Fix(asking.clock.now_ns()))
    turn(asking, 0.1)
    assert not answer.done()


def test_core_answers_by_itself(asking: Stage) -> None:
    """Without the loop: `ask` gives back what will be answered."""
    asking.fix()
    assert asking.core.ask(FIND).answered
