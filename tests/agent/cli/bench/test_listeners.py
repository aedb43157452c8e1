"""agent.cli.bench.listeners: each message is opened by whom it is for, and by nobody else."""

from __future__ import annotations

from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.cli.bench.listeners import Listeners
from agent.cli.open_ import Recipient
from agent.envelope import open_envelope
from tests.agent.cli.test_open import GOOD, PRIVATE
from tests.agent.test_envelope import seal

BODY = open_envelope(GOOD[0], PRIVATE).body


@pytest.fixture
def listeners() -> Listeners:
    """`mine` has the key that everything here is sealed to, `other` has another."""
    made = Listeners(cast("Any", None), cast("Any", None), "#", {"real_time_traffic.probe": "mine"})
    made._keys = {"other": Recipient(X25519PrivateKey.generate().private_bytes_raw()), "mine": Recipient(PRIVATE)}
    return made


def test_a_message_is_opened_by_its_recipient_alone(listeners: Listeners) -> None:
    """The catalogue says whose it is; the other one is tried, too."""
    listeners._take("modicum/v1/x/real_time_traffic/probe", seal(body=BODY))
    assert (len(listeners.envelopes), listeners.opened_by_others, listeners.refused) == (1, 0, 0)


def test_a_notice_is_opened_by_whoever_it_is_for(listeners: Listeners) -> None:
    """No catalogue names the recipient of `basis_ended`."""
    listeners._take("modicum/v1/x/real_time_traffic/basis_ended", seal(stream="basis_ended", body=BODY))
    assert (len(listeners.envelopes), listeners.opened_by_others, listeners.refused) == (1, 0, 0)
    assert {line["stream"] for line in listeners.lines} == {"basis_ended"}


def test_what_is_for_nobody_is_counted(listeners: Listeners) -> None:
    """A stream that nobody knows, and a message that its recipient cannot open."""
    listeners._take("modicum/v1/x/real_time_traffic/odd", seal(body=BODY))
    listeners._take("modicum/v1/x/real_time_traffic/probe", b"no envelope")
    assert (listeners.envelopes, listeners.refused) == ([], 2)
