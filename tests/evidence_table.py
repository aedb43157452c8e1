"""The table requirement -> tests -> last result: what `make evidence` prints.

Reads requirements.toml beside it and `.evidence/results.json`, which a test run wrote. A row is shown only by a test that passed as
written and failed under its control; without such a test it stands as open. Where a test is known not to hold, the row is shown
in part at most. Never runs a test itself.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ".evidence/results.json"
ROWS = Path(__file__).with_name("requirements.toml")
ORDER = ("passed", "skipped", "unheld", "failed")
"""`unheld`: the test is known to fail (xfail), its promise is not kept."""
STATES = ("shown", "in part", "failing", "skipped", "open", "exempt")


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement. `exempt`: why no device can show it; `same_as`: the rows that show it."""

    title: str
    exempt: str = ""
    same_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run of a marked test did. `saw`: the exception by which a control made it fail, or why it is known not to hold."""

    ids: list[str]
    run: str
    outcome: str
    saw: str = ""


@dataclass(slots=True)
class Evidence:
    """What is known of one row. `state`: one of STATES."""

    title: str
    state: str = "open"
    tests: dict[str, str] = field(default_factory=dict)
    note: str = ""


@functools.cache
def rows() -> Mapping[str, Row]:
    """Every row by its id, in the order of the file."""
    data = tomllib.loads(ROWS.read_text(encoding="utf-8"))
    return {name: Row(**{**row, "same_as": tuple(row.get("same_as", ()))}) for name, row in data.items()}


def worst(*outcomes: str) -> str:
    """The outcome that counts where one test had several."""
    return max(outcomes, key=ORDER.index)


def load(path: Path) -> dict[str, Result]:
    """The last results by node id; none where no run has written any, or where they cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {nodeid: Result(**result) for nodeid, result in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def store(path: Path, results: Mapping[str, Result]) -> None:
    """Writes the results whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({nodeid: asdict(results[nodeid]) for nodeid in sorted(results)}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def _outcome(runs: Sequence[Result]) -> str:
    """One test's outcome from its plain and control runs: passed only where both sides have passed."""
    for known in ("failed", "unheld"):
        if any(run.outcome == known for run in runs):
            return known
    sides = {run.run for run in runs if run.outcome == "passed"}
    return "passed" if sides == {"plain", "control"} else "skipped"


def _state(outcomes: Sequence[str]) -> str:
    if "failed" in outcomes:
        return "failing"
    if "passed" in outcomes:
        return "in part" if "unheld" in outcomes else "shown"
    return "open" if "unheld" in outcomes or not outcomes else "skipped"


def evidence(results: Mapping[str, Result]) -> dict[str, Evidence]:
    """Every row with its tests and its state."""
    by_row: dict[str, dict[str, list[Result]]] = {name: {} for name in rows()}
    for nodeid, result in results.items():
        for name in result.ids:
            by_row.get(name, {}).setdefault(nodeid.partition("[")[0], []).append(result)
    found = {}
    for name, row in rows().items():
        tests = {test: _outcome(runs) for test, runs in sorted(by_row[name].items())}
        found[name] = Evidence(row.title, _state(list(tests.values())), tests)
    for name, row in rows().items():
        if row.exempt and found[name].state == "open":
            found[name].state, found[name].note = "exempt", f"not applicable to the device: {row.exempt}"
        if row.same_as:
            states = {found[other].state for other in row.same_as}
            found[name].state = next((one for one in ("failing", "open", "skipped", "in part", "exempt") if one in states), "shown")
            found[name].note = "see " + " ".join(row.same_as)
    return found


def closing_line(results: Mapping[str, Result]) -> str:
    """One line for the end of a test run."""
    states = Counter(row.state for name, row in evidence(results).items() if name.startswith("R"))
    counts = ", ".join(f"{states[state]} {state}" for state in STATES)
    return f"requirements: {counts} (make evidence)"


def unheld(results: Mapping[str, Result]) -> list[str]:
    """What is known not to hold: the test and its reason, once."""
    return sorted(f"{nodeid}: {one.saw}" for nodeid, one in results.items() if (one.outcome, one.run) == ("unheld", "plain"))


def text(results: Mapping[str, Result]) -> str:
    """The table for people."""
    lines = []
    for name, row in evidence(results).items():
        lines.append(f"{name}  {row.state:8}{row.title}{f'  ({row.note})' if row.note else ''}")
        lines += [f"{'':15}{outcome:8}{test}" for test, outcome in row.tests.items()]
    if results:
        lines += ["", *(f"does not hold: {known}" for known in unheld(results)), closing_line(results)]
    else:
        lines += ["", "No results yet: run make test first."]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Prints the table. Returns 0, also where rows are open: the table is a report, not a check."""
    parser = argparse.ArgumentParser(prog="make evidence", description="Requirements, the tests that show them, their last result.")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--results", type=Path, default=ROOT / RESULTS, help="another results file")
    options = parser.parse_args(arguments)
    results = load(options.results)
    if options.json:
        found = {name: asdict(row) for name, row in evidence(results).items()}
        sys.stdout.write(json.dumps({"rows": found, "unheld": unheld(results)}, indent=1, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(text(results) + "\n")
    return 0
