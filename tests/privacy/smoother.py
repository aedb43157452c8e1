"""A track smoother: what a patient recipient makes of one trip's coarse places, times, speeds and headings.

A Kalman filter forwards and a Rauch-Tung-Striebel pass backwards, each axis by itself, with a car that keeps its velocity.
Stronger tools exist (maps above all), so its error is an upper bound of what an attacker is left with, not a promise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.privacy.attackers import SECTOR_DEG
from tests.privacy.roads import Point, Report

CELL_SIGMA_M = 200 / math.sqrt(12)
TURNS = (0.02, 0.1, 0.3, 0.9, 2.0)
"""How wildly a car's velocity may wander, m/s^1.5: the attacker knows the kind of road and takes what fits it best."""
TRUST = (0.05, 0.15, 0.4)
"""How far the middle of a sector is believed, as a share of the speed."""


@dataclass(frozen=True)
class State:
    """Place and velocity along one axis with their covariance."""

    x: float
    v: float
    pxx: float
    pxv: float
    pvv: float


def predicted(at: State, dt: float, turn: float) -> State:
    q = turn * turn
    return State(
        at.x + dt * at.v,
        at.v,
        at.pxx + 2 * dt * at.pxv + dt * dt * at.pvv + q * dt**3 / 3,
        at.pxv + dt * at.pvv + q * dt * dt / 2,
        at.pvv + q * dt,
    )


def corrected(at: State, place: float, velocity: float, velocity_sigma: float) -> State:
    """First with the place, then with the velocity; each is a scalar."""
    gain_x, gain_v = at.pxx / (at.pxx + CELL_SIGMA_M**2), at.pxv / (at.pxx + CELL_SIGMA_M**2)
    off = place - at.x
    mid = State(
        at.x + gain_x * off,
        at.v + gain_v * off,
        (1 - gain_x) * at.pxx,
        (1 - gain_x) * at.pxv,
        at.pvv - gain_v * at.pxv,
    )
    total = mid.pvv + velocity_sigma**2
    gain_x, gain_v, off = mid.pxv / total, mid.pvv / total, velocity - mid.v
    return State(
        mid.x + gain_x * off,
        mid.v + gain_v * off,
        mid.pxx - gain_x * mid.pxv,
        (1 - gain_v) * mid.pxv,
        (1 - gain_v) * mid.pvv,
    )


def back(now: State, ahead: State, later: State, dt: float) -> State:
    """One step of the backward pass: `later` is smoothed, `ahead` what was predicted for it from `now`."""
    det = ahead.pxx * ahead.pvv - ahead.pxv * ahead.pxv
    cross_xx, cross_xv = now.pxx + dt * now.pxv, now.pxv
    cross_vx, cross_vv = now.pxv + dt * now.pvv, now.pvv
    gx = ((cross_xx * ahead.pvv - cross_xv * ahead.pxv) / det, (cross_xv * ahead.pxx - cross_xx * ahead.pxv) / det)
    gv = ((cross_vx * ahead.pvv - cross_vv * ahead.pxv) / det, (cross_vv * ahead.pxx - cross_vx * ahead.pxv) / det)
    dx, dv = later.x - ahead.x, later.v - ahead.v
    return State(now.x + gx[0] * dx + gx[1] * dv, now.v + gv[0] * dx + gv[1] * dv, now.pxx, now.pxv, now.pvv)


def smoothed(track: Sequence[Report], turn: float, trust: float) -> list[Point]:
    """Where the car was at each report."""
    east = _axis([(one.t, one.place[0], one.speed, _across(one)[0]) for one in track], turn, trust)
    north = _axis([(one.t, one.place[1], one.speed, _across(one)[1]) for one in track], turn, trust)
    return list(zip(east, north, strict=True))


def _across(one: Report) -> Point:
    """The mean direction of a sector: the middle, somewhat shortened by its width."""
    middle, half = math.radians(one.heading + SECTOR_DEG / 2), math.radians(SECTOR_DEG / 2)
    return math.sin(middle) * math.sin(half) / half, math.cos(middle) * math.sin(half) / half


def _axis(seen: Sequence[tuple[float, float, float, float]], turn: float, trust: float) -> list[float]:
    states: list[State] = []
    ahead: list[State] = []
    for i, (t, place, speed_kmh, along) in enumerate(seen):
        speed = speed_kmh / 3.6
        before = predicted(states[-1], t - seen[i - 1][0], turn) if states else State(place, speed * along, 1e6, 0.0, 400.0)
        ahead.append(before)
        states.append(corrected(before, place, speed * along, 1.0 + trust * speed))
    done = [states[-1]]
    for i in range(len(states) - 2, -1, -1):
        done.append(back(states[i], ahead[i + 1], done[-1], seen[i + 1][0] - seen[i][0]))
    return [one.x for one in reversed(done)]
