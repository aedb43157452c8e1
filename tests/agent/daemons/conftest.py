"""A modicum-core in a process of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.cli.conftest import Agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Started, and ended with the test."""
    made = Agent(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()
