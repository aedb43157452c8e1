"""tests.privacy.usual_end in small: some trips of the simulated car, through the whole agent, do not tell where it lives."""

from __future__ import annotations

from tests.measured import Say
from tests.privacy.usual_end import GOAL_M, attacked

TRIPS = 8


def test_some_trips_of_the_simulated_car_do_not_tell_where_it_lives(measured: Say) -> None:
    """Every attacker is off by a hundred metres or more, and nothing is said from nearer. Fifty trips: the script."""
    found, near_m, told = attacked(1, TRIPS)
    nearest = min(found, key=lambda name: found[name])
    measured(
        f"simulated car, {TRIPS} trips home: best attacker {nearest}, off by {found[nearest]:.0f} m; no report nearer than {near_m:.0f} m"
    )
    assert told >= TRIPS - 1
    assert near_m > GOAL_M
    assert found[nearest] >= GOAL_M
