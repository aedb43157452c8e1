"""The emergency call without the world: happenings and the time go in, what is to be done comes out.

Owns the state, the session and its message. Promises what `table` says and nothing else; that a message is sent again with the same
identifier until the centre itself acknowledged it, and that another identifier stands for another message; that what is to be kept
for a restart comes before what it is kept for; that after clear-down nothing of the call is left. No clock, no socket, no thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.ecall import calls, delivery
from agent.ecall import happenings as world
from agent.ecall.happenings import Happening
from agent.ecall.message import Facts, octets_of
from agent.ecall.msd import ID_MAX
from agent.ecall.outputs import Answer, Dial, Ended, HangUp, Look, Output, Save
from agent.ecall.positions import Ring, location
from agent.ecall.session import Kind, Session, Standing
from agent.ecall.table import IN_SESSION, TABLE, Action, Event, Row, State
from agent.ecall.timers import NS, Timers, ns

ID_BYTES, KEY_BYTES = 8, 32
PLAIN: Mapping[type[Happening], Event] = {
    world.Cancelled: Event.CANCEL,
    world.CallUp: Event.CALL_UP,
    world.Ringing: Event.RINGING,
}
CALLS: Mapping[type[Happening], tuple[Event, Event]] = {
    world.Crashed: (Event.CRASH, Event.CRASH_IN_TEST),
    world.SosHeld: (Event.SOS, Event.SOS_IN_TEST),
    world.TestAsked: (Event.TEST, Event.TEST),
}
"""What begins a call -> its name, and its name while a test call is on."""
KINDS: Mapping[Event, Kind] = {Event.CRASH: "automatic", Event.CRASH_IN_TEST: "automatic", Event.TEST: "test"}
"""Every other call is one by hand."""


@dataclass(slots=True)
class Now:
    """One moment: CLOCK_BOOTTIME, and UTC in seconds where the clock is trusted."""

    t_ns: int
    utc_s: int | None = None


@dataclass(slots=True)
class Machine:
    """One vehicle's emergency call. `sms`: an unacknowledged message may also go as SMS. `enabled`: the owner has not switched it off."""

    facts: Facts
    timers: Timers = field(default_factory=Timers)
    sms: bool = False
    enabled: bool = True
    standing: Standing = field(default_factory=Standing)
    ring: Ring = field(default_factory=Ring)
    new_id: Callable[[], str] = lambda: secrets.token_hex(ID_BYTES)
    seen: Callable[[Row, State], object] = lambda _row, _state: None
    """Told of each row that was followed, and from which state."""
    link_up: bool = False
    _kind: Kind = "automatic"
    _done: list[Output] = field(default_factory=list)
    _saved: bytes | None = None

    @property
    def state(self) -> State:
        return self.standing.state

    def resume(self) -> tuple[Output, ...]:
        """After a restart of the program, once, before the first step: the message is due, and the call is dialled or asked for."""
        for place in self.standing.places:
            self.ring.take(place)
        self._saved = self._document()
        session = self.standing.session
        if session is None:
            return ()
        session.next_ns = 0
        if self.state is State.VOICE:
            return (Look(),)
        return (Dial(session.kind == "test"),) if self.state is State.SENDING else ()

    def step(self, now: Now, happening: Happening | None = None) -> tuple[Output, ...]:
        """What is to be done now, in this order."""
        self._done = []
        if happening is not None:
            self._take(happening, now)
        while (event := self._due(now)) is not None:
            self._follow(event, now)
        if (session := self.standing.session) is not None and self.state in IN_SESSION:
            self._done += delivery.due(session, self.timers, now.t_ns, link_up=self.link_up, sms=self.sms)
        return (*self._keep(), *self._done)

    def next_ns(self) -> int:
        """When `step` is to be called again without a happening, at the latest."""
        found = [at_ns for at_ns, _ in self._waits()]
        if (session := self.standing.session) is not None:
            found.append(delivery.next_ns(session, self.timers, link_up=self.link_up, sms=self.sms))
        return min(found, default=delivery.NEVER_NS)

    # -- from happenings to events ------------------------------------------------------------------------------------

    def _take(self, happening: Happening, now: Now) -> None:
        event = self._event(happening, now)
        if event is not None:
            self._follow(event, now)

    def _event(self, happening: Happening, now: Now) -> Event | None:
        kind, session = type(happening), self.standing.session
        if kind in PLAIN:
            return PLAIN[kind]
        if kind in CALLS:
            return CALLS[kind][session is not None and session.kind == "test"] if self.enabled else None
        if isinstance(happening, world.Link):
            self.link_up = happening.up
        return None if session is None else self._of_session(happening, session, now)

    def _of_session(self, happening: Happening, session: Session, now: Now) -> Event | None:
        """What only means something while a session is on; a centre that speaks of another one is not heard."""
        match happening:
            case world.Link(up=True):
                session.next_ns = 0
            case world.Acknowledged(session.id, identifier):
                delivery.acknowledged(session, identifier)
            case world.UpdateWanted(session.id, session.identifier):
                return Event.UPDATE_WANTED
            case world.ClearedDown(session.id):
                return Event.CLEAR_DOWN
            case world.CallOver():
                return calls.over(session, self.state, self.timers, now.t_ns)
            case world.Fixed() if delivery.is_better(session, self.ring, self.timers, now.t_ns):
                return Event.BETTER_POSITION
        return None

    # -- what time brings ---------------------------------------------------------------------------------------------

    def _due(self, now: Now) -> Event | None:
        return next((event for at_ns, event in self._waits() if at_ns <= now.t_ns), None)

    def _waits(self) -> list[tuple[int, Event]]:
        """What the state waits for, and until when."""
        standing, timers, session = self.standing, self.timers, self.standing.session
        if standing.state is State.COUNTDOWN:
            return [(standing.state_ns + ns(timers.countdown_s), Event.COUNTDOWN_OVER)]
        if standing.state is State.CLEARED:
            return [(standing.answers_until_ns, Event.CALLBACK_OVER)]
        if session is None:
            return []
        if standing.state is State.VOICE:
            return [(session.begun_ns + ns(timers.erase_s), Event.ERASE_DUE)]
        waits = [(session.begun_ns + ns(timers.clear_down_s), Event.CLEAR_DOWN_DUE)]
        if standing.state is State.HOLD:
            waits.append((session.redial_ns, Event.REDIAL_DUE))
        if standing.state is State.SENDING:
            waits.append((standing.state_ns + ns(timers.setup_s), calls.failed(session, timers)))
        return waits

    # -- the table ----------------------------------------------------------------------------------------------------

    def _follow(self, event: Event, now: Now) -> None:
        row = TABLE.get((self.state, event))
        if row is None:
            return
        before = self.state
        self._prepare(event, now)
        for action in row.actions:
            self._do(action, now)
        if row.leads_to is not None:
            self.standing.state, self.standing.state_ns = row.leads_to, now.t_ns
        self.seen(row, before)

    def _prepare(self, event: Event, now: Now) -> None:
        """What an event says beyond its name."""
        session = self.standing.session
        if session is None or event is Event.CRASH_IN_TEST:
            self._kind = KINDS.get(event, "manual")
        else:
            calls.note(session, event, self.timers, now.t_ns)
            if event is Event.CRASH:
                session.kind, session.texted = "automatic", 0

    def _do(self, action: Action, now: Now) -> None:
        match action:
            case Action.BEGIN:
                self._begin(now)
            case Action.UPDATE:
                self._update(now)
            case Action.DIAL:
                self._dial()
            case Action.ANSWER:
                self._done.append(Answer())
            case Action.HANG_UP:
                self._done.append(HangUp())
            case Action.END:
                self._end(now)
            case Action.FORGET:
                self.ring.clear()
                self.standing.answers_until_ns = now.t_ns + ns(self.timers.callback_s)

    def _begin(self, now: Now) -> None:
        self.standing.session = Session(self.new_id(), self._kind, now.t_ns, now.utc_s or 0, secrets.token_bytes(KEY_BYTES))
        self._update(now)

    def _update(self, now: Now) -> None:
        """The message as it is now; where no identifier is left, the last one once more. One that nobody can have seen gives its to it."""
        session = self._session()
        first = session.identifier == 0
        seen = first or session.sent > 0 or session.texted == session.identifier
        if session.acked or first:
            session.unheard_ns = now.t_ns
        session.sent, session.next_ns, session.acked, session.made_ns = 0, now.t_ns, False, now.t_ns
        if session.identifier == ID_MAX:
            return
        session.identifier += seen
        place = location(self.ring, now.t_ns, clock_trusted=now.utc_s is not None)
        session.octets = octets_of(self.facts, session.kind, session.identifier, session.incident_s, place)
        session.place = self.ring.last

    def _dial(self) -> None:
        session = self._session()
        session.dials += 1
        self._done.append(Dial(session.kind == "test"))

    def _end(self, now: Now) -> None:
        session = self._session()
        lasted_s = (now.t_ns - session.begun_ns) / NS
        told = session.ever_acked or session.ever_texted
        self._done.append(Ended(session.id, session.kind, told, session.voice, session.identifier, lasted_s))
        self.standing.session = None

    def _session(self) -> Session:
        assert self.standing.session is not None
        return self.standing.session

    def _keep(self) -> list[Save]:
        """What changed of what outlives the process."""
        document = self._document()
        if document == self._saved:
            return []
        self._saved = document
        return [Save(document)]

    def _document(self) -> bytes | None:
        return None if self.standing.nothing else self.standing.document(self.ring)
