"""When the device may go: after the ignition, or before the starter battery is empty. What comes then is the integrator's choice.

Owns that moment and nothing else: whoever runs core ends it. Promises that the ignition takes it back as long as it has not come; that
an emergency call, the hour in which its centre may call back, and a request that waits for its answer are seen out first; that a weak
battery ends nothing while the ignition is on (whether somebody drives would take the speed, which nobody may have granted); that of
voltages one moment alone is kept, since when they are low; and that nothing is guessed: a voltage that is not heard counts as none.

The rule for an ignition that nobody tells: one that said off is off. Else nobody can know, for a car that sleeps and a wire that is cut
sound the same: the device stays for SILENT_S, which an emergency call needs and a starter battery bears, and goes then.
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
SILENT_S = 3600.0
"""So long at least, and the delay where that is longer, the device stays with an ignition that is not told and did not say off before."""
GONE_STATUS = 75
"""Core's exit status then, and then alone: 0 is also what a stray SIGTERM leaves, after which systemd has to start it again."""


@dataclass(slots=True)
class Power:
    """All times are of the agent's axis. `off_delay_s`, `low_v` None: not for this reason. `call_stands`: asked only when it is time.

    `ignition`: as it was last told; None where it is not told and may be on.
    """

    off_delay_s: float | None = None
    low_v: float | None = None
    low_for_s: float = 0.0
    call_stands: Callable[[], bool] = lambda: False
    ignition: bool | None = None
    why: Why | None = None
    """Set once it is time; it is not taken back."""
    _since_ns: int | None = None
    _low_ns: int | None = None

    def hear(self, volts: float | None, t_ns: int) -> None:
        """What the battery has; None: not known any more."""
        if self.low_v is None or volts is None or volts >= self.low_v:
            self._low_ns = None
        elif self._low_ns is None:
            self._low_ns = t_ns

    def look(self, now_ns: int, *, ignition: bool | None, asked: bool) -> bool:
        """Whether it is time to go. `ignition` None: not known; `asked`: a request waits for its answer."""
        told = False if ignition is None and self.ignition is False else ignition
        if self._since_ns is None or told is not self.ignition:
            self.ignition, self._since_ns = told, now_ns
        if self.ignition and self._low_ns is not None:
            self._low_ns = now_ns  # it counts from the ignition's end
        if self.why is None and not asked:
            why = self._due(now_ns)
            self.why = None if why is None or self.call_stands() else why
        return self.why is not None

    def leapt(self, to_ns: int) -> None:
        """The axis leapt, or nobody watched: both waits begin anew. A device that wakes hears the ignition a moment later."""
        self._since_ns = None if self._since_ns is None else to_ns
        self._low_ns = None if self._low_ns is None else to_ns

    def waits(self, now_ns: int) -> dict[str, bool | float | None] | None:
        """For status: the ignition as it counts now (None: not told), for how long, and for how long the battery is low (None: it is not).

        `left_s`: until it is time, None: nothing runs. None as a whole where nothing is asked for.
        """
        if self.off_delay_s is None and self.low_v is None:
            return None
        since_s, low_s = (None if since_ns is None else (now_ns - since_ns) / NS for since_ns in (self._since_ns, self._low_ns))
        off_wait_s = None if self.off_delay_s is None else self._wait_s(self.off_delay_s)
        waits = () if self.ignition else ((since_s, off_wait_s), (low_s, self.low_for_s))
        left_s = min((max(0.0, wait_s - s) for s, wait_s in waits if s is not None and wait_s is not None), default=None)
        return {"ignition": self.ignition, "ignition_s": since_s, "low_s": low_s, "left_s": left_s}

    def _due(self, now_ns: int) -> Why | None:
        if self.ignition:
            return None
        if self.off_delay_s is not None and self._over(self._since_ns, self._wait_s(self.off_delay_s), now_ns):
            return "ignition-off"
        return "low-voltage" if self._over(self._low_ns, self.low_for_s, now_ns) else None

    def _wait_s(self, off_delay_s: float) -> float:
        return off_delay_s if self.ignition is False else max(off_delay_s, SILENT_S)

    @staticmethod
    def _over(since_ns: int | None, wait_s: float, now_ns: int) -> bool:
        return since_ns is not None and now_ns - since_ns >= wait_s * NS


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
