"""What the kernel says of a line, in our terms; said by a stand-in for gpiod's request. A real kernel: tests/guest."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, cast

import gpiod
import pytest

from hw.sos.kernel import _Line, open_line
from hw.sos.line import Edge, Wiring

RISING, FALLING = gpiod.EdgeEvent.Type.RISING_EDGE, gpiod.EdgeEvent.Type.FALLING_EDGE


class Request:
    """gpiod's, with these reads."""

    def __init__(self, *reads: Sequence[tuple[gpiod.EdgeEvent.Type, int]]) -> None:
        self._reads = list(reads)
        self.gone = False

    def wait_edge_events(self, timeout: float) -> bool:
        return bool(self._reads)

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        return [gpiod.EdgeEvent(kind.value, 1000 + number, 3, number, number) for kind, number in self._reads.pop(0)]

    def get_value(self, line: int) -> gpiod.line.Value:
        if self.gone:
            raise OSError(errno.ENODEV, "No such device")
        return gpiod.line.Value.ACTIVE


def line(*reads: Sequence[tuple[gpiod.EdgeEvent.Type, int]]) -> tuple[_Line, Request]:
    request = Request(*reads)
    return _Line(cast(Any, request), 3), request


def test_edges_come_with_their_levels_and_moments() -> None:
    """Read after read, then none."""
    opened, _ = line([(RISING, 1), (FALLING, 2)], [(RISING, 3)])
    assert opened.active()
    assert opened.edges(0.0) == [Edge(active=True, t_ns=1001), Edge(active=False, t_ns=1002)]
    assert opened.edges(0.0) == [Edge(active=True, t_ns=1003)]
    assert not opened.edges(0.0)


@pytest.mark.parametrize("reads", [[[(RISING, 2)]], [[(RISING, 1), (RISING, 3)]], [[(RISING, 1)], [(FALLING, 4)]]])
def test_edges_that_the_kernel_dropped_are_a_loss(reads: list[list[tuple[gpiod.EdgeEvent.Type, int]]]) -> None:
    """The first, one between, some between two reads: a press that is put together from the rest must not call for help."""
    opened, _ = line(*reads)
    with pytest.raises(OSError, match="edges were lost"):
        [opened.edges(0.0) for _ in reads]


def test_a_chip_that_goes_without_a_word_is_noticed() -> None:
    """Older kernels wake nobody."""
    opened, request = line()
    request.gone = True
    with pytest.raises(OSError, match="No such device"):
        opened.edges(0.0)


@pytest.mark.parametrize("chip", ["/dev/null", "/dev/gpiochip-none", "no chip of this name"])
def test_what_is_no_chip_is_refused(chip: str) -> None:
    """By this computer's kernel."""
    with pytest.raises(OSError, match=r"No such|no chip that can be read has this name or label"):
        open_line(Wiring(chip=chip, line=1))
