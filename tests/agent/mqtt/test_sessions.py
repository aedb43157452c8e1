"""What stays of a connection at a real broker: all that comes meanwhile, or nothing."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from agent.mqtt.connection import Arrived, Connection, Event, access
from agent.mqtt.terms import V5, V311, Connect, Online
from tests.support.mosquitto import Mosquitto

WAIT_S = 30.0
BOTH = [b"while it is away", b"now"]


def comes_until(own: bytes, port: int, order: Connect, client_id: str, *, keeps: bool) -> list[bytes]:
    """What a connection gets, up to the message that it sends to itself; then it ends."""
    events, got = queue.SimpleQueue[Event](), list[bytes]()
    connection = Connection(access(f"mqtt://127.0.0.1:{port}"), order, client_id, ("down",), events.put, keeps=keeps)
    connection.start()
    while own not in got:
        match events.get(timeout=WAIT_S):
            case Online():
                connection.publish("down", own)
            case Arrived(payload=payload, accept=accept):
                accept()
                got.append(payload)
    connection.hang_up(politely=True)
    return got


@pytest.mark.parametrize("protocol", [V5, V311])
@pytest.mark.parametrize(("before", "after", "expected"), [(True, True, BOTH), (True, False, BOTH[1:]), (False, True, BOTH[1:])])
def test_who_keeps_nothing_leaves_nothing_and_finds_nothing(
    protocol: int, before: bool, after: bool, expected: list[bytes], tmp_path: Path
) -> None:
    """What came while it was away is there only for who kept its session before and asks for it after."""
    order = Connect(1, protocol)
    with Mosquitto(tmp_path) as broker:
        comes_until(b"before", broker.port, order, "car", keeps=before)
        comes_until(BOTH[0], broker.port, order, "", keeps=True)
        assert comes_until(BOTH[1], broker.port, order, "car", keeps=after) == expected
