"""What [power] of agent.toml waits for, and whether anything comes of it: core ends then, and a unit of the integrator's has to act."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.health.saying import age
from agent.model import Finding, error

UNIT = Path("/etc/systemd/system/modicum-power.service")
"""It starts core again unless a drop-in beside it says otherwise (systemd.unit(5))."""
Waits = Mapping[str, Any] | None
"""As core's status tells it; None where [power] asks for nothing."""
IGNITION = {True: "on", False: "off", None: "not told"}


def power(waits: Waits, unit: Path = UNIT) -> list[Finding]:
    """That core would end and be started again, for ever. Without that unit it is not systemd that acts, and nothing is known of it."""
    if waits is None or not unit.exists() or _acts(unit):
        return []
    text = "[power] lets core end, and nothing says what the device does then: core is started again, for ever, and the device stays on"
    hint = "say it in modicum-power.service.d/power.conf (systemd/examples/power.conf), or take [power] out"
    return [error("power-unheard", text, hint)]


def _acts(unit: Path) -> bool:
    """Whether a drop-in says what is to be done; one that cannot be read may."""
    try:
        return any("ExecStart=" in drop_in.read_text(errors="replace") for drop_in in unit.with_name(f"{unit.name}.d").glob("*.conf"))
    except OSError:
        return True


def power_line(waits: Waits) -> str:
    """For status."""
    if waits is None:
        return "not asked for"
    low_s, left_s = waits["low_s"], waits["left_s"]
    since = "" if waits["ignition_s"] is None else f" for {age(waits['ignition_s'])}"
    ignition = f"ignition {IGNITION[waits['ignition']]}{since}"
    battery = "" if low_s is None else f", battery low for {age(low_s)}"
    if left_s is None:
        return f"{ignition}{battery}"
    ends = f"ends in {age(left_s)}" if left_s else "ends once no emergency call and no request is open"
    return f"{ignition}{battery}, {ends}"
