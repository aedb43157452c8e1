"""agent.cli.bench.watch: what keys do, what is shown of it, and when there is a view at all."""

from __future__ import annotations

import io
import os
import pty
import select
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO, cast

import pytest

from agent.cli.bench.actions import Actions
from agent.cli.bench.device import Device
from agent.cli.bench.stage import Stage
from agent.cli.bench.watch import BEFORE, OVER, Watch, can_watch, speaks_unicode
from agent.errors import AgentAbsent
from hw.bench.scenario import Action
from hw.bench.truth import Drive
from tests.support.known import SEED, ran

ITEMS = [{"item": name, "title": "T", "state": "NOT_SET", "until": None, "trip": False} for name in ("a.one", "b.two")]


@dataclass(slots=True)
class Terminal:
    """The side of whoever sits in front of it."""

    master: int
    slave: int
    keyboard: TextIO
    out: TextIO
    stage: Stage
    shown: bytes = b""

    def watching(self) -> Watch:
        return Watch(self.keyboard, self.out)

    def text(self) -> str:
        """What has been written so far."""
        os.set_blocking(self.master, False)
        try:
            while data := os.read(self.master, 65_536):
                self.shown += data
        except BlockingIOError:
            pass
        return self.shown.decode()

    def press(self, watch: Watch, keys: str) -> None:
        """And the next look of the run."""
        os.write(self.master, keys.encode())
        assert select.select([self.slave], [], [], 5)[0]
        watch(self.stage)


def stage_of(**changed: Any) -> Stage:
    """A stage in the fifteenth second of a drive of which everything is known."""
    run = ran(20.0)
    parts: dict[str, Any] = {
        "request": SimpleNamespace(catalogue=run.catalogue, seconds=60.0),
        "device": Device(Path("folder"), Path("ram")),
        "programs": SimpleNamespace(tell=lambda *_: None),
        "listeners": SimpleNamespace(lines=list(run.lines)),
        "drive": Drive.load("drive", SEED),
        "start_ns": run.start_ns,
        "ends_s": 60.0,
        "chronicle": run.chronicle,
        "live": {"indicator": "position", "profile": "driver", "last_sent": {}},
        "actions": Actions([]),
    }
    return Stage(**(parts | changed))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A real terminal of 80x24 as this process's own; the drive is in its fifteenth second and the agent answers."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    monkeypatch.setattr(Stage, "elapsed_s", property(lambda _: 15.0))
    monkeypatch.setattr(Stage, "ask", lambda *_, **__: {"items": ITEMS})
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with os.fdopen(os.dup(slave), "r") as keyboard, os.fdopen(os.dup(slave), "w", encoding="utf-8") as out:
        yield Terminal(master, slave, keyboard, out, stage_of())
    os.close(master)
    os.close(slave)


def test_the_screen_and_the_keyboard_are_given_back(terminal: Terminal) -> None:
    """Also when the run fails; before the drive something is shown, too."""
    before = termios.tcgetattr(terminal.slave)
    with pytest.raises(ZeroDivisionError), terminal.watching():
        assert termios.tcgetattr(terminal.slave) != before
        raise ZeroDivisionError
    assert termios.tcgetattr(terminal.slave) == before
    shown = terminal.text()
    assert BEFORE in shown
    assert shown.index("\x1b[?1049h") < shown.index(BEFORE) < shown.index("\x1b[?1049l")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_grant_and_withdraw_become_actions_of_the_item_that_is_picked(terminal: Terminal) -> None:
    """Due at once, done by whoever does the scenario's, so that the view waits for nobody."""
    with terminal.watching() as watch:
        watch(terminal.stage)
        terminal.press(watch, "g")
        terminal.press(watch, "\tw")
    assert terminal.stage.actions.waiting == [
        Action(at_s=15.0, do="grant", name="a.one"),
        Action(at_s=15.0, do="withdraw", name="b.two"),
    ]
    assert "withdraw b.two ..." in terminal.text()


def test_what_came_of_an_action_is_shown(terminal: Terminal) -> None:
    """Whoever did it: also the scenario's own."""
    with terminal.watching() as watch:
        terminal.stage.actions.done.append("at 9 s: request a.b: 2 collected")
        watch(terminal.stage)
    assert "at 9 s: request a.b: 2 collected" in terminal.text()


def test_a_key_that_cannot_be_obeyed_says_why(terminal: Terminal) -> None:
    """On the screen and in the end report; a broker elsewhere has no link to cut, a car crashes once."""
    with terminal.watching() as watch:
        terminal.press(watch, "l")
        terminal.press(watch, "c")
        terminal.press(watch, "c")
    cut, crash, again = terminal.stage.actions.done
    assert cut.startswith("at 15 s: cut the link: the link cannot be cut from here")
    assert crash == "at 15 s: crash the car: done"
    assert again.startswith("at 15 s: crash the car: the car is going to crash anyway")
    assert "the car is going to crash anyway" in " ".join(terminal.text().split())


