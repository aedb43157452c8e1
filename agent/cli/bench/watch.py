"""Watches a live run in the terminal: draws the view a few times a second, and does what keys say.

Owns the screen and the keyboard while the run goes on. Promises that both are given back on every way out, and that what a key asks
of the agent, which may take long, is asked in a thread of its own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, Self, TextIO

from rich.console import Console, ConsoleDimensions, ScreenContext
from rich.text import Text

from agent.cli.bench.fitting import Size
from agent.cli.bench.keys import Keys
from agent.cli.bench.picture import Spot
from agent.cli.bench.places import plane
from agent.cli.bench.stage import Stage
from agent.cli.bench.telling import Run, called, place_told
from agent.cli.bench.view import Known, screen
from agent.cli.streams import Entry
from agent.control.protocol import RemoteError
from agent.errors import AgentAbsent, UsageError
from hw.bench.scenario import Action

SAID_S = 8.0
"""So long one reads what a key did."""
ITEMS_S = 1.0
"""How often the agent is asked what is granted."""
STEP_S = 0.5
"""Between two spots of the way."""
SPOTS_MAX = 4000
"""After that every second one is forgotten."""
BEFORE = "Setting up the broker, the agent, the recipients, the receiver and the car ..."
OVER = "The drive is over: the agent sends what it still has, then everything is stopped."
C_LOCALES = {"C", "POSIX"}


def can_watch(out: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether it is a terminal on which one can write anywhere; None is a stdout that was closed."""
    return out is not None and out.isatty() and environ.get("TERM", "dumb") not in {"dumb", "unknown"}


def speaks_unicode(encoding: str, environ: Mapping[str, str]) -> bool:
    """Whether the terminal shows braille. Python itself writes UTF-8 in the C locale, where the person said nothing of the kind."""
    said = environ.get("LC_ALL") or environ.get("LANG")
    chosen = None if environ.get("LC_ALL") else environ.get("LC_CTYPE")
    plain = said in C_LOCALES and (chosen in C_LOCALES or chosen in {None, "", "C.UTF-8"})  # the last is what Python sets for its children
    return encoding.lower().replace("-", "") == "utf8" and not plain and environ.get("TERM") != "linux"


