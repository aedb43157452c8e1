"""The simulated car: its whole physical state as a pure function of time and seed.

Owns the physics of the bench. Promises that speed, distance, odometer, position, heading and the turning rates of one
state belong together (speed is integrated in closed form, places follow from distance), that the same scenario and
seed give the same numbers, and that any moment may be asked for in any order. Never reads a clock.
"""

from __future__ import annotations

import math
import pathlib
import random
from dataclasses import dataclass
from typing import Any

from hw.bench.conditions import Timeline
from hw.bench.motion import KMH_PER_MPS, Motion, Profile
from hw.bench.refusal import entry
from hw.bench.route import Place, Route
from hw.bench.scenario import Condition, Scenario, ScenarioError, load_scenario, refused, scenario_path

TANK_L = 50.0
LITRES_PER_KM = 0.07
WHEELBASE_M = 2.7
TRACK_M = 1.56
STEERING_RATIO = 15.0
IDLE_RPM = 780.0
GEAR_FROM_KMH = (0.0, 18.0, 34.0, 52.0, 72.0, 95.0)
RPM_PER_KMH = (110.0, 62.0, 42.0, 32.0, 25.0, 20.0)
WARM_COOLANT_C, WARM_OIL_C, WARM_GEARBOX_C = 90.0, 96.0, 78.0
WARMING_S = 240.0
ALTERNATOR_V = 14.2
IMPACT_S = 0.11
"""From first contact to standstill, as in a frontal crash against something rigid."""
CRASHED: dict[str, Any] = {
    "deploy": "deployed",
    "crash_severity_percent": 70,
    "belt_tensioner": True,
    "abs_active": False,
    "esc_active": False,
    "hazard": True,
    "locked": False,
}
"""What the car says from the crash on: airbags fired, belts pulled, hazard lights on, doors unlocked. The ignition stays on."""
RIPPLES = ("battery_v", "rpm", "brightness")


@dataclass(frozen=True, slots=True, kw_only=True)
class CarState(Condition):
    """The car at one moment: what is set (Condition) and what follows from it. Heading clockwise from north; WGS-84."""

    t_s: float
    lat_deg: float
    lon_deg: float
    alt_m: float
    heading_deg: float
    speed_kmh: float
    acceleration_mps2: float
    lateral_mps2: float
    yaw_rate_dps: float
    steering_deg: float
    wheel_speeds_kmh: tuple[float, ...]
    distance_m: float
    odometer_km: float
    engine_running: bool
    engine_hours_h: float
    engine_rpm: float
    engine_torque_nm: float
    pedal_percent: float
    brake_bar: float
    gear_step: int
    coolant_c: float
    oil_c: float
    gearbox_c: float
    battery_v: float
    battery_current_a: float
    fuel_percent: float
    range_km: float
    service_km: float
    service_due: bool
    tyres_kpa: tuple[float, ...]
    tyres_c: float
    brightness_lx: float

    @property
    def speed_mps(self) -> float:
        """The same speed as GNSS measures it."""
        return self.speed_kmh / KMH_PER_MPS


