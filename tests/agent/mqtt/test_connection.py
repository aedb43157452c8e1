"""The connection's promises, with real sockets: TLS, addresses, limits of the broker, and an end that is an end."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent import link
from agent.errors import ConfigError
from agent.mqtt import connection as mqtt
from agent.mqtt.connection import Access, Connection, Unreachable, access, open_socket
from hw.bench.authority import Authority, Credential
from hw.bench.link import Proxy
from tests.agent.conftest import Keys
from tests.support.core import Running
from tests.support.fake_broker import FakeBroker
from tests.support.mosquitto import Mosquitto

HOUR = dt.timedelta(hours=1)


def plain(port: int) -> Access:
    return access(f"mqtt://127.0.0.1:{port}")


# -- where and with what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://broker.example",
        "mqtt://192.0.2.1:1883",
        "https://localhost",
        "mqtts://",
        "mqtts://host/path",
        "mqtts://user@host",
        "mqtts://h:x",
        "mqtts://[h",
    ],
)
def test_a_url_that_promises_nothing_is_refused(url: str) -> None:
    """Plain text to another machine, another scheme, a user name: said at start, not at the first connection."""
    with pytest.raises(ConfigError):
        access(url, ca=Path("ca.pem"))


def test_a_fault_of_the_url_is_told_from_one_of_the_addresses() -> None:
    """Each names what was written, and what to write instead."""
    with pytest.raises(ConfigError, match="not a broker's URL") as of_url:
        access("http://x", addresses=("203.0.113.0/24",))
    assert (of_url.value.where, of_url.value.hint) == ("http://x", "write mqtts://host:8883")
    with pytest.raises(ConfigError, match="not networks") as of_addresses:
        access("mqtt://localhost", addresses=("203.0.113.0/24", "203.0.113.7/24"))
    assert of_addresses.value.where == "203.0.113.0/24, 203.0.113.7/24"


def test_tls_without_a_ca_is_refused() -> None:
    """The system's own list of authorities is never used."""
    with pytest.raises(ConfigError, match="without its CA"):
        access("mqtts://broker.example")


def any_address(monkeypatch: pytest.MonkeyPatch) -> None:
    found = mqtt._resolved
    monkeypatch.setattr(mqtt, "_resolved", lambda to: found(replace(to, addresses=())))


