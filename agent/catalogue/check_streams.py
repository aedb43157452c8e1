"""The rules that each stream has to keep, one small function each, listed at the end.

A rule looks at one stream and adds what is wrong to the report. References into a file that could not be read are not
called wrong. The rows R01..R24 that a rule serves stand in its docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.catalogue.transforms_schema import AGGREGATES, ARGUMENTS, complaint
from agent.catalogue.types import DURATION, Catalogue, ConsentItem, SignalType, Stream, StreamSignal, duration_s
from agent.limits import POSITION_KEEP_S_MAX
from agent.toml import At, Report
from agent.vss import LOCATION

EMERGENCY_SERVICE = "ecall"
COARSE_M = 200
"""A position on a finer grid than this is exact: its consent item has to say so."""
AROUND_SAMPLES_MAX = 2000
"""On either side of an event; both fit into one record."""
DAY_S = 86400
"""A period of this or more that was missed while off is made up at the next start."""
FAST_MPS = 100 / 3
"""120 km/h: a report more often than a cell can be crossed gives the crossing away (docs/attack-model.md)."""
MARKETING = frozenset({"Marketing", "Advertising", "DirectMarketing", "PersonalisedAdvertising", "TargetedAdvertising", "PublicRelations"})
IMPROVEMENT = frozenset({"ImproveExistingProductsAndServices", "ResearchAndDevelopment", "CommercialResearch", "OptimisationForController"})


@dataclass(frozen=True, slots=True)
class StreamView:
    """One stream with everything that a rule may look at."""

    catalogue: Catalogue
    broken: Collection[str]
    service: str
    stream: Stream
    at: At
    report: Report

    @property
    def item(self) -> ConsentItem | None:
        """The consent item that the stream names, if it exists."""
        return self.catalogue.items.get(self.stream.consent or "")

    def signals(self) -> list[tuple[StreamSignal, SignalType, At]]:
        """The signals that signals.toml knows, each with its class and place."""
        known = self.catalogue.signals
        places = [(signal, self.at.key("signal").item(index)) for index, signal in enumerate(self.stream.signals)]
        return [(signal, known[signal.id], at) for signal, at in places if signal.id in known]


def is_sensitive(signal: SignalType) -> bool:
    """Marked so, or a position, which always is (R23)."""
    return signal.sensitive or signal.category == "position"


def purpose_exists(view: StreamView) -> None:
    """R01: a purpose of purposes.toml."""
    name = view.stream.purpose
    if name not in view.catalogue.purposes and "purposes.toml" not in view.broken:
        view.report.error(
            "unknown-purpose", f"no purpose {name!r}", view.at.key("purpose"), "declare it in purposes.toml, or correct the name"
        )


def no_marketing(view: StreamView) -> None:
    """R17: no signal is mapped to marketing."""
    purpose = view.catalogue.purposes.get(view.stream.purpose)
    if view.stream.purpose == "marketing" or (purpose is not None and purpose.dpv in MARKETING):
        view.report.error(
            "marketing", "a stream for marketing", view.at.key("purpose"), "vehicle data is not collected for it; remove the stream"
        )


def recipient_named(view: StreamView) -> None:
    """R41: somebody receives it."""
    if not view.stream.recipient.strip():
        view.report.error("no-recipient", "an empty recipient", view.at.key("recipient"), "name a recipient of agent.toml")


def keep_ends(view: StreamView) -> None:
    """R26: kept for a while that its purpose allows, and no position longer than 7 days."""
    at, keep = view.at.key("keep"), view.stream.keep
    if keep == "ram":
        if view.stream.basis != "vital":
            hint = "only the emergency call may live in RAM so far; write how long it may wait on the device, for example 5m"
            view.report.error("keep-ram", f"{view.stream.id!r} is kept in RAM, which core cannot run yet", at, hint)
        return
    if not DURATION.match(keep) or duration_s(keep) <= 0:
        view.report.error("keep", f"{keep!r} is no duration", at, "write for example 90s, 5m, 24h or 30d")
        return
    keep_s = duration_s(keep)
    purpose = view.catalogue.purposes.get(view.stream.purpose)
    if purpose is not None and keep_s > duration_s(purpose.max_keep):
        hint = "shorten it; the purpose's max_keep is the limit"
        view.report.error("keep-too-long", f"keeps {keep}, {view.stream.purpose!r} at most {purpose.max_keep}", at, hint)
    if keep_s > POSITION_KEEP_S_MAX and any(kind.category == "position" for _, kind, _ in view.signals()):
        view.report.warning("position-keep", f"a position for {keep}", at, "the agent keeps it 7 days at most; write 7d or less")
    _ends_too_soon(view, keep_s)


def _ends_too_soon(view: StreamView, keep_s: int) -> None:
    """What is over before it could be sent: a term counts from the sample's own time."""
    stream, at = view.stream, view.at
    if stream.window_s > keep_s:
        view.report.error("window", "collects longer than it keeps", at.key("window_s"), "write a window shorter than keep")
    if stream.time_floor_s >= keep_s:
        hint = "write a floor shorter than keep"
        view.report.error("time-floor", "a time so coarse that a sample may be over at once", at.key("time_floor_s"), hint)
    if "periodic" in stream.triggers and stream.every_s >= DAY_S and keep_s < stream.every_s:
        hint = "write a keep of every_s or more"
        view.report.warning("keep-too-short", "a report that is made up later than it is kept is lost", at.key("keep"), hint)


