"""agent.cli.bench.page: one file with pictures of what left, for somebody who has never seen the project."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agent.cli.bench.chronicle import Chronicle, Document
from agent.cli.bench.telling import Run
from agent.vss import LOCATION
from hw.bench.truth import Drive
from tests.support.told import PLACE, Parsed, page_of, parsed, place, plan, played, refusal, told

EVIL = '<script src="http://evil.example/x.js">&"\''


def by_hand(scenario: str = "parking") -> tuple[Run, Drive]:
    """Two trips with reports, or a drive of which nothing left."""
    drive = Drive.load(scenario)
    lines = [line for n, t_s in enumerate((60, 120, 450), 1) for line in place(t_s, drive, n)]
    if scenario == "parking":
        return told(lines, drive.seconds, (0, plan("1", PLACE))), drive
    return told([], drive.seconds, (0, plan("1", refused=[refusal(LOCATION)]))), drive


def hostile(run: Run) -> Run:
    """Every text that comes from a file or from a message is one that would break out."""
    services = {
        name: msgspec.structs.replace(file, streams=tuple(msgspec.structs.replace(stream, title=EVIL) for stream in file.streams))
        for name, file in run.catalogue.services.items()
    }
    left: dict[tuple[str, str], list[Document]] = {
        key: [{**rule, "because": EVIL, "recipient": EVIL} for rule in rules] for key, rules in run.chronicle.left.items()
    }
    was = run.chronicle
    return Run(
        lines=[{**line, "vin": EVIL, "value": line["value"] if isinstance(line["value"], int | float) else EVIL} for line in run.lines],
        summary={**run.summary, "notes": [EVIL, f"at 1 s: {EVIL}"]},
        chronicle=Chronicle(plans=was.plans, since_s=was.since_s, left=left, lived=was.lived),
        catalogue=msgspec.structs.replace(run.catalogue, services=services),
        start_ns=run.start_ns,
    )


@pytest.mark.parametrize("scenario", ["parking", "drive"])
def test_it_is_html_and_each_tag_is_closed(tmp_path: Path, scenario: str) -> None:
    """As the standard library's parser reads it."""
    page = parsed(*by_hand(scenario), tmp_path)
    assert (page.open, page.broken) == ([], [])
    assert [tag for tag, _ in page.elements][:2] == ["html", "head"]


def test_it_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    """No address, no script, nothing to fetch; and it tells the browser to fetch nothing."""
    text = page_of(*played("drive", 120), tmp_path)
    page = Parsed(text)
    assert [what for what in ("http://", "https://", "<script", "src=", "@import", "javascript:", "href=") if what in text.lower()] == []
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#trim", "#parked", "#barred"}
    assert [name for _, attributes in page.elements for name in attributes if name.startswith("on")] == []
    assert "default-src 'none'" in str([attributes.get("content") for tag, attributes in page.elements if tag == "meta"])


def test_hostile_texts_are_escaped(tmp_path: Path) -> None:
    """Titles, values, recipients, reasons of rules, notes and the scenario's name stay texts."""
    run, drive = played("drive", 120)
    text = page_of(hostile(run), Drive(msgspec.structs.replace(drive.scenario, title=EVIL), drive.seed), tmp_path)
    page = Parsed(text)
    assert "<script" not in text
    assert (page.open, page.broken) == ([], [])
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(EVIL) > 20


def test_the_head_is_the_run_in_a_sentence_and_three_numbers(tmp_path: Path) -> None:
    """Frames on the bus, frames taken, values that left and to whom; and whose page it is."""
    run, drive = played("drive", 120)
    text = parsed(run, drive, tmp_path).text
    read, taken = run.summary["frames_read"], run.summary["frames_delivered"]
    assert f"Of {read:,} frames, the messages on the car's own network, {read - taken:,} were dropped unread." in text
    to = Counter(run.chronicle.rules_of(f"{line['service']}.{line['stream']}")[0]["recipient"] for line in run.lines)
    said = ", ".join(f"{to[name]} to {name}" for name in ("operations", "traffic"))
    assert f"{len(run.lines)} values left the car: {said} and {to['teleservices']} to teleservices." in text
    assert "15 kinds of message were decided about: 3 left, 11 allowed that did not leave, 1 withheld." in text
    assert [f"{number:,}" in text for number in (read, taken, len(run.lines))] == [True] * 3
    assert "This page is the recipients' side" in text


def test_what_the_kernel_dropped_is_not_called_nothing(tmp_path: Path) -> None:
    """On SocketCAN nobody counts it: the page says so where it says how much was dropped, and beside what the car knew."""
    run, drive = by_hand()
    text = parsed(replace(run, summary={**run.summary, "kernel_filters": True}), drive, tmp_path).text
    assert "the kernel dropped those that no rule needs before anybody could count them." in text
    assert "frames and more in" in text
    assert "kernel" not in parsed(run, drive, tmp_path).text


def test_what_left_has_a_bar_that_can_be_seen(tmp_path: Path) -> None:
    """However little it is against the frames; where nothing left there is none."""
    widths = [[one["width"] for one in parsed(*by_hand(name), tmp_path).of_class("fillleft")] for name in ("parking", "drive")]
    assert widths[0] == ["100.00%", "1.00%", "0.80%"]
    assert widths[1][2] == "0.00%"


def test_a_run_in_which_nothing_left_says_so(tmp_path: Path) -> None:
    """In its first sentence, in its map and in its last part."""
    text = parsed(*by_hand("drive"), tmp_path).text
    assert "Nothing left the car." in text
    assert "No position left the car" in text
    assert "No recipient got anything to open." in text


def test_who_else_could_open_is_said_only_where_it_was_tried(tmp_path: Path) -> None:
    """The virtual clock has no other recipient at hand."""
    run, drive = by_hand()
    assert "was not tried in this run" in parsed(run, drive, tmp_path).text
    live = replace(run, summary={**run.summary, "opened_by_others": 0, "not_opened": 2})
    text = parsed(live, drive, tmp_path).text
    assert "tried with the key of every other recipient: none could be opened by another" in text
    assert "Messages that nobody could open: 2." in text
    assert "traffic could open 3 messages with 6 values" in text


def test_seed_scenario_and_plan_are_named(tmp_path: Path) -> None:
    """So that the run can be played again."""
    run, drive = by_hand()
    assert f"Scenario: {drive.scenario.title}; seed: 0; plan: 1; 10:40 minutes." in parsed(run, drive, tmp_path).text


def test_pictures_have_words(tmp_path: Path) -> None:
    """Whoever cannot see them hears what they show."""
    pictures = re.findall(r"<svg[^>]*role=\"img\"[^>]*>(.{7})", page_of(*by_hand(), tmp_path))
    assert len(pictures) > 5
    assert set(pictures) == {"<title>"}
