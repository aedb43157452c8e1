"""Told by test_sos.py: the SOS line on chips of the kernel's gpio-sim, from one that is not there to one that goes. Runs in the guest.

What each step found stands in $SCRATCH/sos.json; moments are seconds.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from hw.sos.gpio import SosLine
from hw.sos.kernel import EVENTS_MAX, open_line
from hw.sos.line import Wiring
from tests.support.wait import until

SIM = Path("/sys/kernel/config/gpio-sim")
LABEL, NAME, OFFSET = "sos-bench", "SOS", 3


class Sim:
    """A chip with one named line; it exists while it is live."""

    def __init__(self) -> None:
        bank = SIM / "chip" / "bank"
        (bank / f"line{OFFSET}").mkdir(parents=True)
        (bank / "num_lines").write_text("8")
        (bank / "label").write_text(LABEL)
        (bank / f"line{OFFSET}" / "name").write_text(NAME)
        self._live = SIM / "chip" / "live"
        self._bank = bank

    def plug(self) -> None:
        """One that comes back while its line is still open gets another number."""
        self._live.write_text("1")
        self.name = (self._bank / "chip_name").read_text().strip()
        device = (SIM / "chip" / "dev_name").read_text().strip()
        self._pull = Path("/sys/devices/platform") / device / self.name / f"sim_gpio{OFFSET}" / "pull"
        until(Path("/dev", self.name).exists)

    def unplug(self) -> None:
        self._live.write_text("0")

    def press(self, for_s: float, *, then_s: float = 0.2) -> None:
        self.down()
        time.sleep(for_s)
        self.up()
        time.sleep(then_s)

    def down(self) -> float:
        """A button to ground. The moment."""
        began_s = time.monotonic()
        self._pull.write_text("pull-down")
        return began_s

    def up(self) -> None:
        self._pull.write_text("pull-up")


class Story:
    def __init__(self) -> None:
        self.sim = Sim()
        self.told: list[float] = []
        self.found: dict[str, Any] = {}

    def line(self, **more: Any) -> SosLine:
        wiring: dict[str, Any] = {"chip": LABEL, "line": NAME} | more
        line = SosLine(Wiring(**wiring), tell=lambda: self.told.append(time.monotonic()))
        line.start()
        return line

    def calls(self) -> int:
        """How many holds were told since the last time."""
        found = len(self.told)
        self.told.clear()
        return found

    def run(self) -> None:
        line = self.line()
        until(lambda: line.losses)
        self.found["absent"] = line.problem
        self.sim.plug()
        self.found["back_s"] = until(lambda: not line.problem)
        self.presses("by label and name")
        self.found["taken"] = self.refused(chip=f"/dev/{self.sim.name}", line=OFFSET)
        self.found["no such line"] = self.refused(line="NONE")
        self.found["no such offset"] = self.refused(line=8)
        self.away(line)
        line.close()
        name = self.sim.name
        self.opened("by path and offset", chip=f"/dev/{name}", line=OFFSET)
        self.opened("without debounce", chip=name, line=str(OFFSET), debounce_ms=0)
        self.dropped()
        self.down_before()

    def opened(self, step: str, **wiring: Any) -> None:
        line = self.line(**wiring)
        until(lambda: not line.problem)
        self.presses(step)
        line.close()

    def presses(self, step: str) -> None:
        began_s = self.sim.down()
        until(lambda: self.told)
        late_s = self.told[0] - began_s - 1.5
        self.sim.press(0.5)
        once = self.calls()
        self.sim.press(1.2)
        short = self.calls()
        for _ in range(5):
            self.sim.press(0.4, then_s=0.0)
        time.sleep(0.2)
        self.found[step] = {"late_s": late_s, "once": once, "short": short, "shaken": self.calls()}

    def refused(self, **more: Any) -> str:
        line = self.line(**more)
        until(lambda: line.losses)
        line.close()
        return line.problem

    def away(self, line: SosLine) -> None:
        self.sim.unplug()
        gone_s = until(lambda: line.problem)
        problem = line.problem
        time.sleep(3.5)
        self.sim.plug()
        self.found["away"] = {"gone_s": gone_s, "problem": problem, "back_s": until(lambda: not line.problem)}
        self.presses("after the loss")

    def dropped(self) -> None:
        """A button that chatters while nobody reads."""
        line = open_line(Wiring(chip=LABEL, line=NAME, debounce_ms=0))
        for _ in range(EVENTS_MAX):
            self.sim.press(0.01, then_s=0.01)
        try:
            line.edges(0.0)
        except OSError as error:
            self.found["dropped"] = error.strerror
        line.close()

    def down_before(self) -> None:
        self.sim.down()
        line = self.line(bias="as-is")
        until(lambda: not line.problem)
        time.sleep(1.8)
        before = self.calls()
        self.sim.up()
        time.sleep(0.2)
        self.sim.press(1.7)
        self.found["down before"] = [before, self.calls()]
        line.close()


if __name__ == "__main__":
    story = Story()
    try:
        story.run()
    finally:
        Path(os.environ["SCRATCH"], "sos.json").write_text(json.dumps(story.found, indent=1))
