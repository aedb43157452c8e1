"""A live receiver inside a modem: asked for its position over the AT port, again and again, by one thread.

Promises the form of `hw.gnss.receiver`: every answer delivers one fix (without a position: mode 0), stamped with its
arrival; a modem that is silent, unplugged or knows no command for a position is a counted loss whose `problem` says why,
and it is asked again within 3 s of its return. Finds out by itself which maker's modem it is and switches its receiver
on. Positions never reach a log or an error text. The port is this reader's alone: the emergency call has another one.
"""

from __future__ import annotations

import time

from hw.errors import DeviceLost
from hw.gnss.locator import Locator
from hw.gnss.source import FixSource
from hw.modem.at import BAUD_DEFAULT, ModemError, Port
from hw.modem.profiles import profiles_at
from hw.supervision import TICK_S

ANSWER_S_MAX = 3.0
"""A modem that needs longer for a position than this counts as lost."""
USELESS_MAX = 10
"""After so many answers in a row that are neither a position nor a reason the modem counts as lost, and is looked at anew."""


class AtReceiver(FixSource):
    """The fixes that the modem at a port gives, each stamped with the arrival of its answer."""

    BAUD = BAUD_DEFAULT
    every_s = 1.0
    """From one question to the next."""
    _useless = 0

    def _session(self) -> None:
        port = Port(self.port, baud=self._baud, open_port=self._open_port)
        try:
            profiles = profiles_at(port, ANSWER_S_MAX)
            locator = Locator(profiles, epochs=self.epochs, now_ns=self._now_ns, limit_s=ANSWER_S_MAX)
            due_s = time.monotonic()
            while not self._stopping():
                self._ask(port, locator)
                self._well()
                due_s = max(due_s + self.every_s, time.monotonic())
                while not self._stopping() and time.monotonic() < due_s:
                    port.listen(min(TICK_S, max(0.0, due_s - time.monotonic())))
        except ModemError as error:
            raise DeviceLost(error.what, error.where, "asked again by itself") from error
        finally:
            port.close()

    def _ask(self, port: Port, locator: Locator) -> None:
        self._useless += 1
        for fixes in locator.questions(port):
            self._give(fixes)
            self._useless = 0 if fixes else self._useless
        if not locator.command:
            raise DeviceLost("the modem gives no position by AT", self.port, "is it a model with a receiver?")
        if self._useless > USELESS_MAX:
            self._useless = 0
            raise DeviceLost("the modem's answers are no positions", self.port, "asked again by itself")
