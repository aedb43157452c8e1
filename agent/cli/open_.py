"""`modicum open`: the recipient's side. Envelopes from files or from a broker become JSON lines on stdout.

Promises one line per sample and one message once, however often it arrives. What cannot be opened is said on stderr and
counted, and never stops the rest. It must never send anything but a subscription.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent import link
from agent.envelope import KEY_BYTES, Key, Opened, open_envelope, received_lines
from agent.errors import DeviceError, FindingsError, IntegrityError, UsageError
from agent.mqtt.connection import Access, Event, access
from agent.uplink.lane import Lane

TOPIC = "+/v1/#"
REMEMBERED_MAX = 100_000
"""Message keys kept to recognise a redelivery; the oldest goes first."""
WAIT_S = 1.0


@dataclass(slots=True)
class Recipient:
    """One recipient's memory: what it has seen, and the order of arrival of what has no count of its own."""

    private_key: bytes = field(repr=False)
    expected_ids: frozenset[bytes] | None = None
    refused: int = 0
    repeated: int = 0
    opened: int = 0
    _seen: OrderedDict[Key, None] = field(default_factory=OrderedDict, repr=False)
    _order: dict[str, int] = field(default_factory=dict)

    def lines(self, data: bytes) -> list[dict[str, object]]:
        """The lines of a message seen for the first time, none of one seen before. Raises IntegrityError."""
        opened = open_envelope(data, self.private_key, self.expected_ids)
        if opened.key in self._seen:
            self.repeated += 1
            return []
        lines = list(received_lines(opened, self._next_order(opened)))
        self._remember(opened.key)
        self.opened += 1
        return lines

    def _next_order(self, opened: Opened) -> int:
        name = f"{opened.service}.{opened.stream}"
        if opened.id is None:
            self._order[name] = self._order.get(name, 0) + 1
        return self._order.get(name, 0)

    def _remember(self, key: Key) -> None:
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)


@dataclass(slots=True)
class Subscriber:
    """A lane that only listens. With a client id the broker keeps what arrives while it is away, else nothing stays there."""

    to: Access
    topic: str
    client_id: str = ""
    online: bool = False
    why: str = "the broker did not answer"
    _events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    stopping: bool = False
    _arrived: deque[tuple[str, bytes]] = field(default_factory=deque)

    def payloads(self, for_s: float | None) -> Iterator[bytes]:
        """Payloads as they arrive, until `for_s` is over (None: until `stopping`)."""
        for _, payload in self.messages(for_s):
            yield payload

    def messages(self, for_s: float | None) -> Iterator[tuple[str, bytes]]:
        """Topics and payloads, as above."""
        opening = link.Lane(lane="id:recipient", broker="", client_id=self.client_id, topics=(self.topic,))
        lane = Lane(opening, self.to, self._hear, self._events.put)
        end_s = None if for_s is None else time.monotonic() + for_s
        try:
            while not self.stopping and (end_s is None or time.monotonic() < end_s):
                self._serve(lane, end_s)
                while self._arrived:
                    yield self._arrived.popleft()
        finally:
            why = self.why
            lane.stop(time.monotonic())
            self.why = why  # the fault before the end, not the end

    def _serve(self, lane: Lane, end_s: float | None) -> None:
        wait_s = WAIT_S if end_s is None else max(0.0, min(WAIT_S, end_s - time.monotonic()))
        lane.tick(time.monotonic())
        try:
            lane.feed(time.monotonic(), self._events.get(timeout=wait_s))
        except queue.Empty:
            return

    def _hear(self, message: link.Message) -> None:
        match message:
            case link.Inbound():
                self._arrived.append((message.topic, message.payload))
            case link.State():
                self.online, self.why = self.online or message.online, message.why


