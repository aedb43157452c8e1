"""What each message of bench.dbc says about a car: one small function per message.

Owns the join between the car's state and the DBC's signal names. Promises a value for every signal of its message,
inside the DBC's range. Alive counters and CRCs are added by `hw.bench.car`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hw.bench.truth import CarState

Values = dict[str, float]
Content = Callable[[CarState], Values]
ContentInTurn = Callable[[CarState, int], Values]

LEVERS = {"P": 1, "R": 2, "N": 3, "D": 4}
TERMINALS = {"OFF": 0, "ACC": 1, "ON": 2, "START": 3}
WIPER_MODES = {"OFF": 0, "SLOW": 1, "MEDIUM": 2, "FAST": 3, "INTERVAL": 4, "RAIN_SENSOR": 5}
OIL_LEVELS = {"CRITICALLY_LOW": 0, "LOW": 1, "NORMAL": 2, "HIGH": 3, "CRITICALLY_HIGH": 4}
DEPLOYS = {"none": 0, "deployed": 1, "invalid": 3}
FAULT_BITS = {"P0171": 1, "P0420": 2, "C0035": 4}
"""The faults that this car can broadcast."""
CHECK_WASHER, CHECK_TYRE, CHECK_SERVICE = 1, 2, 4
"""The messages that its cluster can show."""
TYRE_LOW_KPA = 190.0
WHEELS = ("FL", "FR", "RL", "RR")
STANDING_KMH = 0.05
COMFORT_C = 21.5
SEAT_HEAT_BELOW_C = (19.0, 16.0, 10.0)
"""Each step of a seat's heater begins below one of these."""
STATION_KM = 40
"""How far a radio station reaches."""
LANE_M, LANE_WANDER_M = 3.5, 0.3
SOOT_KM = 600
"""The exhaust's filter is burnt free so often."""
LEAN = "P0171"


def fault_code(code: str) -> int:
    """A trouble code in the two-byte form of SAE J2012: letter in two bits, four digits in hexadecimal."""
    return "PCBU".index(code[0]) << 14 | int(code[1:], 16)


def _steering(car: CarState) -> Values:
    return {"ANGLE": car.steering_deg, "RATE": 0.0}


def _motion(car: CarState) -> Values:
    direction = 0 if car.speed_kmh < STANDING_KMH else 1
    return {"DIRECTION": direction, "SPEED": car.speed_kmh, "ACCELERATION": _felt(car)}


def _wheels(car: CarState) -> Values:
    return {f"SPEED_{wheel}": max(0.0, speed) for wheel, speed in zip(WHEELS, car.wheel_speeds_kmh, strict=True)}


def _engine(car: CarState) -> Values:
    return {"RPM": car.engine_rpm, "TORQUE": car.engine_torque_nm, "PEDAL": car.pedal_percent, "RUNNING": car.engine_running}


def _felt(car: CarState) -> float:
    """What a sensor of the chassis can measure; a crash is beyond it."""
    return _within(car.acceleration_mps2, -20, 20)


def _inertia(car: CarState) -> Values:
    turning = {"YAW_RATE": _within(car.yaw_rate_dps, -150, 150), "LATERAL": _within(car.lateral_mps2, -20, 20)}
    return {**turning, "LONGITUDINAL": _felt(car)}


def _ignition(car: CarState) -> Values:
    return {"KL": TERMINALS[car.ignition], "KEY_INSIDE": car.ignition != "OFF"}


def _stability(car: CarState) -> Values:
    active = {"ABS_ACTIVE": car.abs_active, "ESC_ACTIVE": car.esc_active, "TRACTION_ACTIVE": False}
    return {**active, "BRAKE_PRESSED": car.brake_bar > 1, "BRAKE_PRESSURE": car.brake_bar}


def _gearbox(car: CarState) -> Values:
    return {"LEVER": LEVERS[car.gear], "STEP": car.gear_step, "OIL_TEMPERATURE": car.gearbox_c}


def _crash(car: CarState) -> Values:
    flags = {"DIAG": car.crash_diagnosis, "ACTUATOR_TEST": car.actuator_test}
    return {**flags, "DEPLOY": DEPLOYS[car.deploy], "SEVERITY": car.crash_severity_percent}


def _lights(car: CarState) -> Values:
    lamps = {"LOW_BEAM": car.low_beam, "HIGH_BEAM": False, "FOG_FRONT": car.fog_front, "FOG_REAR": car.fog_rear}
    return {**lamps, "INDICATOR_LEFT": car.hazard, "INDICATOR_RIGHT": car.hazard, "HAZARD": car.hazard}


def _wiper(car: CarState) -> Values:
    return {"MODE": WIPER_MODES[car.wiper_mode], "INTENSITY": car.wiper_intensity, "WASHER_LOW": car.washer_low}


