"""How the kernel's CAN interface stands: there, up, its controller's state, bit rate and error counters.

Asks `ip -details -json link` (iproute2), which alone tells the controller's state, and sysfs where there is no such program.
Promises to change nothing of the interface. Source: linux/can/netlink.h by the names that iproute2 gives its fields.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSFS = Path("/sys/class/net")
KERNEL_INTERFACES = frozenset({"socketcan", "socketcan_bcm"})
"""Interfaces of python-can whose channel is a network interface of the kernel's."""
IP = ("ip", "-details", "-json", "link", "show", "dev")
IP_S = 5.0
IFF_UP = 1
CAN = "280"
"""ARPHRD_CAN (linux/if_arp.h)."""
Ask = Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """`state`: the controller's, such as ERROR-ACTIVE, ERROR-PASSIVE, BUS-OFF; empty where it has none (vcan) or nobody tells.

    `bit_rate`: bits per second, None where nobody tells. `errors_tx`, `errors_rx`: the controller's own counters, which also fall.
    """

    there: bool
    up: bool = False
    state: str = ""
    bit_rate: int | None = None
    errors_tx: int = 0
    errors_rx: int = 0


def can_interfaces(sysfs: Path = SYSFS) -> list[str]:
    """The names of those that the kernel has."""
    return sorted(file.parent.name for file in sysfs.glob("*/type") if file.read_text().strip() == CAN)


def interface_of(channel: str, sysfs: Path = SYSFS, ask: Ask | None = None) -> Interface:
    """The interface called `channel` now."""
    told = (ask or _asked)(channel)
    return _of_sysfs(sysfs / channel) if told is None else _of_iproute(told)


def _asked(channel: str) -> Any:  # noqa: ANN401  a JSON document
    """What iproute2 says; None where there is none, or where it says nothing that can be read."""
    try:
        done = subprocess.run([*IP, channel], capture_output=True, timeout=IP_S, check=True)  # noqa: S603  no shell; it is agent.toml's
        return json.loads(done.stdout)[0]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError):
        return None


def _of_iproute(told: Mapping[str, Any]) -> Interface:
    info: Mapping[str, Any] = told.get("linkinfo", {}).get("info_data", {})
    counter: Mapping[str, int] = info.get("berr_counter", {})
    return Interface(
        there=True,
        up="UP" in told.get("flags", ()),
        state=info.get("state", ""),
        bit_rate=info.get("bittiming", {}).get("bitrate"),
        errors_tx=counter.get("tx", 0),
        errors_rx=counter.get("rx", 0),
    )


def _of_sysfs(folder: Path) -> Interface:
    try:
        return Interface(there=True, up=bool(int((folder / "flags").read_text(), 16) & IFF_UP))
    except (OSError, ValueError):  # it went away while it was looked at
        return Interface(there=False)
