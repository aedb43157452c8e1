"""The gate: of all frames of a bus, the few that a live rule wants, no more often than it wants them.

The software twin of CAN_BCM RX_SETUP (Linux net/can/bcm.c: content mask, multiplex mask, throttle, time-out with
RX_ANNOUNCE_RESUME), for every bus that is not behind the kernel's. Promises, per subscribed identifier:

- A frame is delivered when it is the first, or when a bit under the mask differs from the frame last seen to differ.
- Two deliveries are at least the throttle apart; the newest change waits for its end. As in the kernel a change and its
  undoing within one throttle (1-2-1) are delivered as 1-1: the comparison is with what was last seen, not last told.
- `timeout_ns` without any frame of the identifier is one `Silence`; the frame after it is delivered even if unchanged.
- Missing bytes of a short frame count as zero bits, up to the end of an eight-byte word; words of which it has nothing are not
  compared. A changed length alone is no change. `short` counts every frame, delivered or not, that ends before the last wanted
  bit, in a multiplexed one of its own case.
- What got lost after it was told (`forget`) is told again: a frame with the next one of its identifier, a silence by itself.
- `swap` takes effect at once: what is withdrawn delivers nothing more, not even what its throttle was holding.

No clock, no thread, no lock: time is what the caller says, so a replay is deterministic. It must never keep the payload
of an identifier that nobody subscribed to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hw.ports import Frame, Silence, Subscription

UNMULTIPLEXED = 0
WORD_BYTES = 8
SILENCE_AGAIN_NS = 1_000_000_000
"""A silence that was lost is told again after this, or after its time-out where that is shorter."""


@dataclass(slots=True)
class _Watch:
    """What is remembered of one identifier. `seen`, `held` and `bytes_needed` are by multiplexer value.

    `bytes_needed`: how long a frame is that carries all wanted bits.
    """

    wanted: Subscription
    bytes_needed: dict[int, int]
    seen: dict[int, int] = field(default_factory=dict, repr=False)
    held: dict[int, Frame] = field(default_factory=dict, repr=False)
    told_ns: int | None = None
    """When something was last delivered."""
    heard_ns: int | None = None
    """When any frame last arrived, or the watch began; None: the time-out has run off, or time has not begun."""

    def held_until_ns(self) -> int:
        return (self.told_ns or 0) + self.wanted.throttle_ns


class Gate:
    """One or more buses' subscriptions and what they have seen.

    Call `due` up to a frame's own time before you `feed` it: otherwise a time-out that ran off in between is lost and
    a held frame gives way to the newer one. Time begins, for the time-outs, at the first `due` or `swap`.
    """

    __slots__ = ("_begun", "_next_ns", "_watches", "delivered", "short", "unwanted", "wanted")

    def __init__(self, subscriptions: Iterable[Subscription] = ()) -> None:
        self.wanted = self.delivered = self.unwanted = self.short = 0
        self._watches: dict[tuple[str, int], _Watch] = _watches_for(subscriptions, {}, None)
        self._begun = False
        self._next_ns: int | None = 0 if self._watches else None

    def swap(self, subscriptions: Iterable[Subscription], t_ns: int) -> None:
        """Replaces all subscriptions at `t_ns`.

        An unchanged one keeps what it has seen; a new or changed one delivers its next frame, changed or not.
        Raises ValueError for two subscriptions of one identifier: masks are merged before they come here.
        """
        self._begin(t_ns)
        self._watches = _watches_for(subscriptions, self._watches, t_ns)
        self._next_ns = t_ns if self._watches else None

    def next_due_ns(self) -> int | None:
        """No `due` before this returns anything; None when none ever will without a frame. May be early, never late."""
        return self._next_ns

    def feed(self, frame: Frame) -> Frame | None:
        """The frame if it is to be delivered now, else None."""
        watch = self._watches.get((frame.bus, frame.can_id))
        if watch is None:
            self.unwanted += 1
            return None
        self.wanted += 1
        subscription = watch.wanted
        if watch.heard_ns is None:
            self._wake_by(frame.t_ns + subscription.timeout_ns)
        watch.heard_ns = frame.t_ns
        payload = int.from_bytes(frame.data, "little")
        selector, mux = selector_of(subscription, payload), subscription.mux
        if mux is None:
            content = payload & subscription.mask
        else:
            case = mux.cases.get(selector)
            if case is None:
                return None
            content = payload & (case | subscription.mask)
        seen = watch.seen.get(selector)
        if len(frame.data) < watch.bytes_needed[selector]:
            self.short += 1
            seen = _cut(seen, len(frame.data))
        if seen == content:
            return None
        watch.seen[selector] = content
        return self._pass_or_hold(watch, selector, frame)

    def due(self, t_ns: int) -> list[Frame | Silence]:
        """What has come due by `t_ns`, oldest first: held frames with their own time of arrival, and silences."""
        if self._next_ns is None or t_ns < self._next_ns:
            return []
        self._begin(t_ns)
        ready: list[tuple[int, Frame | Silence]] = []
        for watch in self._watches.values():
            self._release(watch, t_ns, ready)
            _time_out(watch, t_ns, ready)
        self._next_ns = min((t for watch in self._watches.values() for t in _alarms(watch)), default=None)
        ready.sort(key=_order)
        return [item for _, item in ready]

    def forget(self, item: Frame | Silence) -> None:
        """What was told got lost: the next frame of the identifier is delivered even if unchanged, a silence is told again.

        For a multiplexed frame the next one of its case. To be called before anything else is fed.
        """
        watch = self._watches.get((item.bus, item.can_id))
        if watch is None:
            return
        if isinstance(item, Frame):
            self.delivered -= 1
            watch.seen.pop(selector_of(watch.wanted, int.from_bytes(item.data, "little")), None)
        elif watch.heard_ns is None:
            timeout_ns = watch.wanted.timeout_ns
            watch.heard_ns = item.t_ns + min(SILENCE_AGAIN_NS, timeout_ns) - timeout_ns
            self._wake_by(watch.heard_ns + timeout_ns)

    def _begin(self, t_ns: int) -> None:
        if self._begun:
            return
        self._begun = True
        for watch in self._watches.values():
            if watch.heard_ns is None:
                watch.heard_ns = t_ns

    def _pass_or_hold(self, watch: _Watch, selector: int, frame: Frame) -> Frame | None:
        throttle_ns = watch.wanted.throttle_ns
        # A time before the last delivery (a log that jumps back) is no reason to wait for a future that may never come.
        if throttle_ns and watch.told_ns is not None and 0 <= frame.t_ns - watch.told_ns < throttle_ns:
            watch.held[selector] = frame
            self._wake_by(watch.held_until_ns())
            return None
        watch.held.pop(selector, None)
        watch.told_ns = frame.t_ns
        self.delivered += 1
        return frame

    def _release(self, watch: _Watch, t_ns: int, ready: list[tuple[int, Frame | Silence]]) -> None:
        end_ns = watch.held_until_ns()
        if not watch.held or t_ns < end_ns:
            return
        ready.extend((end_ns, frame) for frame in watch.held.values())
        self.delivered += len(watch.held)
        watch.held = {}
        watch.told_ns = end_ns

    def _wake_by(self, t_ns: int) -> None:
        if self._next_ns is None or t_ns < self._next_ns:
            self._next_ns = t_ns


def selector_of(subscription: Subscription, payload: int) -> int:
    """The multiplexer's bits of a payload, as `Mux.cases` has them."""
    return UNMULTIPLEXED if subscription.mux is None else payload & subscription.mux.selector_mask