def basis_fits(view: StreamView) -> None:
    """R22, R23: an item where the basis is consent and nowhere else; vital only for the emergency call."""
    stream, at = view.stream, view.at
    if stream.basis == "consent" and stream.consent is None:
        view.report.error("no-item", f"{stream.id!r} is based on consent to nothing", at.key("consent"), "name an item of consent.toml")
    if stream.basis != "consent" and stream.consent is not None:
        view.report.error(
            "item-unused", f"consent with basis {stream.basis!r}", at.key("consent"), 'write basis = "consent", or remove the item'
        )
    if stream.consent is not None and view.item is None and "consent.toml" not in view.broken:
        view.report.error(
            "unknown-item", f"no consent item {stream.consent!r}", at.key("consent"), "declare it in consent.toml, or correct the name"
        )
    if (stream.basis == "vital") != (view.service == EMERGENCY_SERVICE):
        hint = f"vital is for services/{EMERGENCY_SERVICE}.toml and for nothing else; choose contract, consent or legal"
        view.report.error("vital", f"basis {stream.basis!r} in service {view.service!r}", at.key("basis"), hint)
    if stream.basis == "legal" and not all(trigger.startswith("order:") for trigger in stream.triggers):
        view.report.warning("legal-trigger", "a legal duty without an order", at.key("triggers"), 'write triggers = ["order:NAME"] (R21)')


def signals_named(view: StreamView) -> None:
    """R01: signals of signals.toml, each once; the emergency call's data are the MSD's and cannot be added to."""
    stream, seen = view.stream, set[str]()
    if stream.basis == "vital" and stream.signals:
        view.report.error(
            "vital-signals", "signals in the emergency call", view.at.key("signal"), "remove them; its data are the MSD's alone"
        )
    if stream.basis != "vital" and not stream.signals:
        view.report.error("no-signals", f"{stream.id!r} has no signals", view.at.key("signal"), "name what it sends in [[stream.signal]]")
    for index, signal in enumerate(stream.signals):
        at = view.at.key("signal").item(index).key("id")
        if signal.id not in view.catalogue.signals and "signals.toml" not in view.broken:
            view.report.error("unknown-signal", f"no signal {signal.id!r}", at, "declare it in signals.toml, or correct the name")
        if signal.id in seen:
            view.report.error("signal-twice", f"{signal.id!r} twice in one stream", at, "name it once, or make a second stream")
        seen.add(signal.id)


