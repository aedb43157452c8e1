"""The port of an input line: how it is wired, and what can be asked of it. Plain types, so that no test needs a chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Bias = Literal["as-is", "disabled", "pull-up", "pull-down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Where the button hangs.

    `chip`: the device's path (/dev/gpiochip0), or the chip's name or label (gpiochip0, pinctrl-bcm2711). The label is the one to take:
    numbers change with the order of drivers, and the kernel gives a chip that was unplugged while it was read another when it is back.
    `line`: its offset in the chip, or its name (GPIO17). `active_low`: pressed is low, a button to ground. `bias`: the chip's own
    resistor. `debounce_ms`: a level that lasts less is not told by the kernel, so a bounce wakes nobody; 0: each edge is.
    """

    chip: str
    line: int | str
    active_low: bool = True
    bias: Bias = "pull-up"
    debounce_ms: int = 10

    def __str__(self) -> str:
        return f"{self.chip} line {self.line}"


@dataclass(frozen=True, slots=True)
class Edge:
    """The line changed to `active`; `t_ns` by the kernel's monotonic clock, which time.monotonic_ns reads too."""

    active: bool
    t_ns: int


class Line(Protocol):
    """An open line. `active` and `edges` raise OSError when the chip is gone or edges were lost: open it anew."""

    def active(self) -> bool: ...

    def edges(self, wait_s: float) -> Sequence[Edge]:
        """What has come, oldest first, perhaps not all of it; empty after `wait_s` without any."""
        ...

    def close(self) -> None: ...