def read_private_key(path: Path) -> bytes:
    """A raw X25519 private key of 32 bytes, from a file of these bytes, their hex, or PEM. Raises UsageError."""
    try:
        data = path.read_bytes()
        if len(data) == KEY_BYTES:
            return data
        if data.startswith(b"-----BEGIN"):
            key = load_pem_private_key(data, None)
            raw = key.private_bytes_raw() if isinstance(key, X25519PrivateKey) else b""
        else:
            raw = bytes.fromhex(data.decode("ascii"))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError("the key cannot be read", str(path), "give the recipient's private key: 32 bytes, hex or PEM") from error
    if len(raw) != KEY_BYTES:
        raise UsageError("not an X25519 private key", str(path), "give the recipient's private key: 32 bytes, hex or PEM")
    return raw


def _print(recipient: Recipient, data: bytes, where: str) -> None:
    try:
        for line in recipient.lines(data):
            click.echo(json.dumps(line, ensure_ascii=False))
    except IntegrityError as error:
        recipient.refused += 1
        click.echo(f"{error} [{where}]", err=True)


def _open_files(recipient: Recipient, envelopes: tuple[Path, ...]) -> None:
    for path in envelopes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError("the envelope cannot be read", str(path), str(error.strerror)) from error
        _print(recipient, data, path.name)


def _listen(recipient: Recipient, subscriber: Subscriber, count: int | None, for_s: float | None) -> None:
    for data in subscriber.payloads(for_s):
        _print(recipient, data, "from the broker")
        sys.stdout.flush()
        if count is not None and recipient.opened >= count:
            break
    if not subscriber.online:
        raise DeviceError("no broker", f"{subscriber.to.host}:{subscriber.to.port}", subscriber.why)


FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("open")
@click.argument("envelopes", nargs=-1, type=FILE)
@click.option("--key", type=FILE, required=True, help="the recipient's private key: 32 bytes, their hex, or PEM")
@click.option("--id", "ids", multiple=True, metavar="HEX", help="a sender that may be believed; without any, every sender is")
@click.option("--broker", metavar="URL", help="listen here instead of reading files: mqtts://host:port, or mqtt:// on this machine")
@click.option("--ca", type=FILE, help="the CA that signed the broker's certificate")
@click.option("--cert", type=FILE, help="the recipient's own certificate")
@click.option("--client-key", type=FILE, help="the key of --cert")
@click.option("--topic", default=TOPIC, show_default=True, help="what to subscribe to")
@click.option("--client-id", default="", help="be known to the broker by this name, which then keeps what arrives meanwhile")
@click.option("--count", type=click.IntRange(1), help="stop after this many messages")
@click.option("--for", "for_s", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="stop after this time")
@click.option("--json", "as_json", is_flag=True, help="no difference: the output is always JSON lines")
def open_command(
    *,
    envelopes: tuple[Path, ...],
    key: Path,
    ids: tuple[str, ...],
    broker: str | None,
    ca: Path | None,
    cert: Path | None,
    client_key: Path | None,
    topic: str,
    client_id: str,
    count: int | None,
    for_s: float | None,
    as_json: bool,  # noqa: ARG001  every command takes it
) -> None:
    """The recipient's side: opens ENVELOPES, or what arrives from --broker, to JSON lines as in received.jsonl.

    Use it to see what a recipient sees. Exit 1 when something could not be opened, 5 when the broker never answered.
    """
    if (broker is None) == (not envelopes):
        raise UsageError("either envelopes or a broker", "modicum open", "name files, or --broker URL")
    try:
        expected = frozenset(map(bytes.fromhex, ids)) if ids else None
    except ValueError as error:
        raise UsageError("an id that is no hex", "--id", "give the 32 hex digits of a pairwise id") from error
    recipient = Recipient(read_private_key(key), expected)
    if broker is None:
        _open_files(recipient, envelopes)
    else:
        _listen(recipient, Subscriber(access(broker, ca=ca, cert=cert, key=client_key), topic, client_id), count, for_s)
    if recipient.refused:
        raise FindingsError("some messages could not be opened", str(recipient.refused), "see the lines above")
