"""Which moments of the drive were told, and which could not be: the speed, and a row for each stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.cli.bench import strips
from agent.cli.bench.chronicle import SETTLED_S, Stretch
from agent.cli.bench.journey import Journey, Moment, clock
from agent.cli.bench.markup import Markup, element
from agent.cli.bench.strips import LABELS, Row
from agent.cli.bench.telling import Run, ended, grouped, listed, several, streams, trim_ever
from agent.cli.streams import Entry, name_of
from agent.cli.words import ON_DEMAND, REASONS, counted, occasions, term
from agent.vss import SPEED

COARSE_S = 60
"""A time that is cut to more than this does not tell when in the drive a message left."""


def when(run: Run, journey: Journey) -> Markup:
    """The speed, and below it a row for each stream."""
    told = [(line["t"] - run.start_ns / 1e9, float(line["value"])) for line in run.lines if line["signal"] == SPEED]
    said = f"True speed of the car from 0:00 to {clock(journey.seconds)}, and the {counted(len(told), 'speed')} that left"
    rows = [_row(run, name, journey, _times(run, name)) for name in streams(run)]
    rows += _would_have_spoken(run, journey)
    kinds = [("rect", kind, label) for kind, label in LABELS.items() if any(span.kind == kind for row in rows for span in row.spans)]
    samples = [("line", "speed", "true speed"), *([("circle", "dot", "a speed that left")] if told else [])]
    samples += [("line", "tick", "a message that left, at the moment that it tells of")] if run.lines else []
    shown = [("Speed of the car", "and what was told of it", strips.draw_speed(journey, told, said))]
    shown += [(row.title, f"— {row.note}", strips.draw_row(journey, row)) for row in rows]
    parts = [element("div", element("p", element("b", title), " ", note), strip, class_="row") for title, note, strip in shown]
    parts += [strips.draw_axis(journey), element("p", "minutes since the drive began", class_="soft"), *_cuts(run)]
    return element("section", element("h2", "Which moments were told, and which could not be"), strips.legend(*samples, *kinds), *parts)


def _cuts(run: Run) -> list[Markup]:
    """When the link was cut: what tells of then left later."""
    cuts = [f"{clock(begin_s)} to {clock(end_s)}" for begin_s, end_s in run.summary.get("link_cuts_s", ())]
    return (
        [element("p", f"The link was cut from {listed(cuts)}. What tells of then waited in the car, sealed, and left later.")]
        if cuts
        else []
    )


def _row(run: Run, name: str, journey: Journey, times: Sequence[float]) -> Row:
    """A stream in time, and in words when it speaks or why it never did."""
    rules = _rules(run, name)
    spans = journey.spans(_kinds(run, name, journey, times))
    when = occasions(rules[0], run.catalogue.events, trim_ever(run, name)) if rules else ""
    floor_s = max((rule["time_floor_s"] for rule in rules), default=0)
    coarse = f"marked where its time, cut to {term(floor_s)}, says" if times and floor_s > COARSE_S else ""
    note = "; ".join(part for part in (counted(len(times), "message"), when, coarse, ended(run, name)) if part)
    if not rules and not times:
        note = "nothing: " + several((REASONS[no["reason"]] for no in run.chronicle.plan["refused"] if name_of(no) == name), "; ")
    return Row(run.title(name), note, [(max(t_s, 0.0), f"message at {clock(max(t_s, 0.0))}") for t_s in times], spans)


def _rules(run: Run, name: str) -> list[Entry]:
    """Under which it left, or else under which it could have."""
    return list(run.chronicle.rules_of(name)) or [rule for (stream, _), rule in run.chronicle.lived.items() if stream == name]


def _times(run: Run, name: str) -> list[float]:
    """The moment that each message of a stream tells of, as its recipient reads it."""
    messages = grouped((line for line in run.lines if name_of(line) == name), lambda line: (line.get("id"), line["seq"]))
    return sorted(min(line["t"] for line in its) - run.start_ns / 1e9 for its in messages.values())


def _would_have_spoken(run: Run, journey: Journey) -> list[Row]:
    """Streams of which nothing left, that were not allowed at least for a part of the run, and that need nobody to ask for them."""
    named = dict.fromkeys(name_of(one) for plan in run.chronicle.plans for one in (*plan["refused"], *plan["rules"]))
    spoke, declared = streams(run), {name: run.stream(name) for name in named}
    triggers = {name: {trigger.partition(":")[0] for trigger in stream.triggers} for name, stream in declared.items() if stream}
    rows = [_row(run, name, journey, []) for name, kinds in triggers.items() if name not in spoke and not kinds <= ON_DEMAND.keys()]
    return [row for row in rows if any(span.kind == "barred" and span.end_s - span.begin_s >= SETTLED_S for span in row.spans)]


def _kinds(run: Run, name: str, journey: Journey, times: Sequence[float]) -> Callable[[Moment], str]:
    """Why nothing of a stream could leave at a moment; an empty text where something could."""
    rules, barred = _rules(run, name), _barred(run, name, journey, times)
    while_ = rules[0]["while"] if rules else "any"
    quiet = _quiet(rules[0], trim_ever(run, name), journey, times, barred) if rules else []

    def kind(moment: Moment) -> str:
        if _within(moment.t_s, barred):
            return "barred"
        if _within(moment.t_s, quiet):
            return "trim"
        if while_ == "driving" and not moment.driving:
            return "parked"
        return "driving" if while_ == "parked" and moment.ignition else ""

    return kind


def _within(t_s: float, stretches: Iterable[Stretch]) -> bool:
    return any(begin_s <= t_s <= end_s for begin_s, end_s in stretches)


def _barred(run: Run, name: str, journey: Journey, times: Sequence[float]) -> list[Stretch]:
    """When no plan in force allowed it; always, if none ever did. What says that a grant has ended stands in no plan."""
    if not _rules(run, name):
        return [] if times else [(0.0, journey.seconds)]
    return run.chronicle.without(lambda rule: name_of(rule) == name, journey.seconds)


def _quiet(rule: Entry, trim_m: float | None, journey: Journey, times: Sequence[float], barred: Sequence[Stretch]) -> list[Stretch]:
    """The silent start and end of each trip of a trimmed stream: by its reports where it has a rhythm, else by the way driven.

    What lies beyond a barred stretch is neither start nor end.
    """
    if trim_m is None:
        return []
    rhythm, found = list(rule["triggers"]) == ["periodic"], []
    for begin_s, end_s in journey.trips:
        its = [t_s for t_s in times if begin_s <= t_s <= end_s]
        far_m = journey.at(begin_s).distance_m + trim_m
        free_s = next((one.t_s for one in journey.moments if begin_s <= one.t_s and one.distance_m >= far_m), end_s)
        cut = [stretch for stretch in barred if stretch[0] < end_s and stretch[1] > begin_s]
        found.append((begin_s, min([min(its, default=end_s) if rhythm else free_s, end_s, *(from_s for from_s, _ in cut)])))
        if rhythm and its and end_s < journey.seconds:
            found.append((max([its[-1] + rule["every_s"], *(to_s for _, to_s in cut)]), end_s))
    return found
