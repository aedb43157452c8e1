"""The table of streams of the requirements, word for word: what the shipped catalogue has to say, each signal with its precision."""

from __future__ import annotations

from typing import Any, NamedTuple

from agent.catalogue.types import Stream

Steps = list[dict[str, Any]]


class Said(NamedTuple):
    """What the requirements say of one stream. `signals`: each with its transforms, in their order."""

    triggers: set[str]
    identity: str
    basis: str
    consent: str | None
    keep: str
    signals: dict[str, Steps]
    while_: str = "any"
    every_s: float = 0
    window_s: float = 0
    time_floor_s: float = 0


KM: Steps = [{"round_to": 1}]
WHOLE: Steps = [{"round_to": 1}]
TEN_KM: Steps = [{"round_to": 10}]
FIVE: Steps = [{"round_to": 5}]
COUNT: Steps = []
LAST: Steps = [{"last": True}]
WHOLE_LAST: Steps = [{"round_to": 1}, {"last": True}]
TRIMMED_200_M: Steps = [{"trim_trip_m": 500}, {"grid_m": 200}]
EXACT_PLACE: Steps = []
AS_IT_IS: Steps = []
DAY_S, WEEK_S = 86_400, 604_800


def answer(k: int, *bounds: float) -> Steps:
    """One of k classes, randomised."""
    return [{"bucket": list(bounds)}, {"respond_k": {"k": k, "epsilon": 0.8}}]


WEAR: dict[str, Steps] = {
    "Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear": WHOLE,
    "Vehicle.Chassis.Axle.Row1.Wheel.Right.Brake.PadWear": WHOLE,
    "Vehicle.Chassis.Axle.Row2.Wheel.Left.Brake.PadWear": WHOLE,
    "Vehicle.Chassis.Axle.Row2.Wheel.Right.Brake.PadWear": WHOLE,
    "Vehicle.Powertrain.CombustionEngine.EngineOil.Level": AS_IT_IS,
}

