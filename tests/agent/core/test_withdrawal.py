"""Withdrawing: when the answer comes, nothing of the item is collected, readable or leaves any more, whatever happened in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.buffer.store import Buffer
from agent.consent.ledger import Ledger
from agent.core.core import Core
from agent.core.loop import CONFIRM_S, TICK_S, Loop
from agent.core.uplinked import Uplinked
from agent.errors import IntegrityError
from agent.link import LinkDown, Offer, TakenBack
from agent.plan import compile as compile_module
from tests.agent.core.crasher import STEPS
from tests.agent.core.stage import EXTRA, MINUTE, PLACE, SPEED, WEAR, Stage, stream_of


def said_but_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is never told."""
    monkeypatch.setattr(Ledger, "withdraw", lambda self, profile, item: [])


def no_basis_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "CHECKS", tuple(check for check in compile_module.CHECKS if check.__name__ != "basis_stands"))


def nothing_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "_forget", lambda self: None)


def nothing_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uplinked, "take_back", lambda self: None)


def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uplinked, "unconfirmed", lambda self: frozenset())


def of(stream: str, offers: Iterable[Offer]) -> list[int]:
    return [offer.n for offer in offers if stream_of(offer) == stream]


@pytest.fixture
def driving(stage: Stage) -> Stage:
    """Anna drives with two items granted; five seconds are buffered, nothing is offered yet."""
    stage.trip_of("anna", "x.speed", "x.place")
    stage.drive(5)
    return stage


# -- without a link ----------------------------------------------------------------------------------------------------


@pytest.mark.req("R29", "R30", "T05", control=said_but_not_done)
@pytest.mark.req("R29", "R30", "T05", control=nothing_forgotten)
def test_after_the_answer_nothing_of_it_is_left(driving: Stage) -> None:
    """No row, no key, no sample in RAM; rows held by somebody open no more; the other streams are untouched."""
    held = [stored for stored in driving.buffer.waiting(100, set()) if stored.stream == SPEED]
    others = {stream: count for stream, count in driving.stored().items() if stream != SPEED}
    assert len(held) == 5
    answer = driving.ask("consent.withdraw", item="x.speed")
    assert answer.result(0)
    assert driving.stored() == others
    assert not {SPEED, MINUTE} & (driving.key_streams() | driving.live())
    assert all(MINUTE not in key for key in driving.core.pipeline.windows.open)
    for stored in held:
        with pytest.raises(IntegrityError):
            driving.buffer.body_of(stored)


@pytest.mark.req("R29", "T05", control=said_but_not_done)
@pytest.mark.req("R29", "T05", control=no_basis_needed)
def test_after_the_answer_nothing_new_is_collected(driving: Stage) -> None:
    """The car goes on sending: no new record of the item, and its identifier is no longer subscribed."""
    driving.ask("consent.withdraw", item="x.place").result(0)
    driving.ask("consent.withdraw", item="x.speed").result(0)
    assert {one.can_id for one in driving.subscribed[-1]} == {0x130, 0x330}
    before = driving.stored()
    driving.drive(70)
    after = driving.stored()
    assert not {SPEED, MINUTE, PLACE} & set(after)
    assert after[WEAR] > before[WEAR]


def test_withdrawing_one_item_leaves_the_other(driving: Stage) -> None:
    """Each item by itself."""
    driving.ask("consent.withdraw", item="x.speed").result(0)
    driving.drive(2)
    assert PLACE in driving.live() & set(driving.stored())


def test_withdrawing_twice_and_what_was_never_granted_is_no_error(driving: Stage) -> None:
    """The answer is yes each time; the ledger gets one entry."""
    for _ in range(3):
        driving.ask("consent.withdraw", item="x.speed").result(0)
    driving.ask("consent.withdraw", item="x.trimmed").result(0)
    assert [entry["kind"] for entry in driving.ledger.history()].count("withdraw") == 1


@pytest.mark.req("R31", control=lambda patch: patch.setattr("agent.audit.Audit.disclosed", lambda self, entries: None))
def test_what_was_sent_before_stays_on_record_with_its_grant(driving: Stage) -> None:
    """The disclosures of before cite the grant that stood then, and that entry is still in the ledger; both chains hold."""
    driving.connect()
    sent = of(SPEED, driving.deliver_all())
    grant = driving.ledger.facts().grants["anna", "x.speed"].ref
    driving.ask("consent.withdraw", item="x.speed").result(0)
    on_record = [line for line in driving.disclosures() if line["stream"] == SPEED]
    assert len(on_record) == len(sent) == 5
    assert {line["basis_ref"] for line in on_record} == {grant}
    [entry] = [entry for entry in driving.ledger.history() if f"ledger:{entry['entry']}" == grant]
    assert (entry["kind"], entry["item"], entry["state"]) == ("grant", "x.speed", "YES")
    driving.audit.verify()
    driving.ledger.verify()


