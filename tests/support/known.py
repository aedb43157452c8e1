"""A drive on the virtual clock as the live view knows it at one of its moments."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

from agent.catalogue.load import load_catalogue
from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.picture import Spot
from agent.cli.bench.places import plane
from agent.cli.bench.telling import Run
from agent.cli.bench.view import Known
from agent.cli.bench.virtual import play_virtual
from agent.folders import config_folder
from agent.vehicle import load_vehicle
from hw.bench.truth import Drive
from tests.support.rules import SHIPPED
from tests.support.virtual import ALL, NONE

SEED = 5
ONLINE = {"id:main": {"online": True}}


@cache
def ran(seconds: float, *, granted: bool = True) -> Run:
    """The shipped drive up to a moment."""
    chronicle, catalogue = Chronicle(), load_catalogue(SHIPPED)
    run, _, _ = play_virtual(
        scenario="drive",
        seed=SEED,
        seconds=seconds,
        package="navigation_plus",
        choice=ALL if granted else NONE,
        catalogue=catalogue,
        vehicle=load_vehicle(config_folder() / "vehicles" / "bench"),
        chronicle=chronicle,
    )
    lines = [dict(line) for line in run.received.lines]
    return Run(lines=lines, summary={}, chronicle=chronicle, catalogue=catalogue, start_ns=run.scene.start_ns)


def withdrawn(run: Run, service: str = "real_time_traffic") -> Run:
    """The same, and then everything of a service was taken back."""
    plan = run.chronicle.plan
    gone = [rule for rule in plan["rules"] if rule["service"] == service]
    refused = [{key: rule[key] for key in ("service", "stream", "signal")} | {"reason": "no_consent"} for rule in gone]
    rules = [rule for rule in plan["rules"] if rule not in gone]
    chronicle = deepcopy(run.chronicle)
    chronicle.note(run.lines, {**plan, "id": "later", "rules": rules, "refused": [*plan["refused"], *refused]})
    return replace(run, chronicle=chronicle)


def way(drive: Drive, seconds: float) -> list[Spot]:
    """The true way, twice a second, while places are collected."""
    flat = plane(drive.scenario.start)
    cars = (drive.state(half / 2) for half in range(int(2 * seconds) + 1))
    return [Spot(car.t_s, *flat(car.lat_deg, car.lon_deg)) for car in cars]


def known(seconds: float = 75.0, *, granted: bool = True, **changed: Any) -> Known:
    """What there is to show at that moment of the drive."""
    drive, run = Drive.load("drive", SEED), ran(seconds, granted=granted)
    items = [
        {"item": name, "title": item.title, "state": "YES" if granted else "NOT_SET", "until": None, "trip": granted}
        for name, item in run.catalogue.items.items()
    ]
    made: dict[str, Any] = {
        "run": run,
        "title": drive.scenario.title,
        "config": "agent.toml",
        "elapsed_s": seconds,
        "seconds": 120.0,
        "status": {"buses": [{"read": 46_372, "delivered": 528}], "samples": 24, "acknowledged": 3, "buffer": {}, "lanes": ONLINE},
        "live": {"indicator": "position" if granted else "on", "profile": "driver", "last_sent": {}},
        "consent": items,
        "way": way(drive, seconds),
        "flat": plane(drive.scenario.start),
        "kmh": 52.0,
    }
    return Known(**(made | changed))
