"""What left when: the speed of the car and a row for each stream, over the time of the drive; and what each sample in a picture means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.cli.bench.journey import Journey, Span, clock
from agent.cli.bench.markup import Markup, element, percent

SPEED_PX, ROW_PX, AXIS_PX = 110, 34, 20
MARKS_S = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200)
LABELS = {"trim": "silent start or end", "parked": "not driving", "driving": "not parked", "barred": "not allowed"}
"""Why something was withheld, in the words that stand in the picture."""


class Row(NamedTuple):
    """One stream in time. `ticks`: the moment that each of its messages tells of, with a word about it."""

    title: str
    note: str
    ticks: Sequence[tuple[float, str]]
    spans: Sequence[Span]


def draw_speed(journey: Journey, told: Sequence[tuple[float, float]], said: str) -> Markup:
    """The true speed over time, and over it the speeds that left."""
    top = max(10.0, *(moment.kmh for moment in journey.moments), *(kmh for _, kmh in told))
    points = " ".join(f"{1000 * one.t_s / journey.seconds:.1f},{100 * (1 - one.kmh / top):.1f}" for one in journey.moments)
    curve = element("polyline", points=points, class_="speed")
    plane = element("svg", curve, viewBox="0 -26 1000 128", preserveAspectRatio="none", width="100%", height="100%", class_="plane")
    dots = []
    for t_s, kmh in told:
        place = {"cx": percent(t_s / journey.seconds), "cy": percent((26 + 100 * (1 - kmh / top)) / 128)}
        dots.append(element("circle", element("title", f"at {clock(t_s)} {kmh:g} km/h left"), **place, r="4.5", class_="dot"))
    highest = element("text", f"{top:.0f} km/h", x="4", y="14", class_="word")
    return element("svg", element("title", said), plane, *dots, highest, class_="strip", role="img", width="100%", height=SPEED_PX)


def draw_row(journey: Journey, row: Row) -> Markup:
    """Shaded where nothing could be told, a tick where a message tells of."""
    parts = [part for span in row.spans for part in _shade(journey, span)]
    for t_s, word in row.ticks:
        x = percent(t_s / journey.seconds)
        parts.append(element("line", element("title", word), x1=x, x2=x, y1=2, y2=ROW_PX - 2, class_="tick"))
    return element("svg", element("title", f"{row.title}: {row.note}"), *parts, class_="strip", role="img", width="100%", height=ROW_PX)


def _shade(journey: Journey, span: Span) -> list[Markup]:
    """A stretch, and where there is room the word for it."""
    label, share = LABELS[span.kind], (span.end_s - span.begin_s) / journey.seconds
    title = element("title", f"{label}, {clock(span.begin_s)} to {clock(span.end_s)}")
    size = {"width": percent(share), "height": ROW_PX - 2}
    parts = [element("rect", title, x=percent(span.begin_s / journey.seconds), y=1, **size, class_=span.kind)]
    if share >= 0.2:
        middle = percent((span.begin_s + span.end_s) / 2 / journey.seconds)
        parts.append(element("text", label, x=middle, y=ROW_PX / 2, dy="0.35em", text_anchor="middle", class_="word"))
    return parts


def draw_axis(journey: Journey) -> Markup:
    """The time since the drive began; at most six marks."""
    step_s = next((step for step in MARKS_S if journey.seconds / step <= 6), MARKS_S[-1])
    parts = []
    for t_s in range(0, int(journey.seconds) + 1, step_s):
        share = t_s / journey.seconds
        anchor = "start" if share < 0.03 else "end" if share > 0.97 else "middle"
        parts.append(element("line", x1=percent(share), x2=percent(share), y1=0, y2=5, class_="bar"))
        parts.append(element("text", clock(t_s), x=percent(share), y=AXIS_PX - 2, text_anchor=anchor, class_="word"))
    return element("svg", *parts, class_="axis", width="100%", height=AXIS_PX, aria_hidden="true")


SAMPLES: dict[str, dict[str, object]] = {
    "line": {"x1": 1, "x2": 33, "y1": 9, "y2": 9},
    "rect": {"x": 8, "y": 1, "width": 17, "height": 16},
    "circle": {"cx": 17, "cy": 9, "r": 6},
}
"""Of a legend: an element of SVG and where it stands."""
HATCHES = {"trim": "M-2,10 L10,-2 M4,16 L16,4", "parked": "M0,3 L12,3 M0,9 L12,9", "barred": "M6,0 L6,12 M0,6 L12,6"}


def legend(*entries: tuple[str, str, str]) -> Markup:
    """What each sample (an element of SAMPLES and its class) means."""
    size = {"width": 34, "height": 18, "aria_hidden": "true"}
    items = [element("li", element("svg", element(shape, class_=name, **SAMPLES[shape]), **size), text) for shape, name, text in entries]
    return element("ul", *items, class_="legend")


def patterns() -> Markup:
    """The hatchings of `trim`, `parked` and `barred`: different also without colour."""
    size = {"width": 12, "height": 12, "patternUnits": "userSpaceOnUse"}
    made = [element("pattern", element("path", d=way, class_=f"{kind}line"), id=kind, **size) for kind, way in HATCHES.items()]
    return element("svg", element("defs", *made), width=0, height=0, class_="defs", aria_hidden="true")
