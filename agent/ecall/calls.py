"""The voice call of a session: what its end means, and when the next one is dialled."""

from __future__ import annotations

from agent.ecall.session import Session
from agent.ecall.table import Event, State
from agent.ecall.timers import Timers, ns


def over(session: Session, state: State, timers: Timers, t_ns: int) -> Event:
    """Which of its names the end of a call has in this state."""
    if state is State.SENDING:
        return failed(session, timers)
    if t_ns >= session.begun_ns + ns(timers.clear_down_s):
        return Event.CALL_DROPPED_LATE
    fresh = session.drops == 0 or t_ns - session.dropped_ns <= ns(timers.drop_redial_s)
    again = not session.ever_acked and session.drops < timers.drop_redials_max and fresh
    return Event.CALL_DROPPED if again else Event.CALL_DROPPED_LAST


def failed(session: Session, timers: Timers) -> Event:
    """For a call that never came to be. Once the centre has heard us and has the message, it is the one that calls."""
    again = session.dials < timers.dials_max and not (session.voice and session.ever_acked)
    return Event.CALL_FAILED if again else Event.CALL_FAILED_LAST


def note(session: Session, event: Event, timers: Timers, t_ns: int) -> None:
    """Remembers what decides on the next call."""
    if event is Event.CALL_UP:
        session.voice = True
    elif event is Event.CALL_FAILED:
        wait_s = timers.redial_s[min(max(session.dials, 1), len(timers.redial_s)) - 1]
        session.redial_ns = t_ns + ns(wait_s)
    elif event is Event.CALL_DROPPED:
        session.drops, session.dropped_ns = session.drops + 1, t_ns
