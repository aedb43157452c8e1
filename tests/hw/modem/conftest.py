"""Lines for the tests of a call: a modem of the bench and a Voice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.bench.dialogue import Manner
from tests.hw.modem.cable import Line


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    made: list[Line] = []

    def make(*, plugged: bool = True, **manner: Any) -> Line:
        made.append(Line(tmp_path, Manner(**({"chatter_s": None, "answer_s": 0.6} | manner)), plugged=plugged))
        return made[-1]

    yield make
    for line in made:
        line.close()
