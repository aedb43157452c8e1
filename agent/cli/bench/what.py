"""What left, piece by piece: a table for each stream that left; then what could have, and what could not."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.bench import telling
from agent.cli.bench.markup import Markup, element
from agent.cli.bench.telling import Piece, Run
from agent.cli.streams import Entry
from agent.cli.words import signal_names

COLUMNS = ("What", "In the car", "What left", "How often", "Last value")


def what(run: Run) -> list[Markup]:
    """A table for each stream that left; then what could have, and what could not."""
    tables = [_stream(run, name, lines) for name, lines in telling.streams(run).items()]
    called = [element("li", note) for note in telling.called(run.summary.get("notes", ()))]
    done = [element("li", note) for note in telling.done(run.summary)]
    waited = [_item(run, name, waits) for name, waits in telling.waiting(run)]
    refused = [_item(run, name, f"{signal_names(signals)}: {why}") for name, signals, why in telling.kept_back(run)]
    return [
        element("section", element("h2", "What left, piece by piece"), *(tables or [element("p", "Nothing.")])),
        *([_list("The emergency call", called, "")] if called else []),
        *([_list("What somebody in the car did", done, "")] if done else []),
        _list("What was allowed, and did not leave", waited, "Nothing."),
        _list("What was withheld, and why", refused, "Nothing: everything that a service could ask for is allowed."),
    ]


def _item(run: Run, name: str, text: str) -> Markup:
    return element("li", element("b", run.title(name)), " ", element("span", f"({name})", class_="name"), element("div", text))


def _list(heading: str, items: Sequence[Markup], none: str) -> Markup:
    return element("section", element("h2", heading), element("ul", *items, class_="plain") if items else element("p", none))


def _stream(run: Run, name: str, lines: Sequence[Entry]) -> Markup:
    """Whom one stream went to, because of what, and each signal before and after."""
    title = element("h3", run.title(name), " ", element("span", f"({name})", class_="name"))
    to = element("p", "To ", element("b", telling.recipients(run, name)), f", {telling.amount(run, name, lines)}.")
    vins = telling.vins(lines)
    vin = [element("p", f"The VIN, the car's own number, stands in each message: {vins}.")] if vins else []
    why = element("p", f"Because {telling.because(run, name)}.", class_="soft")
    head = element("thead", element("tr", *(element("th", column, scope="col") for column in COLUMNS)))
    table = element("table", head, element("tbody", *(_row(piece) for piece in telling.pieces(run, name, lines))))
    return element("div", title, to, *vin, why, table)


def _row(piece: Piece) -> Markup:
    last = piece.last or f"{len(piece.signals)} values"
    texts = (signal_names(piece.signals), piece.before, piece.after or piece.before, piece.often, last)
    return element("tr", *(element("td", element("span", text), data_is=column) for column, text in zip(COLUMNS, texts, strict=True)))
