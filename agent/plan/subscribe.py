"""From wanted signals to subscriptions: all rules on one identifier merged into one content mask, throttle, time-out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cantools.database.can import Message, Signal

from agent.bits import mask_of, placed
from agent.model import Demand
from agent.plan.needs import merged
from agent.vehicle import Source, Vehicle
from hw.ports import Mux, Subscription

SELECTOR_BITS_MAX = 8
"""A wider selector would make more cases than a subscription should carry."""


def subscriptions(wanted: Mapping[str, Demand], vehicle: Vehicle) -> tuple[Subscription, ...]:
    """One subscription for each identifier that carries a wanted signal, in the order of bus and identifier."""
    by_id: dict[tuple[str, int], tuple[list[Source], Demand | None]] = {}
    for signal, demand in wanted.items():
        source = vehicle.sources.get(signal)
        if source is not None:
            sources, have = by_id.get((source.bus, source.can_id), ([], None))
            by_id[source.bus, source.can_id] = ([*sources, source], merged(have, demand))
    return tuple(_subscription(bus, can_id, sources, demand) for (bus, can_id), (sources, demand) in sorted(by_id.items()) if demand)


def _subscription(bus: str, can_id: int, sources: list[Source], demand: Demand) -> Subscription:
    message = sources[0].message
    signals = [source.dbc for source in sources]
    mux = _mux(message, signals) if message.is_multiplexed() else None
    mask, throttle_ns = _union(signals), demand.throttle_ns
    if mux is None and message.is_multiplexed():
        mask |= _union(signal for signal in message.signals if signal.is_multiplexer)
        throttle_ns = 0  # it would keep the newest frame, of whichever case, and others for ever out
    return Subscription(bus, can_id, mask, throttle_ns, demand.timeout_ns, mux)


def _union(signals: Iterable[Signal]) -> int:
    mask = 0
    for signal in signals:
        mask |= mask_of(signal)
    return mask


def _mux(message: Message, signals: list[Signal]) -> Mux | None:
    """Masks by selector where one multiplexer decides; None where it takes more (then every change of the bits counts)."""
    selectors = [signal for signal in message.signals if signal.is_multiplexer]
    if len(selectors) != 1 or selectors[0].length > SELECTOR_BITS_MAX:
        return None
    selector = selectors[0]
    always = _union(signal for signal in signals if not signal.multiplexer_ids)
    cases: dict[int, int] = {}
    for raw in range(1 << selector.length) if always else _ids(signals):
        mask = always | _union(signal for signal in signals if signal.multiplexer_ids and raw in signal.multiplexer_ids)
        if mask:
            cases[placed(selector, raw)] = mask
    return Mux(mask_of(selector), cases)


def _ids(signals: list[Signal]) -> list[int]:
    return sorted({raw for signal in signals for raw in signal.multiplexer_ids or ()})
