"""The routes of field diagnostics: the receiver without a place, and what an unlocked device shows; each unlocking is in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.audit import REASON_MAX
from agent.clock import NS
from agent.core.unlocking import MINUTES_MAX
from agent.errors import DeviceError, FindingsError, UsageError

if TYPE_CHECKING:
    from agent.core.core import Core

Args = Mapping[str, Any]
STANDING_MPS, TOWN_MPS = 1.0, 14.0
"""A receiver that stands still seldom says 0; 50 km/h."""


def unlock(core: Core, args: Args) -> object:
    """Shows VIN and place to the agent's user and root for some minutes. Entered in an audit log that stays first, or refused."""
    minutes, reason = args.get("minutes"), args.get("reason")
    if type(minutes) is not int or not 1 <= minutes <= MINUTES_MAX:
        raise UsageError("not so long", "unlock --minutes", f"from 1 to {MINUTES_MAX} minutes")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > REASON_MAX or not reason.isprintable():
        raise UsageError("no reason that can be kept", "unlock --reason", f"say why in one line of at most {REASON_MAX} characters")
    if core.parts.vin is not None and core.parts.vin in reason.upper():
        raise UsageError("the reason names the car", "unlock --reason", "say why, not of which car: the audit log holds no VIN")
    if not core.delivery.may_send:
        raise DeviceError("the audit log is broken and written no more, so nothing is unlocked", "unlock", "see modicum doctor")
    if not core.parts.kept:
        raise DeviceError("in RAM only the agent keeps no audit log, so nothing is unlocked", "unlock", "see modicum doctor")
    core.parts.audit.unlocked(minutes, reason.strip())
    core.unlocking.unlock(minutes, reason.strip())
    return unlocked(core)


def lock(core: Core, _: Args) -> object:
    """Ends the unlocking."""
    core.unlocking.lock()
    return unlocked(core)


def unlocked(core: Core) -> dict[str, object]:
    """For `status` and `live`: how long VIN and place are still shown, and why."""
    left_s = core.unlocking.left_s()
    return {"left_s": left_s, "reason": core.unlocking.reason}


def gnss(core: Core, _: Args) -> dict[str, object]:
    """How the receiver does, of the last epoch; no place, and the speed as a class."""
    fix = core.last_fix
    if fix is None:
        return {"fixes": core.fixes, "age_s": None}
    return {
        "fixes": core.fixes,
        "age_s": round((core.parts.clock.now_ns() - fix.t_ns) / NS, 1),
        "mode": fix.mode,
        "satellites": fix.satellites,
        "hdop": fix.hdop,
        "time_trusted": fix.time_trusted,
        "speed": _speed_class(fix.speed_mps),
    }


def gnss_plain(core: Core, args: Args) -> object:
    """As `gnss`, with the place. Raises FindingsError while it is locked."""
    _only_unlocked(core)
    told, fix = gnss(core, args), core.last_fix
    if fix is None:
        return told
    return told | {"lat": fix.lat_deg, "lon": fix.lon_deg, "speed_mps": fix.speed_mps, "course_deg": fix.course_deg}


def vin(core: Core, _: Args) -> object:
    """The configured VIN, and whether the bus names the same car. Raises FindingsError while it is locked."""
    _only_unlocked(core)
    return {"vin": core.parts.vin, "told_by_bus": core.situation.vin_holds}


def _only_unlocked(core: Core) -> None:
    if not core.unlocking.left_s():
        raise FindingsError("VIN and place are masked", "diagnostics", "modicum unlock --minutes N --reason TEXT")


def _speed_class(speed_mps: float | None) -> str:
    if speed_mps is None:
        return "unknown"
    return "standing" if speed_mps < STANDING_MPS else "up to 50 km/h" if speed_mps < TOWN_MPS else "faster"
