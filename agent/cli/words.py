"""The words in which the command line speaks of signals, reasons, steps and moments. Wording only: it decides nothing."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.catalogue.types import Event
from agent.vss import EVENT_KIND, GNSS_SIGNALS, GNSS_SPEED, HEADING, LOCATION, ODOMETER, VIN

COLUMNS = 100
REASONS = {
    "no_package": "the owner's package does not contain this service",
    "switched_off": "the driver has switched this service off",
    "policy": "the acknowledged policy does not cover it, or none is acknowledged",
    "no_consent": "nobody has granted it, or no valid order asks for it",
    "expired": "the grant has ended, or the time is not known for sure",
    "profile": "it was granted, but not by whoever drives this trip",
    "not_on_vehicle": "this vehicle does not have the signal, or an input that it needs",
    "no_recipient": "there is no recipient with a key for it",
    "region": "its recipient is in a region that is not allowed",
}
IDENTITIES = {
    "vin": "with the VIN",
    "pairwise": "under a number that only this recipient knows",
    "none": "without any identity",
}
HALVES = (f"{LOCATION}.Latitude", f"{LOCATION}.Longitude")
"""The two signals as which a recipient reads a position."""
NAMES = {
    LOCATION: "position",
    HEADING: "heading",
    GNSS_SPEED: "speed over ground",
    ODOMETER: "odometer",
    VIN: "VIN",
    EVENT_KIND: "kind of event",
    "Vehicle.Diagnostics.DTCList": "trouble codes",
    "Vehicle.LowVoltageBattery.CurrentVoltage": "12 V battery voltage",
    "Vehicle.Powertrain.FuelSystem.RelativeLevel": "fuel level",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed": "charge level",
}
"""Where the path of VSS does not make a good name by itself."""
BRANCHES = re.compile(r"Vehicle|Modicum|Health|Powertrain|Chassis|Cabin|Body|Axle|Wheel|CombustionEngine|Private|Diagnostics|Service|ADAS")
"""Parts of a path that only sort."""
PLACE = re.compile(r"Row\d+|Left|Middle|Right|DriverSide|PassengerSide")
WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def whole(signal: str) -> str:
    """The signal as the plan names it: a position is one signal there, and two in what a recipient reads."""
    return LOCATION if signal in HALVES else signal


def signal_name(signal: str) -> str:
    """A signal in plain words, without where on the car: `brake pad wear`."""
    if signal in NAMES:
        return NAMES[signal]
    parts = [part for part in signal.split(".") if not BRANCHES.fullmatch(part) and not PLACE.fullmatch(part)]
    words = [word for part in parts for word in WORD.findall(part.removeprefix("Is"))]
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words) or signal


def signal_names(signals: Iterable[str]) -> str:
    """Several signals in plain words: `brake pad wear (4 places), odometer`."""
    counts = Counter(map(signal_name, signals))
    return ", ".join(f"{name} ({count} places)" if count > 1 else name for name, count in counts.items())


def origin(signal: str, *, made_here: bool) -> str:
    """What there was before any step. `made_here`: by the agent itself."""
    if made_here:
        return "seen by the unit" if signal == EVENT_KIND else "counted by the unit"
    return "exact from the receiver" if signal in GNSS_SIGNALS else "exact on the bus"


def length(metres: float) -> str:
    """Metres, or kilometres from the first one on: `200 m`, `1.5 km`."""
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"


TRIMMED = "none in the first {} nor where earlier trips ended"
STEPS: dict[str, Callable[[Any, str], str]] = {
    "round_to": lambda step, unit: f"to the nearest {step:g}{' ' + unit if unit else ''}",
    "clamp": lambda bounds, _: f"nothing beyond {bounds[0]:g} and {bounds[1]:g}",
    "sector_deg": lambda width, _: f"which {width:g} degree sector",
    "bucket": lambda edges, _: f"which of {len(edges) + 1} classes",
    "grid_m": lambda width, _: f"centre of a {length(width)} square",
    "trim_trip_m": lambda metres, _: TRIMMED.format(length(metres)),
    "last": lambda _, __: "the last one only",
    "mean_s": lambda seconds, _: f"mean of each {seconds:g} s",
    "min_s": lambda seconds, _: f"lowest of each {seconds:g} s",
    "max_s": lambda seconds, _: f"highest of each {seconds:g} s",
    "count_s": lambda seconds, _: f"number of changes in each {seconds:g} s",
    "respond_k": lambda _, __: "with chance mixed in",
}
"""A step of `agent.collect.transforms` or `aggregates` and its argument, in words."""


def form(transforms: Sequence[Mapping[str, Any]], unit: str = "") -> str:
    """What the steps leave of a value. What is left out altogether is said last, whenever it is done."""
    steps = sorted((one for step in transforms for one in step.items()), key=lambda one: one[0] == "trim_trip_m")
    return ", ".join(STEPS[name](argument, unit) if name in STEPS else f"{name} {argument}" for name, argument in steps) or "unchanged"


ON_DEMAND = {"request": "when {} is asked", "order": "when an order for {} is given"}
"""Triggers of somebody's asking."""


