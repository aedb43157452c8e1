"""The catalogue as types: what the TOML files may say, key by key. Unknown keys are errors (msgspec).

The form is that of the files; meaning across files (a purpose that exists, a precision that its consent item
allows) is the business of `agent.catalogue.check`. Durations are text with a unit: "90s", "5m", "24h", "30d".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.limits import AROUND_S_MAX
from agent.vss import BASIS_ENDED

DURATION = re.compile(r"(\d+)([smhd])\Z")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Duration = Annotated[str, Meta(pattern=r"^[0-9]+[smhd]$", description="a whole number and a unit: s, m, h or d")]
Name = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="a small letter, and after it small letters, digits and _")
]
Basis = Literal["contract", "consent", "legal", "vital"]
Identity = Literal["vin", "pairwise", "none"]
Category = Literal["status", "movement", "position", "service", "traffic", "environment", "identity"]
Trigger = Annotated[
    str,
    Meta(
        pattern=r"^(periodic|on_change|start|trip_end|ignition_off|distance:[0-9]+(\.[0-9]+)?|(event|request|order):[a-z][a-z0-9_]*)$",
        description="periodic, on_change, start, trip_end, ignition_off, distance:KM, event:NAME, request:NAME, order:NAME",
    ),
]


def duration_s(text: str) -> int:
    """Seconds of a duration such as "5m". Raises ValueError for anything else."""
    match = DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration such as 90s, 5m, 24h or 30d")
    return int(match[1]) * SECONDS[match[2]]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=None):
    """Base: frozen, and a key that is not declared is an error."""


class SignalType(_Strict, frozen=True):
    """Unit and class of a signal, whatever the vehicle. `source` "agent": made by the agent, exists everywhere."""

    unit: str
    category: Category
    sensitive: bool = False
    source: Literal["vehicle", "agent"] = "vehicle"
    description: str = ""


class Purpose(_Strict, frozen=True):
    """Why data may be processed, with its term of the W3C Data Privacy Vocabulary."""

    title: str
    dpv: str
    max_keep: Duration


class ConsentItem(_Strict, frozen=True):
    """One thing that a driver can grant by itself."""

    title: str
    category: Category
    max_term: Duration
    sensitive: bool = False
    precision: Literal["grid", "exact"] = "grid"
    title_zh: str = ""


class Package(_Strict, frozen=True):
    """What the owner can buy: a set of services."""

    title: str
    services: tuple[str, ...]


class Recent(_Strict, frozen=True):
    """A second condition that must have held lately."""

    when: str
    within_s: Annotated[float, Meta(gt=0)]


class Event(_Strict, frozen=True):
    """A named condition; fires on its rising edge, at most once in `min_gap_s`."""

    when: str
    min_gap_s: Annotated[float, Meta(ge=0)] = 0
    recent: Recent | None = None
    title: str = ""


class StreamSignal(_Strict, frozen=True):
    """One signal of a stream and the steps of its minimisation, in the order written."""

    id: str
    transforms: tuple[dict[str, Any], ...] = ()
    fresh_s: Annotated[float, Meta(gt=0)] | None = None


class Stream(_Strict, frozen=True, rename={"while_": "while", "signals": "signal"}):
    """One kind of message of one service.

    `before_s`, `after_s`: around an event also what was, each `every_s`; what was before is held in memory until then.
    """

    id: Name
    purpose: str
    basis: Basis
    identity: Identity
    recipient: str
    triggers: tuple[Trigger, ...]
    keep: str
    signals: tuple[StreamSignal, ...] = ()
    consent: str | None = None
    while_: Literal["any", "driving", "parked"] = "any"
    every_s: Annotated[float, Meta(ge=0)] = 0
    window_s: Annotated[float, Meta(ge=0)] = 0
    before_s: Annotated[float, Meta(ge=0, le=AROUND_S_MAX)] = 0
    after_s: Annotated[float, Meta(ge=0, le=AROUND_S_MAX)] = 0
    time_floor_s: Annotated[float, Meta(ge=0)] = 0
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    title: str = ""


class ServiceHead(_Strict, frozen=True):
    """The [service] table."""

    id: Name
    title: str
    in_every_package: bool = False


class ServiceFile(_Strict, frozen=True, rename={"streams": "stream"}):
    """services/<id>.toml"""

    service: ServiceHead
    streams: tuple[Stream, ...] = ()


class SignalsFile(_Strict, frozen=True):
    """signals.toml"""

    signals: dict[str, SignalType]


class PurposesFile(_Strict, frozen=True):
    """purposes.toml"""

    purposes: dict[str, Purpose]


class ConsentFile(_Strict, frozen=True):
    """consent.toml"""

    items: dict[str, ConsentItem]


class PackagesFile(_Strict, frozen=True):
    """packages.toml"""

    packages: dict[str, Package]


class EventsFile(_Strict, frozen=True):
    """events.toml"""

    events: dict[str, Event]


class PolicyText(_Strict, frozen=True):
    """Files of the text that the driver is shown, by language."""

    en: str
    zh: str = ""


class Policy(_Strict, frozen=True):
    """policies/<version>/policy.toml: what the notice of that version names."""

    version: str
    effective: Any
    text: PolicyText
    purposes: tuple[str, ...]
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    contact: str


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a catalogue folder, loaded. `policies` is empty where the folder has none: all counts as accepted."""

    signals: dict[str, SignalType]
    purposes: dict[str, Purpose]
    items: dict[str, ConsentItem]
    packages: dict[str, Package]
    events: dict[str, Event]
    services: dict[str, ServiceFile]
    policies: dict[str, Policy]

    def units(self) -> dict[str, str]:
        """The unit of every signal that can stand in a record."""
        return {BASIS_ENDED: ""} | {name: declared.unit for name, declared in self.signals.items()}

    def recipients(self) -> set[str]:
        """Every recipient that a stream names."""
        return {stream.recipient for file in self.services.values() for stream in file.streams}
