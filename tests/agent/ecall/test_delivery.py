"""agent.ecall.delivery, through the machine: each message until the centre has it, and another one only for another content."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.ecall import happenings as world
from agent.ecall.msd import ID_MAX
from agent.ecall.outputs import Dial, Send, Text
from agent.ecall.table import State
from agent.ecall.timers import Timers
from tests.agent.ecall.rig import LAT_DEG, Rig

TIMERS = Timers()


def crashed(*, link: bool = True, sms: bool = False) -> Rig:
    return Rig.make(link=link, sms=sms).tell(world.Crashed())


def test_a_message_is_repeated_until_the_centre_acknowledges_it() -> None:
    """After 1, 2, 4, 5, 5 ... seconds for two minutes, then each half minute; always the same octets under the same identifier."""
    rig = crashed().wait(400)
    sent = rig.when(Send)
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(sent)]
    fast = [gap for at, gap in zip(sent, gaps, strict=False) if at < TIMERS.fast_s]
    assert fast == [1.0, 2.0, 4.0, *[5.0] * (len(fast) - 3)]
    assert set(gaps[len(fast) :]) == {TIMERS.slow_s}
    assert len({one.octets for one in rig.all(Send)}) == len({one.identifier for one in rig.all(Send)}) == 1


def test_an_acknowledged_message_is_not_sent_again() -> None:
    """Not until there is another one."""
    rig = crashed().wait(0.5).ack().wait(600)
    assert rig.when(Send) == [0.0]


@pytest.mark.parametrize(("session", "identifier"), [("another", 1), ("session-1", 2), ("session-1", 0), ("session-1", -1)])
def test_an_acknowledgement_of_something_else_is_none(session: str, identifier: int) -> None:
    """Of another session, or of a message that was never sent."""
    rig = crashed().tell(world.Acknowledged(session, identifier)).wait(1.5)
    assert len(rig.all(Send)) == 2


def test_a_message_waits_for_the_link_and_goes_with_it() -> None:
    """Forty seconds without one: nothing is handed over; then at once."""
    rig = crashed(link=False).wait(40)
    assert rig.all(Send) == []
    assert rig.tell(world.Link(True)).when(Send) == [40.0]


def test_a_second_crash_is_news_of_the_same_call() -> None:
    """The next identifier, the first crash's moment, no second call."""
    rig = crashed().wait(0.5).ack().wait(9.5).tell(world.Crashed())
    first, second = rig.messages()
    assert (second.message_identifier, second.timestamp_s) == (2, first.timestamp_s)
    assert len(rig.all(Dial)) == 1
    assert len({one.session for one in rig.all(Send)}) == 1


def test_a_crash_after_the_button_makes_the_call_automatic() -> None:
    """The centre sees it in the next message."""
    rig = Rig.make().tell(world.SosHeld()).wait(6).ack().tell(world.Crashed())
    assert [(said.message_identifier, said.automatic_activation) for said in rig.messages()][-1] == (2, True)
    assert not rig.messages()[0].automatic_activation


def test_a_better_position_is_another_message_but_not_too_often() -> None:
    """Elsewhere by 50 m or more, and five seconds after the one before."""
    rig = crashed().wait(0.5).ack().wait(1.5).fix(north_m=80)
    assert len(rig.all(Send)) == 1
    rig.wait(4).fix(north_m=40)
    assert len(rig.all(Send)) == 1
    rig.wait(1).fix(north_m=80)
    assert [said.message_identifier for said in rig.messages()] == [1, 2]


def test_the_first_position_of_a_call_is_another_message() -> None:
    """The one that was sent without is worth little."""
    rig = Rig.make(fixed=False).tell(world.Crashed()).ack().wait(20).fix()
    assert [said.position_can_be_trusted for said in rig.messages()] == [False, True]


def test_a_position_that_is_worse_is_no_news() -> None:
    """However far away it says that the car is."""
    rig = crashed().ack().wait(20).fix(north_m=500, sigma_m=900)
    assert len(rig.all(Send)) == 1


def test_the_centre_can_ask_how_it_is_now() -> None:
    """And only of its own call."""
    rig = crashed().ack().wait(3).tell(world.UpdateWanted("another", 1)).tell(world.UpdateWanted("session-1", 1))
    assert [said.message_identifier for said in rig.messages()] == [1, 2]


