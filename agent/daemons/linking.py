"""Core's end of the link: lets the uplink in, one at a time, and brings what it says into the loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from agent.control.protocol import Peer
from agent.control.server import permitted
from agent.core.loop import Item, Linked
from agent.link import Link, LinkDown, Listener
from agent.notify import LOOK_S, Voter, Watched

log = logging.getLogger("modicum.core")
ACCEPT_PAUSE_S = 1.0
"""After a link that could not be accepted: descriptors or threads may be free again."""


class Linking:
    """Accepts until the listener is closed, whatever one attempt met. `put` takes what was said, and may block while the inbox is full."""

    def __init__(self, listener: Listener, put: Callable[[Item], object]) -> None:
        self._listener, self._put = listener, put
        self._reader: Watched | None = None
        self._thread = Watched(self._accept, "link")

    def start(self) -> None:
        """Begins to accept."""
        self._thread.start()

    def close(self) -> None:
        """No further link; those that were accepted stay."""
        self._listener.close()

    def voters(self) -> Mapping[str, Voter]:
        """Its threads; the one that reads a link may end with it."""
        reading = self._reader
        return {"link": self._thread} | ({"link reader": reading} if reading is not None and reading.alive() else {})

    def _accept(self, beat: Callable[[], None]) -> None:
        why = ""
        while self._listener.fileno() >= 0:
            beat()
            try:
                link = self._listener.accept(LOOK_S)
                if link is not None:
                    self._admit(link)
                why = ""
            except (LinkDown, OSError, RuntimeError) as error:  # no descriptor or no thread to be had
                if self._listener.fileno() >= 0 and why != str(error):
                    log.warning("no link can be accepted: %s", error)
                why = str(error)
                time.sleep(ACCEPT_PAUSE_S)

    def _admit(self, link: Link) -> None:
        """Root, our user or the socket's group. Raises RuntimeError where no thread can be had; the link is closed then."""
        if not permitted(Peer(*link.peer()), "drive", self._listener.group):
            log.warning("refused a link from uid %d", link.peer()[1])
            link.close()
            return
        self._put(Linked(link))
        reader = Watched(lambda beat: self._hear(link, beat), "link reader")
        try:
            reader.start()
        except RuntimeError:
            self._put(Linked(None, ended=link))
            raise
        self._reader = reader

    def _hear(self, link: Link, beat: Callable[[], None]) -> None:
        try:
            while True:
                beat()
                message: Item | None = link.receive(LOOK_S)
                if message is not None:
                    self._put(message)
        except LinkDown:
            pass  # the loop is told, whatever ended it
        finally:
            self._put(Linked(None, ended=link))