def only_on_demand(rule: Mapping[str, Any]) -> str | None:
    """When a stream that nothing but somebody's asking triggers would be sent; None for every other."""
    asked = [ON_DEMAND[kind].format(name) for kind, _, name in map(_parted, rule["triggers"]) if kind in ON_DEMAND]
    return " or ".join(asked) if asked and len(asked) == len(rule["triggers"]) else None


def occasions(rule: Mapping[str, Any], events: Mapping[str, Event], trim_m: float | None = None) -> str:
    """When the stream of a rule speaks. `trim_m`: as `streams.trim_of`."""
    driving = {"driving": "while driving", "parked": "while parked"}.get(rule["while"])
    said = ", ".join(_trigger(trigger, rule, events) for trigger in rule["triggers"]) + _around(rule)
    trimmed = None if trim_m is None else TRIMMED.format(length(trim_m))
    return "; ".join(part for part in (said, driving, trimmed) if part)


def _around(rule: Mapping[str, Any]) -> str:
    """What else a stream tells around its events."""
    spans = [f"the {term(rule[key])} {word} it" for key, word in (("before_s", "before"), ("after_s", "after")) if rule.get(key)]
    return f" and {' and '.join(spans)}, every {term(rule['every_s'])}" if spans else ""


def _parted(trigger: str) -> tuple[str, str, str]:
    return trigger.partition(":")


def _trigger(trigger: str, rule: Mapping[str, Any], events: Mapping[str, Event]) -> str:
    kind, _, name = _parted(trigger)
    event = events.get(name)
    return {
        "periodic": f"every {term(rule.get('every_s', 0))}".replace("every 86400 s", "every day"),
        "on_change": "when a value changes",
        "start": "when the unit starts",
        "trip_end": "at the end of a trip",
        "ignition_off": "when the ignition goes off",
        "distance": f"every {name} km",
        "event": f'at "{event.title if event and event.title else name}"',
        "request": "when asked",
        "order": "on an order",
    }.get(kind, trigger)


def term(seconds: float) -> str:
    """How long something is kept: in days where it is more than one."""
    return f"{seconds / 86_400:g} days" if seconds > 86_400 else f"{seconds:g} s"


def basis(ref: str) -> str:
    """What a message rested on, by the reference that it carried: `grant 11`."""
    kind, _, name = ref.partition(":")
    known = {"ledger": f"ledger entry {name}", "policy": f"contract, policy {name or 'none shipped'}", "order": f"order for {name}"}
    known |= {"vital": "a test call, asked for" if name == "test" else f"vital interest, {name} call"}
    return known.get(kind, ref or "not kept")


def moment(iso: str, *, believed: bool = True) -> str:
    """A moment of the agent (ISO 8601, UTC) for people: to the second, with its zone. `believed`: whether its clock was, then."""
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S UTC") + doubt(believed)


def doubt(believed: bool) -> str:
    """The mark behind a date of the agent's; docs/cli.md explains it."""
    return "" if believed else " (not believed)"


def counted(count: int, noun: str, nouns: str = "") -> str:
    """`1 message`, `1,234 messages`; `nouns`: the plural of a noun that has its own."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def wrapped(text: str, indent: int, hanging: int | None = None) -> list[str]:
    """Lines of at most COLUMNS; `hanging`: how far the second and later ones stand in, 2 more unless told otherwise."""
    later = " " * (indent + 2 if hanging is None else hanging)
    return textwrap.wrap(
        text, COLUMNS, initial_indent=" " * indent, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    ) or [""]
