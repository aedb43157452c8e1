"""When the device may go: after the ignition, or before the starter battery is empty. What comes then is the integrator's choice.

Owns that moment and nothing else: whoever runs core ends it. Promises that the ignition takes it back as long as it has not come; that
an emergency call, the hour in which its centre may call back, and a request that waits for its answer are seen out first; that a weak
battery ends nothing while the ignition is on (whether somebody drives would take the speed, which nobody may have granted), and that an
ignition whose bus is lost is not taken for off, unless it was off before (a wire that breaks on the way is no sleeping car); that of
voltages one moment alone is kept, since when they are low; and that nothing is guessed: a voltage that is not heard counts as none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from agent.clock import NS
from agent.model import Finding
from agent.sections import PowerSection
from agent.vss import IGNITION, VOLTAGE

Why = Literal["ignition-off", "low-voltage"]
TOLD = "gone"
"""The file beside the control socket that says why core has ended by itself: the unit that acts on it looks for it."""
GONE_STATUS = 75
"""Core's exit status then, and then alone: 0 is also what a stray SIGTERM leaves, after which systemd has to start it again."""


@dataclass(slots=True)
class Power:
    """All times are of the agent's axis. `off_delay_s`, `low_v` None: not for this reason. `call_stands`: asked only when it is time.

    `bus_lost`: whether the bus that tells the ignition cannot be read now, which is more than that nothing comes.
    """

    off_delay_s: float | None = None
    low_v: float | None = None
    low_for_s: float = 0.0
    call_stands: Callable[[], bool] = lambda: False
    bus_lost: Callable[[], bool] = lambda: False
    why: Why | None = None
    """Set once it is time; it is not taken back."""
    _off_ns: int | None = None
    _low_ns: int | None = None
    _was_off: bool = False

    def hear(self, volts: float | None, t_ns: int) -> None:
        """What the battery has; None: not known any more."""
        if self.low_v is None or volts is None or volts >= self.low_v:
            self._low_ns = None
        elif self._low_ns is None:
            self._low_ns = t_ns

    def look(self, now_ns: int, *, ignition: bool | None, asked: bool) -> bool:
        """Whether it is time to go. `ignition` None: not known; `asked`: a request waits for its answer."""
        on = self._on(ignition)
        self._off_ns = None if on else now_ns if self._off_ns is None else self._off_ns
        if on and self._low_ns is not None:
            self._low_ns = now_ns  # it counts from the ignition's end
        if self.why is None and not asked:
            why = self._due(now_ns)
            self.why = None if why is None or self.call_stands() else why
        return self.why is not None

    def leapt(self, to_ns: int) -> None:
        """The axis leapt, or nobody watched: both waits begin anew. A device that wakes hears the ignition a moment later."""
        self._off_ns = None if self._off_ns is None else to_ns
        self._low_ns = None if self._low_ns is None else to_ns

    def _on(self, ignition: bool | None) -> bool:
        """Whether it counts as on: what is not known does so only where its bus is lost and it was not off when it was last known."""
        if ignition is not None:
            self._was_off = not ignition
            return ignition
        return not self._was_off and self.bus_lost()

    def _due(self, now_ns: int) -> Why | None:
        if self._over(self._off_ns, self.off_delay_s, now_ns):
            return "ignition-off"
        return "low-voltage" if self._over(self._low_ns, self.low_for_s, now_ns) else None

    @staticmethod
    def _over(since_ns: int | None, wait_s: float | None, now_ns: int) -> bool:
        return since_ns is not None and wait_s is not None and now_ns - since_ns >= wait_s * NS


def power_of(section: PowerSection, given: Collection[str]) -> tuple[Power, list[Finding]]:
    """As [power] says, as far as the vehicle tells what it takes (`given`)."""
    power = Power(section.off_delay_s, section.low_v, section.low_for_s)
    found = []
    if power.off_delay_s is not None and IGNITION not in given:
        power.off_delay_s = None
        found.append(_lacking("off_delay_s", "ignition", IGNITION))
    if power.low_v is not None and VOLTAGE not in given:
        power.low_v = None
        found.append(_lacking("low_v", "battery voltage", VOLTAGE))
    return power, found


def _lacking(key: str, what: str, signal: str) -> Finding:
    text = f"[power] {key} has no effect: the vehicle tells no {what}"
    return Finding(code="power-not-told", severity="warning", text=text, hint=f"map {signal} in vehicle.toml, or take the key out")
