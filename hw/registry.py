"""Which driver serves which port: one table, and nothing is imported before it is asked for.

A process that must not see a device never loads its driver, and a missing optional package harms nobody else.
"""

from __future__ import annotations

import importlib

DRIVERS: dict[tuple[str, str], str] = {
    ("can", "bus"): "hw.can.bus:BusReader",
    ("can", "log"): "hw.can.replay:log_frames",
    ("gnss", "at"): "hw.gnss.at_receiver:AtReceiver",
    ("gnss", "nmea"): "hw.gnss.receiver:Receiver",
    ("gnss", "log"): "hw.gnss.nmea:fixes_in",
    ("sos", "gpio"): "hw.sos.gpio:SosLine",
}
"""(port, kind) -> module:name. A new driver is one line here."""


def driver(port: str, kind: str) -> object:
    """The driver's class or function. Raises LookupError that names the known kinds."""
    try:
        module, name = DRIVERS[port, kind].split(":")
    except KeyError:
        known = ", ".join(f"{a} {b}" for a, b in sorted(DRIVERS))
        raise LookupError(f"no driver for {port} {kind}; known: {known}") from None
    found: object = getattr(importlib.import_module(module), name)
    return found
