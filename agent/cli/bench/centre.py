"""The bench's emergency centre: opens what a car's emergency call sends, acknowledges at once, and clears down after some talk.

It stands where an operator's centre would: it has the private key of the recipient `emergency`, its own connection to the broker and
nothing of the car. What happens is told in sentences, each once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.cli.bench.telling import EMERGENCY, NO_PLACE
from agent.cli.streams import Entry
from agent.ecall import wire
from agent.ecall.happenings import Acknowledged, ClearedDown
from agent.ecall.message import STORAGE_OF
from agent.ecall.msd import MAS_PER_DEG, UNKNOWN_MAS, Msd, MsdError, decode
from agent.errors import DeviceError, IntegrityError
from agent.mqtt.connection import Access, Arrived, Connection, Event
from agent.mqtt.terms import Connect, Online

PREFIX = "modicum"
TOPIC = f"{PREFIX}/v1/+/{wire.SERVICE}/{wire.STREAM}"
CONNECT_S = 15.0
AGAIN_S = 2.0
"""From one clear-down to the next, until the car has heard it."""
TALK_S = 8.0
"""So long the centre speaks with the car before it clears down."""


@dataclass(slots=True)
class Centre:
    """`note(what)` gets each sentence, from two threads. `look` is given the car's own status of the call, now and then."""

    to: Access
    private_key: bytes = field(repr=False)
    note: Callable[[str], object]
    received: list[str] = field(default_factory=list)
    """The messages' octets in hexadecimal, as `modicum ecall decode` takes them."""
    refused: int = 0
    """Messages that could not be read."""
    _events: queue.SimpleQueue[Event | None] = field(default_factory=queue.SimpleQueue)
    _connection: Connection | None = None
    _thread: threading.Thread | None = None
    _call: wire.Call | None = None
    _clears_s: float = 0.0
    _state: str = "idle"
    _timed: bool = False

    def start(self) -> None:
        """Returns once the broker has taken the subscription. Raises DeviceError."""
        self._connection = Connection(self.to, Connect(1, self.to.protocol), "emergency-centre", (TOPIC,), self._events.put)
        self._connection.start()
        try:
            first = self._events.get(timeout=CONNECT_S)
        except queue.Empty:
            first = None
        if not isinstance(first, Online):
            raise DeviceError("the emergency centre cannot reach the broker", self.to.host, "see the broker's log")
        self._thread = threading.Thread(target=self._listen, name="emergency centre", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hangs up."""
        self._events.put(None)
        if self._thread is not None:
            self._thread.join(5)
        if self._connection is not None:
            self._connection.hang_up(politely=True)

    def look(self, status: Entry) -> None:
        """How the call stands in the car: when somebody has spoken with it for a while, the centre clears it down."""
        before, self._state = self._state, status["state"]
        acknowledged_ms = status["latency_ms"].get("acknowledged")
        if acknowledged_ms is not None and not self._timed:
            self._timed = True
            self.note(f"{EMERGENCY}the car has the acknowledgement, {acknowledged_ms:.0f} ms after the frame that told of the crash")
        if self._state == "voice" and before != "voice":
            self._clears_s = time.monotonic() + TALK_S
            self.note(f"{EMERGENCY}the centre speaks with the car")
        if self._state in ("cleared", "idle") and before not in ("cleared", "idle", "countdown"):
            self.note(f"{EMERGENCY}cleared down; the message and the places are erased in the car")
            self._call = None
        if self._state == "voice" and self._call is not None and time.monotonic() >= self._clears_s:
            self._clears_s = time.monotonic() + AGAIN_S  # a car whose link is cut has not heard it
            self._say(ClearedDown(self._call.session), self._call)

    def _listen(self) -> None:
        while (event := self._events.get()) is not None:
            if isinstance(event, Arrived):
                event.accept()
                self._take(event.payload)

    def _take(self, payload: bytes) -> None:
        try:
            call = wire.opened(payload, self.private_key)
            msd = decode(call.octets)
        except (IntegrityError, MsdError):
            self.refused += 1
            return
        again = self._call is not None and (self._call.session, self._call.octets) == (call.session, call.octets)
        self._call = call
        self._say(Acknowledged(call.session, msd.message_identifier), call)
        if not again:
            self.received.append(call.octets.hex().upper())
            self.note(f"{EMERGENCY}the centre has message {msd.message_identifier} and acknowledges it: {told(msd)}")

    def _say(self, word: wire.Word, call: wire.Call) -> None:
        assert self._connection is not None
        self._connection.publish(wire.answers_to(PREFIX, call.id), wire.said(word, call.reply_key))


def told(msd: Msd) -> str:
    """What the centre reads, for a person."""
    kind = "a test" if msd.test_call else "an automatic call" if msd.automatic_activation else "a call by hand"
    place = NO_PLACE
    if UNKNOWN_MAS not in (msd.latitude_mas, msd.longitude_mas):
        trusted = "trusted" if msd.position_can_be_trusted else "not trusted"
        place = f"at {msd.latitude_mas / MAS_PER_DEG:.5f}, {msd.longitude_mas / MAS_PER_DEG:.5f} ({trusted})"
    named = {storage: word for word, storage in STORAGE_OF.items()}
    return f"{kind}, VIN {msd.vin}, {place}, {', '.join(named[one] for one in sorted(msd.propulsion)) or 'propulsion not known'}"