def test_a_wish_that_is_said_again_asks_for_nothing_more() -> None:
    """Whoever repeats the centre's word uses up no identifier: it is for the message that the centre had."""
    rig = crashed().ack()
    for _ in range(300):
        rig.wait(1).tell(world.UpdateWanted("session-1", 1)).ack()
    assert [said.message_identifier for said in rig.messages()] == [1, 2]


def test_a_drive_of_hours_leaves_identifiers_for_another_crash() -> None:
    """A car that moves on tells it, less and less often; what a crash then says is news, and that it was one."""
    rig = Rig.make().tell(world.SosHeld()).wait(TIMERS.countdown_s).tell(world.CallUp()).ack()
    for n in range(9_000):
        rig.wait(1).fix(north_m=28.0 * n).ack()
    before = rig.messages()[-1].message_identifier
    assert before < ID_MAX - 8
    rig.tell(world.Crashed()).wait(0)
    last = rig.messages()[-1]
    assert (last.message_identifier, last.automatic_activation) == (before + 1, True)


def test_a_message_that_nobody_can_have_seen_is_made_anew_under_its_identifier() -> None:
    """Without a link the place goes on getting better; the first that is sent is the newest, and is the first."""
    rig = crashed(link=False)
    for n in range(1, 40):
        rig.wait(6).fix(north_m=100.0 * n)
    rig.tell(world.Link(up=True)).wait(0)
    (said,) = rig.messages()
    assert (said.message_identifier, said.latitude_mas) == (1, round((LAT_DEG + 3_900 / 111_195) * 3_600_000))


def test_a_car_that_moves_on_unheard_is_texted_all_the_same() -> None:
    """A newer message does not begin the wait anew."""
    rig = crashed(sms=True, link=False)
    for n in range(1, 20):
        rig.wait(2).fix(north_m=60.0 * n)
    assert rig.when(Text) == [TIMERS.transfer_s]


def test_another_crash_while_nobody_is_spoken_to_dials_again() -> None:
    """After the first call was over, and while the next one is waited for; it stays the same session."""
    rig = crashed().ack().tell(world.CallUp()).tell(world.CallOver())
    assert rig.state is State.CALLBACK_WAIT
    rig.tell(world.Crashed())
    assert (rig.state, len(rig.all(Dial))) == (State.SENDING, 2)
    held = crashed().tell(world.CallOver())
    assert held.state is State.HOLD
    held.tell(world.Crashed())
    assert (held.state, len(held.all(Dial)), {one.session for one in held.all(Send)}) == (State.SENDING, 2, {"session-1"})


def test_when_no_identifier_is_left_the_last_message_stays_and_goes_again() -> None:
    """One identifier never stands for two messages."""
    rig = crashed().ack()
    for _ in range(300):
        rig.wait(1).tell(world.UpdateWanted("session-1", len({one.identifier for one in rig.all(Send)}))).ack()
    sent = {(one.identifier, one.octets) for one in rig.all(Send)}
    assert len(sent) == len({identifier for identifier, _ in sent}) == 255
    assert len(rig.all(Send)) == 301


def test_an_unacknowledged_message_also_goes_as_text_where_that_is_allowed() -> None:
    """Once, when the transfer counts as failed, and at once after another crash while nothing is heard; never for a test."""
    rig = crashed(sms=True).wait(300)
    assert rig.when(Text) == [TIMERS.transfer_s]
    assert rig.all(Text)[0].octets == rig.all(Send)[0].octets
    rig.tell(world.Crashed()).wait(100)
    assert rig.when(Text) == [TIMERS.transfer_s, 300.0]
    assert Rig.make(sms=True).tell(world.TestAsked()).wait(300).all(Text) == []
    assert crashed().wait(300).all(Text) == []


def test_text_goes_without_a_link_and_not_after_an_acknowledgement() -> None:
    """That is what it is for."""
    assert crashed(sms=True, link=False).wait(100).when(Text) == [TIMERS.transfer_s]
    assert crashed(sms=True).wait(1).ack().wait(100).all(Text) == []
