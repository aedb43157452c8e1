"""The owner's switch of the emergency call: a file that says off. What cannot be read is no "off".

Only the call of a third party has one; what the law asks for is not the owner's to switch, and a vehicle without an emergency call has
nothing to switch. Promises that a change is on the disk when `set` returns.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import DeviceError, UsageError

Mode = Literal["regulated", "third_party", "absent"]
OFF, ON = "off", "on"
SWITCH = "switch"
"""The file's name in [ecall] state."""


@dataclass(frozen=True, slots=True)
class Switch:
    """`path`: the file; `mode`: of the vehicle file."""

    path: Path
    mode: Mode

    @property
    def on(self) -> bool:
        """Whether a crash or the button makes a call."""
        if self.mode != "third_party":
            return self.mode == "regulated"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self.path.read_text(encoding="utf-8").strip() != OFF
        return True

    def require(self) -> None:
        """Raises UsageError where there is nothing to switch for an owner."""
        if self.mode != "third_party":
            what = "the law asks for this vehicle's emergency call" if self.mode == "regulated" else "this vehicle has no emergency call"
            raise UsageError(f"{what}: there is nothing to switch", "ecall.mode of vehicle.toml", "see modicum ecall status")

    def set(self, *, on: bool) -> None:
        """From now on, also after a restart. Raises as `require`, and DeviceError where it cannot be kept."""
        self.require()
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as file:
                file.write(ON if on else OFF)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            _synchronise(self.path.parent)
        except OSError as error:
            raise DeviceError(f"the switch cannot be kept: {error.strerror}", str(self.path), "nothing has changed") from error


def _synchronise(folder: Path) -> None:
    """The name too is on the disk (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
