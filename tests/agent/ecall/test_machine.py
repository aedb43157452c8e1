"""agent.ecall.machine: one emergency call after another, on a fake clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.ecall import happenings as world
from agent.ecall.outputs import Answer, Dial, Ended, HangUp, Look, Save, Send
from agent.ecall.table import State
from agent.ecall.timers import Timers
from tests.agent.ecall.build import VIN
from tests.agent.ecall.rig import LAT_DEG, UTC_S, Rig

TIMERS = Timers()


def crashed(*, link: bool = True, sms: bool = False) -> Rig:
    return Rig.make(link=link, sms=sms).tell(world.Crashed())


# -- the beginning ----------------------------------------------------------------------------------------------------


def test_a_crash_is_kept_sent_and_dialled_at_once_in_this_order() -> None:
    """Nobody is asked; what is kept for a restart comes first."""
    rig = crashed()
    assert [type(one) for _, one in rig.out] == [Save, Dial, Send]
    assert rig.state is State.SENDING
    assert rig.when(Send) == [0.0]


def test_the_message_says_what_happened_where_and_when() -> None:
    """Automatic, no test, the vehicle, the last three places, the moment of the crash."""
    (said,) = crashed().messages()
    assert (said.automatic_activation, said.test_call, said.message_identifier, said.vin) == (True, False, 1, VIN)
    assert said.propulsion == {"gasolineTankPresent"}
    assert (said.timestamp_s, said.latitude_mas, said.position_can_be_trusted) == (UTC_S, round(LAT_DEG * 3_600_000), True)
    assert (said.vehicle_direction, said.recent_n1, said.recent_n2) == (45, (-3, 0), (-3, 0))


def test_without_a_clock_and_without_a_place_the_message_goes_all_the_same() -> None:
    """Time 0, place unknown, not trusted."""
    rig = Rig.make(fixed=False)
    rig.clock_trusted = False
    (said,) = rig.tell(world.Crashed()).messages()
    assert (said.timestamp_s, said.latitude_mas, said.position_can_be_trusted, said.vehicle_direction) == (0, 2_147_483_647, False, 255)


def test_the_button_gives_time_to_cancel() -> None:
    """Nothing is sent or dialled while the countdown lasts; after it everything is."""
    rig = Rig.make().tell(world.SosHeld()).wait(TIMERS.countdown_s - 0.1)
    assert rig.kinds() == []
    rig.wait(0.2)
    assert rig.kinds() == [Dial, Send]
    assert rig.when(Dial) == [TIMERS.countdown_s]
    assert not rig.messages()[0].automatic_activation


def test_a_cancelled_countdown_leaves_nothing() -> None:
    """Nothing was sent, nothing is kept."""
    rig = Rig.make().tell(world.SosHeld()).wait(2).tell(world.Cancelled()).wait(100)
    assert rig.kinds() == []
    assert rig.state is State.IDLE
    assert rig.all(Save)[-1] == Save(None)


@pytest.mark.parametrize("begun", [world.Crashed(), world.SosHeld()])
def test_once_something_was_sent_nothing_can_be_cancelled(begun: world.Happening) -> None:
    """By hand or automatic: from then on the centre decides."""
    rig = Rig.make().tell(begun).wait(6).tell(world.Cancelled())
    assert rig.state is State.SENDING
    assert rig.ended() == []


def test_a_crash_during_the_countdown_waits_for_nobody() -> None:
    """It is an automatic call."""
    rig = Rig.make().tell(world.SosHeld()).wait(1).tell(world.Crashed())
    assert rig.when(Send) == [1.0]
    assert rig.messages()[0].automatic_activation


def test_a_test_call_says_that_it_is_one() -> None:
    """In the message, to whom is dialled, and to the centre's topic."""
    rig = Rig.make().tell(world.TestAsked())
    assert rig.messages()[0].test_call
    assert rig.all(Dial) == [Dial(test=True)]
    assert rig.all(Send)[0].test


@pytest.mark.parametrize("begun", [world.Crashed(), world.SosHeld(), world.TestAsked()])
def test_a_call_that_the_owner_switched_off_is_none(begun: world.Happening) -> None:
    """Neither a message nor a call."""
    assert Rig.make(enabled=False).tell(begun).wait(60).out == []


# -- the call ---------------------------------------------------------------------------------------------------------


