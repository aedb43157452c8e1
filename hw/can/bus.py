"""A live bus by any python-can interface: read by one thread, gated there, opened again when it is lost.

Promises: only what the gate lets through is delivered; after `subscribe` returns, nothing of a withdrawn identifier is
delivered any more; a bus that goes away (interface down, adapter unplugged, bus off) is a counted gap, and it is read
again within 3 s of its return; silences go on being told meanwhile. It must never send: there is no send path here.
Not python-can's Notifier, whose thread dies of the first fault of `recv`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

import can

from hw.can.gate import Gate
from hw.errors import DeviceLost
from hw.ports import EXTENDED_ID, Frame, Silence, Subscription
from hw.supervision import TICK_S, Supervised

KERNEL_FILTERED = frozenset({"socketcan"})
"""Interfaces that drop unwanted identifiers before they wake us. For others python-can would do it slower than the gate."""
NO_IDENTIFIER = 0x1FFF_FFFF
"""python-can takes an empty filter list for "everything"; this one lets in one identifier, which the gate drops."""


@dataclass(slots=True)
class BusCounters:
    """`lost`: items that the inbox had no room for; the gate tells them again.

    `unknown`: frames of an identifier that no DBC of the bus has.
    How often the bus was lost, and nobody knows what was on it meanwhile, is `BusReader.losses`.
    On a kernel-filtered interface unknown frames never get here.
    """

    read: int = 0
    error: int = 0
    remote: int = 0
    lost: int = 0
    unknown: int = 0


class BusReader(Supervised):
    """Reads the bus called `name` in the vehicle file; `start` begins, `close` ends.

    `deliver` must not block; `queue.Full` from it is counted as a loss (so a bounded queue's `put_nowait` will do).
    `to_axis` turns python-can's time stamp (seconds since the epoch, by the host's clock) into the agent's axis, `now_ns`
    is that axis now. Not `gated`: every frame of what is subscribed is delivered, also one that
    says nothing new. `extra` goes to `open_bus`, which is `can.Bus` unless a test puts another in its place.
    """

    def __init__(  # noqa: PLR0913  # what a device is called, whom it tells, what time it is, and two for tests and adapters
        self,
        name: str,
        interface: str,
        channel: str,
        *,
        deliver: Callable[[Frame | Silence], object],
        to_axis: Callable[[float], int],
        now_ns: Callable[[], int],
        extra: Mapping[str, object] | None = None,
        known: Container[int] | None = None,
        open_bus: Callable[..., can.BusABC] = can.Bus,
        gated: bool = True,
    ) -> None:
        super().__init__(f"bus {name}")
        self.name = name
        self.counters = BusCounters()
        self.gate = Gate()
        self._where = f"{interface}:{channel}"
        self._settings = {"interface": interface, "channel": channel, **(extra or {})}
        self._known, self._gated = known, gated
        self._kernel_filtered = interface in KERNEL_FILTERED
        self._open_bus, self._deliver, self._to_axis, self._now_ns = open_bus, deliver, to_axis, now_ns
        self._lock = threading.Lock()
        """Held for each delivery and each swap: that is what makes `subscribe` exact."""
        self._bus: can.BusABC | None = None
        self._ids: tuple[int, ...] = ()

    def subscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Replaces what is wanted of this bus (others' subscriptions are left out). Exact when it returns."""
        mine = [subscription for subscription in subscriptions if subscription.bus == self.name]
        with self._lock:
            self.gate.swap(mine, self._now_ns())
            self._ids = tuple(subscription.can_id for subscription in mine)
            if self._bus is not None:
                # A bus that fails here fails in `recv` too, and gets its filters when it is open again.
                with contextlib.suppress(can.CanError, OSError):
                    self._filter(self._bus)

    def _session(self) -> None:
        bus = self._opened()
        try:
            while not self._stopping():
                message = self._received(bus)
                self._well()
                if message is None:
                    self._tick()
                else:
                    self._take(message)
        finally:
            with self._lock:
                self._bus = None
            with contextlib.suppress(Exception):  # a lost adapter may also fail to close
                bus.shutdown()

    def _opened(self) -> can.BusABC:
        try:
            bus = self._open_bus(**self._settings)
            with self._lock:
                self._filter(bus)
                self._bus = bus
        except Exception as error:  # adapters' drivers raise kinds of their own, all of which mean: not now
            raise DeviceLost("the bus does not open", self._where, f"{error} (tried again)") from error
        return bus

    def _received(self, bus: can.BusABC) -> can.Message | None:
        try:
            message = bus.recv(self._wait_s())
            off = message is None and bus.state is can.BusState.ERROR
        except Exception as error:  # as above
            raise DeviceLost("the bus is lost", self._where, f"{error} (opened again by itself)") from error
        if off:
            raise DeviceLost("the controller is bus off", self._where, "opened again by itself; check wiring and bit rate")
        return message

    def _wait_s(self) -> float:
        next_ns = self.gate.next_due_ns()
        return TICK_S if next_ns is None else min(max((next_ns - self._now_ns()) / 1e9, 0.001), TICK_S)

    def _take(self, message: can.Message) -> None:
        counters = self.counters
        counters.read += 1
        if message.is_error_frame:
            counters.error += 1
            return
        if message.is_remote_frame:
            counters.remote += 1
            return
        can_id = message.arbitration_id | EXTENDED_ID if message.is_extended_id else message.arbitration_id
        if self._known is not None and can_id not in self._known:
            counters.unknown += 1
        frame = Frame(self.name, can_id, bytes(message.data), self._to_axis(message.timestamp))
        with self._lock:
            self._give(self.gate.due(frame.t_ns))
            passed = self.gate.feed(frame) if self._gated else frame if can_id in self._ids else None
            if passed is not None:
                self._give([passed])

    def _tick(self) -> None:
        with self._lock:
            self._give(self.gate.due(self._now_ns()))

    def _give(self, items: Iterable[Frame | Silence]) -> None:
        for item in items:
            try:
                self._deliver(item)
            except queue.Full:
                self.counters.lost += 1
                self.gate.forget(item)

    def _filter(self, bus: can.BusABC) -> None:
        if self._kernel_filtered:
            ids = self._ids or (EXTENDED_ID | NO_IDENTIFIER,)
            bus.set_filters([_filter_for(can_id) for can_id in ids])


def _filter_for(can_id: int) -> can.typechecking.CanFilter:
    extended = bool(can_id & EXTENDED_ID)
    return {"can_id": can_id & NO_IDENTIFIER, "can_mask": NO_IDENTIFIER if extended else 0x7FF, "extended": extended}
