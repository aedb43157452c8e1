"""Names of the signals that the agent itself understands. COVESA VSS 6.0, and `Modicum.*` for what it makes itself."""

LOCATION = "Vehicle.CurrentLocation"
"""Value: a Position. Written out as `.Latitude` and `.Longitude`."""
HEADING = f"{LOCATION}.Heading"
GNSS_SPEED = f"{LOCATION}.Speed"
SPEED = "Vehicle.Speed"
IGNITION = "Vehicle.LowVoltageSystemState"
GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
ODOMETER = "Vehicle.TraveledDistance"
EVENT_KIND = "Modicum.Event.Kind"
HEALTH = "Modicum.Health."
GNSS_SIGNALS = frozenset({LOCATION, HEADING, GNSS_SPEED})
"""What the receiver gives on every vehicle."""
