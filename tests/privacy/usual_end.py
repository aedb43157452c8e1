"""Trips of the simulated car from its home and back, through the whole agent; then whoever reads its traffic reports asks where it lives.

The traffic stream is the one that tells of the place by itself; what is asked for in person, or set off by an event, is not played here.

    python -m tests.privacy.usual_end --trips 50

prints how far each attacker is off, for three homes; it takes about five minutes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from typing import Any

from agent.catalogue.load import load_catalogue
from agent.cli.bench.seat import sit_down
from agent.core.virtual import Scene, VirtualRun
from agent.model import Position
from agent.vehicle import load_vehicle
from agent.vss import LOCATION
from hw.bench.arriving import arriving
from hw.bench.car import Car
from hw.bench.receiver import Receiver
from hw.bench.scenario import DRIVER, VIN, Change, Leg, Scenario, SpeedPoint, Start
from hw.bench.truth import Drive
from hw.gnss.nmea import Epochs
from hw.ports import Fix
from tests.privacy import attackers
from tests.privacy.roads import Plane, Report
from tests.support.rules import SHIPPED
from tests.support.truth import NS, VEHICLE
from tests.support.virtual import ALL

SEEDS, GOAL_M = (1, 2, 3), 100.0
TOLD = ("IGN", "SPEED", "MOTION", "GEARBOX", "ODOMETER")
"""The messages that the agent needs for a trip; the others of the car tell nothing of where it is and only take time."""
BLOCKS_M = ((300, 420, 540, 420, 240), (180, 600, 420, 600, 240), (420, 360, 780, 360, 360))
"""Streets of the way around, by seed: it begins and ends in the middle of one."""
CRUISE_KMH, AWAY_S, BRAKE_S, STOP_S = 50.0, 8.0, 6.0, 190.0
START_NS = 1_795_000_000 * NS


def commute(seed: int, trips: int) -> Scenario:
    """From home around some blocks and home again, so many times, with a stop that ends the trip at each."""
    blocks = BLOCKS_M[SEEDS.index(seed)]
    corner = Leg(turn_deg=90, radius_m=12)
    legs = [leg for block in blocks for leg in (Leg(straight_m=block), corner)][:-1]
    way_m = sum(blocks) + (len(blocks) - 1) * math.pi / 2 * 12
    cruise_s = way_m / (CRUISE_KMH / 3.6) - (AWAY_S + BRAKE_S) / 2
    points, changes = [SpeedPoint(at_s=0, kmh=0)], list[Change]()
    t_s = 0.0
    for _ in range(trips):
        changes += [Change(at_s=t_s, set_={"ignition": "ON"}), Change(at_s=t_s + 3, set_={"gear": "D"})]
        edges = (t_s + 5, 0), (t_s + 5 + AWAY_S, CRUISE_KMH), (t_s + 5 + AWAY_S + cruise_s, CRUISE_KMH)
        stop_s = edges[2][0] + BRAKE_S
        points += [SpeedPoint(at_s=at_s, kmh=kmh) for at_s, kmh in (*edges, (stop_s, 0))]
        changes += [Change(at_s=stop_s + 2, set_={"gear": "P"}), Change(at_s=stop_s + 3, set_={"ignition": "OFF"})]
        t_s = stop_s + 3 + STOP_S + seed
    start = Start(lat_deg=31.2 + seed / 7, lon_deg=121.4 + seed / 9, heading_deg=40.0 * seed, odometer_km=900)
    return Scenario(title="made for a test", start=start, route=tuple(legs), speed=tuple(points), changes=tuple(changes), seconds=t_s)


def played(seed: int, trips: int) -> tuple[VirtualRun, Drive]:
    """The run with its recipients, and the truth."""
    drive = Drive(commute(seed, trips), seed)
    scene = Scene(
        catalogue=load_catalogue(SHIPPED),
        vehicle=load_vehicle(VEHICLE),
        package="navigation_plus",
        choice=ALL,
        vin=VIN,
        seed=f"usual end {seed}".encode(),
        start_ns=START_NS,
        sole_driver=None,
    )
    run, stop_ns = VirtualRun(scene), START_NS + int(drive.seconds * NS)
    car = Car(drive, START_NS)
    car._senders = [sender for sender in car._senders if sender.message.name in TOLD]
    for item in arriving(car.frames(START_NS, stop_ns), Receiver(drive, START_NS), START_NS, stop_ns, Epochs()):
        run.feed(item)
        if isinstance(item, Fix):
            sit_down(run.core, DRIVER)
    run.clock.set(stop_ns)
    run.finish()
    return run, drive


def reports(run: VirtualRun, plane: Plane) -> list[Report]:
    """What the recipient of the traffic stream can put together, in metres from the home."""
    messages: dict[tuple[float, Any], dict[str, Any]] = {}
    for line in run.received.lines:
        if line["stream"] == "probe":
            messages.setdefault((float(str(line["t"])), line["seq"]), {})[str(line["signal"])] = line["value"]
    found = []
    for (t_s, _), said in sorted(messages.items()):
        place = Position(said[f"{LOCATION}.Latitude"], said[f"{LOCATION}.Longitude"])
        found.append(Report(t_s, plane.metres(place), said.get("Vehicle.Speed", 0.0), said.get(f"{LOCATION}.Heading", 0.0)))
    return found


def by_trip(found: list[Report]) -> list[list[Report]]:
    """A pause of a minute or more parts two trips, also for the recipient."""
    trips: list[list[Report]] = []
    for one in found:
        if trips and one.t - trips[-1][-1].t < 60:
            trips[-1].append(one)
        else:
            trips.append([one])
    return trips


def errors(trips: list[list[Report]]) -> dict[str, float]:
    """How far each attacker is off, with the beginnings, the ends and both."""
    begins, ends = attackers.ends_of(trips, arriving=False), attackers.ends_of(trips, arriving=True)
    pairs = attackers.pairs_of(trips, arriving=False), attackers.pairs_of(trips, arriving=True)
    found = {}
    for side, some, two in (("leaving", begins, pairs[0]), ("arriving", ends, pairs[1]), ("both", begins + ends, pairs[0] + pairs[1])):
        for name, attack in attackers.ENDS.items():
            found[f"{name}, {side}"] = attackers.error(attack([one.place for one in some]))
        found[f"heading lines, {side}"] = attackers.error(attackers.heading_lines([(one.place, one.heading) for one in some]))
        found[f"track lines, {side}"] = attackers.error(attackers.track_lines(two))
    return found


def nearest_m(found: list[list[Report]], plane: Plane, drive: Drive) -> float:
    """How near to the home the car truly was at any report after the first trip, which nobody could know to be usual."""
    cars = [drive.state(one.t - START_NS / NS) for trip in found[1:] for one in trip]
    return min(math.hypot(*plane.metres(Position(car.lat_deg, car.lon_deg))) for car in cars)


def attacked(seed: int, trips: int) -> tuple[dict[str, float], float, int]:
    """Each attacker's error, how near the nearest report was, and of how many trips something was reported."""
    run, drive = played(seed, trips)
    plane = Plane(Position(drive.scenario.start.lat_deg, drive.scenario.start.lon_deg))
    found = by_trip(reports(run, plane))
    return errors(found), nearest_m(found, plane, drive), len(found)


def main() -> int:
    """Prints a line for each attacker; 1 if one is too near to the home in the median over the homes."""
    parser = argparse.ArgumentParser(prog="tests.privacy.usual_end", description="Attacks on the home of the simulated car.")
    parser.add_argument("--trips", type=int, default=50)
    trips = parser.parse_args().trips
    homes = [attacked(seed, trips) for seed in SEEDS]
    for seed, (_, near_m, told) in zip(SEEDS, homes, strict=True):
        sys.stdout.write(f"home {seed}: {told} of {trips} trips told of, none from nearer than {near_m:.0f} m\n")
    worst = math.inf
    for name in homes[0][0]:
        its = [home[0][name] for home in homes]
        worst = min(worst, statistics.median(its))
        sys.stdout.write(
            f"{name:28s} off by {statistics.median(its):5.0f} m in the median; " + " ".join(f"{one:5.0f}" for one in its) + "\n"
        )
    sys.stdout.write(f"the best attacker is off by {worst:.0f} m; the goal is {GOAL_M:.0f} m\n")
    return 0 if worst >= GOAL_M else 1


if __name__ == "__main__":
    sys.exit(main())
