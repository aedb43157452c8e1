"""The map of a run: the true way of the car against the places that left.

Promises that whatever is drawn as having left is a report that it was given. Words are placed in percent of the width and keep their
size on a phone and on paper.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from agent.cli.bench.chronicle import Stretch
from agent.cli.bench.journey import Journey, Moment, Span, clock
from agent.cli.bench.markup import Markup, element, percent
from agent.cli.bench.places import WIDE_M, Place, told
from agent.cli.bench.telling import grouped
from agent.cli.words import length
from agent.collect.trip import TRIP_GAP_S

ASPECT_MIN, ASPECT_MAX = 1.15, 2.0
LABEL_GAP = 0.03
"""Numbers that would stand nearer to each other, as a share of the width, are left out: a phone could not show them."""
LETTER, ASIDE, ANCHORS = 0.019, 0.025, {"start": 0.0, "middle": 0.5, "end": 1.0}
"""Of a word in the map, as shares: how wide a letter is on a phone, how far it stands from its place, and where it is held."""
WORD_MIN = 0.08
"""A piece of the way that is shorter than this share of the width has no word."""
FURNITURE = [(0.86 + 0.02 * part, 0.04) for part in range(7)] + [(0.04 * part, down) for part in range(8) for down in (0.9, 0.94)]
"""Where the word for north and the scale stand."""
WORDS = {
    "start": ("silent start", "word quiet"),
    "end": ("silent end", "word quiet"),
    "trip": ("no place left", "word quiet"),
    "gap": ("no place left", "word quiet"),
    "open": ("no place left", "word quiet"),
    "barred": ("not allowed", "word no"),
}
"""Of a part of the way of which no place left: what stands beside it, and in which style."""

Word = tuple[Sequence[Moment], str, str]
"""Where a word may stand, the word, and its style."""


class Report(NamedTuple):
    """A place that left, the `order`th of all, to whom and as what."""

    order: int
    title: str
    recipient: str
    place: Place


class _Frame(NamedTuple):
    """The part of the plane that is drawn. Shares run from 0 to 1, to the right and down."""

    west_m: float
    north_m: float
    width_m: float
    height_m: float

    def share(self, east_m: float, north_m: float) -> tuple[float, float]:
        return (east_m - self.west_m) / self.width_m, (self.north_m - north_m) / self.height_m


def silences(journey: Journey, reports: Sequence[Report], barred: Sequence[Stretch] = ()) -> list[Span]:
    """Of which parts of each trip no place left: up to the first report, from the last one on, in between, and while it was barred.

    Silence belongs to the start or the end of the trip only where it touches it; what barred parts cut off is a gap.
    """
    joined = told(one.place for one in reports)
    quiet: list[Span] = []
    for begin_s, end_s in journey.trips:
        near = [one.place for one in reports if begin_s - TRIP_GAP_S / 2 <= one.place.t_s <= end_s + TRIP_GAP_S / 2]
        first_s = min((max(one.t_s, begin_s) for one in near), default=end_s)
        last_s = max((one.t_s + one.slack_s for one in near), default=end_s)
        closed = [(max(from_s, begin_s), min(to_s, end_s)) for from_s, to_s in barred if from_s < end_s and to_s > begin_s]
        quiet += [Span(*stretch, "barred") for stretch in closed]
        quiet += [Span(*stretch, "") for stretch in joined]
        quiet.append(Span(begin_s, min([first_s, *(from_s for from_s, _ in closed)]), "start" if near else "trip"))
        quiet.append(Span(max([last_s, *(to_s for _, to_s in closed)]), end_s, "end" if end_s < journey.seconds else "open"))
        quiet.append(Span(begin_s, end_s, "gap"))
    return journey.spans(lambda moment: next((span.kind for span in quiet if span.begin_s < moment.t_s <= span.end_s), ""))


def draw_map(journey: Journey, reports: Sequence[Report], silent: Sequence[Span], said: str) -> Markup:
    """The true track, north up, and over it what left. `said`: the picture in words, for who cannot see it."""
    found = grouped(reports, lambda one: (one.recipient, one.place.width_m, one.place.position))
    cells = sorted(found.values(), key=lambda its: -(its[0].place.width_m or 0))  # what is large lies below
    frame = _frame(journey, cells)
    drawn = [_square(journey, frame, its) for its in cells if its[0].place.width_m is not None]
    drawn.append(_line(journey, frame, 0.0, journey.seconds, "track"))
    drawn += [_line(journey, frame, span.begin_s, span.end_s, "denied" if span.kind == "barred" else "silent") for span in silent]
    box = f"0 0 {frame.width_m:.1f} {frame.height_m:.1f}"
    plane = element("svg", *drawn, width="100%", height="100%", viewBox=box, class_="plane")
    dots = [_dot(journey, frame, its) for its in cells if its[0].place.width_m is None]
    over = [*_marks(journey, frame, cells, silent), *dots, *_numbers(journey, frame, cells), *_scale(frame)]
    shape = f"aspect-ratio:{frame.width_m / frame.height_m:.4f}"
    return element("svg", element("title", said), plane, *over, class_="map", role="img", style=shape)


def _corners(journey: Journey, one: Report) -> tuple[float, float, float, float]:
    """West, south, east and north of a square in metres."""
    south_west, north_east = one.place.corners
    return *journey.plane(*south_west), *journey.plane(*north_east)


def _frame(journey: Journey, cells: Sequence[Sequence[Report]]) -> _Frame:
    """All of the track and of the squares that are not wide, with air around it, neither tall nor flat."""
    boxes = [(moment.east_m, moment.north_m) * 2 for moment in journey.moments]
    boxes += [_corners(journey, its[0]) for its in cells if (its[0].place.width_m or 0) <= WIDE_M]
    wests, souths, easts, norths = zip(*boxes, strict=True)
    width_m, height_m = max(max(easts) - min(wests), 300.0) * 1.14, max(max(norths) - min(souths), 300.0) * 1.3
    height_m = max(height_m, width_m / ASPECT_MAX)
    width_m = max(width_m, height_m * ASPECT_MIN)
    return _Frame((min(wests) + max(easts) - width_m) / 2, (min(souths) + max(norths) + height_m * 0.98) / 2, width_m, height_m)


def _line(journey: Journey, frame: _Frame, begin_s: float, end_s: float, name: str) -> Markup:
    """A piece of the true track; points that lie on the one before are left out."""
    inside = [moment for moment in journey.moments if begin_s < moment.t_s < end_s]
    every = (journey.at(begin_s), *inside, journey.at(end_s))
    points = [f"{one.east_m - frame.west_m:.1f},{frame.north_m - one.north_m:.1f}" for one in every]
    return element("polyline", points=" ".join(point for point, _ in itertools.groupby(points)), class_=name)


def _square(journey: Journey, frame: _Frame, its: Sequence[Report]) -> Markup:
    """A square that left."""
    west, south, east, north = _corners(journey, its[0])
    place = {"x": west - frame.west_m, "y": frame.north_m - north, "width": east - west, "height": north - south}
    return element("rect", _told(its), class_="cell", **{name: f"{metres:.1f}" for name, metres in place.items()})


def _dot(journey: Journey, frame: _Frame, its: Sequence[Report]) -> Markup:
    """A place that left exactly."""
    x, y = frame.share(*journey.plane(*its[0].place.position))
    return element("circle", _told(its), cx=percent(x), cy=percent(y), r=5, class_="exact")


def _told(its: Sequence[Report]) -> Markup:
    what = "the exact place" if its[0].place.width_m is None else f"a square of {length(its[0].place.width_m)}"
    orders, times = ", ".join(str(one.order) for one in its), ", ".join(clock(one.place.t_s) for one in its)
    return element("title", f"{orders}: {its[0].recipient} got {what} ({its[0].title}), at {times}")


def _numbers(journey: Journey, frame: _Frame, cells: Sequence[Sequence[Report]]) -> list[Markup]:
    """The order of the reports: `3`, or `3…` for several of one square. The first and the last always, others where there is room."""
    told, taken = [], list[tuple[float, float]]()
    ordered, aspect = sorted(cells, key=lambda its: its[0].order), frame.height_m / frame.width_m
    for its in [*ordered[:1], *ordered[:0:-1][:1], *ordered[1:-1]]:
        x, y = (min(max(share, 0.04), 0.96) for share in frame.share(*journey.plane(*its[0].place.position)))
        label = f"{its[0].order}…" if len(its) > 1 else str(its[0].order)
        apart = LABEL_GAP * max(1.0, len(label) / 1.2)
        if any(abs(x - far) <= apart and abs(y - down) * aspect <= LABEL_GAP for far, down in taken):
            continue
        taken.append((x, y))
        told.append(element("text", label, x=percent(x), y=percent(y), dx=0 if its[0].place.width_m else 12, dy="0.35em", class_="order"))
    return told


def _marks(journey: Journey, frame: _Frame, cells: Sequence[Sequence[Report]], silent: Sequence[Span]) -> list[Markup]:
    """Where it began, where a trip ended, where the car was when the run ended, and what is silent: each with a word beside it."""
    marks = [(journey.moments[0], "start")]
    marks += [(journey.at(trip[1]), "parked here") for trip in journey.trips if trip[1] < journey.seconds]
    marks += [(journey.moments[-1], "end of the run")]
    circles, words = [], list[Word]()
    for its in grouped(marks, lambda mark: (round(mark[0].east_m / 20), round(mark[0].north_m / 20))).values():
        x, y = map(percent, frame.share(its[0][0].east_m, its[0][0].north_m))
        circles.append(element("circle", cx=x, cy=y, r=7, class_="mark"))
        words.append(([its[0][0]], ", ".join(dict.fromkeys(word for _, word in its)), "word"))
    words += [(_parts(journey, span), *WORDS[span.kind]) for span in silent if journey.way_m(span) > frame.width_m * WORD_MIN]
    return circles + _words(journey, frame, cells, words)


def _parts(journey: Journey, span: Span) -> list[Moment]:
    """The middle of a piece of the way, and what lies on both sides of it."""
    begin_m, way_m = journey.at(span.begin_s).distance_m, journey.way_m(span)
    return [next(one for one in journey.moments if one.distance_m >= begin_m + way_m * share) for share in (0.5, 0.3, 0.7)]


def _words(journey: Journey, frame: _Frame, cells: Sequence[Sequence[Report]], words: Sequence[Word]) -> list[Markup]:
    """Each word where it hides least of the track, of the numbers and of the words before it."""
    track = {frame.share(round(one.east_m), round(one.north_m)) for one in journey.moments}  # one that stands counts once
    taken = [*track, *FURNITURE * 20]
    for its in cells:
        x, y = frame.share(*journey.plane(*its[0].place.position))
        taken += [(x + step * ASIDE, y) for step in (-0.5, 0.1, 0.5, 1.1, 1.5)] * 10
    drawn = []
    for moments, word, name in words:
        wide = LETTER * len(word)
        sides = [side for moment in moments for side in _sides(*frame.share(moment.east_m, moment.north_m))]
        at, down, anchor = min(sides, key=lambda side: _hidden(taken, side[0] - wide * ANCHORS[side[2]], side[1], wide))
        taken += [(at - wide * (ANCHORS[anchor] - part / 10), down) for part in range(11)] * 20
        drawn.append(element("text", word, x=percent(at), y=percent(down), dy="0.35em", text_anchor=anchor, class_=name))
    return drawn


def _sides(x: float, y: float) -> list[tuple[float, float, str]]:
    """Beside, above and below a place, the nearest first: where a word is held, and at which of its ends."""
    near = [(x + ASIDE, y, "start"), (x - ASIDE, y, "end"), (x, y - 2 * ASIDE, "middle"), (x, y + 2 * ASIDE, "middle")]
    return near + [
        (x + right * ASIDE, y + down * ASIDE, anchor) for down in (-2, 2, -4, 4) for right, anchor in ((1, "start"), (-1, "end"))
    ]


def _hidden(taken: Sequence[tuple[float, float]], left: float, down: float, wide: float) -> int:
    """How much a word there would hide; all, if it would reach beyond the picture."""
    if not (0 <= left <= 1 - wide and ASIDE <= down <= 1 - ASIDE):
        return len(taken)
    return sum(left < x < left + wide and abs(y - down) < ASIDE for x, y in taken)


def _scale(frame: _Frame) -> list[Markup]:
    """A bar of a round length, and where north is."""
    rough = frame.width_m / 4
    ten = 10 ** math.floor(math.log10(rough))
    length_m = max(step * ten for step in (1, 2, 5) if step * ten <= rough)
    end = 0.03 + length_m / frame.width_m
    bar = element("line", x1="3%", x2=percent(end), y1="96%", y2="96%", class_="bar")
    word = element("text", length(length_m), x=percent((0.03 + end) / 2), y="96%", dy="-6", text_anchor="middle", class_="word")
    return [bar, word, element("text", "▲ north", x="98%", y="2%", dy="1em", text_anchor="end", class_="word")]
