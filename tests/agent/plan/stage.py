"""A small whole catalogue with every basis, identity and kind of need: what the proof is shown where it has to be quick."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from agent.catalogue.types import Catalogue

SIGNALS: dict[str, dict[str, Any]] = {
    "Vehicle.Speed": {"unit": "km/h", "category": "movement"},
    "Vehicle.TraveledDistance": {"unit": "km", "category": "status"},
    "Vehicle.CurrentLocation": {"unit": "degrees", "category": "position", "sensitive": True},
    "Vehicle.Rain": {"unit": "", "category": "environment"},
    "Vehicle.Door": {"unit": "", "category": "status"},
    "Vehicle.Weight": {"unit": "kg", "category": "status", "sensitive": True},
    "Modicum.Event.Kind": {"unit": "", "category": "traffic", "source": "agent"},
}
PLACE = {"id": "Vehicle.CurrentLocation", "transforms": [{"trim_trip_m": 500}, {"grid_m": 200}]}


def _stream(name: str, basis: str, triggers: list[str], *signals: Any, **more: Any) -> dict[str, Any]:
    named = [signal if isinstance(signal, dict) else {"id": signal, "transforms": [{"last": True}]} for signal in signals]
    fields = {"purpose": "service", "identity": "none", "recipient": "near", "keep": "10d"}
    return fields | {"id": name, "basis": basis, "triggers": triggers, "signal": named} | more


TREE: dict[str, Any] = {
    "signals": SIGNALS,
    "purposes": {"service": {"title": "Service", "dpv": "RequestedServiceProvision", "max_keep": "20d"}},
    "items": {
        "place": {"title": "Place", "category": "position", "sensitive": True, "max_term": "365d"},
        "door": {"title": "Door", "category": "status", "max_term": "365d"},
    },
    "packages": {"one": {"title": "One", "services": ["a"]}, "two": {"title": "Two", "services": ["a", "b"]}},
    "events": {"rain": {"when": "Vehicle.Rain >= 3", "recent": {"when": "Vehicle.Speed > 30", "within_s": 60}}},
    "services": {
        "a": {
            "service": {"id": "a", "title": "A"},
            "stream": [
                _stream("door", "contract", ["request:door"], "Vehicle.Door", identity="vin"),
                _stream(
                    "item", "consent", ["request:item"], "Vehicle.Door", "Vehicle.TraveledDistance", consent="door", identity="pairwise"
                ),
            ],
        },
        "b": {
            "service": {"id": "b", "title": "B"},
            "stream": [
                _stream("place", "consent", ["event:rain"], PLACE, "Modicum.Event.Kind", consent="place", **{"while": "driving"}),
                _stream("weight", "consent", ["distance:10"], "Vehicle.Weight", consent="place"),
            ],
        },
        "c": {
            "service": {"id": "c", "title": "C", "in_every_package": True},
            "stream": [
                _stream("parked", "contract", ["on_change"], "Vehicle.Door", **{"while": "parked"}),
                _stream("end", "contract", ["trip_end"], "Vehicle.TraveledDistance"),
                _stream("order", "legal", ["order:x"], "Vehicle.TraveledDistance", identity="vin"),
            ],
        },
        "ecall": {
            "service": {"id": "ecall", "title": "Emergency call", "in_every_package": True},
            "stream": [_stream("msd", "vital", ["request:sos"], identity="vin", keep="ram")],
        },
    },
    "policies": {
        "2026": {
            "version": "2026",
            "effective": "2026-01-01",
            "text": {"en": "policy.en.md"},
            "purposes": ["service", "other"],
            "categories": ["status", "position", "traffic", "movement"],
            "recipients": ["near"],
            "contact": "somebody",
        }
    },
}


@functools.cache
def small() -> Catalogue:
    return msgspec.convert(TREE, Catalogue)
