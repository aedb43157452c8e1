"""The session under random sequences of events, judged by an oracle that knows only what the network and core know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.link import Ack, Refused, TakeBack, TakenBack
from agent.mqtt.terms import V5, Connect, Lost, Online, Terms
from agent.uplink.session import Action, Hangup, Input, Limits, Phase, PubAck, Publish, Session, Tick
from tests.agent.uplink.test_session import offer, published


@dataclass
class World:
    """What the network and core know: the oracle that the session never sees."""

    window: int
    written: dict[int, int] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    connection: int = 0
    connected: bool = False

    def see(self, action: Action) -> None:
        match action:
            case Connect():
                self.connection = action.generation
            case Hangup():
                self.connected = False
                self.written.clear()
            case Publish():
                n = action.offer.n
                assert self.connected, "handed over while offline"
                assert n not in self.gone, "written after it was taken back"
                assert n in self.open
                assert n not in self.written, "written twice on one connection"
                self.written[n] = action.generation
                assert len(self.written) <= self.window, "more in flight than the window"
            case Ack():
                assert action.n in self.answered, "acknowledged without a PUBACK"
                assert action.n in self.open
                self.open.discard(action.n)
            case Refused():
                assert action.n in self.open, "refused what is not open"
                assert action.maybe_sent or action.n not in self.written or action.n in self.answered, "in flight, said not sent"
                self.open.discard(action.n)
            case TakenBack():
                assert not set(action.ns) & set(self.written), "confirmed while still in flight"
                self.gone |= set(action.ns)
                self.open -= set(action.ns)


CODES = st.sampled_from((0, 0, 0, 0x10, 0x87, 0x97, 0x99, 0x83))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("offer", "offer", "offer", "puback", "tick", "online", "lost", "take_back", "stale")), st.integers(0, 99), CODES
    ),
    max_size=120,
)


def next_input(world: World, kind: str, pick: int, code: int, n: int) -> Input:
    """The event, made possible: the network only answers what was written, core only takes back what it offered."""
    flying = sorted(world.written)
    event: Input = Tick()
    match kind:
        case "offer":
            world.open.add(n)
            event = offer(n, f"m/v1/abc/svc{n % 3}/stream", expires_in_ms=pick * 100)
        case "puback" if flying:
            chosen = flying[pick % len(flying)]
            world.answered.add(chosen)
            del world.written[chosen]
            event = PubAck(world.connection, chosen, code)
        case "online":
            world.connected = True
            event = Online(world.connection, Terms(protocol=V5, receive_max=world.window))
        case "lost":
            world.connected = False
            event = Lost(world.connection, "cut", None, reached=True)
        case "take_back":
            event = TakeBack(ns=tuple(sorted(world.open)[: pick % 4]))
        case "stale":
            event = PubAck(world.connection - 1, pick, 0)
    return event


def acks_what_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = Session._fill
    monkeypatch.setattr(Session, "_fill", lambda self, now_s: [*(done := fill(self, now_s)), *(Ack(n=n) for n in published(done))])


def sends_all_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = Terms
    began = Session._online
    monkeypatch.setattr(Session, "_online", lambda self, now_s, _: began(self, now_s, terms(protocol=V5)))


def forgets_to_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_take_back", lambda self, now_s, ns: [TakenBack(ns=ns)])


Steps = list[tuple[str, int, int]]
WRITTEN: Steps = [("online", 0, 0), *[("offer", 0, 0)] * 5]
"""A connection that comes up, and five offers."""


def play(receive_max: int, steps: Steps) -> None:
    """Plays the events to a session and lets the oracle see every action."""
    world, lane, now_s = World(min(20, receive_max)), Session("id:main", Limits(ack_s=5, connect_s=5)), 0.0
    for n, (kind, pick, code) in enumerate(steps):
        now_s += pick / 20
        if kind == "online" and lane.phase is Phase.OFFLINE:
            now_s = max(now_s, lane.next_due_s() or 0)
            for action in lane.step(now_s, Tick()):
                world.see(action)
        if kind == "online" and lane.phase is not Phase.CONNECTING:
            continue
        event = next_input(world, kind, pick, code, n)
        for action in lane.step(now_s, event):
            world.see(action)
        if isinstance(event, Lost):
            world.written.clear()
        assert set(world.written) <= world.open
        if lane.phase is not Phase.ONLINE:
            assert not world.open, "held while offline"


@pytest.mark.req("R29", "R30", control=forgets_to_hang_up)
@settings(max_examples=300)
@example(20, [*WRITTEN, ("take_back", 3, 0)])
@given(st.integers(1, 25), STEPS)
def test_no_sequence_of_events_breaks_a_promise(receive_max: int, steps: Steps) -> None:
    """No ack without its PUBACK, never more than the window, nothing written after it was taken back, nothing lost."""
    play(receive_max, steps)


@pytest.mark.parametrize("sabotage", [acks_what_it_writes, sends_all_it_has])
def test_the_oracle_sees_a_broken_session(sabotage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above can fail: an early ack and a window that is too wide are both noticed."""
    play(2, WRITTEN)
    sabotage(monkeypatch)
    with pytest.raises(AssertionError, match=r"PUBACK|window"):
        play(2, WRITTEN)
