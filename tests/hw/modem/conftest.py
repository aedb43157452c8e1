"""Lines for the tests of a call, a modem of the bench and a Voice each; modems that say what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.bench.dialogue import Manner
from tests.hw.modem.cable import Line, Puppet, Reply


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    made: list[Line] = []

    def make(*, plugged: bool = True, **manner: Any) -> Line:
        made.append(Line(tmp_path, Manner(**({"chatter_s": None, "answer_s": 0.6} | manner)), plugged=plugged))
        return made[-1]

    yield make
    for line in made:
        line.close()


@pytest.fixture
def puppets(tmp_path: Path) -> Iterator[Callable[[Reply], Puppet]]:
    made: list[Puppet] = []

    def make(reply: Reply) -> Puppet:
        made.append(Puppet(tmp_path / "at", reply))
        return made[-1]

    yield make
    for puppet in made:
        puppet.unplug()