@pytest.mark.req("R34", control=any_address)
def test_an_address_outside_its_range_is_never_spoken_to() -> None:
    """Whatever the name service says, no byte goes to an address that the operator did not attest."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        to = access(f"mqtt://localhost:{server.getsockname()[1]}", addresses=("203.0.113.0/24",))
        with pytest.raises(Unreachable, match="outside its attested range"):
            open_socket(to)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_name_that_leaves_this_machine_is_not_spoken_to_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is believed only where it is this machine."""
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 1883))]
    monkeypatch.setattr("agent.mqtt.connection.socket.getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(Unreachable, match="outside"):
        open_socket(access("mqtt://localhost"))


def test_an_address_inside_its_range_is_spoken_to() -> None:
    """The range is a limit, not a wall; small writes leave at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = access(f"mqtt://localhost:{server.getsockname()[1]}", addresses=("127.0.0.0/8",))
        with open_socket(to) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


# -- TLS ----------------------------------------------------------------------------------------------------------------


class TlsServer:
    """A TLS server of one connection; `shaken` says whether a handshake came to its end."""

    def __init__(self, server: Credential, ca: Path, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(server.cert, server.key)
        self._context.load_verify_locations(ca)
        if highest < ssl.TLSVersion.TLSv1_2:
            self._context.set_ciphers("ALL:@SECLEVEL=0")
            self._context.minimum_version = highest
        self._context.maximum_version = highest
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.shaken = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            sock, _ = self._listener.accept()
            with sock, self._context.wrap_socket(sock, server_side=True) as wrapped:
                self.shaken = True
                wrapped.recv(1)
        except OSError:
            pass

    def end(self) -> bool:
        self._listener.close()
        self._thread.join(5)
        return self.shaken


def no_tls_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mqtt.tls_context

    def lax(to: Access) -> ssl.SSLContext:
        context = made(to)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    monkeypatch.setattr(mqtt, "tls_context", lax)


FAULTS: dict[str, Callable[[Authority, Path], Credential]] = {
    "wrong name": lambda ours, _: ours.issue("x", ("elsewhere.example",), file="wrong-name"),
    "wrong CA": lambda _, folder: Authority(folder, "other-ca").issue("x", ("localhost",)),
    "CA of the same name": lambda _, folder: Authority(folder).issue("x", ("localhost",)),
    "expired": lambda ours, _: ours.issue("x", ("localhost",), ends=-HOUR, file="expired"),
    "not yet valid": lambda ours, _: ours.issue("x", ("localhost",), begins=HOUR, file="early"),
    "a client's certificate": lambda ours, _: ours.issue("localhost", file="client"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.req("R34", "R43", control=no_tls_checks)
def test_a_broker_whose_certificate_is_wrong_is_refused(fault: str, keys: Keys, tmp_path: Path) -> None:
    """The pinned CA, the name, the dates and the purpose are checked before our certificate is shown."""
    server = TlsServer(FAULTS[fault](keys.authority, tmp_path), keys.authority.ca)
    try:
        with pytest.raises(Unreachable, match="certificate is refused"):
            open_socket(keys.to(server.port)).close()
    finally:
        assert not server.end()


def any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mqtt.tls_context

    def lax(to: Access) -> ssl.SSLContext:
        context = made(to)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        return context

    monkeypatch.setattr(mqtt, "tls_context", lax)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.req("R43", control=any_version)
def test_tls_1_1_is_refused(keys: Keys) -> None:
    """The least version stands in code."""
    server = TlsServer(keys.server, keys.authority.ca, ssl.TLSVersion.TLSv1_1)
    try:
        with pytest.raises(Unreachable, match="TLS"):
            open_socket(keys.to(server.port)).close()
    finally:
        assert not server.end()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_good_broker_is_spoken_to(version: ssl.TLSVersion, keys: Keys) -> None:
    """The faults above are refused for their fault."""
    server = TlsServer(keys.server, keys.authority.ca, version)
    open_socket(keys.to(server.port)).close()
    assert server.end()


def test_a_server_that_never_shakes_hands_is_given_up() -> None:
    """A stopped broker's kernel accepts the connection; the handshake has its own time."""
    folder_less = Access(host="localhost", port=0, tls=True)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mqtt, "tls_context", lambda _: ssl.create_default_context())
        began = time.monotonic()
        with pytest.raises(Unreachable):
            open_socket(replace(folder_less, port=server.getsockname()[1]), timeout_s=0.2)
        assert time.monotonic() - began < 2


