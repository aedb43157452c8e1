"""Names of the signals that the agent itself understands. COVESA VSS 6.0, and `Modicum.*` for what it makes itself."""

from __future__ import annotations

from collections.abc import Mapping

LOCATION = "Vehicle.CurrentLocation"
"""Value: a Position. Written out as `.Latitude` and `.Longitude`."""
HEADING = f"{LOCATION}.Heading"
GNSS_SPEED = f"{LOCATION}.Speed"
SPEED = "Vehicle.Speed"
IGNITION = "Vehicle.LowVoltageSystemState"
VIN = "Vehicle.VehicleIdentification.VIN"
GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
ODOMETER = "Vehicle.TraveledDistance"
VOLTAGE = "Vehicle.LowVoltageBattery.CurrentVoltage"
EVENT_KIND = "Modicum.Event.Kind"
HEALTH = "Modicum.Health."
BASIS_ENDED = "Modicum.Basis.Ended"
"""Value: the streams of a service whose basis has ended; said to who holds data of them (agent.plan.notice)."""
GNSS_SIGNALS = frozenset({LOCATION, HEADING, GNSS_SPEED})
"""What the receiver gives on every vehicle."""
INPUTS = frozenset({SPEED, GEAR, IGNITION, ODOMETER, VIN, VOLTAGE})
"""What the agent reads for itself, whether or not a catalogue declares it."""
UNITS = {SPEED: "km/h", ODOMETER: "km", GNSS_SPEED: "km/h", HEADING: "degrees", VOLTAGE: "V"}
"""The units in which the agent works. A catalogue may declare others; readings carry the catalogue's (see `unit_of`)."""
IGNITION_ON = ("ON", "START")
"""Values of IGNITION."""
IGNITION_OFF = ("OFF", "LOCK", "ACC")
IGNITION_UNKNOWN = ("UNDEFINED",)
"""The one of VSS that says neither."""


def unit_of(signal: str, declared: Mapping[str, str]) -> str | None:
    """The unit that readings of `signal` carry: the catalogue's, else the agent's own; None where neither says one."""
    return declared.get(signal, UNITS.get(signal))
