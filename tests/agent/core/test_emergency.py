"""agent.core.emergency: an emergency call in the audit log, and nothing that was said in it."""

from __future__ import annotations

import pytest

from agent.core.emergency import disclosure_of
from agent.errors import UsageError

SESSION = "0123456789abcdef"


def test_a_call_is_entered_as_what_left_for_the_centre() -> None:
    """Its kind stands in what it rested on; only what has arrived counts as told."""
    told = disclosure_of(SESSION, "automatic", 3, 7, told=True)
    assert (told.stream, told.recipient, told.identity, told.basis_ref) == ("ecall.msd", "emergency", "vin", "vital:automatic")
    assert (told.samples, told.t_ms, told.store_epoch, told.profile) == (3, 7, bytes.fromhex(SESSION), "")
    assert disclosure_of(SESSION, "manual", 3, 7, told=False).samples == 0


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
        disclosure_of(session, kind, messages, 7, told=True)
