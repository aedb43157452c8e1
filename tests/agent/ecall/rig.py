"""An emergency call on a fake clock: what happens goes in, what came out is kept and can be asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from agent.ecall import happenings as world
from agent.ecall.happenings import Happening
from agent.ecall.machine import Machine, Now
from agent.ecall.message import Facts
from agent.ecall.msd import Msd, decode
from agent.ecall.outputs import Ended, Output, Save, Send
from agent.ecall.positions import Place
from agent.ecall.session import Standing
from agent.ecall.table import State
from agent.ecall.timers import NS, Timers, ns
from tests.agent.ecall.build import VIN

START_NS, UTC_S = 5_000 * NS, 1_795_000_000
LAT_DEG, LON_DEG = 39.9019, 116.4148
O = TypeVar("O", bound=Output)  # noqa: E741  one kind of output
FACTS = Facts(vin=VIN, propulsion=("gasoline",))


def place(t_s: float, north_m: float = 0.0, sigma_m: float = 5.0, speed_mps: float = 14.0, course_deg: float | None = 90.0) -> Place:
    """So far north of Beijing, `t_s` after the rig's start."""
    return Place(START_NS + ns(t_s), LAT_DEG + north_m / 111_195, LON_DEG, sigma_m, speed_mps, course_deg)


@dataclass
class Rig:
    """The machine and what it asked for, oldest first, each with its moment in seconds after the start."""

    machine: Machine
    t_s: float = 0.0
    out: list[tuple[float, Output]] = field(default_factory=list)
    clock_trusted: bool = True

    @classmethod
    def make(cls, *, link: bool = True, timers: Timers | None = None, sms: bool = False, enabled: bool = True, fixed: bool = True) -> Rig:
        names = itertools.count(1)
        machine = Machine(FACTS, timers or Timers(), sms=sms, enabled=enabled, new_id=lambda: f"session-{next(names)}")
        rig = cls(machine)
        if fixed:
            for t_s in (-2, -1, 0):
                machine.ring.take(place(t_s, north_m=10.0 * t_s))
        rig.tell(world.Link(link))
        rig.out.clear()
        return rig

    @property
    def now(self) -> Now:
        return Now(START_NS + ns(self.t_s), UTC_S + int(self.t_s) if self.clock_trusted else None)

    @property
    def state(self) -> State:
        return self.machine.state

    def tell(self, *happenings: Happening) -> Rig:
        for happening in happenings:
            self.out += [(self.t_s, one) for one in self.machine.step(self.now, happening)]
        return self

    def fix(self, north_m: float = 0.0, sigma_m: float = 5.0) -> Rig:
        """A new place, now."""
        self.machine.ring.take(place(self.t_s, north_m, sigma_m))
        return self.tell(world.Fixed())

    def wait(self, seconds: float) -> Rig:
        """Time passes; the machine is stepped exactly when it asks for it."""
        end_s = self.t_s + seconds
        while (due_s := (self.machine.next_ns() - START_NS) / NS) <= end_s:
            self.t_s = max(due_s, self.t_s)
            self.out += [(self.t_s, one) for one in self.machine.step(self.now)]
        self.t_s = end_s
        return self

    def all(self, kind: type[O]) -> list[O]:
        """What was asked for, of one kind."""
        return [one for _, one in self.out if isinstance(one, kind)]

    def when(self, kind: type[O]) -> list[float]:
        """In seconds after the start."""
        return [t_s for t_s, one in self.out if isinstance(one, kind)]

    def kinds(self) -> Sequence[type[Output]]:
        """What was asked for, without what is kept for a restart."""
        return [type(one) for _, one in self.out if not isinstance(one, Save)]

    def messages(self) -> list[Msd]:
        """What was sent to the centre."""
        return [decode(one.octets) for one in self.all(Send)]

    def ended(self) -> list[Ended]:
        return self.all(Ended)

    def ack(self, identifier: int | None = None) -> Rig:
        """The centre has the last message, or that one."""
        last = self.all(Send)[-1]
        return self.tell(world.Acknowledged(last.session, identifier or last.identifier))

    def session_id(self) -> str:
        assert self.machine.standing.session is not None
        return self.machine.standing.session.id

    def restarted(self, after_s: float = 1.0) -> Rig:
        """The program is killed now and comes back with what was kept; what it asked for so far stays in `out`."""
        kept = next(one.document for _, one in reversed(self.out) if isinstance(one, Save))
        machine = Machine(FACTS, self.machine.timers, sms=self.machine.sms, standing=Standing.read(kept) if kept else Standing())
        again = Rig(machine, self.t_s + after_s, list(self.out), self.clock_trusted)
        again.out += [(again.t_s, one) for one in machine.resume()]
        return again
