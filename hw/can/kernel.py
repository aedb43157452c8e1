"""The kernel's gate: CAN_BCM for all that it can say, and behind a raw socket of exact identifiers the software gate for the rest.

Promises what `engine` promises. The contract is that of `gate`, with these tolerances:
- A frame that the throttle held has the time stamp of the newest frame of its identifier, not more than the throttle later
  than its own; held cases of one multiplexed message come in any order.
- After a loss (`forget`, a full queue, a bus that was gone) all cases of a multiplexed message are told again, not one.
- While the bus is gone, and until an identifier is heard again after that, its time-out runs from the moment of the loss,
  because frames that said nothing new were not seen here. What is heard is a wanted case.
- `Silence.t_ns` is when it was read.

The raw socket is open in any case: it tells of an interface that is down, which a broadcast manager does not mind, and brings
the controller's error frames.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Sequence

import can

from hw.can.bcm import BcmBus, TimedOut, drops, fits
from hw.can.engine import TURN, GateCounts, Line, SoftwareEngine, id_of
from hw.can.gate import SILENCE_AGAIN_NS, Gate, bytes_needed, selector_of
from hw.ports import Frame, Silence, Subscription


class KernelEngine:
    """The kernel's gate of one SocketCAN interface."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._raw = SoftwareEngine(line)
        self._bcm: BcmBus | None = None
        self._failed: can.CanError | None = None
        """What a swap met; the next `wait` tells it."""
        self._ready: list[can.BusABC] = []
        self._wanted: dict[int, Subscription] = {}
        self._needed: dict[int, dict[int, int]] = {}
        """Identifier -> see `bytes_needed`."""
        self._unheard: dict[int, int] = {}
        """Identifier -> when it is silent by our own clock, unless it is heard before."""
        self._silent: dict[int, bool] = {}
        """Told, and not heard since. True: by our own clock, so that the kernel's next time-out of it is the same silence."""
        self._drops = self._seen = self._delivered = self._short = 0

    def open(self) -> None:
        self._failed, self._drops = None, 0
        self._raw.open()
        self._bcm = BcmBus(str(self._line.settings["channel"]), fd=bool(self._line.settings.get("fd")))

    def set_up(self) -> None:
        assert self._bcm is not None
        self._silent = dict.fromkeys(self._silent, True)
        for subscription in self._wanted.values():
            self._bcm.set_up(subscription)
        self._raw.set_up()

    def close(self, t_ns: int) -> list[can.BusABC]:
        self._listen_for(self._wanted, t_ns)
        bcm, self._bcm = self._bcm, None
        return [*([] if bcm is None else [bcm]), *self._raw.close(t_ns)]

    def swap(self, subscriptions: Sequence[Subscription], t_ns: int) -> list[Frame | Silence]:
        Gate(subscriptions)  # refuses two of one identifier, of which the kernel would keep the last without a word
        old, self._wanted = self._wanted, {one.can_id: one for one in subscriptions if fits(one)}
        self._needed = {can_id: bytes_needed(one) for can_id, one in self._wanted.items()}
        changed = {can_id for can_id in old.keys() | self._wanted.keys() if old.get(can_id) != self._wanted.get(can_id)}
        self._silent = {can_id: own for can_id, own in self._silent.items() if can_id not in changed}
        self._unheard = {can_id: end_ns for can_id, end_ns in self._unheard.items() if can_id not in changed}
        rest = [one for one in subscriptions if not fits(one)]
        if self._bcm is None:
            self._listen_for(changed & self._wanted.keys(), t_ns)
            return self._raw.swap(rest, t_ns)
        found: list[Frame | Silence] = []
        try:
            # What is new is there before what is old has gone: an identifier that changes its socket misses no frame.
            for can_id in changed & self._wanted.keys():
                self._bcm.set_up(self._wanted[can_id])
            found += self._raw.swap(rest, t_ns)
            for can_id in changed - self._wanted.keys():
                self._bcm.remove(can_id)
            # Drained by the new plan: what is queued of a withdrawn one must not come out, not even where it is wanted again later.
            queued = list(self._queued(self._bcm))
        except can.CanError as error:
            self._failed = error
            return [*found, *self._raw.swap(rest, t_ns)]  # the bus will be opened anew, and by the new plan
        return found + [item for item in queued if isinstance(item, Frame) or item.can_id not in changed]

    def wait(self, timeout_s: float) -> None:
        assert self._bcm is not None
        assert self._raw.bus is not None
        if self._failed is not None:
            raise self._failed
        self._ready, _, _ = select.select([self._bcm, self._raw.bus], [], [], timeout_s)

    def read(self) -> list[Frame | Silence]:
        assert self._bcm is not None
        if self._raw.bus in self._ready:
            self._raw.wait(0)
        return [*self._raw.read(), *self._queued(self._bcm), *self._overdue(self._line.now_ns())]

    def due(self, t_ns: int) -> list[Frame | Silence]:
        return [*self._raw.due(t_ns), *self._overdue(t_ns)]

    def next_due_ns(self) -> int | None:
        raw_ns = self._raw.next_due_ns()
        return min([*self._unheard.values(), *([] if raw_ns is None else [raw_ns])], default=None)

    def forget(self, item: Frame | Silence) -> None:
        subscription = self._wanted.get(item.can_id)
        if subscription is None:
            self._raw.forget(item)
        elif isinstance(item, Frame):
            self._delivered -= 1
            if self._bcm is not None:
                self._repeat(self._bcm, [subscription])
        elif item.can_id in self._silent:
            self._silent.pop(item.can_id)
            self._unheard[item.can_id] = item.t_ns + min(SILENCE_AGAIN_NS, subscription.timeout_ns)

    def counts(self) -> GateCounts:
        raw = self._raw.counts()
        return GateCounts(raw.wanted + self._seen, raw.delivered + self._delivered, raw.short + self._short)

    def _queued(self, bcm: BcmBus) -> Iterator[Frame | Silence]:
        """All that the broadcast manager has told, as far as it is wanted now."""
        for _ in range(TURN):
            message = bcm.recv(0)
            if message is None:
                self._make_good(bcm)
                return
            self._line.counters.read += not isinstance(message, TimedOut)
            yield from self._timed_out(id_of(message)) if isinstance(message, TimedOut) else self._heard(message)

    def _heard(self, message: can.Message) -> Iterator[Frame]:
        frame = self._line.frame(message)
        subscription = self._wanted.get(frame.can_id)
        if subscription is None:
            return
        self._seen += 1
        self._unheard.pop(frame.can_id, None)
        self._silent.pop(frame.can_id, None)
        needed = self._needed[frame.can_id].get(selector_of(subscription, int.from_bytes(frame.data, "little")))
        if needed is not None:  # else a case that was wanted when it came
            self._short += len(frame.data) < needed
            self._delivered += 1
            yield frame

    def _timed_out(self, can_id: int) -> Iterator[Silence]:
        self._unheard.pop(can_id, None)
        known = self._silent.get(can_id, False)
        if can_id in self._wanted:
            self._silent[can_id] = False
            if not known:
                yield Silence(self._line.name, can_id, self._line.now_ns())

    def _overdue(self, t_ns: int) -> Iterator[Silence]:
        for end_ns, can_id in sorted((end_ns, can_id) for can_id, end_ns in self._unheard.items() if end_ns <= t_ns):
            del self._unheard[can_id]
            self._silent[can_id] = True
            yield Silence(self._line.name, can_id, end_ns)

    def _make_good(self, bcm: BcmBus) -> None:
        """What the kernel dropped may have been changes and time-outs: everything is told anew."""
        before, self._drops = self._drops, drops(bcm.socket)
        if self._drops != before:
            self._line.counters.lost += self._drops - before
            self._repeat(bcm, self._wanted.values())
            self._listen_for(self._wanted, self._line.now_ns())

    def _repeat(self, bcm: BcmBus, subscriptions: Iterable[Subscription]) -> None:
        try:
            for subscription in subscriptions:
                bcm.repeat(subscription)
        except can.CanError as error:
            self._failed = error

    def _listen_for(self, can_ids: Iterable[int], t_ns: int) -> None:
        """Each of them is silent a time-out from now, unless it is heard before."""
        for can_id in can_ids:
            timeout_ns = self._wanted[can_id].timeout_ns
            if timeout_ns and can_id not in self._silent:
                self._unheard.setdefault(can_id, t_ns + timeout_ns)
