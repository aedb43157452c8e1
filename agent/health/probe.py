"""A try to speak to a broker as one of the device's lanes does: address, TLS, CONNECT, and an empty message where something may be sent.

Where there is no lane it ends after TLS and shows no certificate: the broker then learns an address, and not which device asks.
Promises that nothing of the car or its driver leaves by it: the message has no content, is not retained and expires at once, and its
topic is `<prefix>/v1/<id>/doctor/probe`, whose id every message of this lane carries anyway. The client id is a random one, so that
the broker does not end the uplink's own connection. With MQTT 3.1.1 a broker cannot say that a topic is forbidden.
"""

from __future__ import annotations

import queue
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import replace

from agent.health.facts import NOT_ALLOWED, BrokerFacts
from agent.mqtt.connection import REFUSED_CODE, Access, Connection, Event, PubAcked, Unreachable, open_socket, tls_context
from agent.mqtt.terms import ALTERNATIVE, V5, Connect, Lost, Online

OPEN_S, ANSWER_S = 5.0, 8.0
"""For the socket and its handshake; for CONNECT and for the message."""
EXPIRES_MS = 1000
WRONG_PROTOCOL = 0x84
PROBE = "doctor/probe"
NO_TLS = ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE")
"""How a handshake ends with a peer that speaks something else, or hangs up; so does a reset (ConnectionResetError)."""
NO_CERTIFICATE = ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV13_ALERT_CERTIFICATE_REQUIRED")
"""How a broker that wants a client's certificate ends the handshake without one (RFC 5246 7.4.6, RFC 8446 4.4.2.4)."""


def probe(name: str, lane: str, to: Access, topics: Sequence[str]) -> BrokerFacts:
    """Connects as `lane` and publishes an empty message to each of `topics`."""
    failed = _unopened(name, lane, to)
    if failed is not None:
        return failed
    first = _spoken(name, lane, to, topics, to.protocol)
    if first.step != "answer":
        return first
    second = _spoken(name, lane, to, topics, ALTERNATIVE[to.protocol])
    return first if second.step == "answer" else second


def reached(name: str, lane: str, to: Access) -> BrokerFacts:
    """Whether it is there, by an address and a certificate that may be spoken to."""
    began_s = time.monotonic()
    failed = _unopened(name, lane, replace(to, cert=None, key=None))
    if failed is not None:
        return failed
    took_ms = (time.monotonic() - began_s) * 1000
    return BrokerFacts(name=name, lane=lane, why="it is there; nothing needs it, so it was not told who asks", round_trip_ms=took_ms)


def _unopened(name: str, lane: str, to: Access) -> BrokerFacts | None:
    """Why there is no connection to it; None where there is."""
    step = "credential"
    try:
        if to.tls:
            tls_context(to)
        step = ""
        open_socket(to, OPEN_S).close()
    except Unreachable as error:
        cause = error.__cause__
        if step and isinstance(cause, PermissionError):
            return BrokerFacts(name=name, lane=lane, unseen=NOT_ALLOWED)
        if to.tls and to.cert is None and isinstance(cause, ssl.SSLError) and cause.reason in NO_CERTIFICATE:
            return None
        return BrokerFacts(name=name, lane=lane, step=step or _step(cause), why=error.what)
    return None


def _step(cause: BaseException | None) -> str:
    """At which step the socket could not be had; without a cause no address was allowed."""
    if cause is None or isinstance(cause, socket.gaierror):
        return "address"
    if isinstance(cause, ssl.CertificateError):
        return "certificate"
    if isinstance(cause, ConnectionResetError) or (isinstance(cause, ssl.SSLError) and cause.reason in NO_TLS):
        return "plain"
    return "handshake" if isinstance(cause, ssl.SSLError) else "connect"


def _spoken(name: str, lane: str, to: Access, topics: Sequence[str], protocol: int) -> BrokerFacts:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    connection = Connection(to, Connect(1, protocol), "", (), heard.put)
    began_s = time.monotonic()
    connection.start()
    try:
        event = _next(heard)
        if not isinstance(event, Online):
            step, why = _unaccepted(to, event)
            return BrokerFacts(name=name, lane=lane, step=step, why=why)
        took_ms = (time.monotonic() - began_s) * 1000
        for topic in topics:
            began_s = time.monotonic()
            connection.publish(topic, b"", EXPIRES_MS)
            event = _next(heard)
            if not isinstance(event, PubAcked) or event.code >= REFUSED_CODE:
                return BrokerFacts(name=name, lane=lane, step="acl", why="connected, and it takes no message of this device")
            took_ms = (time.monotonic() - began_s) * 1000
        unsure = "connected; MQTT 3.1.1 does not say whether a topic is allowed" if topics and protocol != V5 else ""
        return BrokerFacts(name=name, lane=lane, why=unsure, round_trip_ms=took_ms, published=bool(topics) and not unsure)
    finally:
        connection.hang_up(politely=True)


def _next(heard: queue.SimpleQueue[Event]) -> Event | None:
    try:
        return heard.get(timeout=ANSWER_S)
    except queue.Empty:
        return None


def _unaccepted(to: Access, event: Event | None) -> tuple[str, str]:
    """The step and why. With TLS 1.3 a broker says only after the handshake that it does not believe our certificate."""
    if not isinstance(event, Lost):
        return "answer", "it does not answer CONNECT"
    if event.code is not None and event.code != WRONG_PROTOCOL:
        return "refused", event.why
    if to.tls and event.code is None and event.why != "no answer to CONNECT":
        return "handshake", f"it ended the connection after the handshake: {event.why}"
    return "answer", event.why
