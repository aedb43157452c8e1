"""How sizes and ages are told to a person."""

from __future__ import annotations

import pytest

from agent.health.saying import age, counted_bytes


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