# -- with offers on their way ------------------------------------------------------------------------------------------


@pytest.fixture
def offered(driving: Stage) -> Stage:
    """All that is buffered has been offered; the broker has answered nothing."""
    driving.connect()
    driving.pump()
    assert of(SPEED, driving.offers)
    return driving


@pytest.mark.req("R30", "T05", control=nothing_taken_back)
@pytest.mark.req("R30", "T05", control=nobody_waits)
def test_the_answer_waits_until_the_uplink_has_taken_back_what_was_offered(offered: Stage) -> None:
    """Exactly the item's open offers are asked back; the answer comes with the confirmation, the link stays."""
    asked_back = set(of(SPEED, offered.offers))
    answer = offered.ask("consent.withdraw", item="x.speed")
    assert set(offered.taken_back()) == asked_back
    offered.loop.turn(0.05)
    assert not answer.done()
    offered.loop.take(TakenBack(ns=tuple(asked_back)))
    assert offered.turn_until(answer.done, 1.0)
    assert offered.loop.uplinked.link is not None


@pytest.mark.req("R29", "R30", "T05", control=nothing_forgotten)
def test_after_the_answer_there_is_no_further_offer(offered: Stage) -> None:
    """Also when the lane is lost and everything open is offered again."""
    answer = offered.ask("consent.withdraw", item="x.speed")
    offered.loop.take(TakenBack(ns=tuple(offered.taken_back())))
    assert offered.turn_until(answer.done, 1.0)
    offered.heard()
    del offered.offers[:]
    for lane in offered.core.delivery.lanes():
        offered.core.delivery.lane_lost(lane)
    offered.drive(3)
    offered.deliver_all()
    assert of(SPEED, offered.offers) == []
    assert of(WEAR, offered.offers)


class Seconds:
    """The loop's own clock, set by the test: no upper bound on a busy computer's time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr("agent.core.loop.time", SimpleNamespace(monotonic=lambda: self.now_s))

    def pass_by(self, stage: Stage, seconds: float) -> None:
        """So much later the loop turns once."""
        self.now_s += seconds
        stage.loop.turn(0.01)


def test_a_confirmation_that_comes_late_is_waited_for(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last moment is in time: the link is kept."""
    seconds = Seconds(monkeypatch)
    answer = offered.ask("consent.withdraw", item="x.speed")
    seconds.pass_by(offered, CONFIRM_S - 0.01)
    assert not answer.done()
    offered.loop.inbox.put(TakenBack(ns=tuple(offered.taken_back())))
    seconds.pass_by(offered, 0)
    assert answer.done()
    assert offered.loop.uplinked.link is not None


