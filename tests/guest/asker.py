"""What a user may ask of core and of the emergency call: route by route, the answer's status. Runs in the guest, as that user."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from agent.control.protocol import ask
from agent.errors import ModicumError

CORE, CALL = Path("/run/modicum/control.sock"), Path("/run/modicum-ecall/control.sock")
WITHIN_S = 60.0


def status(path: Path, route: str, **args: Any) -> int:
    """0, or the exit status of the refusal."""
    try:
        ask(path, route, **args)
    except ModicumError as error:
        return error.exit_status
    return 0


def in_trip() -> bool:
    """Whether core has come to know of a trip."""
    give_up_s = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up_s:
        try:
            if ask(CORE, "live")["trip"]:
                return True
        except ModicumError:
            pass
        time.sleep(0.5)
    return False


def readable(path: str) -> bool:
    try:
        Path(path).read_bytes()
    except OSError:
        return False
    return True


found: dict[str, Any] = {
    "status": status(CORE, "status"),
    "audit.show": status(CORE, "audit.show"),
    "audit.ecall": status(CORE, "audit.ecall", session="0123456789abcdef", kind="automatic", messages=1),
    "ecall status": status(CALL, "ecall.status"),
    "agent.toml": readable("/etc/modicum/agent.toml"),
    "vin": readable("/etc/modicum/vin"),
    "device.key": readable("/etc/modicum/uplink/device.key"),
}
if sys.argv[1] == "drive":
    found["trip"] = in_trip()
    found["policy.accept"] = status(CORE, "policy.accept")
    found["profile.add"] = status(CORE, "profile.add", name="driver")
    found["profile.use"] = status(CORE, "profile.use", name="driver")
    found["consent.grant"] = status(CORE, "consent.grant", item="traffic.position", trip=True)
    found["health"] = ask(CORE, "status")
sys.stdout.write(json.dumps(found))
