"""The doctor's try at a broker, against a real mosquitto with each fault: the step that failed is the one that is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.health import probe as probing
from agent.health.facts import BrokerFacts
from agent.health.probe import probe, reached
from agent.health.reach import broker
from agent.mqtt.connection import Access, access
from hw.bench.authority import Authority
from tests.agent.conftest import Keys
from tests.findings import fault
from tests.support.fake_broker import PUBLISH, FakeBroker
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.wait import until

HOUR = dt.timedelta(hours=1)
TOPIC = "m/v1/0123/doctor/probe"
ACL = "user car-1\ntopic write m/v1/0123/#\n"


def tried(to: Access, *topics: str) -> BrokerFacts:
    return probe("main", "id:main", to, topics)


def codes(facts: BrokerFacts) -> list[str]:
    return [finding.code for finding in broker(facts).findings]


@contextlib.contextmanager
def greeting() -> Iterator[SimpleNamespace]:
    """A service that speaks first, as SMTP and SSH do, to one caller."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as hands:

        def serve() -> None:
            with server.accept()[0] as caller:
                caller.sendall(b"220 here is something else\r\n")
                caller.recv(4096)

        hands.submit(serve)
        yield SimpleNamespace(port=server.getsockname()[1])


def test_a_good_broker_takes_an_empty_message_and_nothing_is_found(keys: Keys, tmp_path: Path) -> None:
    """How long it took is told."""
    with Mosquitto(tmp_path, keys.authority, keys.server, acl=ACL) as server:
        facts = tried(keys.to(server.port), TOPIC)
    assert (facts.step, facts.published, codes(facts)) == ("", True, [])
    assert facts.round_trip_ms is not None
    assert 0 < facts.round_trip_ms < 5000


def test_what_arrives_is_empty_and_not_retained(tmp_path: Path) -> None:
    """Nothing of the car is in it; who subscribes later gets nothing."""
    with Mosquitto(tmp_path) as server:
        got: list[paho.MQTTMessage] = []
        listener = paho.Client(CallbackAPIVersion.VERSION2)
        listener.on_message = lambda _client, _data, message: got.append(message)
        listener.connect("127.0.0.1", server.port)
        listener.subscribe("#", 1)
        listener.loop_start()
        until(listener.is_connected, "the listener")
        tried(access(f"mqtt://127.0.0.1:{server.port}"), TOPIC)
        until(lambda: got, "the message")
        listener.disconnect()
        listener.loop_stop()
    assert [(message.topic, message.payload, message.retain) for message in got] == [(TOPIC, b"", False)]


def test_the_message_expires_after_a_second() -> None:
    """Its only property, and nothing behind it."""
    with FakeBroker() as server:
        tried(access(f"mqtt://127.0.0.1:{server.port}"), TOPIC)
        [message] = server.published()
    assert message.body.endswith(b"\x05\x02\x00\x00\x00\x01")  # MQTT 5.0, 3.3.2.3.3: Message Expiry Interval


def test_nothing_is_published_without_an_id() -> None:
    """CONNECT and its answer are all."""
    with FakeBroker() as server:
        facts = tried(access(f"mqtt://127.0.0.1:{server.port}"))
        assert (facts.step, facts.published) == ("", False)
        assert PUBLISH not in [packet.kind for packet in server.heard]