def test_a_call_that_does_not_come_to_be_is_dialled_again() -> None:
    """After 5, 60, 60, 60, 180 ... seconds, ten times in all; then the centre's call is waited for, and the message still goes."""
    rig = crashed()
    for wait_s in (5, 60, 60, 60, 180, 180, 180, 180, 180):
        rig.tell(world.CallOver()).wait(wait_s)
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(rig.when(Dial))]
    assert gaps == [5, 60, 60, 60, *[180] * 5]
    assert rig.tell(world.CallOver()).state is State.CALLBACK_WAIT
    assert rig.wait(600).when(Send)[-1] > 1500


def test_a_call_of_which_nothing_is_heard_is_given_up() -> None:
    """A modem that says nothing at all is hung up and dialled again."""
    rig = crashed().wait(TIMERS.setup_s + 0.1)
    assert rig.state is State.HOLD
    assert rig.kinds().count(HangUp) == 1
    assert rig.wait(10).kinds().count(Dial) == 2


def test_a_call_that_drops_before_the_message_arrived_is_dialled_at_once() -> None:
    """Twice; then the centre's call is waited for."""
    rig = crashed().wait(3).tell(world.CallUp()).wait(5).tell(world.CallOver())
    assert rig.when(Dial) == [0.0, 8.0]
    rig.tell(world.CallUp()).wait(1).tell(world.CallOver()).tell(world.CallUp()).wait(1).tell(world.CallOver())
    assert (len(rig.all(Dial)), rig.state) == (3, State.CALLBACK_WAIT)


def test_a_drop_long_after_the_last_is_left_to_the_centre() -> None:
    """It calls back after three minutes."""
    rig = crashed().tell(world.CallUp()).wait(1).tell(world.CallOver()).tell(world.CallUp()).wait(TIMERS.drop_redial_s + 1)
    assert rig.tell(world.CallOver()).state is State.CALLBACK_WAIT


def test_once_the_centre_has_the_message_it_is_the_one_that_calls() -> None:
    """No redial by the vehicle after a drop; the centre's call is answered."""
    rig = crashed().ack().tell(world.CallUp()).wait(5).tell(world.CallOver())
    assert (len(rig.all(Dial)), rig.state) == (1, State.CALLBACK_WAIT)
    rig.wait(60).tell(world.Ringing())
    assert rig.all(Answer) == [Answer()]
    assert rig.tell(world.CallUp()).state is State.VOICE


def test_the_message_does_not_cost_the_call_nor_the_call_the_message() -> None:
    """Acknowledged, but nobody hears: it is dialled on. Voice, but not acknowledged: it is sent on."""
    without_voice = crashed().ack().tell(world.CallOver()).wait(6)
    assert len(without_voice.all(Dial)) == 2
    without_message = crashed().tell(world.CallUp()).wait(60)
    assert len(without_message.all(Send)) > 10


def test_the_button_dials_at_once_while_the_centre_is_waited_for() -> None:
    """Somebody wants to speak."""
    rig = crashed().ack().tell(world.CallUp()).tell(world.CallOver()).wait(30).tell(world.SosHeld())
    assert rig.when(Dial) == [0.0, 30.0]


def test_nobody_is_answered_where_there_was_no_emergency() -> None:
    """A car is no listening device."""
    assert Rig.make().tell(world.Ringing()).out == []
    assert Rig.make().tell(world.SosHeld(), world.Ringing()).all(Answer) == []


# -- the end ----------------------------------------------------------------------------------------------------------


def test_when_the_centre_clears_down_nothing_is_left() -> None:
    """The call is hung up, session, message and places are gone; the centre's call is answered for an hour."""
    rig = crashed().ack().tell(world.CallUp()).wait(60).tell(world.ClearedDown("session-1"))
    assert rig.kinds()[-2:] == [HangUp, Ended]
    assert list(rig.machine.ring) == []
    kept = rig.all(Save)[-1].document
    assert kept is not None
    assert VIN.encode() not in kept
    assert b"octets" not in kept
    assert b"lat_deg" not in kept
    rig.wait(TIMERS.callback_s - 1).tell(world.Ringing())
    assert rig.all(Answer) == [Answer()]
    assert rig.wait(2).state is State.IDLE
    assert rig.all(Save)[-1] == Save(None)
    assert rig.tell(world.Ringing()).all(Answer) == [Answer()]


def test_another_session_is_not_cleared_down() -> None:
    """A late word of an earlier one."""
    assert crashed().tell(world.ClearedDown("session-0")).state is State.SENDING