def test_the_link_key_cuts_and_restores_in_turn(terminal: Terminal) -> None:
    """Each is noted."""
    calls = list[str]()
    link = SimpleNamespace(cut=lambda *, admit: calls.append(f"cut {admit}"), restore=lambda: calls.append("restore"))
    terminal.stage.link = cast("Any", link)
    with terminal.watching() as watch:
        terminal.press(watch, "l")
        assert "link: CUT" in terminal.text().replace("\x1b[1;7;31m", "")
        terminal.press(watch, "l")
    assert calls == ["cut False", "restore"]
    assert terminal.stage.actions.done == ["at 15 s: cut the link: done", "at 15 s: restore the link: done"]


def test_q_ends_the_drive_and_says_what_happens_now(terminal: Terminal) -> None:
    """The run itself ends as it always does."""
    with terminal.watching() as watch:
        terminal.press(watch, "q")
    assert terminal.stage.ends_s == 15.0
    assert terminal.stage.actions.done == ["at 15 s: end the drive: done"]
    assert OVER[:40] in terminal.text()


def test_after_the_end_no_key_does_anything(terminal: Terminal) -> None:
    """A crash then would stand in the truth of a drive that had none."""
    terminal.stage.ends_s = 14.9
    with terminal.watching() as watch:
        terminal.press(watch, "cgl")
    assert (terminal.stage.actions.waiting, terminal.stage.actions.done) == ([], [])
    assert terminal.stage.drive.crash_s is None


def test_an_agent_that_does_not_answer_and_unknown_keys_disturb_nobody(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The view goes on; without items there is nothing to grant."""

    def absent(*_: object, **__: object) -> None:
        raise AgentAbsent("the agent does not answer")

    monkeypatch.setattr(Stage, "ask", absent)
    with terminal.watching() as watch:
        terminal.press(watch, "xgw\t ")
    assert (terminal.stage.actions.waiting, terminal.stage.actions.done) == ([], [])
    assert "The agent has not said yet what can be granted." in terminal.text()


def test_a_terminal_that_changes_its_size_gets_the_new_one(terminal: Terminal) -> None:
    """At the next look."""
    with terminal.watching() as watch:
        watch(terminal.stage)
        assert "frames on the car's bus" not in terminal.text()
        termios.tcsetwinsize(terminal.slave, (40, 140))
        watch(terminal.stage)
        assert "frames on the car's bus" in terminal.text()


def test_after_a_crash_the_car_stands(terminal: Terminal) -> None:
    """At 0 km/h."""
    terminal.stage.drive.crash(8.0)
    with terminal.watching() as watch:
        watch(terminal.stage)
    assert "0 km/h" in terminal.text()
    assert "The car crashed at 0:08: the centre does not know of it yet" in terminal.text()
    terminal.stage.actions.done.append("at 8.1 s: emergency call: the centre speaks with the car")
    with terminal.watching() as watch:
        watch(terminal.stage)
    assert "at 8.1 s: emergency call: the centre speaks with the car" in terminal.text()


def test_without_a_terminal_that_can_be_written_on_there_is_no_view(terminal: Terminal) -> None:
    """A pipe, or one that only prints lines."""
    assert can_watch(terminal.out, {"TERM": "xterm"})
    assert not can_watch(terminal.out, {"TERM": "dumb"})
    assert not can_watch(terminal.out, {})
    assert not can_watch(io.StringIO(), {"TERM": "xterm"})


def test_without_a_keyboard_the_view_says_so(terminal: Terminal) -> None:
    """And is shown all the same."""
    terminal.keyboard = io.StringIO()
    with terminal.watching() as watch:
        watch(terminal.stage)
    assert "No keys: stdin is no terminal." in terminal.text()


@pytest.mark.parametrize(
    ("encoding", "environ", "expected"),
    [
        ("utf-8", {"LANG": "en_US.UTF-8"}, True),
        ("utf-8", {}, True),
        ("utf-8", {"LC_CTYPE": "C.UTF-8"}, True),
        ("UTF-8", {"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, True),
        ("iso-8859-1", {"LANG": "en_US.ISO-8859-1"}, False),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "en_US.UTF-8", "LC_CTYPE": "en_US.UTF-8"}, False),
        ("utf-8", {"LANG": "en_US.UTF-8", "TERM": "linux"}, False),
    ],
)
def test_braille_is_for_terminals_that_show_it(encoding: str, environ: dict[str, str], *, expected: bool) -> None:
    """The C locale says ASCII, although Python writes UTF-8 there; a terminal of the kernel has no such letters."""
    assert speaks_unicode(encoding, environ) is expected


def test_a_longer_grant_is_not_shortened_by_a_key(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is granted already stays as it is, and that is said."""
    granted = [{**ITEMS[0], "state": "YES", "until": "2027-11-29"}]
    monkeypatch.setattr(Stage, "ask", lambda *_, **__: {"items": granted})
    with terminal.watching() as watch:
        watch(terminal.stage)
        terminal.press(watch, "g")
    assert terminal.stage.actions.waiting == []
    assert "a.one is granted already" in terminal.text()


def test_without_any_stdin_the_view_goes_on(terminal: Terminal) -> None:
    """It was closed."""
    with Watch(None, terminal.out) as watch:
        watch(terminal.stage)
    assert "No keys" in terminal.text()
