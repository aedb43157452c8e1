"""`python -m tests.benchmarks [NAME ...]`: the benchmarks, one after the other; none asserts a speed.

Every figure stands beside a peer that was measured in the same run: machines differ and this one changes its mind, ratios less so.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import tempfile

from tests.benchmarks.measure import run

NAMES = ("replay", "density", "stages", "live", "crash")
IN_GUEST = ("flash", "kernel")
"""Run where the guest is asked for by GUEST=1, or by their names."""
DAEMONS = ("agent.daemons.core", "agent.daemons.ecall", "agent.daemons.uplink")
PROGRAMS = ("agent.cli.replay", *DAEMONS, "tests.benchmarks.peer", "tests.benchmarks.traffic")


def main() -> None:
    """Runs the named ones, or all."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description="What modicum costs, next to the plainest way of doing it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*NAMES, *IN_GUEST))}; default all")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the log of `replay`")
    parser.add_argument("--crashes", type=int, default=100, help="how many `crash` makes, three times; 1,000 take 20 minutes")
    options = parser.parse_args()
    unknown = set(options.names) - {*NAMES, *IN_GUEST}
    if unknown:
        parser.error(f"no benchmark {min(unknown)}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"CPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, load {load} before the run")
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-pyc-") as bytecode:
        # A device starts from compiled modules, whatever this shell says; and nothing is written beside the source.
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        run("-c", f"import {', '.join(PROGRAMS)}")
        usual = (*NAMES, *IN_GUEST) if os.environ.get("GUEST") == "1" else NAMES
        for name in options.names or usual:
            importlib.import_module(f"tests.benchmarks.{name}").main(options)


if __name__ == "__main__":
    main()
