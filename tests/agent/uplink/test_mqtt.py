"""The connection's promises, with real sockets: TLS, addresses, limits of the broker, and an end that is an end."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import ConfigError, DeviceError
from agent.uplink import mqtt
from agent.uplink.mqtt import Access, Connection, Unreachable, access, open_socket
from tests.agent.uplink.conftest import Keys
from tests.support.certs import Authority, Credential
from tests.support.core import Running
from tests.support.fake_broker import FakeBroker
from tests.support.mosquitto import Mosquitto

HOUR = dt.timedelta(hours=1)


def plain(port: int) -> Access:
    return access(f"mqtt://127.0.0.1:{port}")


# -- where and with what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["mqtt://broker.example", "mqtt://192.0.2.1:1883", "https://localhost", "mqtts://", "mqtts://host/path", "mqtts://user@host", "mqtts://h:x"],
)
def test_a_url_that_promises_nothing_is_refused(url: str) -> None:
    """Plain text to another machine, another scheme, a user name: said at start, not at the first connection."""
    with pytest.raises(ConfigError):
        access(url, ca=Path("ca.pem"))


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
    monkeypatch.setattr(mqtt.socket, "getaddrinfo", lambda *_, **__: answer)
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


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("fault", ["wrong name", "wrong CA", "expired", "not yet valid", "its own CA", "client's certificate"])
@pytest.mark.req("R34", "R43", control=no_tls_checks)
def test_a_broker_whose_certificate_is_wrong_is_refused(fault: str, keys: Keys, tmp_path: Path) -> None:
    """The pinned CA, the name, the dates and the purpose are checked, and the handshake does not come to its end."""
    hosts = ("localhost",)
    other = Authority(tmp_path, "other-ca")
    server = {
        "wrong name": lambda: keys.authority.issue("x", ("elsewhere.example",), file="wrong-name"),
        "wrong CA": lambda: other.issue("x", hosts),
        "expired": lambda: keys.authority.issue("x", hosts, ends=-HOUR, file="expired"),
        "not yet valid": lambda: keys.authority.issue("x", hosts, begins=HOUR, file="early"),
        "its own CA": lambda: Credential(other.ca, other.issue("y", hosts).key),
        "client's certificate": lambda: keys.car,
    }[fault]
    if fault == "its own CA":
        server = lambda: _self_signed(tmp_path)  # noqa: E731  one more row of the table
    listening = TlsServer(server(), keys.authority.ca)
    try:
        with pytest.raises(Unreachable, match="certificate is refused"):
            open_socket(keys.to(listening.port)).close()
    finally:
        assert not listening.end()


def _self_signed(folder: Path) -> Credential:
    """A certificate that nobody but itself vouches for."""
    import subprocess  # noqa: PLC0415

    cert, key = folder / "self.pem", folder / "self.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made, *named], check=True, capture_output=True)
    return Credential(cert, key)