def _environment(car: CarState) -> Values:
    warmth = {"OUTSIDE": car.outside_c, "CABIN": car.cabin_c}
    air = {"HUMIDITY": 45 + car.rain_percent / 2, "RAIN": car.rain_percent, "AIR_PRESSURE": 1013.2}
    return {**warmth, **air, "BRIGHTNESS": car.brightness_lx}


def _belt(car: CarState) -> Values:
    return {"TENSIONER": car.belt_tensioner, "DRIVER": car.belt_driver, "PASSENGER": car.belt_passenger}


def _doors(car: CarState) -> Values:
    opened = (car.door_fl_open, car.door_fr_open, car.door_rl_open, car.door_rr_open)
    windows = (car.window_fl_percent, car.window_fr_percent, car.window_rl_percent, car.window_rr_percent)
    values: Values = {f"OPEN_{wheel}": is_open for wheel, is_open in zip(WHEELS, opened, strict=True)}
    values |= {f"WINDOW_OPEN_{wheel}": part > 0 for wheel, part in zip(WHEELS, windows, strict=True)}
    values |= {f"WINDOW_{wheel}": part for wheel, part in zip(WHEELS, windows, strict=True)}
    values |= {f"LOCKED_{place}": car.locked for place in (*WHEELS, "TRUNK")}
    return {**values, "OPEN_TRUNK": car.trunk_open, "OPEN_HOOD": False}


def _odometer(car: CarState) -> Values:
    return {"TOTAL": car.odometer_km, "TRIP": car.distance_m / 1000}


def _fuel(car: CarState) -> Values:
    return {"LEVEL": car.fuel_percent, "RANGE": car.range_km}


def _tyres(car: CarState, k: int) -> Values:
    wheel = k % len(WHEELS)
    return {"WHEEL": wheel, f"PRESSURE_{WHEELS[wheel]}": car.tyres_kpa[wheel], f"WARMTH_{WHEELS[wheel]}": car.tyres_c}


def _fluids(car: CarState) -> Values:
    warmth = {"COOLANT": car.coolant_c, "OIL_TEMPERATURE": car.oil_c}
    return {**warmth, "OIL_LEVEL": OIL_LEVELS[car.oil_level], "ENGINE_HOURS": car.engine_hours_h}


def _battery(car: CarState) -> Values:
    charge = min(100.0, max(0.0, (car.battery_rest_v - 11.6) / 1.2 * 100))
    return {"VOLTAGE": car.battery_v, "CURRENT": car.battery_current_a, "CHARGE": charge}


def _brake_wear(car: CarState) -> Values:
    return {
        "FL": car.brake_wear_fl_percent,
        "FR": car.brake_wear_fr_percent,
        "RL": car.brake_wear_rl_percent,
        "RR": car.brake_wear_rr_percent,
    }


def _service(car: CarState) -> Values:
    return {"DISTANCE": car.service_km, "DAYS": car.service_left_days, "DUE": car.service_due}


def _ident(car: CarState) -> Values:
    return {"SERIAL": int.from_bytes(car.vin[-7:].encode("ascii"), "big")}


def _checks(car: CarState) -> Values:
    low = min(car.tyres_kpa) < TYRE_LOW_KPA
    return {"SET": car.washer_low * CHECK_WASHER | low * CHECK_TYRE | car.service_due * CHECK_SERVICE}


def _climate(car: CarState) -> Values:
    return {"WISHED": 21.5, "FAN": 3 if car.engine_running else 0, "COMPRESSOR": car.engine_running}


def _display(car: CarState) -> Values:
    return {"BACKLIGHT": 40 if car.low_beam else 85, "SECONDS_AWAKE": car.t_s}


def _network(car: CarState, k: int) -> Values:
    return {"SOURCE": 16 + k % 8, "AWAKE": car.ignition != "OFF"}


def _trouble(car: CarState) -> Values:
    codes = [fault_code(code) for code in car.faults[:3]]
    codes += [0] * (3 - len(codes))
    values: Values = {f"CODE_{number}": code for number, code in enumerate(codes, 1)}
    return {**values, "COUNT": len(car.faults), "LAMP": bool(car.faults), "SET": sum(FAULT_BITS[code] for code in car.faults)}


def _within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))


def _warmth(celsius: float) -> float:
    """What a sensor of one byte can say."""
    return _within(celsius, -48, 206)


def _power_steering(car: CarState) -> Values:
    torque_nm = _within(0.02 * car.steering_deg + 0.4 * car.lateral_mps2, -20, 20)
    help_a = 9 * abs(torque_nm) / (1 + car.speed_kmh / 60) if car.engine_running else 0
    return {
        "DRIVER_TORQUE": torque_nm,
        "ASSIST_CURRENT": _within(help_a, 0, 120),
        "MOTOR_TEMPERATURE": _warmth((car.outside_c + car.coolant_c) / 2),
    }


