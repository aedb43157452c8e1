"""agent.core.outcome: sizes, orders and files of a run's results."""

from __future__ import annotations

import json
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.core.outcome import publish_bytes, sorted_lines, stream_totals, write_outcome


class _Sink:
    """A socket that keeps what is written to it."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)


@pytest.mark.parametrize("size", [0, 1, 90, 127, 128, 5_000, 16_370, 70_000])
def test_publish_bytes_is_what_a_client_writes(size: int) -> None:
    """The PUBLISH packet of MQTT 5 with a message expiry, to the byte, as paho builds it."""
    topic, payload = "modicum/v1/open/a/b", b"x" * size
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    sink = _Sink()
    client._sock = sink  # type: ignore[assignment]
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
    properties.MessageExpiryInterval = 60
    client._send_publish(1, topic.encode(), payload, 1, retain=False, dup=False, info=None, properties=properties)
    client._packet_write()
    client._sock = None
    assert publish_bytes(topic, payload) == len(sink.data)


def test_lines_are_sorted_so_that_runs_can_be_compared() -> None:
    """By service, stream, time, signal and count."""
    rows = [
        {"service": s, "stream": "x", "t": t, "signal": n, "seq": q}
        for s, t, n, q in [("b", 1, "A", 1), ("a", 2, "B", 1), ("a", 2, "A", 2)]
    ]
    assert [(row["service"], row["t"], row["signal"]) for row in sorted_lines(rows)] == [("a", 2, "A"), ("a", 2, "B"), ("b", 1, "A")]


def test_totals_agree_with_the_lines_and_the_envelopes() -> None:
    """Samples are lines, messages are envelopes, bytes are theirs."""
    lines = [{"service": "a", "stream": "x"}] * 3
    assert stream_totals(lines, [("a.x", "t", b"12"), ("a.x", "t", b"345")]) == {"a.x": {"samples": 3, "messages": 2, "bytes_sealed": 5}}


def test_a_second_run_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    """Old envelopes are gone, so that a folder is never two runs at once."""
    for count in (3, 1):
        envelopes = [("a.x", "topic", bytes([i])) for i in range(count)]
        write_outcome(tmp_path, lines=[{"value": "é"}], envelopes=envelopes, plan={}, summary={"samples": 1}, keys={"someone": b"k" * 32})
    assert sorted(path.name for path in (tmp_path / "envelopes").iterdir()) == ["000001-a-x.cbor"]
    assert json.loads((tmp_path / "received.jsonl").read_text()) == {"value": "é"}
    assert (tmp_path / "recipients" / "someone.key").read_bytes() == b"k" * 32
    assert json.loads((tmp_path / "summary.json").read_text()) == {"samples": 1}
