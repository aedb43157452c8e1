"""How sizes, ages and many findings are told to a person."""

from __future__ import annotations

import pytest

from agent.health.saying import age, counted_bytes, folded
from agent.model import Finding, error, warning


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (20 << 20, "20 MiB"), (3 << 40, "3072 GiB")]
)
def test_a_size(number: float, said: str) -> None:
    """Two digits are enough."""
    assert counted_bytes(number) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")])
def test_an_age(seconds: float, said: str) -> None:
    """In the largest unit of which there are two."""
    assert age(seconds) == said


def test_equal_findings_are_told_as_one_with_what_they_concern() -> None:
    """On a phone a list of eight lanes is long. Another thing to do, or another fault, stays apart; the worst comes first."""
    found = [
        warning("slow", "broker a: 9 ms", "see"),
        *(error("gone", f"broker {name}: no connection: timed out", "see the network") for name in "abb"),
        error("gone", "broker c: no address", "see the network"),
        error("gone", "broker d: no connection", "call"),
        error("ends", "the certificate has expired", "ask"),
    ]
    assert [(one.code, one.text, one.hint) for one in folded(found)] == [
        ("gone", "broker a, broker b: no connection: timed out; broker c: no address", "see the network"),
        ("gone", "broker d: no connection", "call"),
        ("ends", "the certificate has expired", "ask"),
        ("slow", "broker a: 9 ms", "see"),
    ]
    assert folded(list[Finding]()) == []
