"""What reaches the agent of a full bus, in a guest with SocketCAN: the kernel's gate beside an id filter and python-can's raw bus.

60 identifiers at 1,000 frames/s, the bench car's plan with everything granted and with nothing. CPU seconds are the receiver's
own; the guest's system calls are some 50 times dearer than a computer's, so read the ratios.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import table, times
from tests.guest.machine.boot import is_built
from tests.support.sixty import FRAMES_PER_S, IDS, played

SECONDS = 30.0
GATE = "gate"
RECEIVERS = {GATE: "the kernel's gate, as core has it", "id filter": "python-can, exact identifiers", "raw": "python-can, every frame"}


def main(_options: Namespace) -> None:
    """Takes about four minutes, most of it sending."""
    if not is_built():
        print("\nkernel: left out, there is no guest: run tests/guest/machine/build once, as root")
        return
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-") as name:
        found = played(Path(name), list(RECEIVERS), SECONDS)
    sent = found.pop("sent")
    print(f"\n{sent['frames']} frames of {sent['ids']} identifiers in {SECONDS:g} s ({FRAMES_PER_S}/s, {IDS})")
    for decision, receivers in found.items():
        _print(decision, receivers, sent["frames"])


def _print(decision: str, receivers: dict[str, dict[str, Any]], sent: int) -> None:
    rows = []
    for name, one in receivers.items():
        share = f"1/{sent / one['delivered']:.0f}" if one["delivered"] else "-"
        ratio = times(max(receivers[GATE]["cpu_s"], 0.01), one["cpu_s"])
        rows.append([RECEIVERS[name], str(one["delivered"]), share, str(one["dropped"]), f"{one['cpu_s']:.2f}", ratio])
    table(f"With {decision}", ("", "frames delivered", "of those sent", "dropped", "CPU s", "it : gate"), rows)
