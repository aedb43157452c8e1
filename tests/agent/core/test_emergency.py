"""agent.core.emergency: an emergency call in the audit log, and nothing that was said in it."""

from __future__ import annotations

import pytest

from agent.core.emergency import disclosures_of
from agent.errors import UsageError

SESSION = "0123456789abcdef"


def test_a_call_is_entered_as_what_left_for_the_centre() -> None:
    """Each message once; its call's kind stands in what it rested on; what is not known to have arrived told nothing."""
    told = disclosures_of(SESSION, "automatic", 3, 7, told=True)
    assert {(one.stream, one.recipient, one.identity, one.basis_ref) for one in told} == {
        ("ecall.msd", "emergency", "vin", "vital:automatic")
    }
    assert [(one.seq, one.samples, one.t_ms, one.store_epoch, one.profile) for one in told] == [
        (seq, 1, 7, bytes.fromhex(SESSION), "") for seq in (1, 2, 3)
    ]
    assert [one.samples for one in disclosures_of(SESSION, "manual", 2, 7, told=False)] == [0, 0]


@pytest.mark.parametrize(
    ("session", "kind", "messages"),
    [
        ("", "test", 1),
        ("zz" * 8, "test", 1),
        (SESSION + "00", "test", 1),
        (SESSION, "other", 1),
        (SESSION, "test", 0),
        (SESSION, "test", 256),
    ],
)
def test_what_no_call_says_is_refused(session: str, kind: str, messages: int) -> None:
    """So that the log takes no text of somebody's own."""
    with pytest.raises(UsageError, match="not the record"):
        disclosures_of(session, kind, messages, 7, told=True)
