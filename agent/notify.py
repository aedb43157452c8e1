"""What a daemon tells systemd (sd_notify(3)), and the vote of its threads on which that depends.

Promises: "ready" is told once, when every thread takes part; the watchdog is fed only after a vote in which each thread that has one
lives and has looked up lately; if it has ended or hangs it ends the program, so that it is started anew; nothing is told, and nothing
fails, where no systemd is. What is told carries no value of the car's. One mechanism for all daemons, called in each turn of their loop.

No library: the protocol is a datagram of lines to one address. systemd's own binding is compiled against its headers, and sdnotify
would be a package more on each device for less code than is here.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from agent.errors import DeviceError

LOOK_S = 2.0
"""How often a thread that only waits looks up."""
PATIENCE_S = 30.0
"""So long a thread may go without looking up: longer than whatever it waits for, a slow medium's flush too."""
PERIOD_S = 1.0
"""From vote to vote where no watchdog runs."""
TELL_S_MAX = 1.0


class Voter(Protocol):
    """A thread, or what owns one."""

    @property
    def beat_s(self) -> float:
        """When it last looked up (time.monotonic)."""
        ...

    @property
    def patience_s(self) -> float:
        """How long it may go without."""
        ...

    def alive(self) -> bool:
        """Whether it has not ended."""
        ...


class Watched(threading.Thread):
    """A thread that votes: `target` gets `beat`, and calls it each time that it looks up."""

    def __init__(self, target: Callable[[Callable[[], None]], object], name: str) -> None:
        super().__init__(target=target, args=(self.beat,), name=name, daemon=True)
        self.beat_s, self.patience_s = time.monotonic(), PATIENCE_S

    def beat(self) -> None:
        self.beat_s = time.monotonic()

    def alive(self) -> bool:
        return self.is_alive()


class Vote:
    """`voters`: the threads of `program` that are at work now, by name. `status`: what is told with "ready"."""

    def __init__(
        self, program: str, voters: Callable[[], Mapping[str, Voter]], status: str = "running", now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._program, self._voters, self._now_s = program, voters, now_s
        self._period_s = watchdog_s() / 3 or PERIOD_S
        self._due_s = now_s()
        self._first = f"READY=1\nSTATUS={status}\n"

    def take(self) -> None:
        """Votes where it is due, and feeds the watchdog. Raises DeviceError, which names the thread that has ended or hangs."""
        now_s = self._now_s()
        if now_s < self._due_s:
            return
        for name, voter in self._voters().items():
            what = wrong(name, voter, now_s)
            if what and (voter.alive() or self._voters().get(name) is voter):  # one that may end is no more listed then
                raise self._lost(what)
        tell(f"{self._first}WATCHDOG=1")
        self._due_s, self._first = now_s + self._period_s, ""

    def _lost(self, what: str) -> DeviceError:
        tell(f"STATUS={what}")
        return DeviceError(what, self._program, "it is started anew; if it comes again, report it")


def wrong(name: str, voter: Voter, now_s: float) -> str:
    """Why a thread does not work; empty while it does."""
    if not voter.alive():
        return f"a thread has ended: {name}"
    late_s = now_s - voter.beat_s
    return f"a thread hangs: {name} has not looked up for {late_s:.0f} s" if late_s > voter.patience_s else ""


def watchdog_s() -> float:
    """How long systemd waits for the next word of this very process; 0 where it does not."""
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 if int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid() else 0.0
    except (KeyError, ValueError):
        return 0.0


def tell(words: str) -> None:
    """To systemd, where the program was started by it; an address that begins with @ is an abstract one (unix(7))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.settimeout(TELL_S_MAX)
            teller.sendto(words.encode(), "\0" + address[1:] if address.startswith("@") else address)
