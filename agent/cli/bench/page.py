"""The end of a run as one page with pictures, for somebody who has never seen the project: what left the car and what did not.

Promises one file that needs nothing else and runs nothing: no script, no font, no picture from elsewhere. It tells what `report` tells,
in the same words. It is the recipients' side: values and places stand in it. Decides nothing.
"""

from __future__ import annotations

from pathlib import Path

from agent.cli.bench import strips, telling
from agent.cli.bench.journey import Journey, clock
from agent.cli.bench.markup import Markup, element
from agent.cli.bench.style import STYLE
from agent.cli.bench.telling import DONE, Run, listed
from agent.cli.bench.what import what
from agent.cli.bench.when import when
from agent.cli.bench.where import where
from agent.cli.words import counted
from hw.bench.car import load_database
from hw.bench.truth import Drive

NOTE = """This page is the recipients' side: values and places stand in it. Beside them it shows the true way of a simulated car, which
no recipient knows. Keep such a page as carefully as what it shows."""
SEEN_ALL = "Of {read:,} frames, the messages on the car's own network, {dropped:,} were dropped unread."
FILTERED = """Of the frames, the messages on the car's own network, the kernel dropped those that no rule needs before anybody could count
them. Of {read:,} that it let through {dropped:,} were dropped unread."""
SEEN = 0.008
"""The shortest bar that can be seen, as a share of the whole: something left is never drawn as nothing."""


def write_page(path: Path, run: Run, drive: Drive) -> None:
    """Writes the page of a run whose truth was `drive`; the folder is made if it is not there."""
    journey = Journey.of(drive, float(run.summary["duration_s"]))
    body = [_head(run), where(run, journey), when(run, journey), *what(run), _end(run, drive)]
    meta = Markup(
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    head = element("head", meta, element("title", "What left the car"), element("style", Markup(STYLE)))
    page = element("html", head, element("body", strips.patterns(), *body), lang="en")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<!DOCTYPE html>\n{page}\n", encoding="utf-8")


def _to_whom(run: Run) -> dict[str, tuple[int, int]]:
    """Each recipient's values and messages."""
    got: dict[str, tuple[int, int]] = {}
    for name, lines in telling.streams(run).items():
        who = telling.recipients(run, name)
        values, messages = got.get(who, (0, 0))
        got[who] = values + len(lines), messages + run.summary["streams"][name]["messages"]
    return got


def _head(run: Run) -> Markup:
    """The run in a sentence and in three numbers."""
    read, values = run.summary["frames_read"], counted(run.summary["samples"], "value")
    to = listed([f"{count} to {who}" for who, (count, _) in _to_whom(run).items()])
    beside = telling.beside(run.summary.get("notes", ()))
    left = f"{values} left the car: {to}." if to else "No service got anything." if beside else "Nothing left the car."
    left += f" {beside}" if beside else ""
    dropped = read - run.summary["frames_delivered"]
    lead = FILTERED if run.summary.get("kernel_filters") else SEEN_ALL
    spoke, quiet, withheld = telling.kinds(run)
    of = f"{spoke + quiet + withheld} kinds of message were decided about: {spoke} left, {quiet} allowed that did not leave, "
    of += f"{withheld} withheld."
    parts = [
        element("h1", "What left the car, and what did not"),
        element("p", f"{lead.format(read=read, dropped=dropped)} {left}", class_="lead"),
        element("p", of),
        _three(run),
    ]
    return element("header", *parts, element("p", NOTE, class_="note"))


def _three(run: Run) -> Markup:
    """Known, taken, left; each with a bar, so long as its share of the frames."""
    said, read = run.summary, run.summary["frames_read"]
    signals = sum(len(message.signals) for message in load_database().messages)
    more = "frames and more" if said.get("kernel_filters") else "frames"
    knew = f"{more} in {clock(said['duration_s'])} minutes, with {signals} signals, and {counted(said['fixes_read'], 'exact position')}"
    took = f"frames, for {counted(said['readings'], 'reading')} in its memory, to be made coarser or forgotten"
    left = f"values in {counted(said['messages'], 'sealed message')}, {said['bytes_wire']:,} bytes"
    cards = [
        _card("The car knew", read, knew, 1.0),
        _card("The agent looked at", said["frames_delivered"], took, said["frames_delivered"] / max(read, 1)),
        _card("Left the car", said["samples"], left, said["messages"] / max(read, 1)),
    ]
    return element("div", *cards, class_="three")


def _card(title: str, number: int, text: str, share: float) -> Markup:
    said = element("title", f"{100 * share:.1f} percent of the frames")
    long = max(share, SEEN) if share else 0.0
    bars = [element("rect", width=f"{100 * part:.2f}%", height=8, class_=name) for part, name in ((1.0, "fillall"), (long, "fillleft"))]
    bar = element("svg", said, *bars, width="100%", height=8, role="img")
    return element("div", title, element("b", f"{number:,}"), bar, element("p", text))


def _end(run: Run, drive: Drive) -> Markup:
    """Who could open what, and how to play the run again."""
    got = _to_whom(run).items()
    opened = listed([f"{who} could open {counted(messages, 'message')} with {counted(count, 'value')}" for who, (count, messages) in got])
    said = [f"{opened}." if opened else "No recipient got anything to open."]
    if "opened_by_others" in run.summary:
        others, nobody = run.summary["opened_by_others"], run.summary["not_opened"]
        said.append(f"Each message was tried with the key of every other recipient: {others or 'none'} could be opened by another.")
        said.append(f"Messages that nobody could open: {nobody or 'none'}.")
    else:
        said.append("Whether one recipient could open what another got was not tried in this run.")
    played = (f"Scenario: {drive.scenario.title}", f"seed: {drive.seed}", f"plan: {run.chronicle.plan_id}")
    again = f"{'; '.join(played)}; {clock(run.summary['duration_s'])} minutes."
    notes = [element("p", note, class_="soft") for note in run.summary["notes"] if not note.startswith(DONE)]
    return element("footer", element("h2", "Who could read it"), element("p", " ".join(said)), element("p", again, class_="soft"), *notes)