def test_a_server_that_hangs_up_before_the_handshake_is_none(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python gives a socket without TLS then; a network that cuts at once must not pass for a broker that does not know our MQTT."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = socket.socket.connect

        def cut(sock: socket.socket, address: tuple[str, int]) -> None:
            connect(sock, address)
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.shutdown(socket.SHUT_RDWR)  # and then a reset
            peer.close()

        monkeypatch.setattr(socket.socket, "connect", cut)
        with pytest.raises(Unreachable, match="before the handshake"):
            open_socket(access(f"mqtts://127.0.0.1:{server.getsockname()[1]}", ca=keys.authority.ca))


def test_a_credential_that_cannot_be_read_is_said(keys: Keys, tmp_path: Path) -> None:
    """A missing file is a finding with its name, not a traceback."""
    with pytest.raises(Unreachable, match="credential"):
        open_socket(replace(keys.to(1), cert=tmp_path / "absent.pem"))


# -- one connection -----------------------------------------------------------------------------------------------------


def running(broker: FakeBroker) -> Running:
    return Running(lambda _: plain(broker.port))


@pytest.mark.parametrize("manner", ["code", "old", "close", "wait"])
def test_a_broker_without_mqtt_5_is_served_with_3_1_1(manner: str) -> None:
    """Whether it answers as a v5 broker, as an old one, hangs up or waits for ever, the message arrives over 3.1.1."""
    with FakeBroker(refuse_v5=manner) as broker, running(broker) as uplink:
        uplink.core.todo.append((1, b"payload"))
        uplink.core.open_lane()
        assert uplink.core.run(lambda: uplink.core.acked == [1])
        assert broker.connects()[0] == 5
        assert broker.connects()[-1] == 4
        assert uplink.core.states[-1].protocol == 4


def test_receive_maximum_is_kept() -> None:
    """Of 20 offers a broker that takes three at a time gets three."""
    with FakeBroker(properties=b"\x21\x00\x03", puback=None) as broker, running(broker) as uplink:
        uplink.core.todo.extend((n, b"payload") for n in range(20))
        uplink.core.open_lane()
        assert uplink.core.run(lambda: len(broker.published()) == 3)
        assert not uplink.core.run(lambda: len(broker.published()) > 3, within_s=0.3)


def test_maximum_packet_size_is_kept() -> None:
    """What the broker would refuse is not sent and not tried again."""
    with FakeBroker(properties=b"\x27\x00\x00\x01\x00") as broker, running(broker) as uplink:
        uplink.core.todo.extend([(1, bytes(300)), (2, bytes(100))])
        uplink.core.open_lane()
        assert uplink.core.run(lambda: uplink.core.acked == [2] and bool(uplink.core.refused))
        assert [(one.n, one.again) for one in uplink.core.refused] == [(1, False)]


def test_a_publish_is_qos_1_not_retained_and_has_an_end() -> None:
    """On the wire: QoS 1, no RETAIN, and the message expiry that is left, in whole seconds."""
    with FakeBroker() as broker, running(broker) as uplink:
        uplink.core.open_lane()
        assert uplink.core.run(lambda: uplink.core.online)
        uplink.core.end.send(link.Offer(n=1, lane="id:main", topic="m/v1/a/b/c", payload=b"payload", expires_in_ms=4200))
        uplink.core.open[1] = b""
        assert uplink.core.run(lambda: uplink.core.acked == [1])
        packet = broker.published()[0]
        assert packet.flags == 0b0010
        assert packet.body.endswith(b"\x05\x02\x00\x00\x00\x05payload")


def test_a_lane_without_identity_is_nobody_each_time() -> None:
    """A random client id for each connection, no user name, no will, no session."""
    with FakeBroker(disconnect=0x8B) as broker, running(broker) as uplink:
        uplink.core.lane = "open:main:traffic"
        uplink.core.open_lane(client_id="")
        assert uplink.core.run(lambda: len(broker.connects()) == 3)
        connects = [packet.body for packet in broker.heard if packet.kind == 1]
        assert {body[7] for body in connects} == {0b10}
        names = {body[-22:] for body in connects}
        assert len(names) == 3
        assert all(bytes.fromhex(name.decode()) for name in names)


def test_the_broker_s_reason_reaches_core() -> None:
    """Why the connection ended stands in the state."""
    with FakeBroker(disconnect=0x8B) as broker, running(broker) as uplink:
        uplink.core.open_lane()
        assert uplink.core.run(lambda: any("shutting down" in state.why for state in uplink.core.states))


@pytest.mark.parametrize("callback", ["_on_publish", "_on_connect", "_on_log"])
def test_a_callback_that_raises_does_not_kill_the_lane(callback: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends, the offer is refused, the next connection delivers it."""
    faults = iter([True])
    plainly = getattr(Connection, callback)

    def raise_once(self: Connection, *given: object) -> None:
        if next(faults, False):
            raise RuntimeError("planted")
        plainly(self, *given)

    monkeypatch.setattr(Connection, callback, raise_once)
    with FakeBroker() as broker, running(broker) as uplink:
        uplink.core.todo.append((1, b"payload"))
        uplink.core.open_lane()
        assert uplink.core.run(lambda: uplink.core.acked == [1])


def test_a_connection_whose_last_word_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paho goes on saying connected when its thread is dead; the lane looks at the thread."""
    monkeypatch.setattr("agent.daemons.uplink.WATCH_S", 0.1)
    with FakeBroker() as broker, running(broker) as uplink:
        uplink.core.open_lane()
        assert uplink.core.run(lambda: uplink.core.online)
        dead = uplink.uplink._lanes["id:main"]._connection
        assert dead is not None
        monkeypatch.setattr(dead, "_post", lambda _: None)
        dead.hang_up(politely=False)
        assert uplink.core.run(lambda: not uplink.core.online)
        assert uplink.core.run(lambda: uplink.core.online)


def says_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "hang_up", lambda self, *, politely: None)


@pytest.mark.req("R29", "R30", control=says_done_before)
def test_no_byte_leaves_after_a_take_back_was_confirmed() -> None:
    """With a link that is full of our data: confirmed within 2 s, then nothing more of them arrives, on no connection."""
    with FakeBroker(puback=None) as broker, Proxy(broker.port) as proxy, Running(lambda _: plain(proxy.port)) as uplink:
        core = uplink.core
        core.open_lane()
        assert core.run(lambda: core.online)
        proxy.stall()
        core.todo.extend((n, bytes(60_000)) for n in range(20))
        assert core.run(lambda: len(core.open) == 20)
        core.run(lambda: False, within_s=0.3)
        began = time.monotonic()
        core.end.send(link.TakeBack(ns=tuple(range(20))))
        assert core.run(lambda: bool(core.taken))
        assert time.monotonic() - began < 2
        assert set(core.taken[0].maybe_sent) == set(range(20))
        proxy.restore()
        assert core.run(lambda: core.online and len(broker.connects()) == 2, within_s=3)
        core.run(lambda: False, within_s=0.3)
        whole = [packet for packet in broker.published() if len(packet.body) > 60_000]
        assert len(whole) < 20
        assert broker.bytes_in < 20 * 60_000
        assert not core.open


def test_the_last_word_is_a_disconnect() -> None:
    """A lane that is closed by core says goodbye, so that the broker does not wait for it."""
    with FakeBroker() as broker, running(broker) as uplink:
        uplink.core.open_lane()
        assert uplink.core.run(lambda: uplink.core.online)
        uplink.core.end.send(link.Close(lane="id:main"))
        assert uplink.core.run(lambda: not uplink.core.online)
        assert uplink.core.run(lambda: broker.heard[-1].kind == 14)


def test_mosquitto_refuses_us_without_a_certificate(keys: Keys, tmp_path: Path) -> None:
    """The credential of the tests is needed: without it, or with a stranger's, there is no connection."""
    stranger = Authority(tmp_path, "stranger").issue("car-1")
    with Mosquitto(tmp_path, keys.authority, keys.server) as broker:
        good = keys.to(broker.port)
        for to in (replace(good, cert=None, key=None), replace(good, cert=stranger.cert, key=stranger.key)):
            with Running(lambda _, to=to: to) as uplink:  # type: ignore[misc]  # bound at once
                uplink.core.open_lane()
                # The end of the connection may overtake the alert that says why; another attempt follows.
                assert uplink.core.run(partial(uplink.core.told_why, "ALERT"))
                assert not any(state.online for state in uplink.core.states)
        with Running(lambda _: good) as uplink:
            uplink.core.open_lane()
            assert uplink.core.run(lambda: uplink.core.online)
