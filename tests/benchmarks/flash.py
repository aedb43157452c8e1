"""What a power cut costs against what the flash is given: an hour's writes of the bench car's drive, for ever longer windows in RAM.

In the guest, whose disk is its own and nobody else's: GUEST=1, and a guest that is built. Ten minutes are simulated for each row.
"""

from __future__ import annotations

import json
import tempfile
from argparse import Namespace
from pathlib import Path

from tests.benchmarks.measure import table
from tests.support.guest import run_in_guest

STORY_S_MAX = 1800.0


def main(_options: Namespace) -> None:
    """Prints a row for the shipped catalogue, and one for each window of a catalogue that asks for much."""
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-") as name:
        run_in_guest("tests/guest/flash.sh", Path(name), STORY_S_MAX)
        told = [json.loads(line) for line in (Path(name) / "flash.jsonl").read_text(encoding="utf-8").splitlines()]
    heads = ("", "a cut costs, s", "at worst", "commits/h", "records/h", "sealed MiB/h", "flash MiB/h")
    rows = [
        [
            one["name"],
            f"{one['mean_s']:.1f}",
            f"{one['worst_s']:.1f}",
            f"{one['commits_h']:,.0f}",
            f"{one['records_h']:,.0f}",
            f"{one['sealed_mib_h']:.2f}",
            f"{one['flash_mib_h']:.1f}",
        ]
        for one in told
    ]
    table("Seconds of data in RAM alone, and what the disk is given", heads, rows)
