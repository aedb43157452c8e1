"""Long walks through the emergency call at random: what the machine promises holds after every step, and every row of the table was walked.

The seed is printed with what was visited.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.ecall import happenings as world
from agent.ecall.happenings import Happening
from agent.ecall.outputs import Answer, Dial, Ended, HangUp, Output, Save, Send
from agent.ecall.table import IN_SESSION, TABLE, Event, Row, State
from agent.ecall.timers import NS, Timers, ns
from tests.agent.ecall.build import VIN
from tests.agent.ecall.rig import START_NS, Rig
from tests.measured import Say

SEED, WALKS, STEPS = 4467, 1_500, 60
PLAIN: tuple[Happening, ...] = (
    world.Crashed(),
    world.SosHeld(),
    world.TestAsked(),
    world.Cancelled(),
    world.CallUp(),
    world.CallOver(),
    world.Ringing(),
    world.Link(True),
    world.Link(False),
)

QUIET = PLAIN[2:]
"""In the first steps of some walks, which take little time, so that a test call goes on for a while."""


@dataclass
class Walk:
    """One rig and what has to be true of everything that it ever asked for."""

    source: random.Random
    visited: set[tuple[State, Event]]
    rig: Rig = field(init=False)
    said: dict[tuple[str, int], bytes] = field(default_factory=dict)
    checked: int = 0
    begun_s: dict[str, float] = field(default_factory=dict)

    kept: bytes | None = None
    calm: int = 0
    steps: int = 0

    def __post_init__(self) -> None:
        self.calm = self.source.choice((0, 0, 20))
        clear_down_s = self.source.choice((250.0, 1_000.0, 3_600.0))
        self.rig = Rig.make(timers=Timers(clear_down_s=clear_down_s, callback_s=clear_down_s))
        self.rig.machine.seen = self._note

    def _note(self, row: Row, state: State) -> None:
        self.visited.add((state, row.event))

    def step(self) -> None:
        """Something happens, or time passes; then everything is looked at."""
        self.steps += 1
        choices: list[Callable[[], object]] = [self._happens, self._happens, self._time, self._time]
        choices += [self._centre, self._moves, self._restart]
        before = self.rig.state
        cancelled = self.source.choice(choices)() is True
        self._look(before, cancelled=cancelled)

    def _happens(self) -> bool:
        happening = self.source.choice(PLAIN if self.steps > self.calm else QUIET)
        self.rig.tell(happening)
        return isinstance(happening, world.Cancelled)

    def _time(self) -> None:
        due_s = (self.rig.machine.next_ns() - START_NS) / NS - self.rig.t_s
        seconds = self.source.choice((0.1, 3.0, 61.0, 400.0, min(due_s, 50_000.0), 3_601.0, 14 * 3_600.0)[: 2 if self.calm else None])
        self.rig.wait(max(seconds, 0.0))

    def _centre(self) -> None:
        sent = self.rig.all(Send)
        session = sent[-1].session if sent else "none"
        name = self.source.choice((session, session, session, "another"))
        number = sent[-1].identifier if sent else 1
        happening = self.source.choice((world.Acknowledged(name, number), world.UpdateWanted(name, number)))
        self.rig.tell(world.ClearedDown(name) if self.source.random() < 0.2 else happening)

    def _moves(self) -> None:
        self.rig.fix(self.source.uniform(-500, 500), self.source.choice((3.0, 40.0, 900.0)))

    def _restart(self) -> None:
        if self.kept is not None and self.source.random() < 0.2:
            link = self.rig.machine.link_up
            self.rig = self.rig.restarted(self.source.choice((0.1, 5.0)))
            self.rig.machine.seen = self._note
            self.rig.machine.new_id = lambda: f"later-{len(self.rig.out)}"
            self.rig.tell(world.Link(link))

    def _look(self, before: State, *, cancelled: bool) -> None:
        new, self.checked = self.rig.out[self.checked :], len(self.rig.out)
        for t_s, one in new:
            self._look_at(t_s, one, before)
        standing = self.rig.machine.standing
        assert (standing.session is not None) == (standing.state in IN_SESSION)
        if cancelled:
            assert before is State.COUNTDOWN or self.rig.state is before
        if standing.session is not None:
            age_s = self.rig.t_s - (standing.session.begun_ns - START_NS) / NS
            assert age_s < self.rig.machine.timers.erase_s
            assert standing.state is State.VOICE or age_s < self.rig.machine.timers.clear_down_s
            self._look_at_delivery()
        self._look_at_what_is_kept()

    def _look_at(self, t_s: float, one: Output, before: State) -> None:
        match one:
            case Send(session, identifier, _, octets, _):
                assert self.said.setdefault((session, identifier), octets) == octets
                self.begun_s.setdefault(session, t_s)
            case Ended():
                assert one.lasted_s <= self.rig.machine.timers.erase_s + 5.1  # the program may not have run just then
            case Save(document):
                self.kept = document
            case Answer():
                assert before not in (State.IDLE, State.COUNTDOWN)
            case Dial() | HangUp():
                pass

    def _look_at_delivery(self) -> None:
        """What is not acknowledged is due within half a minute, as long as there is a link."""
        session = self.rig.machine.standing.session
        assert session is not None
        if self.rig.machine.link_up and not session.acked:
            assert self.rig.machine.next_ns() <= self.rig.now.t_ns + ns(self.rig.machine.timers.slow_s)

    def _look_at_what_is_kept(self) -> None:
        assert (self.kept is None) == self.rig.machine.standing.nothing
        if self.rig.machine.standing.session is None and self.kept is not None:
            assert b"lat_deg" not in self.kept
            assert VIN.encode() not in self.kept


def walked(seed: int, walks: int) -> set[tuple[State, Event]]:
    source, visited = random.Random(seed), set[tuple[State, Event]]()
    for _ in range(walks):
        walk = Walk(source, visited)
        for _ in range(STEPS):
            walk.step()
    return visited


def test_every_row_of_the_table_is_walked_and_every_promise_holds(measured: Say) -> None:
    """Prints how much of the table was visited; one pair that was not fails."""
    visited = walked(SEED, WALKS)
    states = {state for state, _ in visited}
    measured(f"emergency call, seed {SEED}: {len(states)} states and {len(visited)} of {len(TABLE)} transitions visited")
    assert {pair for pair in TABLE if pair not in visited} == set()
    assert states == set(State)


def test_a_row_that_nobody_walks_would_be_found() -> None:
    """One walk is not enough."""
    assert walked(SEED, 1) < set(TABLE)
