"""One MQTT connection: the TLS socket and paho's client on it, in a thread of its own.

Owns the socket. Promises: TLS 1.2 or later with the pinned CA, the server's name checked, plain text only on this
machine; an address outside the attested ranges is never spoken to; after `hang_up` returned, the kernel takes no
further byte; paho's callbacks only post an event. It must never queue (the session's window does), reconnect
(the session decides) or hand anything over while offline.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import ConfigError, DeviceError
from agent.link import PACKET_BYTES_MAX, WINDOW
from agent.mqtt.terms import REFUSED, UNREADABLE, V5, V311, Connect, Lost, Online, Terms

KEEPALIVE_S = 240
"""Below the shortest time after which a mobile network forgets an idle connection that we know of."""
USER_TIMEOUT_MS = 30_000
OPEN_S = 10.0
"""For the TCP connection and again for the TLS handshake."""
CONNACK_TLS_S, CONNACK_PLAIN_S = 5.0, 1.0
"""How long an answer to CONNECT may take; without TLS the broker is on this machine."""
SESSION_EXPIRY_S = 7 * 24 * 3600
"""How long the broker keeps orders for a car that is away."""
CLIENT_ID_BYTES = 11
"""22 characters: every broker takes 23 (MQTT 3.1.1 section 3.1.3.1)."""
INBOUND_BYTES_MAX = PACKET_BYTES_MAX - 4096
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
PORTS = {"mqtts": 8883, "mqtt": 1883}
REFUSED_CODE = 0x80
"""From here on a reason code says no (MQTT 5, section 2.4); 3.1.1 has one for a subscription and none for a message."""
LOOP_S = 5.0
PATIENCE_S = 180.0
"""How long the thread may go without looking up: a name service that does not answer may hold it for two minutes, TLS for some more."""
JOIN_S = 0.5
PROTOCOLS = {V5: paho.MQTTv5, V311: paho.MQTTv311}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Unreachable(DeviceError):
    """No connection that keeps the promises can be had; trying again can help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a broker is and with which credential it is spoken to. `addresses` empty: not restricted.

    `protocol`: which MQTT is tried first (5, or 4 for 3.1.1).
    """

    host: str
    port: int
    tls: bool
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    addresses: tuple[Network, ...] = ()
    protocol: int = V5


@dataclass(frozen=True, slots=True)
class PubAcked:
    """The broker answered packet `mid` of this connection."""

    generation: int
    mid: int
    code: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message for us; `accept` tells the broker that it may forget it."""

    generation: int
    topic: str
    payload: bytes = field(repr=False)
    accept: Callable[[], None] = field(repr=False)


Event = Online | Lost | PubAcked | Arrived
Post = Callable[[Event], None]


def access(  # noqa: PLR0913  a section of agent.toml, key by key
    url: str,
    *,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    addresses: tuple[str, ...] = (),
    protocol: int = V5,
) -> Access:
    """Reads a broker's URL (`mqtts://host[:port]`, `mqtt://` for this machine). Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (KeyError, ValueError) as error:
        raise ConfigError("not a broker's URL", url, "write mqtts://host:8883") from error
    if not parts.hostname or parts.path.strip("/") or parts.username is not None:
        raise ConfigError("not a broker's URL", parts.scheme + "://...", "write mqtts://host:8883, no user and no path")
    networks = _networks(addresses)
    tls = parts.scheme == "mqtts"
    if tls and ca is None:
        raise ConfigError("a broker without its CA", url, "name the CA file that signs the broker's certificate")
    if not tls and not _this_machine(parts.hostname):
        raise ConfigError("plain MQTT to another machine", url, "use mqtts://")
    return Access(host=parts.hostname, port=port, tls=tls, ca=ca, cert=cert, key=key, addresses=networks, protocol=protocol)


def _networks(addresses: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(each) for each in addresses)
    except ValueError as error:
        raise ConfigError("not networks", ", ".join(addresses), "write CIDR ranges such as 203.0.113.0/24") from error


def open_socket(to: Access, timeout_s: float = OPEN_S) -> socket.socket:
    """A connected socket, for TLS with its handshake done, that keeps this module's promises. Raises Unreachable."""
    context = tls_context(to) if to.tls else None
    last: Exception | None = None
    for family, address in _resolved(to):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            _tune(sock, timeout_s)
            sock.connect(address)
            return _secured(sock, context, to.host) if context is not None else sock
        except (OSError, ssl.CertificateError) as error:
            sock.close()
            last = error
    raise Unreachable(f"no connection: {_reason(last)}", f"{to.host}:{to.port}", "see the network and the broker's certificate") from last


