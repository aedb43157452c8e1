"""agent.cli.bench.centre: the emergency centre of the bench reads, answers, speaks, clears down, and tells of each once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.cli.bench.centre import Centre, told
from agent.cli.bench.telling import EMERGENCY
from agent.ecall import wire
from agent.ecall.happenings import Acknowledged, ClearedDown
from agent.ecall.msd import UNKNOWN_MAS, Msd, decode, encode
from agent.mqtt.connection import Connection, access
from tests.agent.ecall.build import VIN
from tests.agent.ecall.build import msd as example
from tests.agent.ecall.test_loop import SENDER

PRIVATE = X25519PrivateKey.generate()
KEY = b"k" * 32
SESSION = "0123456789abcdef"


@dataclass
class Heard:
    """A centre that is connected to nobody: what it noted, and what it published."""

    notes: list[str] = field(default_factory=list)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    centre: Centre = field(init=False)

    def __post_init__(self) -> None:
        self.centre = Centre(access("mqtt://127.0.0.1"), PRIVATE.private_bytes_raw(), self.notes.append)
        self.centre._connection = cast("Connection", self)

    def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))

    def gets(self, msd: Msd, identifier: int = 1) -> Heard:
        call = wire.Call(SENDER.id.hex(), SESSION, encode(msd), KEY)
        self.centre._take(wire.sealed(SENDER, PRIVATE.public_key().public_bytes_raw(), call, identifier, VIN))
        return self

    def sees(self, state: str, **latency_ms: float) -> Heard:
        self.centre.look({"state": state, "latency_ms": latency_ms})
        return self

    def words(self) -> list[object]:
        return [wire.heard(payload, KEY) for _, payload in self.published]


def test_each_message_is_acknowledged_and_told_once() -> None:
    """A repetition of the same one is acknowledged again, because the car has not heard it."""
    heard = Heard().gets(example()).gets(example())
    identifier = example().message_identifier
    assert heard.words() == [Acknowledged(SESSION, identifier)] * 2
    assert {topic for topic, _ in heard.published} == {wire.answers_to("modicum", SENDER.id.hex())}
    (note,) = heard.notes
    assert note.startswith(f"{EMERGENCY}the centre has message {identifier} and acknowledges it")
    assert VIN in note


def test_it_speaks_for_a_while_and_then_clears_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again until the car has heard it, whose link may be cut; told once."""
    now_s = 10.0
    monkeypatch.setattr("agent.cli.bench.centre.time.monotonic", lambda: now_s)
    heard = Heard().gets(example()).sees("sending", acknowledged=41.6)
    for now_s in (10.0, 17.9, 18.0, 19.9, 20.0):  # noqa: B007  read by the clock above
        heard.sees("voice", acknowledged=41.6)
    assert heard.words()[1:] == [ClearedDown(SESSION)] * 2
    heard.sees("cleared", acknowledged=41.6).sees("cleared")
    assert [note.removeprefix(EMERGENCY).partition(",")[0].partition(";")[0] for note in heard.notes[1:]] == [
        "the car has the acknowledgement",
        "the centre speaks with the car",
        "cleared down",
    ]


def test_a_call_that_it_hears_of_late_is_cleared_down_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The voice was there before the message: the link was cut meanwhile, and while an earlier call stood."""
    now_s = 10.0
    monkeypatch.setattr("agent.cli.bench.centre.time.monotonic", lambda: now_s)
    heard = Heard()
    for now_s in (10.0, 20.0, 30.0):  # noqa: B007  read by the clock above
        heard.sees("voice")
    heard.gets(example()).sees("voice")
    assert heard.words()[1:] == [ClearedDown(SESSION)]


def test_what_it_cannot_read_is_counted_and_not_answered() -> None:
    """Somebody's noise, and a message sealed to another."""
    heard = Heard()
    heard.centre._take(b"noise")
    assert (heard.centre.refused, heard.published, heard.notes) == (1, [], [])


def test_a_place_that_is_not_known_is_said_so() -> None:
    """And so is the kind of a call."""
    blind = decode(encode(example(latitude_mas=UNKNOWN_MAS, longitude_mas=UNKNOWN_MAS, test_call=True)))
    assert "a test, " in told(blind)
    assert "place not known" in told(blind)
