"""A live bus by any python-can interface: read by one thread, gated, opened again when it is lost.

Promises: only what the gate lets through is delivered; after `subscribe` returns, nothing of a withdrawn identifier is
delivered any more; a bus that goes away (interface down, renamed or deleted, adapter unplugged, bus off) is a counted and recorded
gap, and it is read again within 3 s of its return; silences go on being told meanwhile. A controller that was bus off has returned
when a frame has come or it has said so, not when its bus opens, which that of an interface that is up always does. It must never
send: there is no send path here. On SocketCAN the gate is the kernel's where it has one (see `kernel`), else, and on every other
interface, the software's.
Not python-can's Notifier, whose thread dies of the first fault of `recv`.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

import can

from hw.can import bcm
from hw.can.engine import KERNEL_FILTERED, BusCounters, BusOff, Engine, GateCounts, Line, SoftwareEngine
from hw.can.errorframe import RESTARTED
from hw.can.interface import KERNEL_INTERFACES
from hw.can.kernel import KernelEngine
from hw.errors import DeviceLost
from hw.ports import Frame, Silence, Subscription
from hw.supervision import TICK_S, Supervised

GAPS_KEPT = 8
LOOK_EVERY_S = 0.5
"""How often an interface is asked whether it still has its name."""


@dataclass(slots=True)
class Gap:
    """A time of which nobody knows what was on the bus. `to_ns` is None while it lasts; times on the agent's axis."""

    from_ns: int
    to_ns: int | None
    why: str


class BusReader(Supervised):
    """Reads the bus called `name` in the vehicle file; `start` begins, `close` ends.

    `deliver` must not block; `queue.Full` from it is counted as a loss (so a bounded queue's `put_nowait` will do).
    `to_axis` turns python-can's time stamp (seconds since the epoch, by the host's clock) into the agent's axis, `now_ns`
    is that axis now. Not `gated`: every frame of what is subscribed is delivered, also one that
    says nothing new. `extra` goes to `open_bus`, which is `can.Bus` unless a test puts another in its place; on SocketCAN
    CAN FD is read too, unless it has `fd` False.
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
        self.gaps: deque[Gap] = deque(maxlen=GAPS_KEPT)
        """The last times without the bus, oldest first."""
        self._where, self._channel = f"{interface}:{channel}", channel
        self._is_socketcan = interface in KERNEL_INTERFACES  # of which socketcan_bcm is ours, and sets up nothing by itself
        settings = {"interface": interface, "channel": channel, **(extra or {})}
        if self._is_socketcan:
            # Asking for CAN FD of an interface that carries none does no harm, and one that is brought up with it later is read as well.
            settings = {"fd": True, **settings, "interface": KERNEL_FILTERED}
        line = Line(name, self._where, settings, open_bus, to_axis, now_ns, known, gated, self.counters)
        kernel = gated and self._is_socketcan and bcm.available()
        self._engine: Engine = KernelEngine(line) if kernel else SoftwareEngine(line)
        self.engine = "kernel" if kernel else "software"
        """Whose gate it is. Software on a gated SocketCAN bus: this kernel has no broadcast manager (CONFIG_CAN_BCM, module can-bcm)."""
        self._deliver, self._now_ns = deliver, now_ns
        self._off_at: int | None = None
        """What `_answered` was when the last session ended in bus off; None where it did not."""
        self._lock = threading.Lock()
        """Held for each delivery and each swap: that is what makes `subscribe` exact."""

    def subscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Replaces what is wanted of this bus (others' subscriptions are left out). Exact when it returns.

        What came before that is delivered only where its identifier was wanted then, too. May take TICK_S where the gate is software.
        Raises ValueError for two subscriptions of one identifier: masks are merged before they come here.
        """
        mine = [subscription for subscription in subscriptions if subscription.bus == self.name]
        with self._lock:
            self._give(self._engine.swap(mine, self._now_ns()))

    @property
    def gate(self) -> GateCounts:
        """What the gate has counted since the start."""
        return self._engine.counts()

    def _session(self) -> None:
        off_at, self._off_at = self._off_at, None
        try:
            with self._or_lost("the bus does not open", "tried again"):
                named = self._index()
                self._engine.open()
                with self._lock:
                    self._engine.set_up()
            next_look_s = time.monotonic() + LOOK_EVERY_S
            while not self._stopping():
                self._turn()
                if time.monotonic() >= next_look_s:
                    next_look_s = time.monotonic() + LOOK_EVERY_S
                    if self._index() != named:
                        raise DeviceLost("the interface has another name now", self._where, "name it again, or correct [[bus]] channel")
                if self._answered() != off_at:
                    self._well()
        except BusOff:
            self._off_at = self._answered()
            raise
        finally:
            with self._lock:
                buses = self._engine.close(self._now_ns())
            for bus in buses:
                with contextlib.suppress(Exception):  # a lost adapter may also fail to close
                    bus.shutdown()

    def _answered(self) -> int:
        """Grows with whatever shows that the controller is on the bus: others' frames, and its word that it was restarted."""
        return self.counters.read - self.counters.error + self.counters.errors[RESTARTED]

    def _turn(self) -> None:
        with self._lock:
            next_ns = self._engine.next_due_ns()
        wait_s = TICK_S if next_ns is None else min(max((next_ns - self._now_ns()) / 1e9, 0.001), TICK_S)
        with self._or_lost("the bus is lost", "opened again by itself"):
            self._engine.wait(wait_s)
        with self._lock:
            with self._or_lost("the bus is lost", "opened again by itself"):
                items = self._engine.read()
            self._give(items)

    @contextlib.contextmanager
    def _or_lost(self, what: str, then: str) -> Iterator[None]:
        try:
            yield
        except DeviceLost:
            raise
        except Exception as error:  # adapters' drivers raise kinds of their own, all of which mean: not now
            raise DeviceLost(what, self._where, f"{error} ({then})") from error

    def _index(self) -> int:
        """Which interface has the name at the moment; 0 where none has it, and where names mean nothing to this computer's kernel."""
        if not self._is_socketcan:
            return 0
        try:
            return socket.if_nametoindex(self._channel)
        except OSError:
            return 0

    def _tick(self) -> None:
        with self._lock:
            self._give(self._engine.due(self._now_ns()))

    def _give(self, items: Iterable[Frame | Silence]) -> None:
        for item in items:
            try:
                self._deliver(item)
            except queue.Full:
                self.counters.lost += 1
                self._engine.forget(item)

    def _gone(self, why: str) -> None:
        super()._gone(why)
        if not (self.gaps and self.gaps[-1].to_ns is None):
            self.gaps.append(Gap(self._now_ns(), None, why))

    def _well(self) -> None:
        super()._well()
        if self.gaps and self.gaps[-1].to_ns is None:
            self.gaps[-1].to_ns = self._now_ns()
