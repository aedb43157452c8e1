"""The loop: one thread that owns core, an inbox, requests that are answered whatever they say."""

from __future__ import annotations

from typing import Any

import pytest

from agent.buffer.store import Buffer
from agent.core.loop import INBOX_MAX, Loop
from agent.errors import DeviceError, NotPermitted, UsageError
from hw.ports import Fix, Frame, Silence
from tests.agent.core.stage import SPEED, WEAR, Stage, stream_of, vehicle


def test_what_is_in_the_inbox_is_done_in_order_and_time_passes_after_it(stage: Stage) -> None:
    """A frame, a fix and a silence, then one step."""
    message = vehicle().sources["Vehicle.LowVoltageSystemState"].message
    data = message.encode({"KL": 2, "KEY_INSIDE": 0, "ALIVE": 0})
    now_ns = stage.clock.now_ns()
    for item in (Frame("pt", 0x130, data, now_ns), Fix(now_ns), Silence("pt", 0xA5, now_ns)):
        stage.loop.inbox.put(item)
    stage.loop.turn(0.05)
    assert stage.core.trip.ignition is True
    assert stage.loop.fixes == 1
    assert stage.loop.inbox.empty()


def test_a_request_from_another_thread_is_answered_by_the_loop(stage: Stage) -> None:
    """`submit` only puts; the turn answers."""
    answer = stage.loop.submit("ping", {})
    assert not answer.done()
    stage.loop.turn(0.01)
    assert answer.result(0)


def test_a_full_inbox_is_said_to_whoever_asks(stage: Stage) -> None:
    """A flood of frames costs the asker an error that says try again, not the loop."""
    for _ in range(INBOX_MAX):
        stage.loop.inbox.put_nowait(Silence("pt", 1, 0))
    with pytest.raises(DeviceError, match="busy"):
        stage.loop.submit("ping", {})


def test_stopping_makes_everything_durable(stage: Stage) -> None:
    """Samples in open windows become records before the process ends, and the time that was reached is saved."""
    saved: list[int] = []
    stage.loop.save_clock = saved.append
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.loop.stopping = True
    stage.loop.run()
    assert stage.stored()["a.minute"] == 1
    assert saved == [stage.clock.now_ns()]


