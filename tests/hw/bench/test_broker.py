"""hw.bench.broker: enough of a broker for a first run, over TLS, and gone when told."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from hw.bench.authority import Authority, Credential
from hw.bench.broker import main

MESSAGES = 500


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def broker(authority: Authority) -> Iterator[tuple[subprocess.Popen[str], int]]:
    server = authority.issue("broker", ("127.0.0.1",))
    command = [sys.executable, "-m", "hw.bench.broker", "--port", "0", "--cert", str(server.cert), "--key", str(server.key)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--ca", str(authority.ca)], **pipes) as program:  # type: ignore[call-overload]
        word, port = program.stdout.readline().split()
        assert word == "ready"
        yield program, int(port)
        program.kill()


def client(name: str, port: int, authority: Authority, credential: Credential | None = None) -> mqtt.Client:
    """A connected MQTT 3.1.1 client that verifies the broker."""
    connected = threading.Event()
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
    made.on_connect = lambda *_: connected.set()
    own = {"certfile": str(credential.cert), "keyfile": str(credential.key)} if credential else {}
    made.tls_set(ca_certs=str(authority.ca), **own)  # type: ignore[arg-type]  # two of its many keywords
    made.max_inflight_messages_set(20)
    made.connect("127.0.0.1", port)
    made.loop_start()
    assert connected.wait(10)
    return made


def closed(*clients: mqtt.Client) -> None:
    for one in clients:
        one.disconnect()
        one.loop_stop()


def test_500_messages_arrive_once_each(broker: tuple[subprocess.Popen[str], int], authority: Authority) -> None:
    """QoS 1, window of 20, TLS with a client certificate: all acknowledged, all received, in order."""
    _, port = broker
    received: list[bytes] = []
    subscribed, complete = threading.Event(), threading.Event()
    reader = client("reader", port, authority)
    reader.on_subscribe = lambda *_: subscribed.set()

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        received.append(bytes(message.payload))
        if len(received) >= MESSAGES:
            complete.set()

    reader.on_message = on_message
    reader.subscribe("bench/#", qos=1)
    assert subscribed.wait(5)
    writer = client("writer", port, authority, authority.issue("device"))
    sent = [b"%06d" % number * 40 for number in range(MESSAGES)]
    tickets = [writer.publish("bench/v1/x", data, qos=1) for data in sent]
    for ticket in tickets:
        ticket.wait_for_publish(20)
    assert complete.wait(20)
    closed(reader, writer)
    assert received == sent


def test_it_ends_when_told_although_a_client_stays(broker: tuple[subprocess.Popen[str], int], authority: Authority) -> None:
    """SIGTERM with a client still connected: exit 0 within seconds, the port free, nothing said on stderr."""
    program, port = broker
    staying = client("staying", port, authority)
    staying.on_disconnect = lambda *_: None
    begin = time.monotonic()
    program.terminate()
    assert program.wait(10) == 0
    assert time.monotonic() - begin < 8
    closed(staying)
    assert program.stderr is not None
    assert program.stderr.read() == ""


def test_a_stranger_s_certificate_is_turned_away(broker: tuple[subprocess.Popen[str], int], authority: Authority, tmp_path: Path) -> None:
    """A client certificate of another CA is refused in the handshake."""
    _, port = broker
    stranger = Authority(tmp_path / "other").issue("stranger")
    refused = threading.Event()
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="stranger", protocol=mqtt.MQTTv311, reconnect_on_failure=False)
    made.on_disconnect = lambda *_: refused.set()
    made.on_connect = lambda *_: pytest.fail("a stranger came in")
    made.tls_set(ca_certs=str(authority.ca), certfile=str(stranger.cert), keyfile=str(stranger.key))
    try:
        made.connect("127.0.0.1", port)
    except OSError:
        return
    made.loop_start()
    assert refused.wait(10)
    made.loop_stop()


@pytest.mark.parametrize("arguments", [["--cert", "nowhere.pem", "--key", "nowhere.key"], ["--cert", __file__]])
def test_certificates_that_are_missing_are_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, before anything listens."""
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