def sensitive_needs_item(view: StreamView) -> None:
    """R23: a sensitive signal leaves only under a sensitive item of its own; none for improvement (GB/T 41871)."""
    purpose = view.catalogue.purposes.get(view.stream.purpose)
    for signal, kind, at in view.signals():
        if not is_sensitive(kind):
            continue
        if view.stream.basis in ("contract", "legal"):
            hint = 'write basis = "consent" with a sensitive item, or send something coarser'
            view.report.error("sensitive-basis", f"{signal.id!r} is sensitive, basis {view.stream.basis!r}", at.key("id"), hint)
        if view.item is not None and not view.item.sensitive:
            hint = "name an item with sensitive = true"
            view.report.error("sensitive-item", f"{signal.id!r} is sensitive, {view.stream.consent!r} is not", view.at.key("consent"), hint)
        if purpose is not None and purpose.dpv in IMPROVEMENT:
            view.report.error(
                "sensitive-improvement", f"{signal.id!r} is sensitive", at.key("id"), "no sensitive signal serves improvement; remove it"
            )


def identity_fits(view: StreamView) -> None:
    """R12, R39: what identifies the car stands only in streams that carry the VIN."""
    for signal, kind, at in view.signals():
        if kind.category == "identity" and view.stream.identity != "vin":
            hint = 'remove it, or write identity = "vin"'
            view.report.error(
                "identity", f"{signal.id!r} identifies, the stream's identity is {view.stream.identity!r}", at.key("id"), hint
            )


def position_coarse_enough(view: StreamView) -> None:
    """R24: a position finer than 200 m needs an item that says exact; a coarse one a clock as slow as its cell."""
    stream = view.stream
    for signal, kind, at in view.signals():
        if kind.category != "position":
            continue
        cells = [float(step["grid_m"]) for step in signal.transforms if isinstance(step.get("grid_m"), int | float)]
        cell_m = max(cells, default=0.0)
        if cell_m < COARSE_M and view.item is not None and view.item.precision != "exact":
            hint = f"add {{ grid_m = {COARSE_M} }} or coarser, or name an item with precision = 'exact'"
            view.report.error("position-too-fine", f"a position finer than {stream.consent!r} allows", at.key("transforms"), hint)
        often_s = max(stream.every_s, stream.time_floor_s)
        if cell_m and _repeats(stream) and often_s * FAST_MPS < cell_m:
            hint = f"write every_s or time_floor_s of at least {cell_m / FAST_MPS:.0f}"
            view.report.warning("clock-too-fast", "the moment of changing the cell gives the place away", at.key("transforms"), hint)


def transforms_fit(view: StreamView) -> None:
    """R24: each step exists, takes its argument, and can be applied to this signal; trimming comes before the grid."""
    for index, signal in enumerate(view.stream.signals):
        at = view.at.key("signal").item(index).key("transforms")
        names: list[str] = []
        for number, step in enumerate(signal.transforms):
            if len(step) != 1:
                view.report.error("transform", "not one transform", at.item(number), "write each as { name = argument }")
                continue
            name, argument = next(iter(step.items()))
            names.append(name)
            wrong = complaint(name, argument) or _misplaced(name, signal.id)
            if wrong:
                view.report.error(
                    "transform", f"{name!r} {wrong}", at.item(number).key(name), "correct it; docs/adding.md lists the transforms"
                )
        if "trim_trip_m" in names and "grid_m" in names and names.index("grid_m") < names.index("trim_trip_m"):
            view.report.error(
                "transform-order", "trim_trip_m after grid_m", at, "trim first: a cell's centre says nothing about the distance"
            )
        if sum(name in AGGREGATES for name in names) > 1:
            view.report.error("transform", "a second aggregate", at, "one at most: what it gives is no stream of changes any more")
        _randomised(view, signal, at)


def _misplaced(name: str, signal: str) -> str | None:
    on = ARGUMENTS[name].on if name in ARGUMENTS else "any"
    if on == "position" and signal != LOCATION:
        return f"works on {LOCATION} only"
    return f"does not work on {LOCATION}" if on == "number" and signal == LOCATION else None


def _randomised(view: StreamView, signal: StreamSignal, at: At) -> None:
    """R12: as many classes as the buckets before give, and a period for the answer's permanence."""
    steps = {name: argument for step in signal.transforms for name, argument in step.items()}
    answer, edges = steps.get("respond_k"), steps.get("bucket")
    if not isinstance(answer, dict):
        return
    if isinstance(edges, list) and answer.get("k") != len(edges) + 1:
        view.report.error(
            "transform", f"k is {answer.get('k')}, the edges make {len(edges) + 1} classes", at, "write k = number of edges + 1"
        )
    if view.stream.every_s <= 0 or "periodic" not in view.stream.triggers:
        view.report.error("transform", "a randomised answer without a period", at, 'write triggers = ["periodic"] and every_s')