TABLE: dict[str, Said] = {
    "ecall.msd": Said({"event:crash", "request:sos", "request:test"}, "vin", "vital", None, "ram", {}),
    "teleservices.service_report": Said(
        {"event:service_due", "distance:1000", "request:service_report"},
        "vin",
        "contract",
        None,
        "30d",
        {
            "Vehicle.TraveledDistance": TEN_KM,
            "Vehicle.Service.DistanceToService": TEN_KM,
            "Vehicle.Service.TimeToService": WHOLE,
            **WEAR,
            "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure": WHOLE,
            "Vehicle.Chassis.Axle.Row1.Wheel.Right.Tire.Pressure": WHOLE,
            "Vehicle.Chassis.Axle.Row2.Wheel.Left.Tire.Pressure": WHOLE,
            "Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.Pressure": WHOLE,
            "Vehicle.Private.CheckControlMessages": AS_IT_IS,
            "Vehicle.Diagnostics.DTCList": AS_IT_IS,
        },
    ),
    "teleservices.battery_guard": Said(
        {"event:battery_low"},
        "pairwise",
        "contract",
        None,
        "7d",
        {"Vehicle.LowVoltageBattery.CurrentVoltage": [{"round_to": 0.1}]},
        while_="parked",
    ),
    "teleservices.breakdown": Said(
        {"request:breakdown"},
        "vin",
        "contract",
        None,
        "24h",
        {"Vehicle.Diagnostics.DTCList": AS_IT_IS, "Vehicle.TraveledDistance": KM},
    ),
    "teleservices.breakdown_position": Said(
        {"request:breakdown_position"}, "vin", "consent", "breakdown.position", "1h", {"Vehicle.CurrentLocation": EXACT_PLACE}
    ),
    "remote_assistance.vehicle_status": Said(
        {"request:vehicle_status"},
        "pairwise",
        "contract",
        None,
        "24h",
        {
            "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row2.DriverSide.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked": LAST,
            "Vehicle.Cabin.Door.Row1.PassengerSide.IsLocked": LAST,
            "Vehicle.Cabin.Door.Row2.DriverSide.IsLocked": LAST,
            "Vehicle.Cabin.Door.Row2.PassengerSide.IsLocked": LAST,
            "Vehicle.Cabin.Door.Row1.DriverSide.Window.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row1.PassengerSide.Window.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row2.DriverSide.Window.IsOpen": LAST,
            "Vehicle.Cabin.Door.Row2.PassengerSide.Window.IsOpen": LAST,
            "Vehicle.Body.Trunk.Rear.IsOpen": LAST,
            "Vehicle.Body.Trunk.Rear.IsLocked": LAST,
            "Vehicle.Powertrain.FuelSystem.RelativeLevel": WHOLE_LAST,
            "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed": WHOLE_LAST,
            "Vehicle.Powertrain.Range": WHOLE_LAST,
        },
    ),
    "remote_assistance.find_vehicle": Said(
        {"request:find_vehicle"}, "pairwise", "consent", "assistance.position", "1h", {"Vehicle.CurrentLocation": EXACT_PLACE}
    ),
    "information_online.place": Said(
        {"request:place"}, "pairwise", "consent", "information.place", "10m", {"Vehicle.CurrentLocation": [{"grid_m": 5000}]}
    ),
    "journey_consulting.call": Said(
        {"request:call"},
        "pairwise",
        "consent",
        "journey.position",
        "10m",
        {"Vehicle.CurrentLocation": EXACT_PLACE, "Vehicle.CurrentLocation.Heading": WHOLE},
    ),
    "real_time_traffic.probe": Said(
        {"periodic"},
        "none",
        "consent",
        "traffic.position",
        "5m",
        {
            "Vehicle.CurrentLocation": TRIMMED_200_M,
            "Vehicle.Speed": [{"round_to": 10}],
            "Vehicle.CurrentLocation.Heading": [{"sector_deg": 45}],
        },
        while_="driving",
        every_s=30,
        window_s=10,
        time_floor_s=10,
    ),
    "real_time_traffic.hazard": Said(
        {"event:abs_esc", "event:heavy_rain", "event:fog_lamp"},
        "none",
        "consent",
        "traffic.position",
        "5m",
        {"Modicum.Event.Kind": AS_IT_IS, "Vehicle.CurrentLocation": TRIMMED_200_M},
        while_="driving",
        time_floor_s=10,
    ),
    "service_process.case": Said(
        {"request:case"},
        "vin",
        "consent",
        "service_process.share",
        "30d",
        {"Vehicle.TraveledDistance": TEN_KM, **WEAR, "Vehicle.Diagnostics.DTCList": AS_IT_IS},
        time_floor_s=DAY_S,
    ),
    "product_improvement.usage": Said(
        {"periodic"},
        "none",
        "consent",
        "improvement.usage",
        "14d",
        {
            "Vehicle.TraveledDistance": answer(5, 20_000, 50_000, 100_000, 150_000),
            "Vehicle.Powertrain.FuelSystem.RelativeLevel": answer(4, 25, 50, 75),
            "Vehicle.LowVoltageBattery.CurrentVoltage": answer(5, 11.8, 12.2, 12.6, 13.2),
        },
        every_s=WEEK_S,
        time_floor_s=DAY_S,
    ),
    "product_improvement.vehicle": Said(
        {"periodic"},
        "pairwise",
        "consent",
        "improvement.vehicle",
        "14d",
        {
            "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature": FIVE,
            "Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature": FIVE,
            "Vehicle.Powertrain.Transmission.Temperature": FIVE,
            "Vehicle.Powertrain.TractionBattery.Temperature.Average": FIVE,
            "Vehicle.Powertrain.TractionBattery.StateOfHealth": WHOLE,
            "Vehicle.Powertrain.CombustionEngine.EngineHours": [{"round_to": 10}],
            "Vehicle.TraveledDistance": [{"round_to": 100}],
        },
        every_s=WEEK_S,
        time_floor_s=DAY_S,
    ),
    "operations.health": Said(
        {"periodic", "event:fault", "start"},
        "pairwise",
        "contract",
        None,
        "14d",
        {
            "Modicum.Health.FramesRead": COUNT,
            "Modicum.Health.FramesShort": COUNT,
            "Modicum.Health.ReadingsInvalid": COUNT,
            "Modicum.Health.Samples": COUNT,
            "Modicum.Health.RecordsWaiting": COUNT,
            "Modicum.Health.Findings": COUNT,
            "Modicum.Health.Starts": COUNT,
        },
        every_s=DAY_S,
    ),
    "legal.recall": Said(
        {"order:recall"},
        "vin",
        "legal",
        None,
        "30d",
        {
            "Vehicle.Private.SoftwareLevels": AS_IT_IS,
            "Vehicle.Private.PartNumbers": AS_IT_IS,
            "Vehicle.TraveledDistance": KM,
        },
    ),
}


def said_of(stream: Stream) -> Said:
    """The same of a stream of the catalogue."""
    return Said(
        triggers=set(stream.triggers),
        identity=stream.identity,
        basis=stream.basis,
        consent=stream.consent,
        keep=stream.keep,
        signals={signal.id: [dict(step) for step in signal.transforms] for signal in stream.signals},
        while_=stream.while_,
        every_s=stream.every_s,
        window_s=stream.window_s,
        time_floor_s=stream.time_floor_s,
    )
