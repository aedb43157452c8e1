"""The emergency call as a table: in which state what happens leads where, and what is done.

A pair that stands in no row changes nothing. Data alone; `machine` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import NamedTuple


class State(StrEnum):
    """Where a call is. From SENDING to CALLBACK_WAIT there is a session; the message is sent in all of these until it is acknowledged."""

    IDLE = auto()
    COUNTDOWN = auto()
    """The button was held; the occupant may still cancel."""
    SENDING = auto()
    """No voice yet: a call is being set up."""
    VOICE = auto()
    HOLD = auto()
    """No call could be had; the next one is dialled in a while."""
    CALLBACK_WAIT = auto()
    """No more is dialled; the centre's call is answered."""
    CLEARED = auto()
    """Everything is erased; the centre's call is still answered for a while."""


class Event(StrEnum):
    """What can happen. What depends on more than the state has two names, and the machine says which it is."""

    CRASH = auto()
    CRASH_IN_TEST = auto()
    SOS = auto()
    SOS_IN_TEST = auto()
    TEST = auto()
    CANCEL = auto()
    COUNTDOWN_OVER = auto()
    CALL_UP = auto()
    CALL_FAILED = auto()
    """Another one is dialled later."""
    CALL_FAILED_LAST = auto()
    CALL_DROPPED = auto()
    """Before the centre had the message: another one is dialled at once."""
    CALL_DROPPED_LAST = auto()
    CALL_DROPPED_LATE = auto()
    """After the time of clearing down."""
    REDIAL_DUE = auto()
    RINGING = auto()
    BETTER_POSITION = auto()
    UPDATE_WANTED = auto()
    """The centre asks for a message as it is now."""
    CLEAR_DOWN = auto()
    CLEAR_DOWN_DUE = auto()
    ERASE_DUE = auto()
    CALLBACK_OVER = auto()


class Action(StrEnum):
    """What is done, in the order of the row."""

    BEGIN = auto()
    """A session with its message."""
    UPDATE = auto()
    """A new message of the same session, with the next identifier."""
    DIAL = auto()
    ANSWER = auto()
    HANG_UP = auto()
    END = auto()
    """The session is over: what may be told of it is told, the rest is dropped."""
    FORGET = auto()
    """The places are dropped too; from here on the centre's call is answered for a while."""


class Row(NamedTuple):
    """`leads_to` None: the state stays."""

    states: tuple[State, ...]
    event: Event
    leads_to: State | None
    actions: tuple[Action, ...] = ()


FREE = (State.IDLE, State.CLEARED)
IN_SESSION = (State.SENDING, State.VOICE, State.HOLD, State.CALLBACK_WAIT)
WITHOUT_CALL = (State.HOLD, State.CALLBACK_WAIT)
OVER = (Action.HANG_UP, Action.END, Action.FORGET)

ROWS = (
    Row((*FREE, State.COUNTDOWN), Event.CRASH, State.SENDING, (Action.BEGIN, Action.DIAL)),
    Row(FREE, Event.SOS, State.COUNTDOWN),
    Row(FREE, Event.TEST, State.SENDING, (Action.BEGIN, Action.DIAL)),
    # Only a call by hand can be cancelled, and only before anything was sent. CLEARED answers what an earlier call still waits for.
    Row((State.COUNTDOWN,), Event.CANCEL, State.CLEARED),
    Row((State.COUNTDOWN,), Event.COUNTDOWN_OVER, State.SENDING, (Action.BEGIN, Action.DIAL)),
    Row((State.SENDING,), Event.CALL_UP, State.VOICE),
    Row((State.SENDING,), Event.CALL_FAILED, State.HOLD, (Action.HANG_UP,)),
    Row((State.SENDING,), Event.CALL_FAILED_LAST, State.CALLBACK_WAIT, (Action.HANG_UP,)),
    Row((State.VOICE,), Event.CALL_DROPPED, State.SENDING, (Action.DIAL,)),
    Row((State.VOICE,), Event.CALL_DROPPED_LAST, State.CALLBACK_WAIT),
    Row((State.VOICE,), Event.CALL_DROPPED_LATE, State.CLEARED, (Action.END, Action.FORGET)),
    Row((State.HOLD,), Event.REDIAL_DUE, State.SENDING, (Action.DIAL,)),
    Row(WITHOUT_CALL, Event.SOS, State.SENDING, (Action.DIAL,)),
    Row(WITHOUT_CALL, Event.RINGING, State.SENDING, (Action.ANSWER,)),
    Row((State.CLEARED,), Event.RINGING, None, (Action.ANSWER,)),
    # A second crash is news of the same call, and a reason to speak again; a test gives way to what is real.
    Row((State.SENDING, State.VOICE), Event.CRASH, None, (Action.UPDATE,)),
    Row(WITHOUT_CALL, Event.CRASH, State.SENDING, (Action.UPDATE, Action.DIAL)),
    Row(IN_SESSION, Event.CRASH_IN_TEST, State.SENDING, (Action.HANG_UP, Action.END, Action.BEGIN, Action.DIAL)),
    Row(IN_SESSION, Event.SOS_IN_TEST, State.COUNTDOWN, (Action.HANG_UP, Action.END)),
    Row(IN_SESSION, Event.BETTER_POSITION, None, (Action.UPDATE,)),
    Row(IN_SESSION, Event.UPDATE_WANTED, None, (Action.UPDATE,)),
    Row(IN_SESSION, Event.CLEAR_DOWN, State.CLEARED, OVER),
    # A call that is up is not cut by a clock, only by the limit of what may be kept.
    Row((State.SENDING, *WITHOUT_CALL), Event.CLEAR_DOWN_DUE, State.CLEARED, OVER),
    Row((State.VOICE,), Event.ERASE_DUE, State.CLEARED, OVER),
    Row((State.CLEARED,), Event.CALLBACK_OVER, State.IDLE),
)

TABLE: Mapping[tuple[State, Event], Row] = {(state, row.event): row for row in ROWS for state in row.states}
