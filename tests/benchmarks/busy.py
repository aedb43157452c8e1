"""A bus as full as it can be: the bench's car and noise beside it, but for the airbags' frames, which somebody else sends.

python -m tests.benchmarks.busy INTERFACE CHANNEL PORT    until SIGTERM, port 0: none
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from hw.bench.car import FRAMES_PER_S_MAX, Car, open_bus, send_paced
from hw.bench.pace import NS, Pace
from hw.bench.program import FOREVER_S
from hw.bench.truth import Drive
from hw.ports import Frame
from tests.support.airbag import CRASH

SEED = 1


class WithoutAirbags(Car):
    """The same car and noise; one control unit is missing."""

    def frames(self, start_ns: int, stop_ns: int) -> Iterator[Frame]:
        return (frame for frame in super().frames(start_ns, stop_ns) if frame.can_id != CRASH)


def main(interface: str, channel: str, port: str) -> None:
    pace = Pace()
    pace.stop_on_signals()
    start_ns = pace.now_ns()
    own_per_s = sum(1000 / (message.cycle_time or 1) for message in Car(Drive.load("drive", SEED), start_ns).database.messages)
    car = WithoutAirbags(Drive.load("drive", SEED), start_ns, noise_per_s=FRAMES_PER_S_MAX - own_per_s)
    with open_bus(interface, channel, int(port) or None) as bus:
        send_paced(car, bus, pace, start_ns + FOREVER_S * NS)


if __name__ == "__main__":
    main(*sys.argv[1:])