def test_an_older_tls_without_our_certificate_shows_a_broker_too(keys: Keys) -> None:
    """TLS 1.2 says in the handshake that one is wanted: it is there."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(keys.authority.ca))
    context.load_cert_chain(keys.server.cert, keys.server.key)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as hands:

        def serve() -> None:
            context.wrap_socket(server.accept()[0], server_side=True)

        served = hands.submit(serve)
        facts = reached("main", "id:main", keys.to(server.getsockname()[1]))
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            served.result()
    assert codes(facts) == []


def test_a_broker_that_nothing_needs_is_not_told_who_asks(keys: Keys, tmp_path: Path) -> None:
    """It wants a certificate, gets none, and hears no CONNECT; that it is there is known all the same."""
    with Mosquitto(tmp_path, keys.authority, keys.server) as server:
        facts = reached("main", "id:main", keys.to(server.port))
        until(lambda: "peer did not return a certificate" in server.log(), "what the broker makes of it")
        assert "car-1" not in server.log()
    assert (codes(facts), facts.published, broker(facts).says.startswith("it is there")) == ([], False, True)


@pytest.mark.finding("broker-certificate")
def test_a_false_broker_that_nothing_needs_is_found(keys: Keys, tmp_path: Path) -> None:
    """Before there is anything to send."""
    with Mosquitto(tmp_path, keys.authority, Authority(tmp_path, "other").issue("x", ("localhost",))) as server:
        assert codes(reached("main", "id:main", keys.to(server.port))) == ["broker-certificate"]


@pytest.mark.finding("broker-acl")
def test_a_topic_that_the_broker_forbids(keys: Keys, tmp_path: Path) -> None:
    """It lets the device in, and takes nothing of it."""
    with Mosquitto(tmp_path, keys.authority, keys.server, acl="user somebody\ntopic write #\n") as server:
        assert codes(tried(keys.to(server.port), TOPIC)) == ["broker-acl"]


@pytest.mark.finding("broker-unreachable")
def test_a_broker_that_is_down() -> None:
    """Nobody listens; and a name that has no address, and one outside of its range."""
    down = access(f"mqtt://127.0.0.1:{free_port()}")
    assert codes(tried(down)) == ["broker-unreachable"]
    assert codes(tried(replace(down, host="no-such-host.invalid", tls=True))) == ["broker-credential"]
    assert tried(access("mqtt://localhost:1", addresses=("203.0.113.0/24",))).step == "address"


@pytest.mark.finding("broker-credential")
def test_a_certificate_of_ours_that_is_not_there(keys: Keys, tmp_path: Path) -> None:
    """Before anything is sent."""
    assert codes(tried(replace(keys.to(free_port()), cert=tmp_path / "none.pem"))) == ["broker-credential"]


def test_a_key_that_this_user_may_not_read_is_no_fault(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the broker would take it is then not known."""

    def guarded(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", guarded)
    result = broker(tried(keys.to(free_port()), TOPIC))
    assert (result.known, result.findings) == (False, ())


@pytest.mark.finding("broker-certificate")
@pytest.mark.parametrize("wrong", ["authority", "name", "expired"])
def test_a_broker_whose_certificate_is_wrong(wrong: str, keys: Keys, tmp_path: Path) -> None:
    """Of another authority, for another name, or too old."""
    issued: dict[str, Callable[[], object]] = {
        "authority": lambda: Authority(tmp_path, "other").issue("x", ("localhost",)),
        "name": lambda: keys.authority.issue("x", ("elsewhere.example",), file=f"{tmp_path}/wrong-name"),
        "expired": lambda: keys.authority.issue("x", ("localhost",), ends=-HOUR, file=f"{tmp_path}/old"),
    }
    with Mosquitto(tmp_path, keys.authority, issued[wrong]()) as server:  # type: ignore[arg-type]  # a Credential
        assert codes(tried(keys.to(server.port), TOPIC)) == ["broker-certificate"]


@pytest.mark.finding("broker-tls")
def test_a_broker_that_does_not_believe_our_certificate(keys: Keys, tmp_path: Path) -> None:
    """With TLS 1.3 it says so only after the handshake."""
    stranger = Authority(tmp_path, "other").issue("car-1")
    with Mosquitto(tmp_path, keys.authority, keys.server) as server:
        to = replace(keys.to(server.port), cert=stranger.cert, key=stranger.key)
        assert codes(tried(to, TOPIC)) == ["broker-tls"]


@pytest.mark.finding("broker-tls")
@pytest.mark.parametrize("look", [tried, lambda to: reached("main", "id:main", to)], ids=["with a lane", "without"])
@pytest.mark.parametrize("peer", ["a broker", "a greeting"])
def test_a_port_that_speaks_no_tls(peer: str, look: Callable[[Access], BrokerFacts], keys: Keys, tmp_path: Path) -> None:
    """A broker's plain port, or another service's that speaks first: url and port are to be seen, and no certificate."""
    with Mosquitto(tmp_path) if peer == "a broker" else greeting() as server:
        [found] = broker(look(keys.to(server.port))).findings
    assert (found.code, found.hint) == ("broker-tls", "no TLS on this port: see url and port of this broker in agent.toml")


@pytest.mark.finding("broker-refused")
def test_a_broker_that_lets_nobody_in_without_a_name(tmp_path: Path) -> None:
    """CONNACK: not authorized."""
    with Mosquitto(tmp_path, options=("per_listener_settings false",)) as server:
        config = tmp_path / "mosquitto.conf"
        server.stop()
        config.write_text(config.read_text().replace("allow_anonymous true", "allow_anonymous false"))
        server.start()
        facts = tried(access(f"mqtt://127.0.0.1:{server.port}"), TOPIC)
    assert codes(facts) == ["broker-refused"]
    assert "refused" in facts.why


@pytest.mark.finding("broker-silent")
def test_something_that_is_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing, whichever MQTT is tried."""
    monkeypatch.setattr("agent.mqtt.connection.CONNACK_PLAIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert codes(tried(access(f"mqtt://127.0.0.1:{server.getsockname()[1]}"), TOPIC)) == ["broker-silent"]


def test_a_broker_of_the_older_mqtt_is_spoken_to_with_it() -> None:
    """As the uplink does; that a topic is allowed it cannot say, so that is not claimed."""
    with FakeBroker(refuse_v5="code") as server:
        facts = tried(access(f"mqtt://127.0.0.1:{server.port}"), TOPIC)
        assert server.connects() == [5, 4]
    assert (facts.step, facts.published) == ("", False)
    assert "does not say whether a topic is allowed" in broker(facts).says


@pytest.mark.parametrize(("code", "after_ms"), [fault("broker-slow", -1.0)])
def test_an_answer_that_takes_long_is_found(code: str, after_ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the limit, which here is below any time."""
    monkeypatch.setattr("agent.health.reach.ROUND_TRIP_MS_MAX", after_ms)
    with FakeBroker() as server:
        assert codes(tried(access(f"mqtt://127.0.0.1:{server.port}"), TOPIC)) == [code]


def test_the_uplinks_own_connection_stays(tmp_path: Path) -> None:
    """A client id that is known would take it away: the broker allows each only once."""
    assert probing.PROBE == "doctor/probe"
    with Mosquitto(tmp_path) as server:
        ended: list[object] = []
        standing = paho.Client(CallbackAPIVersion.VERSION2, "0123")
        standing.on_disconnect = lambda *_: ended.append(1)
        standing.connect("127.0.0.1", server.port)
        standing.loop_start()
        until(standing.is_connected, "the connection")
        tried(access(f"mqtt://127.0.0.1:{server.port}"), TOPIC)
        assert not ended
        standing.disconnect()
        standing.loop_stop()
