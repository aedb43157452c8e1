"""A bench drive on the virtual clock, with what is needed to judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agent.catalogue.load import load_catalogue
from agent.cli.bench.virtual import START_NS, begins_ns, play_virtual
from agent.consent import choice as consent
from agent.consent.choice import Choice
from agent.core.virtual import Scene, VirtualRun
from agent.vehicle import Vehicle, load_vehicle
from hw.bench.arriving import arriving
from hw.bench.car import Car
from hw.bench.receiver import Receiver
from hw.bench.scenario import VIN
from hw.bench.truth import Drive
from hw.gnss.nmea import Epochs
from tests.support.device import profile_cell
from tests.support.moments import Run
from tests.support.oracle import Oracle
from tests.support.rules import SHIPPED
from tests.support.truth import NS, VEHICLE, Truth

SCENARIOS = Path(__file__).parents[1] / "scenarios"
ALL, NONE, UNACCEPTED = Choice(True, None), Choice(True, {}), Choice(False, {})


@dataclass(frozen=True, slots=True)
class Played:
    """A finished run and its oracle."""

    run: VirtualRun
    oracle: Oracle

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [dict(line) for line in self.run.received.lines]

    def faults(self) -> list[str]:
        """What the oracle finds, the plan's own half included."""
        plan = self.run.core.plan
        rules = {(rule.name, rule.signal) for rule in plan.rules}
        refused = {(f"{no.service}.{no.stream}", no.signal) for no in plan.refused}
        wrong = [
            f"{one} is {'live' if one in rules else 'refused'}" for one in (rules ^ self.oracle.rules) | (refused ^ self.oracle.refused)
        ]
        return wrong + self.oracle.faults(self.lines)


def scenario_file(name: str) -> str:
    """A scenario of the tests, or the shipped one of that name."""
    own = SCENARIOS / f"{name}.toml"
    return str(own) if own.exists() else name


def play(
    name: str, seconds: float, *, seed: int = 1, package: str | None = "navigation_plus", choice: Choice = ALL, catalogue: Path = SHIPPED
) -> Played:
    """Drives and judges."""
    run, _, _ = play_virtual(
        scenario=scenario_file(name),
        seed=seed,
        seconds=seconds,
        package=package,
        choice=choice,
        catalogue=load_catalogue(catalogue),
        vehicle=_vehicle(),
    )
    return Played(run, _oracle(run, name, seed, seconds, choice, catalogue))


def play_with(name: str, seconds: float, at_s: Mapping[float, Callable[[VirtualRun], object]], *, seed: int = 1) -> VirtualRun:
    """The same with something done in the middle of it: `at_s` moment -> what."""
    drive = Drive.load(scenario_file(name), seed)
    stop_ns = START_NS + int(seconds * NS)
    scene = Scene(
        catalogue=load_catalogue(SHIPPED),
        vehicle=_vehicle(),
        package="navigation_plus",
        choice=ALL,
        vin=VIN,
        seed=f"bench {seed}".encode(),
        start_ns=START_NS,
        sole_driver=consent.DRIVER,
    )
    run, waiting = VirtualRun(scene), sorted(at_s.items())
    for item in arriving(Car(drive, START_NS).frames(START_NS, stop_ns), Receiver(drive, START_NS), START_NS, stop_ns, Epochs()):
        while waiting and item.t_ns >= START_NS + waiting[0][0] * NS:
            run.step(item.t_ns)
            waiting.pop(0)[1](run)
        run.feed(item)
    run.clock.set(stop_ns)
    run.finish()
    return run


def _oracle(run: VirtualRun, name: str, seed: int, seconds: float, choice: Choice, catalogue: Path) -> Oracle:
    parts, drive = run.core.parts, Drive.load(scenario_file(name), seed)
    start_ns, asked = begins_ns(drive), dict[str, list[int]]()
    done = [(start_ns + int(action.at_s * NS), action.do, action.name) for action in drive.scenario.actions if action.at_s < seconds]
    for t_ns, do, stream in done:
        if do == "request":
            asked.setdefault(stream, []).append(t_ns)
    return Oracle(
        Run(
            truth=Truth(drive, start_ns),
            seconds=seconds,
            package=run.scene.package,
            catalogue=catalogue,
            granted=None if choice.entries is None else frozenset(item for item, entry in choice.entries.items() if entry.state == "YES"),
            accepted=choice.accepted,
            cell_of=cache(lambda driver: profile_cell(parts.keyring, parts.ledger, driver)),
            said=[act for act in done if act[1] != "request"],
            started=(start_ns, start_ns),
            asked=asked,
        )
    )


def _vehicle() -> Vehicle:
    return load_vehicle(VEHICLE)