class Drive:
    """One drive of one scenario. Not for two threads at once: the road grows as it is asked for.

    `crash_s`: when the car crashes; None as long as it does not.
    """

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        rng = random.Random(f"modicum bench {seed}")  # noqa: S311  a reproducible simulation, no secret
        self.scenario, self.seed, self.seconds = scenario, seed, scenario.seconds
        self._profile = Profile(scenario.speed, scenario.speed_jitter_kmh, scenario.seconds, rng)
        self._route = Route(scenario.start, scenario.route)
        self._timeline = Timeline(scenario.changes)
        self._ripples = {name: [(rng.uniform(0.2, 1.1), rng.uniform(0, math.tau)) for _ in range(3)] for name in RIPPLES}
        self._tyre_offsets_kpa = [rng.uniform(-3, 3) for _ in range(4)]
        moments = [("speed", [point.at_s for point in scenario.speed]), ("change", [change.at_s for change in scenario.changes])]
        for kind, index, at_s in ((kind, index, at_s) for kind, times in moments for index, at_s in enumerate(times)):
            self._check_lever(entry(kind, index, at_s), at_s)
        self.crash_s: float | None = None
        if scenario.crash_s is not None:
            self.crash(scenario.crash_s)

    @classmethod
    def load(cls, name: str | pathlib.Path, seed: int = 0) -> Drive:
        """The drive of a scenario's name or file. Raises ScenarioError."""
        path = scenario_path(str(name))
        scenario = load_scenario(path)
        try:
            return cls(scenario, seed)
        except ScenarioError as error:
            raise refused(error, path) from error

    def crash(self, at_s: float) -> None:
        """The car crashes at `at_s`, a moment of which nobody was told anything yet. Once is enough: a second time changes nothing."""
        if self.crash_s is None:
            self.crash_s = at_s
            self._profile.stop(at_s, IMPACT_S)
            self._timeline.end(at_s, CRASHED)

    def state(self, t_s: float) -> CarState:
        """The car `t_s` seconds after the start; before it the car stands as it will start."""
        t_s = max(0.0, t_s)
        motion = self._profile.at(t_s)
        place = self._route.at(motion.distance_m)
        held = self._timeline.at(t_s)
        held |= self._position(place, motion)
        held |= self._engine(held, motion, t_s)
        held |= self._electrics(held, t_s)
        held |= self._wear(held, motion)
        return CarState(t_s=t_s, **held)

    def distance_m(self, t_s: float) -> float:
        """Metres driven at `t_s`; much cheaper than a whole state."""
        return self._profile.at(max(0.0, t_s)).distance_m

    def time_of_distance_s(self, distance_m: float) -> float:
        """The first moment, to a microsecond, at which the car has gone `distance_m`; inf when it does not within a day."""
        low_s, high_s = 0.0, 86_400.0
        if self.distance_m(high_s) < distance_m:
            return math.inf
        while high_s - low_s > 1e-6:
            middle_s = (low_s + high_s) / 2
            low_s, high_s = (middle_s, high_s) if self.distance_m(middle_s) < distance_m else (low_s, middle_s)
        return high_s

    def _check_lever(self, place: str, t_s: float) -> None:
        held = self._timeline.at(t_s)
        if self._profile.at(t_s).speed_mps > 0 and (held["gear"] in ("P", "R") or held["ignition"] == "OFF"):
            raise ScenarioError(f"{place}: the car moves in gear {held['gear']} with ignition {held['ignition']}")

    def _position(self, place: Place, motion: Motion) -> dict[str, Any]:
        speed, bend = motion.speed_mps, place.curvature_per_m
        kmh = speed * KMH_PER_MPS
        side = kmh * bend * TRACK_M / 2
        return {
            "lat_deg": place.lat_deg,
            "lon_deg": place.lon_deg,
            "alt_m": self.scenario.start.alt_m,
            "heading_deg": place.heading_deg,
            "speed_kmh": kmh,
            "acceleration_mps2": motion.acceleration_mps2,
            "lateral_mps2": speed * speed * bend,
            "yaw_rate_dps": math.degrees(speed * bend),
            "steering_deg": math.degrees(math.atan(WHEELBASE_M * bend)) * STEERING_RATIO,
            "wheel_speeds_kmh": (kmh + side, kmh - side, kmh + side, kmh - side),
            "distance_m": motion.distance_m,
            "odometer_km": self.scenario.start.odometer_km + motion.distance_m / 1000,
        }

    def _engine(self, held: dict[str, Any], motion: Motion, t_s: float) -> dict[str, Any]:
        running = held["ignition"] in ("ON", "START")
        kmh, pull = motion.speed_mps * KMH_PER_MPS, motion.acceleration_mps2
        step = sum(kmh >= limit for limit in GEAR_FROM_KMH) if held["gear"] == "D" else 0
        rpm = max(IDLE_RPM + 8 * self._ripple("rpm", t_s), kmh * RPM_PER_KMH[step - 1] if step else 0.0)
        running_s = self._timeline.running_s(t_s)
        warmth = 1 - math.exp(-running_s / WARMING_S)
        cold = held["coolant_start_c"]
        return {
            "engine_running": running,
            "engine_hours_h": held["engine_hours_start_h"] + running_s / 3600,
            "engine_rpm": rpm if running else 0.0,
            "engine_torque_nm": max(-60.0, 35 + 60 * pull + 0.8 * kmh) if running else 0.0,
            "pedal_percent": min(100.0, max(0.0, 18 * pull + 0.16 * kmh)) if running else 0.0,
            "brake_bar": min(150.0, max(0.0, -14 * pull)),
            "gear_step": step,
            "coolant_c": cold + (WARM_COOLANT_C - cold) * warmth,
            "oil_c": cold + (WARM_OIL_C - cold) * warmth * warmth,
            "gearbox_c": cold + (WARM_GEARBOX_C - cold) * warmth * warmth,
        }

    def _electrics(self, held: dict[str, Any], t_s: float) -> dict[str, Any]:
        ripple = self._ripple("battery_v", t_s)
        charging = held["engine_running"]
        daylight = max(500.0, 12_000 * (1 - held["rain_percent"] / 150) * (1 + 0.1 * self._ripple("brightness", t_s)))
        return {
            "battery_v": ALTERNATOR_V + 0.08 * ripple if charging else held["battery_rest_v"] + 0.01 * ripple,
            "battery_current_a": 8 + 4 * ripple if charging else -1.5,
            "brightness_lx": daylight,
        }

    def _wear(self, held: dict[str, Any], motion: Motion) -> dict[str, Any]:
        km = motion.distance_m / 1000
        fuel = max(0.0, held["fuel_full_percent"] - 100 * km * LITRES_PER_KM / TANK_L)
        warm = 12 * (1 - math.exp(-km / 8))
        service_km = held["service_left_km"] - km
        cold_kpa = (held["tyre_fl_kpa"], held["tyre_fr_kpa"], held["tyre_rl_kpa"], held["tyre_rr_kpa"])
        return {
            "fuel_percent": fuel,
            "range_km": fuel / 100 * TANK_L / LITRES_PER_KM,
            "service_km": service_km,
            "service_due": service_km <= 0 or held["service_left_days"] <= 0,
            "tyres_kpa": tuple(p + o + warm for p, o in zip(cold_kpa, self._tyre_offsets_kpa, strict=True)),
            "tyres_c": held["outside_c"] + warm,
        }

    def _ripple(self, name: str, t_s: float) -> float:
        """A smooth seeded wander between -1 and 1."""
        return sum(math.sin(rate * t_s + phase) for rate, phase in self._ripples[name]) / 3