def _suspension(car: CarState) -> Values:
    """The nose lifts under power, the outer side sinks in a bend, all of it sinks when fast."""
    pitch_mm, roll_mm = 4 * car.acceleration_mps2, 6 * car.lateral_mps2
    sunk_mm = _within((car.speed_kmh - 90) / 2, 0, 15)
    heights_mm = (pitch_mm - roll_mm, pitch_mm + roll_mm, -pitch_mm - roll_mm, -pitch_mm + roll_mm)
    values: Values = {f"HEIGHT_{wheel}": _within(mm - sunk_mm, -200, 200) for wheel, mm in zip(WHEELS, heights_mm, strict=True)}
    return {**values, "DAMPING": _within(20 + car.speed_kmh / 3 + 4 * abs(car.lateral_mps2), 0, 100)}


def _turbo(car: CarState) -> Values:
    push_nm = max(0.0, car.engine_torque_nm)
    return {
        "BOOST": _within(1013 + 4 * push_nm, 0, 4000),
        "SHAFT_SPEED": _within(car.engine_rpm / 100 + push_nm / 2, 0, 250),
        "WASTEGATE": _within(100 - push_nm / 3, 0, 100) if car.engine_running else 0,
        "CHARGE_AIR": _warmth(car.outside_c + 0.15 * push_nm),
    }


def _radar(car: CarState) -> Values:
    """Somebody drives ahead, now closer and now farther off."""
    gap_s = 1.8 + 0.4 * math.sin(car.t_s / 17)
    return {
        "DISTANCE": _within(4 + car.speed_mps * gap_s, 0, 250),
        "RELATIVE_SPEED": _within(car.speed_mps * 0.4 / 17 * math.cos(car.t_s / 17) + car.acceleration_mps2 * gap_s, -70, 70),
        "TRACKS": min(14, 2 + int(car.speed_kmh / 20)),
        "OFFSET": _lane_offset_m(car),
        "BLIND": car.rain_percent > 90,
    }


def _lane_camera(car: CarState) -> Values:
    moves, offset_m = car.speed_kmh >= STANDING_KMH, _lane_offset_m(car)
    bend = math.radians(car.yaw_rate_dps) / car.speed_mps if moves else 0
    return {
        "CURVATURE": _within(bend, -0.15, 0.15),
        "LEFT": LANE_M / 2 + offset_m,
        "RIGHT": LANE_M / 2 - offset_m,
        "QUALITY": 3 - (car.rain_percent > 60) - (car.brightness_lx < 1000) if moves else 0,
        "DEPARTURE": abs(offset_m) > 0.9 * LANE_WANDER_M,
    }


def _lane_offset_m(car: CarState) -> float:
    """How far right of the middle of its lane the car is; nobody drives like on rails."""
    return LANE_WANDER_M * math.sin(car.distance_m / 140)


def _park_brake(car: CarState) -> Values:
    applied = car.gear == "P" or car.ignition == "OFF"
    hold = not applied and car.speed_kmh < STANDING_KMH
    force_kn = 14.0 if applied else 0.0
    return {"APPLIED": applied, "HOLD": hold, "LAMP": applied, "FORCE_LEFT": force_kn, "FORCE_RIGHT": force_kn * 0.98}


def _sunroof(car: CarState) -> Values:
    wet = car.rain_percent > 5
    return {
        "POSITION": 0 if wet or not car.engine_running else _within(12 * (car.cabin_c - 24), 0, 100),
        "SHADE": _within(car.brightness_lx / 150, 0, 100),
        "CLOSED_BY_RAIN": wet,
        "GLASS_TEMPERATURE": _warmth(car.outside_c + car.brightness_lx / 1500 - car.speed_kmh / 20),
    }


def _alternator(car: CarState) -> Values:
    lamps_a = 10 * car.low_beam + 8 * car.fog_front + 4 * car.fog_rear
    used_a = 9 + lamps_a + 5 * (car.wiper_mode != "OFF") + car.battery_current_a
    output_a = _within(used_a, 0, 180) if car.engine_running else 0
    return {
        "ROTOR": _within(car.engine_rpm * 2.7, 0, 32_000),
        "OUTPUT": output_a,
        "LOAD": output_a / 1.8,
        "TEMPERATURE": _warmth(car.outside_c + (car.coolant_c - car.outside_c) / 2 + output_a / 4),
    }


