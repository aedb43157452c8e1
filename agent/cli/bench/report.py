"""What the bench says: a line now and then while it runs, and at the end what left the car, what did not, and why.

Written for somebody who sees this project for the first time. What recipients opened is counted in values, envelopes in messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.cli.bench import telling
from agent.cli.bench.telling import Run
from agent.cli.streams import Entry
from agent.cli.words import HALVES, counted, signal_names, wrapped

LEGEND = (
    "each line: frames on the car's bus -> taken by the agent; samples that it made; sealed messages that wait (what open windows "
    "still collect is not in them) and that were sent; values that recipients opened (a position is one sample and two values)"
)


def opening(folder: str, lines: Iterable[str], *, viewed: bool = False) -> str:
    """What was set up; `viewed`: no pulse line follows that would have to be explained."""
    legend = [] if viewed else wrapped(LEGEND, 0)
    return "\n".join([f"bench in {folder}, removed at the end (--out DIR keeps the results)", *lines, *legend])


def pulse_line(elapsed_s: float, seconds: float, status: Mapping[str, Any], lines: Sequence[Entry]) -> str:
    """One line of a run in progress."""
    bus = status["buses"][0] if status.get("buses") else {"read": 0, "delivered": 0}
    waiting = sum(row["rows"] for row in status.get("buffer", {}).values())
    samples = sum(line["signal"] != HALVES[1] for line in lines)
    return (
        f"{elapsed_s:4.0f}/{seconds:.0f} s  frames {bus['read']:>6,} -> {bus['delivered']:<5,} samples {status.get('samples', 0):<4}"
        f" waiting {waiting:<3} sent {status.get('acknowledged', 0):<4} opened {len(lines)} values = {samples} samples"
    )


def closing(run: Run) -> str:
    """The end report."""
    parts = (_left(run), _silent(run), _withheld(run), _happened(run.summary), _called(run.summary), _numbers(run.summary))
    return "\n".join("\n".join(part) + "\n" for part in parts if part).rstrip("\n")


def _happened(summary: Entry) -> list[str]:
    """What somebody in the car did, and what came of it."""
    notes = telling.done(summary)
    return ["WHAT SOMEBODY IN THE CAR DID", *(row for note in notes for row in wrapped(note, 2, 4))] if notes else []


def _called(summary: Entry) -> list[str]:
    """The emergency call, where there was one."""
    notes = telling.called(summary.get("notes", ()))
    return ["THE EMERGENCY CALL", *(row for note in notes for row in wrapped(note, 2, 4))] if notes else []


def _left(run: Run) -> list[str]:
    """What each recipient opened."""
    rows = [row for name, lines in telling.streams(run).items() for row in _stream(run, name, lines)]
    return ["WHAT LEFT THE CAR", *(rows or ["  nothing"])]


def _stream(run: Run, name: str, lines: Sequence[Entry]) -> list[str]:
    """One stream: a sentence, how much and why, the VIN where it left, and each signal before and after."""
    rows = wrapped(f"{run.title(name)} ({name})", 2, 4)
    rows += wrapped(f"to {telling.recipients(run, name)}, {telling.amount(run, name, lines)}", 4)
    rows += wrapped(f"because {telling.because(run, name)}", 4)
    vins = telling.vins(lines)
    rows += [f"    the VIN: {vins}, in each message"] if vins else []
    for piece in telling.pieces(run, name, lines):
        way = f"{piece.before} -> {piece.after}" if piece.after else piece.before
        last = f"; last {piece.last}" if piece.last else ""
        rows += wrapped(f"{signal_names(piece.signals)}: {way}, {piece.often}{last}", 4)
    return rows


def _silent(run: Run) -> list[str]:
    """Streams that are allowed and did not speak: nothing triggered them, or their position was too near to a start or an end."""
    rows = [row for name, waits in telling.waiting(run) for row in wrapped(f"{run.title(name)} ({name}): {waits}", 2, 4)]
    return ["WHAT WAS ALLOWED, AND DID NOT LEAVE", *(rows or ["  nothing"])]


def _withheld(run: Run) -> list[str]:
    """Every signal that was refused, by stream, with the reason in words."""
    rows = []
    for name, signals, why in telling.kept_back(run):
        rows += [*wrapped(f"{run.title(name)} ({name})", 2, 4), *wrapped(f"{signal_names(signals)}: {why}", 4)]
    return ["WHAT WAS WITHHELD, AND WHY", *(rows or ["  nothing: everything that a service could ask for is allowed"])]


def _numbers(summary: Mapping[str, Any]) -> list[str]:
    """Totals; the last line is the whole run in one sentence."""
    values, read = counted(summary["samples"], "value"), summary["frames_read"]
    rows = [f"{values} in {counted(summary['messages'], 'sealed message')}, {summary['bytes_wire']:,} bytes on the wire."]
    if "opened_by_others" in summary:
        rows.append(
            f"Messages that another recipient could open: {summary['opened_by_others']}; that nobody could: {summary['not_opened']}."
        )
    rows += _unsent(summary)
    dropped = read - summary["frames_delivered"]
    seen = "that the kernel let through" if summary.get("kernel_filters") else "on the car's bus"
    beside = telling.beside(summary.get("notes", ()))
    return [
        *rows,
        f"Of {read:,} frames {seen} the agent dropped {dropped:,} unread; {values} left.",
        *(wrapped(beside, 0) if beside else ()),
    ]


def _unsent(summary: Mapping[str, Any]) -> list[str]:
    """What was collected and reached nobody, where a live agent has counted it."""
    lost = summary.get("samples_made", 0) - summary.get("samples_left", 0)
    why = "they waited for their window or for the link when the run ended, or a withdrawal destroyed them"
    return wrapped(f"Collected and not sent: {counted(lost, 'sample')}; {why}.", 0) if lost > 0 else []
