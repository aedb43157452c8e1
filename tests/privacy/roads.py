"""A small world for attacks: one home, roads around it, and a car that is driven along them into the real pipeline.

The plane is in metres east and north of the home; roads are polylines. Everything comes from one seed.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.collect.cells import EARTH_M_PER_DEG
from agent.model import Position
from agent.vss import GEAR, LOCATION, SPEED
from tests.agent.collect.build import Rig

Point = tuple[float, float]
STEP_S = 4.0
"""How often the receiver speaks here; a position counts for 5 s."""
RECEIVER_ERROR_M = 4.0
DRIVE = 127
PARK = 126


@dataclass(frozen=True)
class Report:
    """What the recipient of the probe stream gets, in the plane's metres, and the truth at that moment for the scorer."""

    t: float
    place: Point
    speed: float
    heading: float


@dataclass(frozen=True)
class Moment:
    """Where the car truly is."""

    t: float
    place: Point
    heading: float
    speed_kmh: float


@dataclass(frozen=True)
class Plane:
    """Metres around the home of one seed."""

    home: Position

    def degrees(self, point: Point) -> Position:
        lat = self.home.lat_deg + point[1] / EARTH_M_PER_DEG
        return Position(lat, self.home.lon_deg + point[0] / (EARTH_M_PER_DEG * math.cos(math.radians(self.home.lat_deg))))

    def metres(self, place: Position) -> Point:
        east = (place.lon_deg - self.home.lon_deg) * EARTH_M_PER_DEG * math.cos(math.radians(self.home.lat_deg))
        return east, (place.lat_deg - self.home.lat_deg) * EARTH_M_PER_DEG


def somewhere(draw: random.Random) -> Plane:
    """A home at a place of no meaning."""
    return Plane(Position(draw.uniform(-60, 60), draw.uniform(-170, 170)))


def straight(draw: random.Random, far_m: float) -> list[Point]:
    """From the home in any direction, without a bend: the world in which lines give most away."""
    angle = draw.uniform(0, 2 * math.pi)
    return [(0.0, 0.0), (far_m * math.cos(angle), far_m * math.sin(angle))]


class Streets:
    """Streets at right angles, turned by a secret of the town; the home lies within a block, and few routes are usual."""

    def __init__(self, draw: random.Random, block_m: float = 110.0, usual: int = 6) -> None:
        self._draw, self._block = draw, block_m
        self._turn = draw.uniform(0, math.pi / 2)
        self._along = draw.uniform(0.2, 0.8) * block_m
        self._usual = [self._new(2400.0) for _ in range(usual)]

    def route(self, far_m: float) -> list[Point]:
        """One of the usual ways four times in five, else a new one."""
        return self._draw.choice(self._usual) if self._usual and self._draw.random() < 0.8 else self._new(far_m)

    def _new(self, far_m: float) -> list[Point]:
        angle = self._draw.uniform(0, 2 * math.pi)
        want = [far_m * math.cos(angle), far_m * math.sin(angle)]
        at = [self._along if want[0] >= 0 else self._along - self._block, 0.0]
        points, axis = [(0.0, 0.0), (at[0], at[1])], 1
        while any(abs(want[k] - at[k]) > self._block for k in (0, 1)):
            if abs(want[axis] - at[axis]) > self._block:
                blocks = self._draw.choice((1, 2, 3, 5, 8))
                run = min(blocks * self._block, abs(want[axis] - at[axis]))
                at[axis] += math.copysign(run, want[axis] - at[axis])
                points.append((at[0], at[1]))
            axis = 1 - axis
        return [self._turned(point) for point in points]

    def _turned(self, point: Point) -> Point:
        c, s = math.cos(self._turn), math.sin(self._turn)
        return point[0] * c - point[1] * s, point[0] * s + point[1] * c


def drive(points: Sequence[Point], t: float, draw: random.Random) -> Iterator[Moment]:
    """The car along a polyline, from one end to the other: its pace changes from road to road, corners are slow."""
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        heading, pace, done = math.degrees(math.atan2(x1 - x0, y1 - y0)) % 360, draw.uniform(30, 60), 0.0
        while done < length:
            near_corner = min(done, length - done)
            speed = min(pace, 15 + near_corner * 1.2)
            yield Moment(t, (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length), heading, speed)
            done += speed / 3.6 * STEP_S
            t += STEP_S
    yield Moment(t, points[-1], heading, 0.0)


def trip(rig: Rig, plane: Plane, moments: Sequence[Moment], draw: random.Random) -> list[Report]:
    """The whole trip through the pipeline, ignition on to ignition off; what left the car."""
    before = len(rig.rows)
    rig.ignition("ON", moments[0].t - 3)
    rig.put(GEAR, DRIVE, moments[0].t - 1)
    for moment in moments:
        rig.put(SPEED, moment.speed_kmh, moment.t)
        seen = (moment.place[0] + draw.gauss(0, RECEIVER_ERROR_M), moment.place[1] + draw.gauss(0, RECEIVER_ERROR_M))
        rig.fix(plane.degrees(seen), moment.t, course=moment.heading)
    rig.put(GEAR, PARK, moments[-1].t + 1)
    rig.ignition("OFF", moments[-1].t + 2)
    rig.advance(moments[-1].t + 60)
    return reports(rig, plane, before)


def reports(rig: Rig, plane: Plane, before: int) -> list[Report]:
    """The rows since `before`, put together by their time as a recipient can."""
    at: dict[float, dict[str, object]] = {}
    for row in rig.rows[before:]:
        at.setdefault(row.t, {})[row.signal] = row.value
    found = []
    for t, values in sorted(at.items()):
        place = values.get(LOCATION)
        if isinstance(place, Position):
            heading, speed = values.get(f"{LOCATION}.Heading", 0.0), values.get(SPEED, 0.0)
            assert isinstance(heading, int | float)
            assert isinstance(speed, int | float)
            found.append(Report(t, plane.metres(place), float(speed), float(heading)))
    return found
