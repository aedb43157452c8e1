"""Power cuts: the guest is killed at random moments, its disk kept, again and again.

    python -m tests.guest.cuts --cuts 200 [--seed N] [--off]

A life begins with the disk that the last cut left. Core runs in the product's own unit, with its user and its sandbox. What it said to
be durable and the host had read before the cut (cut_core.py) must lie there when the database is opened again, unless core has deleted it
since. A quarter of the cuts come while core starts.
`--off`: the databases are opened with synchronous = OFF; then there must be losses, or nothing is shown by their absence.
The host's kernel keeps what the guest's had written to its disk: this is a disk without a volatile cache, as honest ones behave.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hw.bench.car import Car
from hw.bench.truth import Drive
from tests.benchmarks import traffic
from tests.guest.cut_core import OFF
from tests.sources import ROOT
from tests.support.guest import guest_line
from tests.support.virtual import scenario_file

UP = "modicum.core: running:"
CUT = 137
SET_ASIDE = "buffer-set-aside"
"""Core's log says its findings by their code."""
FIRST_S, LAST_S = 4, 2
"""How long the lives last that nobody cuts, once core listens; the device is made in the first one."""
START_S, RUN_S = (0.3, 6.0), (0.0, 4.0)
"""When a cut comes: after the power came on and core began to start, or after core was up."""
STARTING = 0.25
"""The part of the cuts that come while it starts."""
LIFE_S_MAX = 240.0
"""From the power on; making the device takes a minute where the host is busy."""
FSCK = Path("/sbin/e2fsck")
WHOLE = re.compile(r"[\d,-]*")


@dataclass(slots=True)
class Tally:
    """What the cuts have shown. `ended`: lives that did not come up, ended by themselves, or in which systemd had to start core anew."""

    cuts: int = 0
    durable: int = 0
    lost: int = 0
    twice: int = 0
    set_aside: int = 0
    ended: int = 0
    held: set[int] = field(default_factory=set)
    """What must lie on the disk now."""
    _highest: int = 0

    def hear(self, said: str) -> None:
        """One life, as far as the host has read it."""
        self.ended += said.count("opened ") > 1
        for line in said.splitlines():
            word, _, rest = line.partition(" ")
            if not WHOLE.fullmatch(rest):
                pass  # another word, or one that the cut came into
            elif word == "opened":
                lies = set(numbers(rest))
                self.lost += len(self.held - lies)
                self.held = lies
            elif word == "durable":
                self._stored(list(numbers(rest)))
            elif word == "going":
                self.held -= set(numbers(rest))
            self.set_aside += SET_ASIDE in line

    def _stored(self, ns: list[int]) -> None:
        self.durable += len(ns)
        self.twice += sum(n <= self._highest for n in ns)
        self._highest = max(self._highest, *ns)
        self.held |= set(ns)

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts, {self.durable} records said to be durable: {self.lost} lost, {self.twice} numbers used twice, "
            f"{self.set_aside} databases set aside, {self.ended} lives that did not come up"
        )


def numbers(text: str) -> Iterator[int]:
    """`1-3,7`"""
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        yield from range(int(first), int(last or first) + 1)


class Device:
    """A device whose power comes and goes."""

    def __init__(self, folder: Path, *, off: bool) -> None:
        self.disk, self.scratch, self._off = folder / "disk.img", folder / "scratch", off
        self.scratch.mkdir()
        start_ns = traffic.START_NS
        frames = Car(Drive.load(str(scenario_file("outing")), 7), start_ns).frames(start_ns, start_ns + 40 * 10**9)
        # From the sixth second on: its speed changes from then on, and each change is a record.
        traffic.candump((frame for frame in frames if frame.t_ns >= start_ns + 6 * 10**9), self.scratch / "drive.log")

    def live(self, seconds: float, *cut: str) -> tuple[int, str]:
        """One life: how it ended, and what the host has read of it."""
        guest = guest_line("--timeout", str(LIFE_S_MAX), "--disk", str(self.disk), *cut)
        story = ["bash", "-eu", "tests/guest/cuts.sh", sysconfig.get_path("platlib"), OFF if self._off else "", str(seconds)]
        line = [*guest, "--share", str(ROOT), "--scratch", str(self.scratch), "--", *story]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as machine:
            try:
                said, _ = machine.communicate(timeout=LIFE_S_MAX + 30)
            except BaseException:
                os.killpg(machine.pid, signal.SIGTERM)  # it ends the machine and its own children
                raise
        return machine.returncode, said

    def checked(self) -> str:
        """What the check of the file system says, on the host; empty where it found nothing."""
        found = subprocess.run([FSCK, "-fn", self.disk], capture_output=True, text=True, check=False) if FSCK.exists() else None
        return "" if found is None or found.returncode == 0 else found.stdout


def cut_again_and_again(folder: Path, cuts: int, seed: int, *, off: bool = False) -> Tally:
    """So many cuts of one device, whose files lie in `folder`."""
    device, tally, moments = Device(folder, off=off), Tally(), random.Random(seed)
    _whole(device, tally, FIRST_S)
    for number in range(1, cuts + 1):
        starting = moments.random() < STARTING
        after_s = f"{moments.uniform(*(START_S if starting else RUN_S)):.2f}"
        status, said = device.live(LIFE_S_MAX, *([] if starting else ["--cut-on", UP]), "--cut-after", after_s)
        tally.cuts += 1
        tally.hear(said)
        if status != CUT:
            tally.ended += 1
            print(f"cut {number}: the life ended with {status}\n{said[-2000:]}", file=sys.stderr)
            if off:  # its disk is no good any more; with what is promised, that would be the finding
                device.disk.unlink()
                tally.held.clear()
                _whole(device, tally, FIRST_S)
        if number % 10 == 0 or tally.lost or tally.ended:
            print(f"{number}: {tally}", flush=True)
    _whole(device, tally, LAST_S)
    if wrong := device.checked():
        print(f"the file system: {wrong}", file=sys.stderr)
        tally.ended += 1
    return tally


def _whole(device: Device, tally: Tally, seconds: float) -> None:
    """A life that nobody cuts; it has to come up."""
    status, said = device.live(seconds)
    tally.hear(said)
    if status != 0 or UP not in said:
        tally.ended += 1
        print(f"a life without a cut ended with {status}\n{said[-2000:]}", file=sys.stderr)


def main() -> int:
    """0: nothing was lost and it always came up; 1: else. With --off the other way round."""
    parser = argparse.ArgumentParser(prog="tests.guest.cuts", description="Kills the guest at random moments, and looks what is left.")
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="default: another each time")
    parser.add_argument(OFF, action="store_true", help="the control: databases that do not wait for the disk")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="modicum-cuts-") as folder:
        tally = cut_again_and_again(Path(folder), options.cuts, options.seed, off=options.off)
    print(tally)
    harmed = bool(tally.lost or tally.twice or tally.set_aside or tally.ended)
    return int(harmed != options.off)


if __name__ == "__main__":
    sys.exit(main())
