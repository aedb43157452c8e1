"""hw.bench.arriving: frames and fixes of a simulated drive in one order."""

from __future__ import annotations

from itertools import pairwise

from hw.bench.arriving import arriving
from hw.bench.car import Car
from hw.bench.receiver import LATENCY_NS, Receiver
from hw.bench.truth import Drive
from hw.gnss.nmea import Epochs
from hw.ports import Fix, Frame
from tests.support.truth import NS

START_NS, SECONDS = 1_795_000_000 * NS, 5


def test_every_frame_and_every_epoch_arrives_once_in_the_order_of_time() -> None:
    """A fix at the moment at which its sentences are there, not at that of its epoch."""
    drive, stop_ns = Drive.load("drive", 1), START_NS + SECONDS * NS
    own = list(Car(drive, START_NS).frames(START_NS, stop_ns))
    items = list(arriving(own, Receiver(drive, START_NS), START_NS, stop_ns, Epochs()))
    assert [item for item in items if isinstance(item, Frame)] == own
    assert [item.t_ns for item in items if isinstance(item, Fix)] == [START_NS + s * NS + LATENCY_NS for s in range(SECONDS)]
    assert all(one.t_ns <= other.t_ns for one, other in pairwise(items))


def test_the_counters_of_the_receiver_are_the_callers() -> None:
    """They are told in the summary."""
    epochs, drive = Epochs(), Drive.load("drive", 1)
    list(arriving([], Receiver(drive, START_NS), START_NS, START_NS + SECONDS * NS, epochs))
    assert epochs.good > 0
