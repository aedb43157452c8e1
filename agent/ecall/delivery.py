"""The way of a session's message to the centre: when it is sent, again and again, until the centre itself has acknowledged it."""

from __future__ import annotations

from agent.ecall.msd import ID_MAX
from agent.ecall.outputs import Output, Send, Text
from agent.ecall.positions import Ring, apart_m, is_trusted
from agent.ecall.session import Session
from agent.ecall.timers import Timers, ns

NEVER_NS = 1 << 62
FAST_MAX, SLOWER = 64, 12
"""So many messages of a call may follow each other quickly; then a better place is told less often."""
RESERVED = 16
"""Identifiers that are kept for what is more than a better place: another crash, the centre's wish."""


def acknowledged(session: Session, identifier: int) -> None:
    """The centre has the message of that identifier. One that was never sent changes nothing."""
    if 1 <= identifier <= session.identifier:
        session.ever_acked = True
        session.acked = session.acked or identifier == session.identifier
        session.texted = 0 if session.acked else session.texted


def next_ns(session: Session, timers: Timers, *, link_up: bool, sms: bool) -> int:
    """When there is something to send, on either way."""
    if session.acked:
        return NEVER_NS
    return min(session.next_ns if link_up else NEVER_NS, _text_ns(session, timers, sms=sms))


def due(session: Session, timers: Timers, t_ns: int, *, link_up: bool, sms: bool) -> list[Output]:
    """What is to be sent now, and counts as sent from now on. Without a link nothing is: it stays due."""
    found: list[Output] = []
    if session.acked:
        return found
    if link_up and session.next_ns <= t_ns:
        found.append(Send(session.id, session.identifier, session.kind == "test", session.octets, session.reply_key))
        session.next_ns = t_ns + ns(_retry_s(session, timers, t_ns))
        session.sent += 1
    if _text_ns(session, timers, sms=sms) <= t_ns:
        found.append(Text(session.octets))
        session.texted, session.ever_texted = session.identifier, True
    return found


def is_better(session: Session, ring: Ring, timers: Timers, t_ns: int) -> bool:
    """Whether the newest place is worth another message: trusted at last, much more exact, or elsewhere."""
    before, last = session.place, ring.last
    gap_s = timers.update_s if session.identifier < FAST_MAX else timers.update_s * SLOWER
    if last is None or t_ns - session.made_ns < ns(gap_s) or session.identifier >= ID_MAX - RESERVED:
        return False
    if before is None:
        return True
    was, is_now = is_trusted(before, session.made_ns), is_trusted(last, t_ns)
    if was and not is_now:
        return False
    return is_now > was or before.sigma_m - last.sigma_m >= timers.update_m or apart_m(before, last) >= timers.update_m


def _text_ns(session: Session, timers: Timers, *, sms: bool) -> int:
    """Once while the centre hears nothing, and once more after another crash; when it should have heard by then."""
    if not sms or session.kind == "test" or session.texted:
        return NEVER_NS
    return session.unheard_ns + ns(timers.transfer_s)


def _retry_s(session: Session, timers: Timers, t_ns: int) -> float:
    if t_ns - session.made_ns >= ns(timers.fast_s):
        return timers.slow_s
    return timers.retry_s[min(session.sent, len(timers.retry_s) - 1)]
