"""agent.cli.bench.report: what a person reads at the end of a run."""

from __future__ import annotations

from typing import Any

from agent.cli.bench.report import closing, pulse_line

RULE: dict[str, Any] = {
    "service": "a",
    "stream": "x",
    "recipient": "someone",
    "because": "anna granted it",
    "triggers": ["periodic"],
    "while": "any",
}
RULE |= {"signal": "Vehicle.Speed", "transforms": [{"round_to": 10}], "every_s": 604_800}
SILENT = RULE | {"stream": "y", "triggers": ["periodic", "event:rain"], "while": "driving"}
LINE = {"service": "a", "stream": "x", "identity": "none", "signal": "Vehicle.Speed", "value": 50, "unit": "km/h"}
SUMMARY = {"frames_read": 9, "frames_delivered": 2, "samples": 2, "messages": 1, "bytes_wire": 300, "opened_by_others": 0, "not_opened": 0}


def report(lines: list[dict[str, Any]], refused: list[dict[str, str]]) -> str:
    return closing(lines, {"rules": [RULE, SILENT], "refused": refused}, SUMMARY)


def test_what_left_names_recipient_identity_and_reason() -> None:
    """Who got it, under which name, because of what, how often and the last value."""
    text = report([LINE, LINE | {"value": 60}], [])
    assert "a.x -> someone, without identity: 2 samples" in text
    assert "because anna granted it" in text
    assert "2 x   last 60 km/h (round_to 10)" in text


def test_what_was_withheld_is_said_in_words() -> None:
    """A reason code alone helps nobody."""
    text = report([], [{"service": "b", "stream": "z", "signal": "Vehicle.Speed", "reason": "no_package"}])
    assert "b.z: 1 signal: the owner's package does not contain this service" in text
    assert "WHAT LEFT THE CAR\n  nothing" in text


def test_an_allowed_stream_that_did_not_speak_is_said() -> None:
    """Neither sent nor withheld would look like a gap."""
    assert "a.y: periodic each 7 d, event:rain, while driving" in report([LINE], [])


def test_a_running_line_fits_where_nothing_is_known_yet() -> None:
    """The first moment has no status."""
    assert "frames on the bus      0" in pulse_line(0.2, 120, {}, 0)