def _secured(sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """With its handshake done. `ssl` leaves it out, without a word, where the peer has hung up before; then nothing is secured."""
    secured = context.wrap_socket(sock, server_hostname=host)
    if secured.version() is None:
        secured.close()
        raise ConnectionResetError("the peer hung up before the handshake")
    return secured


def tls_context(to: Access) -> ssl.SSLContext:
    """TLS 1.2 or later with AEAD suites, this CA alone, name checked, our certificate. Raises Unreachable.

    The minimum stands in code so that no configuration can lower it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    try:
        context.load_verify_locations(cafile=to.ca)
        if to.cert is not None:
            context.load_cert_chain(to.cert, to.key)
    except (OSError, TypeError) as error:
        raise Unreachable(UNREADABLE, str(to.cert or to.ca), "see `modicum check`") from error
    return context


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _resolved(to: Access) -> list[tuple[socket.AddressFamily, Any]]:
    """The addresses that may be spoken to; TLS or not, an answer of the name service alone opens no other."""
    try:
        found = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable("the broker's name has no address", to.host, "see the network's name service") from error
    inside: list[tuple[socket.AddressFamily, Any]] = []
    for family, _, _, _, sockaddr in found:
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        attested = not to.addresses or any(address in network for network in to.addresses)
        if attested and (to.tls or address.is_loopback):
            inside.append((family, sockaddr))
    if not inside:
        raise Unreachable("the broker's address is outside its attested range", to.host, "see `addresses` of this broker in agent.toml")
    return inside


def _tune(sock: socket.socket, timeout_s: float) -> None:
    sock.settimeout(timeout_s)
    # Without it a publish of 16 KiB waits 40 ms for the peer's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


def _reason(error: Exception | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(error)


class _Client(paho.Client):
    """paho's client on our own socket: its `connect` would skip address ranges and hang in a handshake."""

    opener: Callable[[], socket.socket]

    def _create_socket(self) -> socket.socket:
        return self.opener()


class Connection:
    """One attempt and, if it succeeds, one connection. `post` is called from its thread and must not block.

    `client_id` empty: a random one, of this connection only, and nothing stays at the broker. With a client id and
    `topics` the broker keeps the subscription for SESSION_EXPIRY_S, unless `keeps` is false: then it forgets it, and what
    an earlier connection of that client id has left, too.
    """

    def __init__(  # noqa: PLR0913  one whole connection
        self, to: Access, order: Connect, client_id: str, topics: tuple[str, ...], post: Post, *, keeps: bool = True
    ) -> None:
        self._to, self._topics, self._post = to, topics, post
        self._generation, self._protocol = order.generation, order.protocol
        self.outcome: Lost | None = None
        self.deaf = False
        """Whether the broker refused one of `topics`."""
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._ended = False
        self._reached = False
        self._accepted = False
        self._why = ""
        self._code: int | None = None
        self._kept = keeps and bool(client_id and topics)
        self._client = self._new_client(client_id or secrets.token_hex(CLIENT_ID_BYTES))
        self.beat_s, self.patience_s = time.monotonic(), PATIENCE_S
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{order.generation}", daemon=True)

    def start(self) -> None:
        """Begins in a thread, which ends with one Lost; that stays in `outcome`, should nobody have heard it."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread has not ended yet (a name service may hold it for a while)."""
        return self._thread.is_alive()

    def publish(self, topic: str, payload: bytes, expires_in_ms: int = 0) -> int | None:
        """Hands one message over, QoS 1, not retained; its packet id, or None when the connection has just ended."""
        properties = None
        if self._protocol == V5 and expires_in_ms:
            properties = _properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = max(1, math.ceil(expires_in_ms / 1000))
        info = self._client.publish(topic, payload, qos=1, retain=False, properties=properties)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def hang_up(self, *, politely: bool) -> None:
        """Ends the connection: when this returns the kernel takes no further byte of it.

        It also drops what it still held, unless `politely`, which says DISCONNECT first.
        """
        if politely:
            self._client.disconnect()
            self._thread.join(JOIN_S)
        with self._guard:
            self._ended = True
            sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):  # it ended by itself
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Not SSLSocket.shutdown: that drops the TLS layer first, and paho's thread could then write plain text.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._thread.join(JOIN_S)

    def _new_client(self, client_id: str) -> _Client:
        options: dict[str, Any] = {} if self._protocol == V5 else {"clean_session": not self._kept}
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=PROTOCOLS[self._protocol],
            reconnect_on_failure=False,
            manual_ack=True,
            **options,
        )
        client.opener = self._open
        client.max_inflight_messages_set(0)  # the session's window is the only one
        client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_disconnect, self._on_publish
        client.on_message, client.on_log, client.on_subscribe = self._on_message, self._on_log, self._on_subscribe
        # Setting it keeps paho from writing in the thread that publishes.
        client.on_socket_register_write = lambda *_: None
        return client

    def _run(self) -> None:
        try:
            self._client.connect(self._to.host, self._to.port, KEEPALIVE_S, **self._connect_options())
            self._reached = True
            self._serve()
        except (OSError, DeviceError) as error:
            self._why = self._why or (error.what if isinstance(error, DeviceError) else str(error))
        except Exception as error:  # noqa: BLE001  a fault of ours or of paho ends this connection, never the lane
            self._why = f"internal: {type(error).__name__}"
        finally:
            self._close_socket()
            self.outcome = Lost(self._generation, self._why or "the connection ended", self._code, self._reached)
            self._post(self.outcome)

    def _serve(self) -> None:
        """Until the connection ends, or its CONNACK does not come: some 3.1.1 brokers misread MQTT 5 and wait for ever."""
        answer_s = CONNACK_TLS_S if self._to.tls else CONNACK_PLAIN_S
        give_up_s = time.monotonic() + answer_s
        while self._client.loop(LOOP_S if self._accepted else answer_s / 4) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.beat_s = time.monotonic()
            if not self._accepted and time.monotonic() >= give_up_s:
                self._why = "no answer to CONNECT"
                return

    def _connect_options(self) -> dict[str, Any]:
        if self._protocol != V5:
            return {}
        properties = _properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = WINDOW
        properties.MaximumPacketSize = INBOUND_BYTES_MAX
        properties.SessionExpiryInterval = SESSION_EXPIRY_S if self._kept else 0
        return {"clean_start": not self._kept, "properties": properties}

    def _open(self) -> socket.socket:
        sock = open_socket(self._to)
        with self._guard:
            self._socket = sock
            if self._ended:
                sock.close()
                raise Unreachable("hung up", "", "")
        return sock

    def _close_socket(self) -> None:
        with self._guard:
            if self._socket is not None:
                self._socket.close()

    def _on_connect(self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self._code, self._why = reason.value, f"{REFUSED}: {reason}"
            return
        terms = Terms(
            protocol=self._protocol,
            receive_max=getattr(properties, "ReceiveMaximum", 65_535),
            packet_bytes_max=getattr(properties, "MaximumPacketSize", None),
        )
        self._accepted = True
        if self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])
        self._post(Online(self._generation, terms))

    def _on_disconnect(self, _client: object, _data: object, flags: paho.DisconnectFlags, reason: ReasonCode, _properties: object) -> None:
        if flags.is_disconnect_packet_from_server:
            self._code, self._why = reason.value, f"the broker ended the connection: {reason}"
        elif not self._why:
            self._why = f"the connection ended: {reason}"

    def _on_publish(self, _client: object, _data: object, mid: int, reason: ReasonCode, _properties: object) -> None:
        self._post(PubAcked(self._generation, mid, reason.value))

    def _on_subscribe(self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object) -> None:
        self.deaf = any(reason.is_failure for reason in reasons)

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        mid, qos = message.mid, message.qos
        self._post(Arrived(self._generation, message.topic, bytes(message.payload), lambda: _accept(client, mid, qos)))

    def _on_log(self, _client: object, _data: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR and not self._why:
            self._why = text


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves this one without types


def _accept(client: paho.Client, mid: int, qos: int) -> None:
    client.ack(mid, qos)
