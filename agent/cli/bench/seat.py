"""Who sits behind the wheel of the simulated car: each trip begins as a guest's until its driver says so, by key, phone or tap."""

from __future__ import annotations

from agent.consent.state import Kind
from agent.control.routes import ROUTES
from agent.core.core import Core
from hw.bench.scenario import Scenario


def kinds_of(scenario: Scenario) -> dict[str, Kind]:
    """The drivers beside the first, as the ledger knows them."""
    return {one.name: "minor" if one.minor else "adult" for one in scenario.drivers}


def sit_down(core: Core, driver: str) -> bool:
    """`driver` confirms the trip, if there is one and it is not theirs already: whether that was so."""
    confirms = core.trip.id is not None and core.profile != driver
    if confirms:
        ROUTES["profile.use"].run(core, {"name": driver})
    return confirms
