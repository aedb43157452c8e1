"""The trip: when it begins and ends, whether the car is driving, and whether a trimmed position may leave.

A trip runs from ignition on to ignition off longer than TRIP_GAP_S; a shorter stop continues it, also over a restart.
Ignition is known (mapped signal, GPIO, or a replay without one, which counts as on) or unknown; unknown means that
nothing sensitive is collected. What survives a restart (`state` / `resume`) holds no place and no value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cbor2

from agent.clock import NS
from agent.collect.zones import Zones
from agent.model import Position, Value

TRIP_GAP_S = 180
MOVED_KMH = 1.0
"""A speed above this is moving: wheel-speed signals idle at a few hundredths."""
PARK_GEAR = 126
"""VSS 6.0, Vehicle.Powertrain.Transmission.SelectedGear: 126 is park."""
IGNITION_ON = ("ON", "START")
"""VSS 6.0, Vehicle.LowVoltageSystemState."""
IGNITION_OFF = ("OFF", "LOCK", "ACC")


@dataclass(slots=True)
class Trip:
    """State of the current trip. `ignition` None: unknown. `new_id` draws trip ids (seeded in a replay)."""

    zones: Zones
    new_id: Callable[[], str]
    ignition: bool | None = None
    id: str | None = None
    off_since_ns: int | None = None
    moved: bool = False
    distance_m: float = 0.0
    cleared: bool = False
    speed_kmh: float | None = None
    gear: int | None = None
    start_cell: bytes | None = None
    last_cell: bytes | None = None
    _since_ns: int = 0

    @property
    def driving(self) -> bool:
        """Ignition on, moved this trip, gear not in park where it is known. A jam is driving."""
        return bool(self.ignition) and self.moved and self.gear != PARK_GEAR

    @property
    def parked(self) -> bool:
        """Ignition is known to be off."""
        return self.ignition is False

    def allows(self, while_: str) -> bool:
        """Whether a stream with this `while` may collect now."""
        return {"any": True, "driving": self.driving, "parked": self.parked}[while_]

    def ignite(self, on: bool, t_ns: int) -> None:
        """Ignition is now known to be on or off."""
        self.tick(t_ns)
        if on and self.id is None:
            self._begin(t_ns)
        if on:
            self.off_since_ns = None
        elif self.off_since_ns is None:
            self.off_since_ns = t_ns
            self._remember_end()
        self.ignition = on

    def tick(self, t_ns: int) -> None:
        """Ends a trip whose stop has become too long, and adds the way of the last speed."""
        if self.ignition and self.speed_kmh is not None and t_ns > self._since_ns:
            self.distance_m += self.speed_kmh / 3.6 * (t_ns - self._since_ns) / NS
        self._since_ns = t_ns
        if self.id is not None and self.off_since_ns is not None and t_ns - self.off_since_ns > TRIP_GAP_S * NS:
            self._end()

    def drive(self, speed_kmh: float | None, t_ns: int) -> None:
        """A new speed; None when it is not known any more."""
        self.tick(t_ns)
        self.speed_kmh = abs(speed_kmh) if speed_kmh is not None else None
        if self.ignition and speed_kmh is not None and abs(speed_kmh) > MOVED_KMH:
            self.moved = True

    def locate(self, place: Position) -> None:
        """A valid fix; becomes a cell of the secret grid and is not kept."""
        self.last_cell = self.zones.cell(place)
        if self.ignition and self.start_cell is None:
            self.start_cell = self.last_cell
            self.zones.remember(self.start_cell)

    def may_speak(self, place: Position, trim_m: float) -> bool:
        """Whether a trimmed position may leave: far from the start, outside the zones, not standing in park."""
        if not self.ignition or not self.moved or self.start_cell is None or self.gear == PARK_GEAR:
            return False
        cell = self.zones.cell(place)
        self.cleared = self.cleared or (self.distance_m >= trim_m and cell != self.start_cell)
        return self.cleared and not self.zones.holds(cell)

    def state(self) -> bytes:
        """What a restart needs: id, when the ignition went off, whether it moved and was clear of its start."""
        return cbor2.dumps([self.id, self.off_since_ns, self.moved, self.cleared])

    def resume(self, state: bytes | None, t_ns: int) -> None:
        """Goes on with a stored trip, unless its stop has meanwhile become too long."""
        if state is None:
            return
        self.id, self.off_since_ns, self.moved, self.cleared = cbor2.loads(state)
        self._since_ns = t_ns
        self.tick(t_ns)

    def _begin(self, t_ns: int) -> None:
        self._end()
        self.id, self._since_ns = self.new_id(), t_ns

    def _end(self) -> None:
        self.id, self.moved, self.cleared, self.distance_m = None, False, False, 0.0
        self.start_cell, self.off_since_ns = None, None

    def _remember_end(self) -> None:
        if self.last_cell is not None:
            self.zones.remember(self.last_cell)


def ignition_of(value: Value) -> bool | None:
    """On, off, or None for a state that says neither."""
    if isinstance(value, bool):
        return value
    if value in IGNITION_ON:
        return True
    return False if value in IGNITION_OFF else None
