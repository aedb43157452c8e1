"""What a controller says in an error frame: its classes by name (linux/can/error.h), as counters and findings use them.

An error frame is made by the driver of the CAN controller of this computer, never sent by another. Protocol violations and bus
errors on every frame are what a wrong bit rate looks like.
"""

from __future__ import annotations

import can

BUS_OFF, RESTARTED = "bus-off", "restarted"
_CLASSES = {
    0x001: "tx-timeout",
    0x002: "lost-arbitration",
    0x008: "protocol",
    0x010: "transceiver",
    0x020: "no-ack",
    0x040: BUS_OFF,
    0x080: "bus-error",
    0x100: RESTARTED,
}
_CONTROLLER = 0x004
"""The class whose meaning stands in the second byte."""
_CONTROLLER_STATES = {0x03: "overflow", 0x0C: "error-warning", 0x30: "error-passive", 0x40: "error-active"}


def classes_of(bits: int) -> list[str]:
    """What the identifier of an error frame tells by itself."""
    return [name for bit, name in _CLASSES.items() if bits & bit]


def classes(message: can.Message) -> list[str]:
    """The classes of one error frame; `other` where it has none of those that have a name."""
    found = classes_of(message.arbitration_id)
    if message.arbitration_id & _CONTROLLER and len(message.data) > 1:
        found += [name for bits, name in _CONTROLLER_STATES.items() if message.data[1] & bits]
    return found or ["other"]
