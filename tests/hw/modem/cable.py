"""Modems at the other end of a pty behind a stable path, as udev keeps one: the bench's, and one that says what a test wants."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hw.bench.dialogue import Manner, Modem
from hw.bench.modem import Wire, converse
from hw.bench.pace import NS, Pace
from hw.bench.truth import Drive
from hw.modem.voice import Said, Voice


class BenchModem:
    """The bench's modem in real time, `at_s` into its drive when it is made; plugged in and out by the test."""

    def __init__(self, path: Path, manner: Manner, scenario: str = "drive", at_s: float = 0.0) -> None:
        self.path, self.drive, self.pace = path, Drive.load(scenario, 1), Pace()
        self.modem = Modem(self.drive, self.pace.now_ns() - int(at_s * NS), manner, 1)
        self._thread: threading.Thread | None = None

    def plug(self) -> None:
        self.pace = Pace()
        self.modem.restart(self.pace.now_ns())
        wire = Wire(self.path)
        self._thread = threading.Thread(target=self._converse, args=(wire,))
        self._thread.start()

    def unplug(self) -> None:
        if self._thread is not None:
            self.pace.stop.set()
            self._thread.join()
            self._thread = None

    def _converse(self, wire: Wire) -> None:
        try:
            converse(self.modem, wire, self.pace, self.pace.now_ns() + 3600 * NS)
        finally:
            wire.close()


Reply = Callable[[bytes], bytes | None]
ENDED = re.compile(rb"[^\r\x1a\x1b]*[\r\x1a\x1b]")


class Puppet:
    """A modem whose answers are `reply(command)`: bytes, or None for silence. `heard` are the commands, in order.

    A text is one too, with the Ctrl-Z that ends it; so is an ESC.
    """

    def __init__(self, path: Path, reply: Reply) -> None:
        self.path, self.reply, self.heard = path, reply, list[bytes]()
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        self._theirs = theirs
        path.symlink_to(os.ttyname(theirs))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def say(self, data: bytes) -> None:
        os.write(self._ours, data)

    def unplug(self) -> None:
        self._stop.set()
        self._thread.join()
        for end in (self._ours, self._theirs):
            with contextlib.suppress(OSError):
                os.close(end)
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        rest = b""
        while not self._stop.is_set():
            ready, _, _ = select.select([self._ours], [], [], 0.02)
            rest += os.read(self._ours, 4096) if ready else b""
            commands = [match[0].rstrip(b"\r") for match in ENDED.finditer(rest)]
            rest = ENDED.sub(b"", rest)
            for command in filter(None, commands):
                self.heard.append(command)
                answer = self.reply(command)
                if answer is not None:
                    self.say(answer)


class Line:
    """A modem of the bench, a Voice on its port, and what that told."""

    def __init__(self, folder: Path, manner: Manner, *, plugged: bool = True) -> None:
        self.modem = BenchModem(folder / "at", manner)
        if plugged:
            self.modem.plug()
        self.told: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self.voice = Voice(str(folder / "at"), tell=self.told.put)
        self.voice.start()

    def next(self, within_s: float = 15.0) -> Said:
        return self.told.get(timeout=within_s)

    def silent(self, for_s: float) -> bool:
        time.sleep(for_s)
        return self.told.empty()

    def close(self) -> None:
        self.voice.close()
        self.modem.unplug()


@contextlib.contextmanager
def talking(folder: Path, answers: Mapping[bytes, bytes | None] | Reply, **more: Any) -> Iterator[tuple[Voice, Puppet]]:
    """A Voice that is not started yet, and a modem that says to some commands, or to all, what the test wants."""
    puppet = Puppet(folder / "at", answers if callable(answers) else lambda command: answers.get(command, usual(command)))
    voice = Voice(str(folder / "at"), **({"tell": lambda _: None} | more))
    try:
        yield voice, puppet
    finally:
        voice.close()
        puppet.unplug()


def usual(command: bytes) -> bytes:
    """What a modem answers to everything that opens a conversation."""
    return b"\r\n+CMEE: 1\r\n\r\nOK\r\n" if command == b"AT+CMEE?" else b"\r\nOK\r\n"