def test_what_is_told_of_a_call_has_neither_place_nor_content() -> None:
    """Kind, whether it was acknowledged, whether there was voice, how many messages, how long."""
    rig = crashed().ack().tell(world.CallUp()).wait(60).tell(world.ClearedDown("session-1"))
    assert rig.ended() == [Ended("session-1", "automatic", told=True, voice=True, messages=1, lasted_s=60.0)]


@pytest.mark.parametrize("acked", [True, False])
def test_an_hour_after_the_crash_the_vehicle_clears_down_by_itself(acked: bool) -> None:
    """Where no call is up; acknowledged or not."""
    rig = crashed()
    rig = rig.ack() if acked else rig
    rig.tell(world.CallUp()).tell(world.CallOver()).wait(TIMERS.clear_down_s + 1)
    assert rig.when(Ended) == [TIMERS.clear_down_s]
    assert rig.ended()[0].told is acked


def test_a_call_that_is_up_is_not_cut_by_the_clock() -> None:
    """Somebody may be trapped; what it leaves is gone when it ends."""
    rig = crashed().ack().tell(world.CallUp()).wait(TIMERS.clear_down_s + 600)
    assert rig.state is State.VOICE
    assert rig.tell(world.CallOver()).state is State.CLEARED


def test_nothing_is_kept_longer_than_thirteen_hours() -> None:
    """A modem that never says that the call is over does not hold it."""
    rig = crashed().tell(world.CallUp()).wait(13 * 3600 + 1)
    assert rig.when(Ended) == [13 * 3600.0]
    assert rig.machine.standing.session is None


def test_a_crash_after_clear_down_is_another_call() -> None:
    """Another session, whose messages count from one."""
    rig = crashed().ack().tell(world.ClearedDown("session-1")).wait(60).tell(world.Crashed())
    assert rig.all(Send)[-1].session == "session-2"
    assert rig.messages()[-1].message_identifier == 1


def test_a_test_gives_way_to_a_crash() -> None:
    """The test is hung up; the real call has the places, the right kind and the right number."""
    rig = Rig.make().tell(world.TestAsked(), world.CallUp()).wait(5).tell(world.Crashed())
    assert [type(one) for t_s, one in rig.out if t_s == 5 and not isinstance(one, Save)] == [HangUp, Ended, Dial, Send]
    assert rig.all(Dial)[-1] == Dial(test=False)
    said = rig.messages()[-1]
    assert (said.test_call, said.automatic_activation, said.latitude_mas) == (False, True, round(LAT_DEG * 3_600_000))


def test_a_test_gives_way_to_the_button() -> None:
    """With its countdown."""
    rig = Rig.make().tell(world.TestAsked(), world.CallUp()).wait(5).tell(world.SosHeld())
    assert rig.state is State.COUNTDOWN
    assert not rig.wait(6).messages()[-1].test_call


# -- the program is killed --------------------------------------------------------------------------------------------


def test_after_a_restart_the_same_message_goes_again_in_the_same_session() -> None:
    """And the call is asked for, not made a second time."""
    rig = crashed(link=False).restarted().tell(world.Link(True))
    assert rig.when(Send) == [1.0]
    assert rig.messages()[0].message_identifier == 1
    assert rig.all(Send)[0].session == "session-1"
    assert rig.kinds()[-2:] == [Dial, Send]


def test_after_a_restart_with_voice_the_modem_is_asked_whether_it_stands() -> None:
    """A call that has dropped meanwhile is over."""
    rig = crashed().ack().tell(world.CallUp()).restarted()
    assert rig.kinds()[-1] is Look
    assert rig.state is State.VOICE
    assert rig.tell(world.CallOver()).state is State.CALLBACK_WAIT


def test_after_a_restart_the_places_of_the_call_are_still_known() -> None:
    """A second crash before the next fix says where the car is."""
    rig = crashed().restarted().tell(world.Link(True), world.Crashed())
    assert rig.messages()[-1].latitude_mas == round(LAT_DEG * 3_600_000)


def test_a_restart_costs_no_time_of_a_wait() -> None:
    """The countdown, and the hour until clear-down."""
    rig = Rig.make().tell(world.SosHeld()).wait(2).restarted(1.0).tell(world.Link(True)).wait(10)
    assert rig.when(Dial) == [TIMERS.countdown_s]
    late = crashed().restarted(TIMERS.clear_down_s).tell(world.Link(True)).wait(1)
    assert late.state is State.CLEARED


def test_before_a_trigger_nothing_is_kept() -> None:
    """The places are in memory alone."""
    rig = Rig.make()
    for _ in range(5):
        rig.wait(1).fix()
    assert rig.out == []