def triggers_fire(view: StreamView) -> None:
    """At least one trigger, each able to fire."""
    stream, at = view.stream, view.at.key("triggers")
    if not stream.triggers:
        view.report.error("no-triggers", f"{stream.id!r} never sends", at, "name at least one trigger")
    for index, trigger in enumerate(stream.triggers):
        kind, _, name = trigger.partition(":")
        unknown = kind == "event" and name not in view.catalogue.events and "events.toml" not in view.broken
        if unknown and stream.basis != "vital":
            view.report.error("unknown-event", f"no event {name!r}", at.item(index), "declare it in events.toml, or correct the name")
        if kind == "distance" and float(name) <= 0:
            view.report.error("distance", "a distance of 0 km", at.item(index), "write for example distance:1000")
        if trigger in stream.triggers[:index]:
            view.report.error("trigger-twice", f"{trigger!r} twice", at.item(index), "name it once")
    if stream.while_ == "driving" and {"ignition_off", "trip_end"} & set(stream.triggers):
        view.report.warning("while", "the ignition is off then", view.at.key("while"), "write parked or any")
    if "periodic" in stream.triggers and stream.every_s <= 0:
        view.report.error("every_s", "periodic without every_s", view.at.key("every_s"), "write how many seconds lie between two samples")
    if stream.every_s > 0 and not _repeats(stream):
        view.report.warning(
            "every_s", "every_s has no effect", view.at.key("every_s"), "it belongs to periodic, on_change, before_s, after_s"
        )
    _freshness(view)


def around_an_event(view: StreamView) -> None:
    """R24: what is held in case of an event ends with nothing, unless an event releases it; how much it is can be told."""
    stream, at = view.stream, view.at.key("before_s" if view.stream.before_s else "after_s")
    if not _around(stream):
        return
    if not any(trigger.startswith("event:") for trigger in stream.triggers):
        view.report.error("around", "before_s and after_s without an event", at, 'write triggers = ["event:NAME"]')
    if {"periodic", "on_change"} & set(stream.triggers):
        hint = "make a stream of its own for what is around the event"
        view.report.error("around", "what is sent anyway needs nothing around an event", at, hint)
    if stream.every_s <= 0:
        view.report.error(
            "every_s", "before_s or after_s without every_s", view.at.key("every_s"), "write how many seconds lie between two"
        )
    elif stream.every_s > min(span_s for span_s in (stream.before_s, stream.after_s) if span_s):
        view.report.error("every_s", "nothing lies around an event", view.at.key("every_s"), "write at most before_s and after_s")
    elif max(stream.before_s, stream.after_s) / stream.every_s * len(stream.signals) > AROUND_SAMPLES_MAX:
        hint = f"write a longer every_s: at most {AROUND_SAMPLES_MAX} samples on either side of an event"
        view.report.error("around", "more around an event than a record holds", at, hint)


def _around(stream: Stream) -> bool:
    return stream.before_s > 0 or stream.after_s > 0


def _repeats(stream: Stream) -> bool:
    return _around(stream) or bool({"periodic", "on_change"} & set(stream.triggers))


def _freshness(view: StreamView) -> None:
    asked = any(trigger.startswith("request:") for trigger in view.stream.triggers)
    for index, signal in enumerate(view.stream.signals):
        if signal.fresh_s is not None and not asked:
            at = view.at.key("signal").item(index).key("fresh_s")
            view.report.warning("fresh_s", "fresh_s has no effect", at, "it belongs to a request:NAME trigger")


StreamRule = Callable[[StreamView], None]
STREAM_RULES: tuple[StreamRule, ...] = (
    purpose_exists,
    no_marketing,
    recipient_named,
    keep_ends,
    basis_fits,
    signals_named,
    sensitive_needs_item,
    identity_fits,
    position_coarse_enough,
    transforms_fit,
    triggers_fire,
    around_an_event,
)
