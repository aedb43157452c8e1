"""Where the car was, and what of it left: the places that left, in a map and in words."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.bench.chronicle import SETTLED_S, Stretch
from agent.cli.bench.journey import Journey, Span, clock
from agent.cli.bench.map import Report, draw_map, silences
from agent.cli.bench.markup import Markup, element
from agent.cli.bench.places import Place, places
from agent.cli.bench.strips import legend
from agent.cli.bench.telling import Run, beside, ended, grouped, listed, place_told, recipients, several, trim_ever
from agent.cli.streams import name_of, silent, trim_of
from agent.cli.words import HALVES, REASONS, counted, length, occasions
from agent.vss import LOCATION

PARTS = {
    "start": "the first {} of a trip",
    "end": "the last {} before the car was parked",
    "trip": "all {} of a trip",
    "gap": "{} although it was allowed",
    "open": "the last {} before the run ended",
    "barred": "{} while it was not allowed",
}
"""Of a part of the way of which no place left: how it is told."""
NOWHERE = "No position left the car: nobody was told where it was."
CALLED = "No position left the car but to the emergency centre, which was told the exact place."


def where(run: Run, journey: Journey) -> Markup:
    """The true way and the squares, or why there are none."""
    reports = _reports(run)
    quiet = silences(journey, reports, _barred(run, journey))
    notes = run.summary.get("notes", ())
    called = beside(notes)
    got = [*_squares(reports), *_silences(run, journey, quiet), called] if reports else [CALLED if place_told(notes) else NOWHERE]
    picture = draw_map(journey, reports, quiet, "The true way of the car and the places that left. " + " ".join(got))
    words = [legend(*_entries(reports, quiet)), *(element("p", text) for text in got if text)]
    words += [] if reports else [element("ul", *_why_no_place(run), class_="plain")]
    figure = element("figure", picture, element("figcaption", *words), class_="pair")
    return element("section", element("h2", "Where the car was, and what of it left"), figure)


def _entries(reports: Sequence[Report], quiet: Sequence[Span]) -> list[tuple[str, str, str]]:
    """What the legend of the map explains: only what is in it."""
    exact, kinds = {one.place.width_m is None for one in reports}, {span.kind for span in quiet}
    entries = [("line", "track", "the true way, which only the car knew")]
    entries += [("line", "silent", "a part of it of which no place left")] if kinds - {"barred"} else []
    entries += [("line", "denied", "a part of it on which no place was allowed to leave")] if "barred" in kinds else []
    again = len({(one.recipient, one.place.width_m, one.place.position) for one in reports}) < len(reports)
    several_times = " (3…: the third, and again later)" if again else ""
    entries += [("rect", "cell", f"a square that left, and its order{several_times}")] if False in exact else []
    entries += [("circle", "exact", "an exact place that left")] if True in exact else []
    return entries


def _barred(run: Run, journey: Journey) -> list[Stretch]:
    """When none of the streams that told a place was allowed to."""
    told = {name_of(line) for line in run.lines if line["signal"] in HALVES}
    if not told:
        return []
    stretches = run.chronicle.without(lambda rule: rule["signal"] == LOCATION and name_of(rule) in told, journey.seconds)
    return [(begin_s, end_s) for begin_s, end_s in stretches if end_s - begin_s >= SETTLED_S]


def _reports(run: Run) -> list[Report]:
    """The places that left, in their order."""
    return [_report(run, order, place) for order, place in enumerate(places(run), 1)]


def _report(run: Run, order: int, place: Place) -> Report:
    return Report(order, run.title(place.name), recipients(run, place.name), place)


def _squares(reports: Sequence[Report]) -> list[str]:
    """What each recipient learnt of where the car was."""
    said = []
    for (recipient, width_m), its in grouped(reports, lambda one: (one.recipient, one.place.width_m)).items():
        places = len({one.place.position for one in its})
        titles = several((f"“{one.title}”" for one in its), ", ")
        what = "the exact place" if width_m is None else f"no place, only in which square of {length(width_m)} the car was"
        of = f" of {counted(places, 'square')}" if width_m is not None else ""
        said.append(f"The recipient “{recipient}” got {what}: {counted(len(its), 'report')}{of} ({titles}).")
    return said


def _silences(run: Run, journey: Journey, quiet: Sequence[Span]) -> list[str]:
    """Each silent piece of the way in words, and what silence is for where every stream with a position is trimmed."""
    driven = [(PARTS[span.kind].format(f"{way_m:,.0f} m"), span) for span in quiet if (way_m := journey.way_m(span)) >= 1]
    said = [f"{part} ({clock(span.begin_s)} to {clock(span.end_s)})" for part, span in driven]
    trimmed = all(trim_ever(run, name_of(line)) is not None for line in run.lines if line["signal"] in HALVES)
    why = " Silence hides where trips begin, and where earlier ones ended." if trimmed else ""
    return [f"No place left of {listed(said)}.{why}"] if said else []


def _why_no_place(run: Run) -> list[Markup]:
    """Streams that have a position, by the reason for which none left."""
    plan = run.chronicle.plan
    why: dict[str, list[str]] = {}
    for name, rule in silent(plan, run.lines).items():
        if any(name_of(one) == name and one["signal"] == LOCATION for one in plan["rules"]):
            why.setdefault("allowed " + occasions(rule, run.catalogue.events, trim_of(plan, name)), []).append(run.title(name))
    for no in plan["refused"]:
        if no["signal"] == LOCATION:
            why.setdefault(ended(run, name_of(no), [no["reason"]]) or REASONS[no["reason"]], []).append(run.title(name_of(no)))
    return [
        element("li", element("b", reason), element("ul", *(element("li", title) for title in titles))) for reason, titles in why.items()
    ]
