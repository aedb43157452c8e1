"""What each message of bench.dbc says about a car: one small function per message.

Owns the join between the car's state and the DBC's signal names. Promises a value for every signal of its message,
inside the DBC's range. Alive counters and CRCs are added by `hw.bench.car`.
"""

from __future__ import annotations

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


def fault_code(code: str) -> int:
    """A trouble code in the two-byte form of SAE J2012: letter in two bits, four digits in hexadecimal."""
    return "PCBU".index(code[0]) << 14 | int(code[1:], 16)


def _steering(car: CarState) -> Values:
    return {"ANGLE": car.steering_deg, "RATE": 0.0}


def _motion(car: CarState) -> Values:
    direction = 0 if car.speed_kmh < STANDING_KMH else 1
    return {"DIRECTION": direction, "SPEED": car.speed_kmh, "ACCELERATION": car.acceleration_mps2}


def _wheels(car: CarState) -> Values:
    return {f"SPEED_{wheel}": max(0.0, speed) for wheel, speed in zip(WHEELS, car.wheel_speeds_kmh, strict=True)}


def _engine(car: CarState) -> Values:
    return {"RPM": car.engine_rpm, "TORQUE": car.engine_torque_nm, "PEDAL": car.pedal_percent, "RUNNING": car.engine_running}


def _inertia(car: CarState) -> Values:
    return {"YAW_RATE": car.yaw_rate_dps, "LATERAL": car.lateral_mps2, "LONGITUDINAL": car.acceleration_mps2}


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
}
"""Message of bench.dbc -> its signals for a state."""

CONTENT_IN_TURN: Mapping[str, ContentInTurn] = {"TYRES": _tyres, "NETWORK": _network}
"""The same for messages whose frames speak of one thing after the other: k numbers them since the start."""

ALWAYS_AWAKE = frozenset({"IGN", "DOORS", "BATTERY", "CRASH", "NETWORK"})
"""Messages that go on with the ignition off; all others fall silent, as a sleeping car's do."""
