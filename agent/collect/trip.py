"""The trip: when it begins and ends, whether the car is driving, and whether a trimmed position may leave.

A trip runs from ignition on to ignition off longer than TRIP_GAP_S; a shorter stop continues it, also over a restart.
Ignition is known (mapped signal, GPIO, or a replay without one, which counts as on) or unknown; unknown means that
nothing sensitive is collected. What survives a restart (`state` / `resume`) holds no place and no value; a stop whose
length cannot be told has ended the trip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cbor2

from agent.clock import LEAP_NS, NS
from agent.collect.zones import Zones
from agent.model import Position, Value
from agent.vss import IGNITION_OFF, IGNITION_ON

TRIP_GAP_S = 180
ALIVE_NS = 60 * NS
"""How finely a running trip notes that it is alive: a restart after a power cut counts the stop from there."""
MOVED_KMH = 1.0
"""A speed above this is moving: wheel-speed signals idle at a few hundredths."""
PARK_GEAR = 126
"""VSS 6.0, Vehicle.Powertrain.Transmission.SelectedGear: 126 is park."""


@dataclass(slots=True)
class Trip:
    """State of the current trip. `ignition` None: unknown. `new_id` draws trip ids (seeded in a replay).

    `left`: whether the start cell was left. `cleared_m`: the longest trim that this trip is past. `ignition_lost`: the
    frame that tells the ignition came once and then no more.
    """

    zones: Zones
    new_id: Callable[[], str]
    ignition: bool | None = None
    id: str | None = None
    off_since_ns: int | None = None
    moved: bool = False
    distance_m: float = 0.0
    left: bool = False
    cleared_m: float = 0.0
    speed_kmh: float | None = None
    gear: int | None = None
    start_cell: bytes | None = None
    last_cell: bytes | None = None
    resumed: bool = False
    ignition_lost: bool = False
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
        self.ignition, self.ignition_lost = on, False

    def lose_ignition(self, last_ns: int) -> None:
        """The frame that says ignition on has not come since `last_ns`: it is unknown, and the trip stands from there on.

        A car that falls asleep says no OFF. One that said OFF before stays off.
        """
        if self.ignition:
            self.ignite(False, last_ns)
            self.ignition, self.ignition_lost = None, True

    def tick(self, t_ns: int) -> None:
        """Ends a trip whose stop has become too long, and adds the way of the last speed."""
        if self.ignition and self.speed_kmh is not None and t_ns > self._since_ns:
            self.distance_m += self.speed_kmh / 3.6 * (t_ns - self._since_ns) / NS
        self._since_ns = t_ns
        if self.id is not None and self.off_since_ns is not None and t_ns - self.off_since_ns > TRIP_GAP_S * NS:
            self._end()

    def leap(self, to_ns: int, moved_ns: int, passed_ns: int) -> None:
        """The axis was moved by `moved_ns`, and `passed_ns` passed unwatched, up to `to_ns`.

        A mere move changes nothing about the trip. After time that passed the speed is unknown, so no way is added, and an
        ignition that was on is lost from where that time began.
        """
        self._since_ns += moved_ns
        self.off_since_ns = None if self.off_since_ns is None else self.off_since_ns + moved_ns
        if passed_ns > LEAP_NS:
            self.speed_kmh = None
            self.lose_ignition(to_ns - passed_ns)
            self.tick(to_ns)

    def drive(self, speed_kmh: float | None, t_ns: int) -> None:
        """A new speed; None when it is not known any more."""
        self.tick(t_ns)
        self.speed_kmh = abs(speed_kmh) if speed_kmh is not None else None
        if self.ignition and speed_kmh is not None and abs(speed_kmh) > MOVED_KMH:
            self.moved = True

    def locate(self, place: Position) -> None:
        """A valid fix; becomes a cell of the secret grid and is not kept."""
        self.last_cell = self.zones.cell(place)
        if not self.ignition:
            return
        if self.start_cell is None:
            self.start_cell = self.last_cell
            if not self.resumed:  # a restart in the middle of a trip is no start
                self.zones.remember(self.start_cell)
        self.left = self.left or self.last_cell != self.start_cell

    def may_speak(self, place: Position, trim_m: float) -> bool:
        """Whether a trimmed position may leave: clear of the start, outside the zones, not standing in park.

        Clear of the start is who has left its cell and gone `trim_m` since ignition on, once and for this trip.
        """
        if not self.ignition or not self.moved or self.start_cell is None or self.gear == PARK_GEAR:
            return False
        if self.left and self.distance_m >= trim_m:
            self.cleared_m = max(self.cleared_m, trim_m)
        return self.cleared_m >= trim_m and not self.zones.holds(self.zones.cell(place))

    def take_over(self, zones: Zones) -> None:
        """Another driver's zones count from here on. One who takes over on the way has started where that was."""
        self.zones = zones
        if self.last_cell is not None:
            self.start_cell, self.last_cell, self.left, self.cleared_m, self.resumed = None, None, False, 0.0, False
            self.distance_m = 0.0

    def state(self) -> bytes:
        """What a restart needs: id, when the ignition went off or the trip was last alive, how far it was past its start."""
        running = self.id is not None and self.off_since_ns is None
        last_ns = self._since_ns - self._since_ns % ALIVE_NS if running else self.off_since_ns
        return cbor2.dumps([self.id, running, last_ns, self.moved, self.cleared_m])

    def resume(self, state: bytes | None, t_ns: int, *, trusted: bool = True) -> None:
        """Goes on with a stored trip if its stop was short for sure: not where `trusted` is false, t_ns being a guess then.

        `trusted`: that `t_ns` is on the axis of the stored times, because both are believed or because the boot is the same.
        """
        if state is None:
            return
        trip_id, running, last_ns, moved, cleared_m = cbor2.loads(state)
        if trip_id is None or not trusted or not 0 <= t_ns - last_ns <= TRIP_GAP_S * NS:
            return
        self.id, self.moved, self.cleared_m, self.resumed, self._since_ns = trip_id, moved, cleared_m, True, t_ns
        self.off_since_ns = None if running else last_ns

    def _begin(self, t_ns: int) -> None:
        self._end()
        self.id, self._since_ns, self.speed_kmh = self.new_id(), t_ns, None  # the last speed was the old trip's

    def _end(self) -> None:
        self.id, self.moved, self.resumed, self.distance_m, self.cleared_m = None, False, False, 0.0, 0.0
        self.start_cell, self.off_since_ns, self.left = None, None, False

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