class Watch:
    """The view of one drive on `out`, with the keys of `keyboard`. Its context is the whole run; it is called as the run's pulse."""

    def __init__(self, keyboard: TextIO | None, out: TextIO) -> None:
        self._keyboard, self._out = keyboard, out
        self._console, self._held = Console(file=out), contextlib.ExitStack()
        self._unicode = speaks_unicode(out.encoding, os.environ)
        self._keys: Keys | None = None
        self._screen: ScreenContext | None = None
        self._way: list[Spot] = []
        self._consent: list[Entry] = []
        self._picked, self._told = 0, 0
        self._said, self._said_until_s, self._items_at_s = "", 0.0, 0.0
        self._does: dict[str, Callable[[Stage], None]] = {
            "\t": self._next,
            "g": lambda stage: self._ask(stage, "grant"),
            "w": lambda stage: self._ask(stage, "withdraw"),
            "l": self._link,
            "c": lambda stage: self._do(stage, "crash the car", stage.crash),
            "q": lambda stage: self._do(stage, "end the drive", stage.end_early),
        }

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as entered:
            if self._keyboard is not None and self._keyboard.isatty():
                self._keys = entered.enter_context(Keys(self._keyboard.fileno()))
            self._screen = entered.enter_context(self._console.screen(hide_cursor=True))
            self._show(lambda size: Text(BEFORE[: size.columns]))
            self._held = entered.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.close()

    def __call__(self, stage: Stage) -> None:
        for key in self._keys.pressed() if self._keys else ():
            if key in self._does and not stage.is_over:
                self._does[key](stage)
        self._ask_items(stage)
        self._hear(stage)
        self._follow(stage)
        known = self._known(stage)
        self._show(lambda size: screen(known, size, unicode=self._unicode))

    # -- keys ---------------------------------------------------------------------------------------------------------

    def _next(self, _: Stage) -> None:
        self._picked += 1

    def _ask(self, stage: Stage, do: Literal["grant", "withdraw"]) -> None:
        """As an action of the scenario that is due now. A grant for this trip would shorten a longer one."""
        if not self._consent:
            return
        item = self._consent[self._picked % len(self._consent)]
        if do == "grant" and item["state"] == "YES":
            self._say(f"{item['item']} is granted already; w withdraws it")
            return
        stage.actions.waiting.append(Action(at_s=round(stage.elapsed_s, 1), do=do, name=item["item"]))
        self._say(f"{do} {item['item']} ...")

    def _link(self, stage: Stage) -> None:
        if stage.link_is_cut:
            self._do(stage, "restore the link", stage.restore_link)
        else:
            self._do(stage, "cut the link", stage.cut_link)

    def _do(self, stage: Stage, what: str, act: Callable[[], None]) -> None:
        """Does something to the bench itself; why it cannot be done is noted as what the agent says."""
        t_s = round(stage.elapsed_s, 1)
        try:
            act()
        except UsageError as error:
            stage.actions.note(t_s, what, error)
        else:
            stage.actions.note(t_s, what)

    # -- what is known ------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._said, self._said_until_s = text, time.monotonic() + SAID_S

    def _hear(self, stage: Stage) -> None:
        """What became of what was done is shown for a while, whoever did it."""
        done = stage.actions.done
        if len(done) > self._told:
            self._told = len(done)
            self._say(done[-1])
            self._items_at_s = 0.0
        if stage.is_over:
            self._say(OVER)
        elif time.monotonic() > self._said_until_s:
            self._said = ""

    def _ask_items(self, stage: Stage) -> None:
        if time.monotonic() >= self._items_at_s:
            self._items_at_s = time.monotonic() + ITEMS_S
            with contextlib.suppress(AgentAbsent, RemoteError):
                self._consent = stage.ask("consent.show")["items"]

    def _follow(self, stage: Stage) -> None:
        """The true way up to now."""
        flat, now_s = plane(stage.drive.scenario.start), stage.elapsed_s
        t_s = self._way[-1].t_s if self._way else now_s
        while t_s < now_s or not self._way:
            t_s = min(t_s + STEP_S, now_s)
            car = stage.drive.state(t_s)
            self._way.append(Spot(t_s, *flat(car.lat_deg, car.lon_deg)))
        if len(self._way) > SPOTS_MAX:
            self._way = [*self._way[:-1:2], self._way[-1]]

    def _known(self, stage: Stage) -> Known:
        assert stage.listeners is not None
        drive, now_s = stage.drive, stage.elapsed_s
        lines = list(stage.listeners.lines)
        run = Run(lines=lines, summary={}, chronicle=stage.chronicle, catalogue=stage.request.catalogue, start_ns=stage.start_ns)
        return Known(
            run=run,
            title=drive.scenario.title,
            config=str(stage.device.config),
            elapsed_s=now_s,
            seconds=stage.request.seconds,
            status=stage.status,
            live=stage.live,
            consent=self._consent,
            way=self._way,
            flat=plane(drive.scenario.start),
            kmh=drive.state(now_s).speed_kmh,
            picked=self._picked,
            link_is_cut=stage.link_is_cut,
            crash_s=drive.crash_s if drive.crash_s is not None and drive.crash_s <= now_s else None,
            call=next(iter(called(stage.actions.done)[::-1]), ""),
            place_told=place_told(stage.actions.done),
            keys=self._keys is not None,
            said=self._said,
        )

    def _show(self, draw: Callable[[Size], Text]) -> None:
        """On the terminal as large as it is now."""
        assert self._screen is not None
        with contextlib.suppress(OSError):  # it is gone; the signal that says so is on its way
            size = Size(*os.get_terminal_size(self._out.fileno()))
            self._console.size = ConsoleDimensions(*size)
            self._screen.update(draw(size))
