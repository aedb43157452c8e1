"""The recipients of the bench: every message that the broker hands over, opened with the key of its recipient."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.catalogue.types import Catalogue
from agent.cli.bench.device import Device
from agent.cli.open_ import Recipient, Subscriber
from agent.ecall import wire
from agent.errors import DeviceError, IntegrityError
from agent.mqtt.connection import Access
from agent.plan.notice import STREAM

CONNECT_S = 15.0
NOTICE = f".{STREAM}"
CALLS = (f"/{wire.SERVICE}/{wire.STREAM}", "/down")
"""The emergency call's topics: those messages are the centre's."""


@dataclass(slots=True)
class Listeners:
    """One subscription for all recipients; each opens only with its own key, and is shown to be unable to open others'."""

    device: Device
    to: Access
    topic: str
    recipient_of: dict[str, str]
    seen: Callable[[list[dict[str, object]]], None] = lambda _: None
    lines: list[dict[str, object]] = field(default_factory=list)
    envelopes: list[tuple[str, str, bytes]] = field(default_factory=list)
    refused: int = 0
    opened_by_others: int = 0
    _thread: threading.Thread | None = None
    _keys: dict[str, Recipient] = field(default_factory=dict)
    _subscriber: Subscriber | None = None

    def start(self) -> None:
        """Subscribes; returns once the broker has taken the subscription."""
        self._keys = {name: Recipient(key) for name, key in self.device.recipients.items()}
        self._subscriber = Subscriber(self.to, self.topic)
        self._thread = threading.Thread(target=self._listen, name="recipients", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + CONNECT_S
        while not self._subscriber.online:
            if time.monotonic() > deadline_s:
                raise DeviceError("the recipients cannot reach the broker", self.device.broker_url, self._subscriber.why)
            time.sleep(0.02)

    def stop(self) -> None:
        """Listens no more."""
        if self._subscriber is not None and self._thread is not None:
            self._subscriber.stopping = True
            self._thread.join(5)

    def _listen(self) -> None:
        assert self._subscriber is not None
        for topic, payload in self._subscriber.messages(None):
            self._take(topic, payload)

    def _take(self, topic: str, payload: bytes) -> None:
        if topic.endswith(CALLS):
            return
        stream = ".".join(topic.rsplit("/", 2)[-2:])
        name, lines = self._read(stream, payload)
        if name is None:
            self.refused += 1
            return
        self.opened_by_others += sum(_opens(other, payload) for key, other in self._keys.items() if key != name)
        if lines:
            self.envelopes.append((stream, topic, payload))
            self.lines += lines
            self.seen(lines)

    def _read(self, stream: str, payload: bytes) -> tuple[str | None, list[dict[str, object]]]:
        """Whose message it is, and its lines. A notice that a grant has ended goes to whoever got something under it."""
        named = self.recipient_of.get(stream)
        whose = [named] if named is not None else list(self._keys) if stream.endswith(NOTICE) else []
        for name in whose:
            with contextlib.suppress(IntegrityError):
                return name, self._keys[name].lines(payload)
        return None, []


def recipients_of(catalogue: Catalogue) -> dict[str, str]:
    """`service.stream` -> the recipient that the catalogue names."""
    return {f"{file.service.id}.{stream.id}": stream.recipient for file in catalogue.services.values() for stream in file.streams}


def _opens(recipient: Recipient, payload: bytes) -> bool:
    try:
        recipient.lines(payload)
    except IntegrityError:
        return False
    return True
