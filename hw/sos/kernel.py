"""The line as the kernel has it: its GPIO character device (version 2) through libgpiod. All that knows gpiod stands here.

A line that is asked for is ours alone until it is closed. Tried with the kernel's gpio-sim (tests/guest/test_sos.py); on no real chip
yet: a Raspberry Pi's own bias and debounce are untried, and so is a chip behind I2C, which must have its interrupt wired.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import gpiod
from gpiod.line import Bias, Clock, Direction
from gpiod.line import Edge as Edges

from hw.sos.line import Edge, Line, Wiring

CONSUMER = "sos"
"""Whose the line is, in `gpioinfo`."""
EVENTS_MAX = 256
"""What the kernel keeps for a thread that comes late; it drops the oldest. Some seconds of a wire that chatters, debounced."""
BIASES = {"as-is": Bias.AS_IS, "disabled": Bias.DISABLED, "pull-up": Bias.PULL_UP, "pull-down": Bias.PULL_DOWN}


def open_line(wiring: Wiring) -> Line:
    """Takes it as an input that tells both edges. Raises OSError whose text says what is missing, or who has it."""
    settings = gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edges.BOTH,
        bias=BIASES[wiring.bias],
        active_low=wiring.active_low,
        debounce_period=timedelta(milliseconds=wiring.debounce_ms),
        event_clock=Clock.MONOTONIC,
    )
    with gpiod.Chip(_path(wiring.chip)) as chip:
        offset = _offset(chip, wiring.line)
        return _Line(chip.request_lines({offset: settings}, consumer=CONSUMER, event_buffer_size=EVENTS_MAX), offset)


class _Line:
    """One requested line."""

    def __init__(self, request: gpiod.LineRequest, offset: int) -> None:
        self._request, self._offset = request, offset
        self._number = 0
        """Of the last edge; the kernel counts also those that it drops."""

    def active(self) -> bool:
        return bool(self._request.get_value(self._offset))

    def edges(self, wait_s: float) -> Sequence[Edge]:
        if self._request.wait_edge_events(wait_s):
            return [self._edge(event) for event in self._request.read_edge_events()]
        self.active()  # older kernels wake nobody when the chip goes; asked, they say it
        return ()

    def _edge(self, event: gpiod.EdgeEvent) -> Edge:
        self._number += 1
        if event.line_seqno != self._number:  # there may have been a release: what is left tells of no press
            raise OSError(errno.EOVERFLOW, "edges were lost")
        return Edge(event.event_type is event.Type.RISING_EDGE, event.timestamp_ns)

    def close(self) -> None:
        self._request.release()


def _path(chip: str) -> str:
    if "/" in chip:
        return chip
    found = [str(path) for path in sorted(Path("/dev").glob("gpiochip*")) if not path.is_symlink() and chip in _names(path)]
    if len(found) != 1:
        raise OSError(errno.ENODEV, "several chips have this label" if found else "no chip that can be read has this name or label")
    return found[0]


def _names(path: Path) -> tuple[str, ...]:
    """Name and label; none where it cannot be opened."""
    try:
        with gpiod.Chip(str(path)) as chip:
            info = chip.get_info()
            return info.name, info.label
    except OSError:
        return ()


def _offset(chip: gpiod.Chip, line: int | str) -> int:
    try:
        return chip.line_offset_from_id(line)
    except (FileNotFoundError, ValueError) as error:
        raise OSError(errno.ENOENT, "the chip has no such line") from error