@pytest.mark.req("R29", "R30", "T05", control=lambda patch: patch.setattr(Loop, "_settle", lambda self, now_s: None))
@pytest.mark.req("R29", "R30", "T05", control=lambda patch: patch.setattr(Uplinked, "cut", lambda self: None))
def test_without_a_confirmation_the_link_is_cut_within_two_seconds(offered: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen uplink: the answer comes in time, and the end of the link closes every connection."""
    seconds = Seconds(monkeypatch)
    answer = offered.ask("consent.withdraw", item="x.speed")
    seconds.pass_by(offered, 1.0)
    assert not answer.done()
    seconds.pass_by(offered, 1.0 - TICK_S)
    assert answer.done()
    assert offered.loop.uplinked.link is None
    assert offered.far is not None
    with pytest.raises(LinkDown):
        while offered.far.receive(1.0) is not None:
            pass


def test_a_confirmation_of_something_else_is_not_enough(offered: Stage) -> None:
    """All but one of the offers are confirmed: the answer waits for that one."""
    answer = offered.ask("consent.withdraw", item="x.speed")
    first, *rest = offered.taken_back()
    offered.loop.take(TakenBack(ns=tuple(rest)))
    offered.loop.turn(0.05)
    assert not answer.done()
    offered.loop.take(TakenBack(ns=(first,)))
    assert offered.turn_until(answer.done, 1.0)


def test_two_withdrawals_at_once_are_both_answered(offered: Stage) -> None:
    """Each waits for its own, in whatever order the confirmations come."""
    answers = [offered.ask("consent.withdraw", item=item) for item in ("x.speed", "x.place")]
    asked_back = offered.taken_back()
    for n in reversed(asked_back):
        offered.loop.take(TakenBack(ns=(n,)))
    assert offered.turn_until(lambda: all(answer.done() for answer in answers), 1.0)


def forgets_what_was_recalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "agent.core.deliver.Delivery.forgotten", lambda self, ns: self.taken.extend(n for n in ns if self.open.pop(n, None))
    )


@pytest.mark.req("R31", control=forgets_what_was_recalled)
def test_what_had_left_before_the_take_back_is_on_record(offered: Stage) -> None:
    """Of the offers asked back the uplink says that one may have left: it counts as sent before; the others do not."""
    left, *kept = of(SPEED, offered.offers)
    answer = offered.ask("consent.withdraw", item="x.speed")
    offered.loop.take(TakenBack(ns=(left, *kept), maybe_sent=(left,)))
    assert offered.turn_until(answer.done, 1.0)
    assert len([line for line in offered.disclosures() if line["stream"] == SPEED]) == 1
    assert SPEED not in offered.stored()


@pytest.mark.req("R31", control=forgets_what_was_recalled)
def test_an_acknowledgement_that_crosses_the_withdrawal_is_on_record(offered: Stage) -> None:
    """The broker's answer was on its way already: the message left, so the record says so, once."""
    first, *rest = of(SPEED, offered.offers)
    answer = offered.ask("consent.withdraw", item="x.speed")
    offered.acknowledge(next(offer for offer in offered.offers if offer.n == first))
    offered.loop.take(TakenBack(ns=(first, *rest)))
    assert offered.turn_until(answer.done, 1.0)
    assert [line["seq"] for line in offered.disclosures() if line["stream"] == SPEED] == [1]


def test_a_profile_change_waits_for_what_a_trip_grant_had_offered(stage: Stage) -> None:
    """`profile use` ends no grant, so nothing is taken back and the answer is immediate."""
    stage.trip_of("anna", "x.speed")
    stage.ledger.add_profile("bob")
    stage.drive(2)
    stage.connect()
    stage.pump()
    assert stage.ask("profile.use", name="bob").result(0) == {"current": "bob"}
    assert stage.taken_back() == []


# -- crashes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one device for each step at which a withdrawal ended hard."""
    folder = tmp_path_factory.mktemp("crashed")
    done = subprocess.run([sys.executable, "-m", "tests.agent.core.crasher", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{name}=9" for name in STEPS], done.stderr
    return folder


def restarts_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_forgotten(monkeypatch)
    monkeypatch.setattr(Buffer, "_sweep", lambda self: [])


@pytest.mark.req("R30", "T05", control=restarts_without_looking)
def test_a_crash_at_any_step_of_a_withdrawal_leaves_none_of_it(crashed: Path) -> None:
    """Power fails before or after each step: the next start completes it, or (before the ledger's entry) it never began."""
    for name in STEPS:
        with Stage(crashed / name) as after:
            stands = after.ledger.facts().grants["anna", "x.speed"].state == "YES"
            assert stands == (name == "ledger-before"), name
            streams = after.live() | after.key_streams() | set(after.stored())
            assert (SPEED in streams) == stands, name
            assert (MINUTE in streams) == stands, name
            assert {WEAR, EXTRA} <= after.live() & after.key_streams(), name
            assert after.stored()[WEAR] == 5, name
            after.connect()
            after.deliver_all()
            assert bool(of(SPEED, after.offers)) == stands, name
            after.ledger.verify()


def test_a_guest_at_the_wheel_takes_back_the_word_of_who_drove_last(stage: Stage) -> None:
    """Withdrawing must not wait until the driver is confirmed again."""
    stage.trip_of("anna", "x.speed")
    stage.drive(5)
    stage.ignition(on=False)
    stage.wait(200)
    stage.ignition(on=True)
    assert stage.core.profile == "guest"
    assert stage.stored().get(SPEED)
    answer = stage.ask("consent.withdraw", item="x.speed")
    assert stage.turn_until(answer.done)
    assert answer.result()["ended"]  # type: ignore[index]
    assert SPEED not in stage.stored()
