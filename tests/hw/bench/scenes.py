"""Scenarios made for tests, and the measuring tape that the product does not use."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from hw.bench.scenario import Change, Leg, Scenario, SpeedPoint, Start
from hw.bench.truth import CarState, Drive

EARTH_M = 6_371_008.8
START_NS = 1_800_000_000_250_000_000
"""A quarter past a second of UTC: whole seconds of the drive are not whole seconds of the receiver."""


def scene(points: list[tuple[float, float]], legs: list[Leg] | None = None, jitter_kmh: float = 0.0, **conditions: Any) -> Scenario:
    """A scenario with these (seconds, km/h), in gear from the start."""
    return Scenario(
        title="made for a test",
        start=Start(lat_deg=39.81, lon_deg=116.46, heading_deg=37.0, odometer_km=41_999.2),
        route=tuple(legs or [Leg(straight_m=400), Leg(turn_deg=80, radius_m=150)]),
        speed=tuple(SpeedPoint(at_s=at_s, kmh=kmh) for at_s, kmh in points),
        changes=(Change(at_s=0, set_={"gear": "D"} | conditions),),
        speed_jitter_kmh=jitter_kmh,
    )


straights = st.builds(Leg, straight_m=st.floats(20, 3000))
turns = st.builds(Leg, turn_deg=st.floats(5, 180) | st.floats(-180, -5), radius_m=st.floats(60, 400))
roads = st.lists(straights | turns, min_size=1, max_size=6)
starts = st.builds(
    Start, lat_deg=st.floats(-60, 60), lon_deg=st.floats(-179, 179), heading_deg=st.floats(0, 359), odometer_km=st.floats(0, 300_000)
)


@st.composite
def drives(draw: st.DrawFn) -> Drive:
    """Any believable drive: any place on earth, any road, any speeds that a car can follow."""
    gaps = draw(st.lists(st.tuples(st.floats(6, 30), st.floats(0, 130)), min_size=1, max_size=6))
    points, at_s = [SpeedPoint(at_s=0, kmh=0)], 0.0
    for gap_s, kmh in gaps:
        at_s += gap_s
        points.append(SpeedPoint(at_s=at_s, kmh=kmh))
    scenario = Scenario(
        title="any",
        start=draw(starts),
        route=tuple(draw(roads)),
        speed=tuple(points),
        changes=(Change(at_s=0, set_={"gear": "D"}),),
        speed_jitter_kmh=draw(st.floats(0, 3)),
    )
    return Drive(scenario, draw(st.integers(0, 1000)))


def metres_between(one: CarState, other: CarState) -> float:
    """Great-circle distance on the mean sphere; within 0.6 % of the ellipsoid's."""
    lat_a, lat_b = math.radians(one.lat_deg), math.radians(other.lat_deg)
    d_lon = math.radians(other.lon_deg - one.lon_deg)
    a = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(d_lon / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(a))


def bearing_deg(one: CarState, other: CarState) -> float:
    """Initial course from one to the other, clockwise from north."""
    lat_a, lat_b = math.radians(one.lat_deg), math.radians(other.lat_deg)
    d_lon = math.radians(other.lon_deg - one.lon_deg)
    y = math.sin(d_lon) * math.cos(lat_b)
    x = math.cos(lat_a) * math.sin(lat_b) - math.sin(lat_a) * math.cos(lat_b) * math.cos(d_lon)
    return math.degrees(math.atan2(y, x)) % 360


def angle_between(one_deg: float, other_deg: float) -> float:
    """Smallest angle between two courses."""
    return abs((one_deg - other_deg + 180) % 360 - 180)
