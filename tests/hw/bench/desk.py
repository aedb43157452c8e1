"""The bench's modem on the desk: asked in virtual time, without a port."""

from __future__ import annotations

from typing import Any

from hw.bench.dialogue import NS, Manner, Modem
from hw.bench.truth import Drive
from hw.modem.profiles import PROFILES
from tests.hw.bench.scenes import START_NS

DRIVE = Drive.load("drive", 1)
QUIET: dict[str, Any] = {"chatter_s": None}
PROFILE = {profile.name: profile for profile in PROFILES}
ON = {"quectel": "AT+QGPS=1", "simcom": "AT+CGPS=1"}


class Desk:
    """A modem in virtual time. `ask` gives the lines that come within a second; `later` those of the seconds after."""

    def __init__(self, drive: Drive = DRIVE, at_s: float = 60.0, **manner: Any) -> None:
        self.t_ns = START_NS + int(at_s * NS)
        self.modem = Modem(drive, START_NS, Manner(**(QUIET | manner)), 1)
        self.modem.restart(self.t_ns)

    def ask(self, command: str, seconds: float = 1.0) -> list[str]:
        self.modem.hear(command.encode() + b"\r", self.t_ns)
        return self.later(seconds)

    def later(self, seconds: float) -> list[str]:
        said = b""
        end_ns = self.t_ns + int(seconds * NS)
        while (due_ns := self.modem.next_ns()) is not None and due_ns <= end_ns:
            said += self.modem.say(due_ns)
        self.t_ns = end_ns
        return [line for line in (said + self.modem.say(end_ns)).decode("latin-1").split("\r\n") if line.strip("\r")]

    def ready(self) -> Desk:
        """Without echo, receiver on, calls reported."""
        for command in ("ATE0", "AT+CMEE=1", ON[self.modem.manner.vendor], *PROFILE[self.modem.manner.vendor].reports):
            assert "OK" in self.ask(command)
        return self