def test_a_clean_stop_sends_what_can_still_be_sent(stage: Stage) -> None:
    """With a link, the last records are offered before the end, and nothing waits longer than its limit."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.connect()
    stage.loop.stopping = True
    stage.loop.run()
    assert {offer.topic.split("/")[-1] for offer in [*stage.offers, *[m for m in stage.heard() if hasattr(m, "topic")]]} >= {
        "speed",
        "minute",
    }


HOSTILE: list[Any] = [None, True, -1, 0, 2**63, 1e300, -1.5, "", "x" * 5000, "\x00", "\ud800", [], [1], {}, {"a": 1}, "../../etc/passwd"]
ROUTES_WITH_ARGS = [
    ("consent.grant", "item"),
    ("consent.grant", "until_ms"),
    ("consent.grant", "trip"),
    ("consent.withdraw", "item"),
    ("profile.add", "name"),
    ("profile.add", "minor"),
    ("profile.use", "name"),
    ("policy.show", "version"),
    ("policy.show", "language"),
    ("policy.accept", "version"),
    ("policy.accept", "language"),
    ("audit.show", "limit"),
]


@pytest.mark.parametrize(("route", "argument"), ROUTES_WITH_ARGS)
def test_no_argument_harms_the_agent(stage: Stage, route: str, argument: str) -> None:
    """Any JSON in any argument: an answer or an error in our own words; the ledger is still readable, also after a restart."""
    stage.trip_of("anna", "x.speed")
    proper: dict[str, Any] = {"consent.grant": {"item": "x.place", "until_ms": stage.now_ms + 10_000}}.get(route, {})
    for value in HOSTILE:
        answer = stage.ask(route, **(proper | {argument: value}))
        stage.loop.turn(0)
        problem = answer.exception(0)
        assert problem is None or isinstance(problem, UsageError | NotPermitted), (value, problem)
    assert SPEED in stage.live() or route.startswith("profile")
    with stage.again() as after:
        assert after.ledger.history()
        assert WEAR in after.live()


def test_a_grant_needs_whole_milliseconds(stage: Stage) -> None:
    """A fraction or a text as an end is refused and writes nothing, rather than an entry that nobody can read."""
    stage.trip_of("anna")
    before = len(stage.ledger.history())
    for until in (stage.now_ms + 10_000.5, str(stage.now_ms + 10_000), True):
        with pytest.raises(UsageError):
            stage.ask("consent.grant", item="x.speed", until_ms=until).result(0)
    assert len(stage.ledger.history()) == before


def test_missing_arguments_are_an_error_in_one_line(stage: Stage) -> None:
    """A route that needs a name and gets none."""
    for route in ("profile.use", "profile.add", "consent.grant", "consent.withdraw"):
        problem = stage.ask(route).exception(0)
        assert isinstance(problem, UsageError)
        assert len(str(problem).splitlines()) == 1


def test_the_indicator_says_when_a_position_is_among_it(stage: Stage) -> None:
    """What is collected by itself shows; withdrawn it does not."""
    stage.trip_of("anna", "x.place")

    def indicator() -> object:
        answer = stage.ask("live")
        assert stage.turn_until(answer.done)
        return answer.result()["indicator"]  # type: ignore[index]

    assert indicator() == "position"
    stage.ledger.withdraw("anna", "x.place")
    stage.core.decide()
    assert indicator() == "on"


def fails_once(monkeypatch: pytest.MonkeyPatch, target: Any, name: str) -> list[int]:
    """The next call of a method raises DeviceError; how many calls there were."""
    method, calls = getattr(target, name), [0]

    def call(*args: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise DeviceError("the disk takes nothing")
        return method(*args, **named)

    monkeypatch.setattr(target, name, call)
    return calls


@pytest.mark.parametrize("name", ["expire", "append", "forget"])
def test_one_failure_of_the_disk_stops_nothing_for_good(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Grants end, records are made and sent as before; what was found is no finding any more."""
    stage.trip_of("anna", "x.speed", until_s=60)
    stage.drive(2)
    stage.connect()
    calls = fails_once(monkeypatch, Buffer, name)
    stage.grant("anna", "x.place")
    for _ in range(8):
        stage.clock.set(stage.clock.now_ns() + 1_000_000_000)
        stage.frame("MOTION", SPEED=50.0)
        stage.loop.turn(0)
    assert calls[0] > 1
    assert "a.place" in stage.live()
    assert stage.heard()
    stage.clock.set(stage.clock.now_ns() + 100_000_000_000)
    stage.loop.turn(0)
    assert SPEED not in stage.live()
    assert (stage.loop.trouble, stage.core.trouble) == (None, None)


def test_a_disk_that_fails_keeps_nothing_from_being_taken_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver hears that it was not done to its end; what the uplink has of it is asked back all the same."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.connect()
    offered = {offer.n for offer in stage.pump() if stream_of(offer) == SPEED}
    assert offered
    fails_once(monkeypatch, Buffer, "forget")
    assert isinstance(stage.ask("consent.withdraw", item="x.speed").exception(0), DeviceError)
    assert offered <= set(stage.taken_back())
    stage.loop.turn(0)
    assert SPEED not in stage.stored()


def test_a_leap_that_cannot_be_written_loses_no_message(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An uplink connects at the very moment: it is attached."""

    def failing_leap(_: Loop) -> None:
        raise DeviceError("the disk takes nothing")

    monkeypatch.setattr(Loop, "_look", failing_leap)
    stage.connect()
    assert stage.loop.uplinked.link is not None