def _cut(seen: int | None, length: int) -> int | None:
    """What was seen, without the words of which a frame of this length has nothing."""
    return None if seen is None else seen & (1 << 8 * WORD_BYTES * -(-length // WORD_BYTES)) - 1


def _watches_for(
    subscriptions: Iterable[Subscription], old: dict[tuple[str, int], _Watch], t_ns: int | None
) -> dict[tuple[str, int], _Watch]:
    watches: dict[tuple[str, int], _Watch] = {}
    for subscription in subscriptions:
        key = subscription.bus, subscription.can_id
        if key in watches:
            raise ValueError(f"two subscriptions of {subscription.can_id:#x} on {subscription.bus}: merge them first")
        kept = old.get(key)
        if kept is None or kept.wanted != subscription:
            kept = _Watch(subscription, bytes_needed(subscription), heard_ns=t_ns)
        watches[key] = kept
    return watches


def bytes_needed(subscription: Subscription) -> dict[int, int]:
    """By multiplexer value: how long a frame is that carries all wanted bits. An absent value is not wanted."""
    masks = {UNMULTIPLEXED: subscription.mask} if subscription.mux is None else subscription.mux.cases
    return {selector: (mask.bit_length() + 7) // 8 for selector, mask in masks.items()}


def _time_out(watch: _Watch, t_ns: int, ready: list[tuple[int, Frame | Silence]]) -> None:
    subscription = watch.wanted
    if not subscription.timeout_ns or watch.heard_ns is None:
        return
    end_ns = watch.heard_ns + subscription.timeout_ns
    if t_ns < end_ns:
        return
    ready.append((end_ns, Silence(subscription.bus, subscription.can_id, end_ns)))
    watch.heard_ns = None
    watch.seen = {}


def _alarms(watch: _Watch) -> Iterable[int]:
    if watch.held:
        yield watch.held_until_ns()
    if watch.wanted.timeout_ns and watch.heard_ns is not None:
        yield watch.heard_ns + watch.wanted.timeout_ns


def _order(ready: tuple[int, Frame | Silence]) -> tuple[int, bool, str, int, int]:
    at_ns, item = ready
    return at_ns, isinstance(item, Silence), item.bus, item.can_id, item.t_ns
