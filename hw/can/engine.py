"""What stands between a live bus and the inbox: the gate in software behind any python-can bus. The kernel's is in `kernel`.

Promises of an engine: only what the gate's contract (see `gate`) lets through comes out; an engine outlives the buses that it
opens, so that silences go on being told while there is none; what the bus's queue dropped is told again. Error and remote frames
are counted, never delivered. Nobody but the reader calls it, with its lock held but for `open` and `wait`.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import can
from can.interfaces.socketcan import SocketcanBus

from hw.can.bcm import drops
from hw.can.errorframe import BUS_OFF, classes
from hw.can.gate import Gate
from hw.errors import DeviceLost
from hw.ports import EXTENDED_ID, Frame, Silence, Subscription

KERNEL_FILTERED = "socketcan"
"""python-can's name of the interface that drops unwanted identifiers before they wake us.

For others python-can would do it slower than the gate.
"""
NO_IDENTIFIER = 0x1FFF_FFFF
"""python-can takes an empty filter list for "everything"; this one lets in one identifier, which the gate drops."""
TURN = 4096
"""So many messages are read at most before the lock is given back: more than the kernel's queue holds."""
DROPS_EVERY = 64
"""The kernel is asked for what it dropped when there is nothing to read, and once in so many frames."""


class BusOff(DeviceLost):
    """The controller has switched itself off: the bus opens, and gives nothing until somebody has restarted the controller."""


@dataclass(slots=True)
class BusCounters:
    """What came from the bus to this process. How often the bus was lost is `BusReader.losses`.

    `read`: whatever woke us: where the kernel filters, frames of subscribed identifiers and error frames, and where it is the gate
    only what it let through. `lost`: items that the inbox, or frames that the kernel's queue, had no room for; they are told again.
    `unknown`: frames of an identifier that no DBC of the bus has; none where the kernel filters. `remote` likewise.
    `errors`: error frames by class (see `errorframe`).
    """

    read: int = 0
    error: int = 0
    remote: int = 0
    lost: int = 0
    unknown: int = 0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class GateCounts:
    """`wanted`: frames of subscribed identifiers that were read; `delivered`: those let through, `short`: those that end too early.

    The kernel's gate wakes us for those alone that it lets through, so there `wanted` is what is delivered but for lost ones, and
    `short` counts among them.
    """

    wanted: int
    delivered: int
    short: int


@dataclass(frozen=True, slots=True)
class Line:
    """Which bus it is, how it is opened, and what time it is; as BusReader's arguments."""

    name: str
    where: str
    settings: Mapping[str, object]
    open_bus: Callable[..., can.BusABC]
    to_axis: Callable[[float], int]
    now_ns: Callable[[], int]
    known: Container[int] | None
    gated: bool
    counters: BusCounters

    def frame(self, message: can.Message) -> Frame:
        """As the agent knows it."""
        return Frame(self.name, id_of(message), bytes(message.data), self.to_axis(message.timestamp))


class Engine(Protocol):
    """A gate and the bus behind it. `open`, `set_up`, `wait` and `read` raise DeviceLost, or whatever kind the adapter's driver does."""

    def open(self) -> None:
        """Opens the bus, which may take its time."""

    def set_up(self) -> None:
        """All that is wanted is read from now on."""

    def close(self, t_ns: int) -> list[can.BusABC]:
        """The bus is lost, or not needed any more. Returns what is to be shut down, which may take its time and may fail."""

    def swap(self, subscriptions: Sequence[Subscription], t_ns: int) -> list[Frame | Silence]:
        """Replaces what is wanted; returns what came before that and is wanted still: whatever else is queued never comes out.

        A bus that fails here fails in `wait` too.
        """

    def wait(self, timeout_s: float) -> None:
        """Until there may be something to read, or something to say of the bus."""

    def read(self) -> list[Frame | Silence]:
        """What has come, and what has come due, without waiting."""

    def due(self, t_ns: int) -> list[Frame | Silence]:
        """What has come due while there is no bus."""

    def next_due_ns(self) -> int | None:
        """As `Gate.next_due_ns`."""

    def forget(self, item: Frame | Silence) -> None:
        """It was delivered and got lost: it is told again."""

    def counts(self) -> GateCounts:
        """Since the beginning."""


