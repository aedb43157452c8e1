"""hw.bench.whereabouts: the edges of a circle, where a rounded number must not be one that does not exist."""

from __future__ import annotations

from dataclasses import replace

from hw.bench.truth import Drive
from hw.bench.whereabouts import quectel_location, simcom_gps
from tests.hw.bench.scenes import START_NS

MOVING = Drive.load("drive", 1).state(60)


def test_a_course_of_360_degrees_is_north() -> None:
    """Rounded up it is zero."""
    north = replace(MOVING, heading_deg=359.999)
    assert simcom_gps(north, START_NS).endswith(",0.00")
    assert ",3,0.00," in quectel_location(north, START_NS, 2)


def test_sixty_minutes_are_a_degree() -> None:
    """Just below a whole degree, south and west of zero."""
    edge = replace(MOVING, lat_deg=-29.9999999999, lon_deg=-0.9999999999)
    assert simcom_gps(edge, START_NS).startswith("+CGPSINFO: 3000.000000,S,00100.000000,W,")
    assert ",3000.0000S,00100.0000W," in quectel_location(edge, START_NS, 0)
