"""A device on which all is well, as facts; tests change one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.health.checks import examined
from agent.health.facts import BrokerFacts, BusFacts, CertificateFacts, ClockFacts, DiskFacts, Facts, KeyFacts, ReceiverFacts, SwapFacts
from agent.model import Finding
from hw.can.interface import Interface

NOW_S = 1_795_000_000.0
DAY_S = 86_400.0
INTERFACE = Interface(there=True, up=True, state="ERROR-ACTIVE", bit_rate=500_000)
BUS = BusFacts(name="pt", where="can0", interface=INTERFACE, good=900, load=0.3)
RECEIVER = ReceiverFacts(port="/dev/modicum-nmea", good=90, heard_age_s=0.4, fix_age_s=0.4, satellites=9)
CLOCK = ClockFacts(host_s=NOW_S, source="ntp", trusted=True)
DISK = DiskFacts(folder=Path("/var/lib/modicum"), total=10**9, free=5 * 10**8, inodes=1000, inodes_free=900)
KEYS = KeyFacts(at_rest="credential")
CERTIFICATE = CertificateFacts(
    what="the certificate for broker main", file=Path("car.pem"), begins_s=NOW_S - DAY_S, ends_s=NOW_S + 300 * DAY_S, matches=True
)
BROKER = BrokerFacts(name="main", lane="id:main", round_trip_ms=40.0, published=True)
CORE: dict[str, Any] = {
    "uplink": True,
    "plan": {"rules": 20, "refused": 4},
    "ledger": {"policy": "2", "grants": 3, "chain": "whole", "audit": "whole"},
    "buffer": {"operations.health": {"rows": 2, "bytes": 900}},
    "oldest_s": 20.0,
    "findings": [],
}
WELL_CORE = CORE | {"clock": {"source": "ntp", "trusted": True}, "buses": [], "receiver": None, "lanes": {}, "at_rest": "weak"}
"""As core's whole status, with no device."""
CALL: dict[str, Any] = {
    "state": "armed",
    "enabled": True,
    "checks": {"switch": None, "sim": None},
    "modem": {"sim": True, "registered": True, "signal_dbm": -71, "imei": "49015420*******"},
}
WELL = Facts(
    clock=CLOCK,
    core=CORE,
    ecall=CALL,
    ecall_wanted=True,
    quota_bytes=10_000,
    buses=(BUS,),
    receiver=RECEIVER,
    disk=DISK,
    swap=SwapFacts(on=True),
    keys=KEYS,
    certificates=(CERTIFICATE,),
    brokers=(BROKER,),
)


def found(facts: Facts) -> list[Finding]:
    """What all the checks find."""
    return [finding for result in examined(facts) for finding in result.findings]


def changed(**parts: Any) -> Facts:
    """All is well but for these."""
    return replace(WELL, **parts)


def core(**said: Any) -> Facts:
    """All is well, but core says otherwise here."""
    return changed(core=CORE | said)
