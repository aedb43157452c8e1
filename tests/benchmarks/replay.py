"""Ten minutes of a busy bus through the whole pipeline in a fresh process, and through the plainest logger in another."""

from __future__ import annotations

import gzip
import json
import tempfile
from argparse import Namespace
from pathlib import Path

from tests.benchmarks.measure import Ran, run, table, times
from tests.sources import ROOT

VEHICLE = ROOT / "config" / "vehicles" / "bench"
GOAL_S, GOAL_MIB, GOAL_MINUTES = 30.0, 128.0, 10.0
PEERS = {"strangers": {"plain logger": ".jsonl", "the same, gzip": ".jsonl.gz"}, "known": {"plain logger": ".jsonl"}}
KINDS = {"strangers": "four fifths of the frames in no DBC", "known": "every frame in the DBC"}


def main(options: Namespace) -> None:
    """Prints the tables. The goals are for ten minutes; a shorter log is held to its share."""
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-") as name:
        folder = Path(name)
        seconds = float(options.seconds)
        run("-m", "tests.benchmarks.traffic", name, str(seconds))
        for kind, what in KINDS.items():
            _compare(folder, kind, f"{seconds:g} s at 2,000 frames/s, {what}")
    print(f"\n  goals for ten minutes: wall <= {GOAL_S:g} s, peak <= {GOAL_MIB:g} MiB")


def _compare(folder: Path, kind: str, title: str) -> None:
    log, out = folder / f"{kind}.log", folder / kind
    ours = run(*_replay(log, folder / "receiver.nmea", out))
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    frames = summary["frames_read"]
    rows = [_row("modicum replay", ours, ours, frames, summary["samples"], summary["bytes_sealed"])]
    for name, suffix in PEERS[kind].items():
        written = folder / f"{kind}{suffix}"
        theirs = run("-m", "tests.benchmarks.peer", str(log), str(VEHICLE / "bench.dbc"), str(written))
        rows.append(_row(name, theirs, ours, frames, int(theirs.said.split()[-1]), written.stat().st_size))
        written.unlink()
    heads = ("", "wall s", "CPU s", ": ours", "us/frame", "peak MiB", ": ours", "samples", "bytes", "bytes/sample")
    table(title, heads, rows)
    _same_samples(out, summary)


def _replay(log: Path, nmea: Path, out: Path) -> list[str]:
    options = {"--vehicle": VEHICLE, "--nmea": nmea, "--package": "navigation_plus", "--consent": "all", "--out": out}
    return ["-m", "agent.cli.main", "replay", str(log), *(str(word) for pair in options.items() for word in pair)]


def _row(name: str, one: Ran, ours: Ran, frames: int, samples: int, size: int) -> list[str]:
    speed = [f"{one.wall_s:.1f}", f"{one.cpu_s:.1f}", times(ours.cpu_s, one.cpu_s), f"{one.cpu_s / frames * 1e6:.2f}"]
    memory = [f"{one.peak_mib:.1f}", times(ours.peak_mib, one.peak_mib)]
    return [name, *speed, *memory, f"{samples:,}", f"{size:,}", f"{size / samples:.1f}"]


def _same_samples(out: Path, summary: dict[str, int]) -> None:
    """What the few samples of ours cost, next to the same few without any protection."""
    lines = [json.loads(line) for line in (out / "received.jsonl").read_text(encoding="utf-8").splitlines()]
    plain = "".join(json.dumps({key: line[key] for key in ("t", "signal", "value")}) + "\n" for line in lines).encode()
    forms = {
        "sealed envelopes": summary["bytes_sealed"],
        "MQTT packets": summary["bytes_wire"],
        "JSON lines, open, without sender": len(plain),
        "the same, gzip in one piece": len(gzip.compress(plain)),
    }
    print(f"  the same {len(lines)} samples in {summary['messages']} messages, bytes a sample:")
    print("   " + ";".join(f" {name} {size / len(lines):.1f}" for name, size in forms.items()))
