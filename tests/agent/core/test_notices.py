"""Recipients hear that a grant has ended: those that hold something of it, once, and nobody else."""

from __future__ import annotations

import pytest

from agent.body import unpack
from agent.buffer.store import Stored
from agent.core.deliver import Delivery
from agent.core.notices import Notices
from agent.errors import DeviceError
from agent.link import Offer
from agent.vss import BASIS_ENDED
from tests.agent.core.stage import PLACE, SPEED, WEAR, Stage, opened, stream_of

NOTICE = "a.basis_ended"


def notices(offers: list[Offer]) -> list[Offer]:
    return [offer for offer in offers if stream_of(offer) == NOTICE]


def said(offer: Offer) -> tuple[str, object]:
    """The signal and value of a notice."""
    [row] = unpack(opened(offer).body).rows
    return row.signal, row.value


@pytest.fixture
def shared(stage: Stage) -> Stage:
    """Anna has granted two items; three seconds of each have reached their recipients."""
    stage.trip_of("anna", "x.speed", "x.place")
    stage.drive(3)
    stage.connect()
    assert {SPEED, PLACE, WEAR} <= {stream_of(offer) for offer in stage.deliver_all()}
    return stage


def nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Notices, "ended", lambda self, facts, plan: [])


@pytest.mark.req("R30", control=nobody_is_told)
def test_whoever_holds_something_of_a_withdrawn_item_is_told(shared: Stage) -> None:
    """One message to its recipient, signed like the data were, that names the streams and carries nothing else."""
    shared.ask("consent.withdraw", item="x.speed")
    told = notices(shared.deliver_all())
    assert len(told) == 1
    notice = told[0]
    assert said(notice) == (BASIS_ENDED, ("speed",))
    assert (opened(notice).identity, opened(notice).purpose) == ("pairwise", "legal")
    assert notice.topic.split("/")[2] == next(offer.topic for offer in shared.offers if stream_of(offer) == SPEED).split("/")[2]
    shared.drive(2)
    assert notices(shared.deliver_all()) == []
    assert shared.memory.keys("shared/") == []


def test_nobody_is_told_of_what_nobody_got(stage: Stage) -> None:
    """Granted, collected, never acknowledged: a recipient would learn from the notice what it did not know."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.ask("consent.withdraw", item="x.speed")
    stage.connect()
    assert notices(stage.deliver_all()) == []


def remembers_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared(delivery: Delivery, stored: Stored) -> None:
        delivery.notices.shared(delivery.ledger.subject_of(stored.basis_ref), "x.place", stored.recipient, stored.stream)

    monkeypatch.setattr(Delivery, "_shared", shared)


@pytest.mark.req("R39", control=remembers_everybody)
def test_a_recipient_that_knows_no_sender_is_told_nothing(shared: Stage) -> None:
    """For a stream without identity nothing is remembered of who shared it, and no message says that somebody stopped."""
    assert shared.memory.keys("shared/") == [f"shared/{shared.ledger.facts().profiles['anna'].id}/x.speed/someone"]
    shared.ask("consent.withdraw", item="x.place")
    assert notices(shared.deliver_all()) == []


def test_a_grant_that_is_over_is_told_too(shared: Stage) -> None:
    """Its end came without a word of the driver's."""
    shared.grant("anna", "x.speed", until_s=30)
    shared.wait(40)
    assert [said(offer)[1] for offer in notices(shared.deliver_all())] == [("speed",)]


def test_a_grant_that_was_renewed_has_not_ended(shared: Stage) -> None:
    """The newer word stands for the same item."""
    shared.grant("anna", "x.speed", until_s=200_000)
    shared.wait(1)
    assert notices(shared.deliver_all()) == []
    assert shared.memory.keys("shared/")


def test_a_removed_driver_s_recipients_are_told(shared: Stage) -> None:
    """The grants went with the profile."""
    shared.ledger.remove_profile("anna")
    shared.wait(1)
    assert len(notices(shared.deliver_all())) == 1


@pytest.mark.parametrize("step", ["append", "told"])
def test_a_crash_on_the_way_tells_it_at_the_next_start(shared: Stage, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Before the notice is a record, or before it is remembered that it is one; saying it twice says the same."""

    def fails(*_: object) -> None:
        raise DeviceError("the disk takes nothing")

    with monkeypatch.context() as broken:
        broken.setattr(*{"append": (type(shared.buffer), "append", fails), "told": (Notices, "told", fails)}[step])
        assert isinstance(shared.ask("consent.withdraw", item="x.speed").exception(0), DeviceError)
    with shared.again() as after:
        after.connect()
        told = notices(after.deliver_all())
        assert {said(offer)[1] for offer in told} == {("speed",)}
        assert len(told) == (1 if step == "append" else 2)