class SoftwareEngine:
    """The software gate behind any interface of python-can.

    Where the kernel filters, it is asked for the exact identifiers, so that the others wake nobody.
    """

    def __init__(self, line: Line) -> None:
        self.gate = Gate()
        self.bus: can.BusABC | None = None
        self._line = line
        self._wanted: tuple[Subscription, ...] = ()
        self._ids: frozenset[int] = frozenset()
        self._messages: list[can.Message] = []
        """Received, and not read yet."""
        self._receiving = threading.Lock()
        """Held while the bus is asked, which `wait` does without the reader's lock."""
        self._drops = 0

    def open(self) -> None:
        self._drops, self._messages = 0, []
        self.bus = self._line.open_bus(**self._line.settings)

    def set_up(self) -> None:
        self._filter()

    def close(self, t_ns: int) -> list[can.BusABC]:  # noqa: ARG002  # the gate's time-outs run on by themselves
        bus, self.bus, self._messages = self.bus, None, []
        return [] if bus is None else [bus]

    def swap(self, subscriptions: Sequence[Subscription], t_ns: int) -> list[Frame | Silence]:
        Gate(subscriptions)  # refuses two of one identifier before anything has changed
        # What has come is judged before what is new is wanted, and by no time stamp: an adapter's need not be the host's.
        self._want([one for one in subscriptions if one.can_id in self._ids], t_ns)
        found: list[Frame | Silence] = []
        for message in self._queued():
            if message.is_error_frame:
                self._messages.append(message)  # `read` tells it
            else:
                found += self._taken(message)
        self._want(subscriptions, t_ns)
        with contextlib.suppress(can.CanError, OSError):
            self._filter()
        return found

    def wait(self, timeout_s: float) -> None:
        assert self.bus is not None
        with self._receiving:
            message = self.bus.recv(timeout_s)
            if message is not None:
                self._messages.append(message)
            elif self.bus.state is can.BusState.ERROR:
                raise self._bus_off()

    def read(self) -> list[Frame | Silence]:
        messages, self._messages = self._messages, []
        found = [item for message in messages for item in self._taken(message)] if messages else self.gate.due(self._line.now_ns())
        if not messages or not self._line.counters.read % DROPS_EVERY:
            self._make_good()
        return found

    def due(self, t_ns: int) -> list[Frame | Silence]:
        return self.gate.due(t_ns)

    def next_due_ns(self) -> int | None:
        return self.gate.next_due_ns()

    def forget(self, item: Frame | Silence) -> None:
        self.gate.forget(item)

    def counts(self) -> GateCounts:
        return GateCounts(self.gate.wanted, self.gate.delivered, self.gate.short)

    def _want(self, subscriptions: Sequence[Subscription], t_ns: int) -> None:
        self.gate.swap(subscriptions, t_ns)
        self._wanted, self._ids = tuple(subscriptions), frozenset(one.can_id for one in subscriptions)

    def _queued(self) -> list[can.Message]:
        """All that has come and was not read yet. May take as long as a `wait` that has begun."""
        with self._receiving:
            messages, self._messages = self._messages, []
            with contextlib.suppress(Exception):  # adapters' drivers raise kinds of their own
                while self.bus is not None and len(messages) < TURN and (message := self.bus.recv(0)) is not None:
                    messages.append(message)
        return messages

    def _taken(self, message: can.Message) -> Iterator[Frame | Silence]:
        counters = self._line.counters
        counters.read += 1
        if message.is_error_frame:
            counters.error += 1
            counters.errors.update(found := classes(message))
            if BUS_OFF in found:
                raise self._bus_off()
            return
        if message.is_remote_frame:
            counters.remote += 1
            return
        frame = self._line.frame(message)
        if self._line.known is not None and frame.can_id not in self._line.known:
            counters.unknown += 1
        yield from self.gate.due(frame.t_ns)
        passed = self.gate.feed(frame) if self._line.gated else frame if frame.can_id in self._ids else None
        if passed is not None:
            yield passed

    def _make_good(self) -> None:
        """Frames that the kernel dropped may have been changes: everything is told anew."""
        if not isinstance(self.bus, SocketcanBus):
            return
        before, self._drops = self._drops, drops(self.bus.socket)
        if self._drops != before:
            self._line.counters.lost += self._drops - before
            t_ns = self._line.now_ns()
            self.gate.swap((), t_ns)
            self.gate.swap(self._wanted, t_ns)

    def _filter(self) -> None:
        bus = self.bus
        if bus is not None and self._line.settings["interface"] == KERNEL_FILTERED:
            bus.set_filters([exact_filter(can_id) for can_id in sorted(self._ids) or (EXTENDED_ID | NO_IDENTIFIER,)])

    def _bus_off(self) -> BusOff:
        return BusOff("the controller is bus off", self._line.where, "read once a frame comes; check restart-ms, wiring and bit rate")


def id_of(message: can.Message) -> int:
    """As `Frame.can_id`."""
    return message.arbitration_id | EXTENDED_ID if message.is_extended_id else message.arbitration_id


def exact_filter(can_id: int) -> can.typechecking.CanFilter:
    """Lets this identifier through."""
    extended = bool(can_id & EXTENDED_ID)
    return {"can_id": can_id & NO_IDENTIFIER, "can_mask": NO_IDENTIFIER if extended else 0x7FF, "extended": extended}
