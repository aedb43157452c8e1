"""agent.cli.bench.keys: single keys, and a terminal that is given back as it was."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from agent.cli.bench.keys import LOCAL_FLAGS, Keys
from tests.support.wait import until

HELD = """
import sys, time
from agent.cli.bench.keys import Keys
from agent.cli.bench.programs import orderly
with orderly(), Keys(0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The side of whoever types, and the side of the program."""
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def typed(keys: Keys, count: int) -> list[str]:
    """So many keys, as soon as they have come."""
    pressed: list[str] = []

    def all_there() -> bool:
        pressed.extend(keys.pressed())
        return len(pressed) >= count

    until(all_there, within_s=5)
    return pressed


def test_keys_come_one_by_one_without_enter_and_without_echo(terminal: tuple[int, int]) -> None:
    """Capital letters are the same keys; nothing pressed is no key, and nobody waits for one."""
    master, slave = terminal
    with Keys(slave) as keys:
        assert keys.pressed() == []
        os.write(master, b"\tgW")
        assert typed(keys, 3) == ["\t", "g", "w"]
        assert not termios.tcgetattr(slave)[LOCAL_FLAGS] & (termios.ECHO | termios.ICANON)


@pytest.mark.parametrize("sequence", [b"\x1b[D", b"\x1b[1;5C", b"\x1bOc", b"\x1b[15~", b"\x1bc", b"\x1b", b"\xff\xfe"])
def test_a_key_of_several_characters_is_none_of_ours(terminal: tuple[int, int], sequence: bytes) -> None:
    """An arrow or Alt does not crash the car; what is typed after it counts."""
    master, slave = terminal
    with Keys(slave) as keys:
        os.write(master, sequence)
        until(lambda: keys.pressed() == [], within_s=5)
        os.write(master, b"q")
        assert typed(keys, 1) == ["q"]


@pytest.mark.parametrize("ending", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_the_terminal_is_as_it_was(terminal: tuple[int, int], ending: type[BaseException] | None) -> None:
    """However the context ends."""
    _, slave = terminal
    before = termios.tcgetattr(slave)
    with contextlib.nullcontext() if ending is None else pytest.raises(ending), Keys(slave):
        assert termios.tcgetattr(slave) != before
        if ending is not None:
            raise ending
    assert termios.tcgetattr(slave) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT), (signal.SIGHUP, 129)])
def test_a_signal_gives_the_terminal_back(terminal: tuple[int, int], number: signal.Signals, status: int) -> None:
    """Whoever ends a bench from elsewhere leaves no terminal without echo."""
    _, slave = terminal
    before = termios.tcgetattr(slave)
    child = subprocess.Popen([sys.executable, "-c", HELD], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    assert termios.tcgetattr(slave) != before
    child.send_signal(number)
    child.stdout.close()
    assert child.wait(10) == status
    assert termios.tcgetattr(slave) == before


def test_ctrl_s_does_not_hold_up_the_run(terminal: tuple[int, int]) -> None:
    """What is written goes on; afterwards it is as before."""
    _, slave = terminal
    with Keys(slave):
        assert not termios.tcgetattr(slave)[0] & termios.IXON
    assert termios.tcgetattr(slave)[0] & termios.IXON


def test_ctrl_z_does_not_leave_a_terminal_without_echo(terminal: tuple[int, int]) -> None:
    """Nothing stops meanwhile; afterwards it is as before."""
    _, slave = terminal
    with Keys(slave):
        assert termios.tcgetattr(slave)[6][termios.VSUSP] == b"\0"
    assert termios.tcgetattr(slave)[6][termios.VSUSP] == b"\x1a"


def test_a_terminal_that_is_gone_is_no_error() -> None:
    """Closing the window ends the run in order."""
    master, slave = pty.openpty()
    with Keys(slave) as keys:
        os.close(master)
        assert keys.pressed() == []
    os.close(slave)
