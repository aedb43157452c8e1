"""Whether one device's settings and one vehicle fit the catalogue.

Pure: looks at what was loaded. What is missing here costs streams (refused with a reason) and is a warning; what cannot
work at all is an error.
"""

from __future__ import annotations

from difflib import get_close_matches
from fractions import Fraction

from agent.catalogue.types import Catalogue
from agent.settings import Settings
from agent.toml import At, Report
from agent.units import conversion
from agent.vehicle import Source, Vehicle, usable
from agent.vss import IGNITION, IGNITION_OFF, IGNITION_ON, IGNITION_UNKNOWN, INPUTS, VIN, unit_of

NEARLY = 0.9
"""How alike two names are when one is probably meant for the other."""
STATES = (*IGNITION_ON, *IGNITION_OFF, *IGNITION_UNKNOWN)
NEAR_STATE = 0.5
"""As NEARLY, for words as short as ON: there are six of them."""


def check_settings(settings: Settings, file: str, catalogue: Catalogue, report: Report) -> None:
    """Adds what the settings say that the catalogue does not know, and the other way round."""
    at = At(file)
    package = settings.entitlement.package
    if package != "none" and package not in catalogue.packages:
        known = ", ".join(catalogue.packages)
        report.error("unknown-package", f"no package {package!r}", at.key("entitlement").key("package"), f"one of {known}, or none")
    rules = {stream.recipient for named in catalogue.services.values() for stream in named.streams if stream.basis != "vital"}
    for name in sorted(rules - settings.recipients.keys()):
        report.warning("no-recipient", f"recipient {name!r} is not described", at.key("recipients"), "its streams are refused until it is")
    for name in sorted(settings.recipients.keys() - catalogue.recipients()):
        report.warning("unused", f"no stream has the recipient {name!r}", at.key("recipients").key(name), "remove it, or correct the name")
    _regions(settings, at, report)


def _regions(settings: Settings, at: At, report: Report) -> None:
    places = [(at.key("brokers").key(name), broker.region) for name, broker in settings.brokers.items()]
    places += [(at.key("recipients").key(name), recipient.region) for name, recipient in settings.recipients.items()]
    for place, region in places:
        if region not in settings.regions.allowed:
            report.warning("region", f"region {region} is not allowed", place.key("region"), "nothing is sent there; see [regions] allowed")


def check_buses(settings: Settings, file: str, vehicle: Vehicle, report: Report) -> None:
    """Adds the buses that only one of device and vehicle has."""
    at, here = At(file).key("bus"), {bus.name for bus in settings.bus}
    for name in sorted(vehicle.file.buses.keys() - here):
        report.warning("no-bus", f"bus {name!r} of the vehicle is not connected", at, "its signals are never seen; add a [[bus]]")
    for index, bus in enumerate(settings.bus):
        if bus.name not in vehicle.file.buses:
            report.error(
                "unknown-bus",
                f"the vehicle has no bus {bus.name!r}",
                at.item(index).key("name"),
                "name it as under [buses] of vehicle.toml",
            )


def check_vehicle(vehicle: Vehicle, file: str, catalogue: Catalogue, report: Report) -> None:
    """Adds what loading the vehicle found, signals that nobody asks for, and units that cannot become the catalogue's."""
    units = {name: signal.unit for name, signal in catalogue.signals.items()}
    for finding in (*vehicle.findings, *usable(vehicle, units)[1]):
        add = report.error if finding.severity == "error" else report.warning
        add(finding.code, finding.text, file, finding.hint)
    for name, source in vehicle.sources.items():
        at = At(file).key("signals").key(name)
        if name not in units and name not in INPUTS:
            _misspelt(name, vehicle, catalogue, at, report)
        unit = unit_of(name, units)
        if unit is not None:
            _unit(source, unit, at.key("unit"), report)
        if name == IGNITION:
            _ignition(source, at if source.transform is None else At(file).key("kuksa"), report)
        if name == VIN and not source.text and source.listed is None:
            hint = 'write encoding = "ascii"; until then streams with identity vin are refused'
            report.error("vin-unread", "a VIN that is read as a number", at.key("encoding"), hint)


def _misspelt(name: str, vehicle: Vehicle, catalogue: Catalogue, at: At, report: Report) -> None:
    """A name that the catalogue does not know is allowed, and never read; one that is nearly a missing one is a mistake."""
    near = get_close_matches(name, catalogue.signals.keys() - vehicle.sources.keys(), n=1, cutoff=NEARLY)
    if near:
        report.warning("signal-unknown", "no signal of the catalogue has this name", at, f"it is never read; do you mean {near[0]}?")


def _unit(source: Source, unit: str, at: At, report: Report) -> None:
    """Where no unit is written, the DBC's own has to be the catalogue's."""
    own = source.dbc.unit
    plain_numbers = source.unit is None and source.values is None and not source.text and source.scale == 1 and source.offset == 0
    if own and plain_numbers and conversion(own, unit) not in {None, (Fraction(1), Fraction(0))}:
        report.warning("unit-missing", f"the DBC says {own!r}, the catalogue {unit!r}", at, f'write unit = "{own}"')


def _ignition(source: Source, at: At, report: Report) -> None:
    """The agent reads it for itself, so its words have to be those that the agent knows, and say what a trip is."""
    key, listed = at.key("values" if source.transform is None else "mapping"), source.listed or ()
    known = ", ".join(STATES)
    for word in sorted({value for value in listed if isinstance(value, str)} - set(STATES)):
        near = get_close_matches(word.upper(), STATES, n=1, cutoff=NEAR_STATE)
        meant = f"did you mean {near[0]!r}? " if near else ""
        report.error("ignition-word", f"no state of an ignition: {word!r}", key, f"{meant}known: {known}")
    on, off = (any(value in words or value is truth for value in listed) for words, truth in ((IGNITION_ON, True), (IGNITION_OFF, False)))
    if not on:
        what = "an ignition that never says on" + ("" if off else " or off")
        how = "write values = { RAW = NAME }" if source.transform is None else f"map {source.dbc.name} to names"
        report.error("ignition-unnamed", what, key, f"{how} with {known}; until then nothing sensitive is collected")
    elif not off:
        hint = f"name it with {', '.join(IGNITION_OFF)}; until then a trip ends only when its frame stays away, and the car is never parked"
        report.warning("ignition-unnamed", "an ignition that never says off", key, hint)