def _exhaust(car: CarState) -> Values:
    push_nm = max(0.0, car.engine_torque_nm)
    glow = 5.5 * max(0.0, car.coolant_c - car.outside_c) + push_nm
    mixture = 1.0 - car.pedal_percent / 1000 + 0.12 * (LEAN in car.faults)
    return {
        "CATALYST": _within(car.outside_c + glow if car.engine_running else car.coolant_c, -60, 1100),
        "LAMBDA": mixture if car.engine_running else 3.9,
        "BACK_PRESSURE": _within(car.engine_rpm / 50 * (1 + push_nm / 200), 0, 4000),
        "SOOT": car.odometer_km % SOOT_KM / SOOT_KM * 100,
    }


def _seats(car: CarState) -> Values:
    heat = sum(car.cabin_c < limit_c for limit_c in SEAT_HEAT_BELOW_C) if car.engine_running else 0
    pressed = 1 + abs(car.acceleration_mps2) / 20
    return {
        "HEAT_DRIVER": heat * car.belt_driver,
        "HEAT_PASSENGER": heat * car.belt_passenger,
        "TAKEN_DRIVER": car.belt_driver,
        "TAKEN_PASSENGER": car.belt_passenger,
        "LOAD_DRIVER": _within(74 * pressed * car.belt_driver, 0, 250),
        "LOAD_PASSENGER": _within(66 * pressed * car.belt_passenger, 0, 250),
    }


def _rear_climate(car: CarState) -> Values:
    missing_c = COMFORT_C - car.cabin_c
    return {
        "BLOWER": _within(1 + abs(missing_c), 0, 10) if car.engine_running else 0,
        "BLEND": _within(50 + 5 * missing_c, 0, 100),
        "VENT_TEMPERATURE": _within(car.cabin_c + 1.5 * missing_c, -20, 80),
        "SEAT_TEMPERATURE": _within((2 * car.cabin_c + car.outside_c) / 3, -40, 60),
    }


def _radio(car: CarState) -> Values:
    reception = 70 + 25 * math.sin(car.distance_m / 900) if car.gnss_mode else 0
    return {
        "ON": car.ignition != "OFF",
        "STEREO": reception > 60,
        "VOLUME": _within(12 + car.speed_kmh / 12, 0, 60) if car.ignition != "OFF" else 0,
        "FREQUENCY": 87.5 + 0.3 * (car.odometer_km // STATION_KM % 60),
        "RECEPTION": reception,
    }


def _mirrors(car: CarState) -> Values:
    tilt_deg = -12 if car.gear == "R" else 0
    return {
        "HEATED": car.engine_running and (car.outside_c < 5 or car.rain_percent > 20),
        "FOLDED": car.locked and car.gear == "P",
        "TILT_LEFT": tilt_deg,
        "TILT_RIGHT": tilt_deg,
        "DIMMED": _within(100 - car.brightness_lx / 50, 0, 100),
    }


CONTENT: Mapping[str, Content] = {
    "STEERING": _steering,
    "MOTION": _motion,
    "WHEELS": _wheels,
    "ENGINE": _engine,
    "INERTIA": _inertia,
    "IGN": _ignition,
    "STABILITY": _stability,
    "GEARBOX": _gearbox,
    "CRASH": _crash,
    "LIGHTS": _lights,
    "WIPER": _wiper,
    "ENVIRONMENT": _environment,
    "BELT": _belt,
    "DOORS": _doors,
    "ODOMETER": _odometer,
    "FUEL": _fuel,
    "FLUIDS": _fluids,
    "BATTERY": _battery,
    "BRAKE_WEAR": _brake_wear,
    "SERVICE": _service,
    "IDENT": _ident,
    "CHECKS": _checks,
    "CLIMATE": _climate,
    "DISPLAY": _display,
    "TROUBLE": _trouble,
    "POWER_STEERING": _power_steering,
    "SUSPENSION": _suspension,
    "TURBO": _turbo,
    "RADAR": _radar,
    "LANE_CAMERA": _lane_camera,
    "PARK_BRAKE": _park_brake,
    "SUNROOF": _sunroof,
    "ALTERNATOR": _alternator,
    "EXHAUST": _exhaust,
    "SEATS": _seats,
    "REAR_CLIMATE": _rear_climate,
    "RADIO": _radio,
    "MIRRORS": _mirrors,
}
"""Message of bench.dbc -> its signals for a state."""

CONTENT_IN_TURN: Mapping[str, ContentInTurn] = {"TYRES": _tyres, "NETWORK": _network}
"""The same for messages whose frames speak of one thing after the other: k numbers them since the start."""

ALWAYS_AWAKE = frozenset({"IGN", "DOORS", "BATTERY", "CRASH", "NETWORK"})
"""Messages that go on with the ignition off; all others fall silent, as a sleeping car's do."""
