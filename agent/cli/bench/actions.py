"""What somebody in the car does during a drive, as the scenario says: asks for a stream, grants or withdraws an item."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from agent.collect.request import Request
from agent.control.protocol import REQUEST_S_MAX, ask_within
from agent.control.routes import ROUTES
from agent.core.core import Core
from agent.errors import ModicumError
from hw.bench.scenario import Action

NO_CALL = "no emergency call is made on the virtual clock"
ROUTE_OF = {"request": ("request", "stream"), "grant": ("consent.grant", "item"), "withdraw": ("consent.withdraw", "item")}


@dataclass(slots=True)
class Actions:
    """A scenario's actions that are still to come, and what became of those that were done."""

    waiting: list[Action]
    done: list[str] = field(default_factory=list)
    driver: str = ""
    """Who drove last."""
    _crash_told: bool = False
    _asked: list[tuple[Action, Request]] = field(default_factory=list)

    def due(self, t_s: float) -> list[Action]:
        """Those whose time has come, each once, in their order."""
        due = [action for action in self.waiting if action.at_s <= t_s]
        self.waiting = [action for action in self.waiting if action.at_s > t_s]
        return due

    def tell(self, action: Action, said: object) -> None:
        """Notes what became of one, for the end report."""
        self.note(action.at_s, f"{action.do} {action.name}", said)

    def note(self, t_s: float, what: str, said: object = None) -> None:
        """Notes what was done, also without the agent, and what came of it: an answer, or the error that says why it could not be."""
        self.done.append(f"at {t_s:g} s: {what}: {_came_of(said)}")

    def drives(self, t_s: float, name: str) -> None:
        """Notes who sits behind the wheel, where it is somebody else than before."""
        if self.driver not in ("", name):
            self.done.append(f"at {round(t_s, 1):g} s: {name} takes the wheel")
        self.driver = name

    def crashed(self, crash_s: float | None, t_s: float, came: str = "") -> None:
        """Notes once that the car has crashed, if it has by now, and what came of it where nobody else says so."""
        if crash_s is not None and crash_s <= t_s and not self._crash_told:
            self._crash_told = True
            self.done.append(f"at {crash_s:g} s: the car crashed{came}")

    def act(self, core: Core, t_s: float) -> None:
        """Does what is due on a core in this process; requests are answered as the drive goes on."""
        for action in self.due(t_s):
            route, args = asking(action)
            try:
                said = ROUTES[route].run(core, args)
            except ModicumError as error:
                self.tell(action, error)
                continue
            if isinstance(said, Request):
                self._asked.append((action, said))
            else:
                self.tell(action, said)

    def act_live(self, control: Path, t_s: float) -> None:
        """Does what is due on a running agent, each in a thread of its own: a request may wait for a fix."""
        for action in self.due(t_s):
            threading.Thread(target=self._ask, args=(control, action), name=f"action {action.do}", daemon=True).start()

    def _ask(self, control: Path, action: Action) -> None:
        route, args = asking(action)
        try:
            self.tell(action, ask_within(control, route, args, REQUEST_S_MAX))
        except ModicumError as error:
            self.tell(action, error)

    def settle(self) -> None:
        """The drive is over: what the requests gave."""
        for action, request in self._asked:
            self.tell(action, request.told())


def _came_of(said: object) -> str:
    """An answer in a word or two; an error in its own."""
    if isinstance(said, ModicumError):
        return str(said).removeprefix("modicum: ")
    if isinstance(said, dict) and "given" in said:
        return f"{len(said['given'])} collected"
    return "nothing was granted" if isinstance(said, dict) and said.get("ended") == [] else "done"


def asking(action: Action) -> tuple[str, dict[str, object]]:
    """The control route of an action, and its arguments."""
    route, key = ROUTE_OF[action.do]
    return route, {key: action.name} | ({"trip": True} if action.do == "grant" else {})
